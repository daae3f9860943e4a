package serving

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
)

// Role of a replica.
type Role int

// A replica computes prompts and makes tokens, or one of them for replicas of the other role.
const (
	Both Role = iota
	Prefill
	Decode
	roleCount
)

// Link is an end of what KV caches go over between replicas of the two roles. Of both ends the narrower bandwidth counts, and the longer delay.
type Link struct {
	// Bandwidth in byte/s that the transfers of one prefill replica have between them, one after the other; 0 where they take no time.
	Bandwidth float64
	// Delay of each, s, in which the next may begin.
	Delay float64
	// TokenBytes of the KV cache of a token.
	TokenBytes float64
}

// with another end.
func (l Link) with(o Link) Link {
	if l.Bandwidth == 0 || o.Bandwidth > 0 && o.Bandwidth < l.Bandwidth {
		l.Bandwidth = o.Bandwidth
	}
	return Link{l.Bandwidth, max(l.Delay, o.Delay), max(l.TokenBytes, o.TokenBytes)}
}

// seconds that a cache of so many tokens takes of the link.
func (l Link) seconds(tokens int) float64 {
	if l.Bandwidth == 0 {
		return 0
	}
	return float64(tokens) * l.TokenBytes / l.Bandwidth
}

// handover of a request whose prompt was computed.
type handover struct {
	at      float64 // when it was
	from    *replica
	request simulation.Request
	hereAt  float64 // when its cache is with those that decode
}

// sending is a cache on its way.
type sending struct {
	id     uint64
	hereAt float64
	to     *replica
}

// Apart lets the server have replicas of roles, which these choose between.
func (s *Server) Apart(prefill, decode routing.Balancer) {
	s.balancers[Prefill], s.balancers[Decode] = prefill, decode
}

// AddApart makes a replica of one role available, as Add does one that does both. The engine of one that computes prompts keeps caches
// ([simulation.Config.KeepsCaches]). A request goes to a prefill replica, yields one token there, which its client does not see, and goes on with its cache to a
// decode replica, whose first iteration with it yields the client's first token. As long as one role has no replica, requests wait at the gateway; those
// whose prompts were computed wait for a decode replica where they are.
func (s *Server) AddApart(at float64, name, on string, role Role, link Link, engine *simulation.Engine) error {
	if s.balancers[role] == nil {
		return errors.New("the server has no balancers for roles: Apart was not called")
	}
	return s.add(at, &replica{name: name, on: on, role: role, link: link, engine: engine})
}

// prompt sends a request to a prefill replica.
func (s *Server) prompt(at float64, request simulation.Request) {
	r := s.pick(Prefill, request.Session)
	s.outputs[request.ID] = request.OutputTokens
	request.OutputTokens = 1
	if !s.submitted(r.engine.Submit(at, request), &request) {
		delete(s.outputs, request.ID)
	}
}

// computePrompts on the replicas that do only that, up to a time, and hand them over.
func (s *Server) computePrompts(to float64) {
	var done []handover
	for _, r := range s.replicas {
		if r.role != Prefill {
			continue
		}
		for stepped := true; stepped; {
			s.done, stepped = r.engine.Step(to, s.done[:0])
			for _, c := range s.done {
				h := handover{at: c.FinishedAt, from: r, request: s.whole(c.Request)}
				if !s.has(Decode) {
					s.computed = append(s.computed, h)
					continue
				}
				s.send(&h)
				done = append(done, h)
			}
		}
		r.engine.Advance(to, nil)
	}
	slices.SortStableFunc(done, func(a, b handover) int { return cmp.Compare(a.at, b.at) })
	for i := range done {
		s.advance(Decode, done[i].at)
		s.deliver(&done[i])
	}
}

// whole is a request as its client sent it.
func (s *Server) whole(request simulation.Request) simulation.Request {
	if n, apart := s.outputs[request.ID]; apart {
		request.OutputTokens = n
		delete(s.outputs, request.ID)
	}
	return request
}

// send the cache of a request, after those before it. It is the narrowest of all decode replicas that counts.
func (s *Server) send(h *handover) {
	from := h.from
	link := from.link
	for _, r := range s.replicas {
		if r.takes(Decode) {
			link = link.with(r.link)
		}
	}
	from.linkFreeAt = max(from.linkFreeAt, h.at) + link.seconds(h.request.InputTokens)
	h.hereAt = from.linkFreeAt + link.Delay
	from.engine.LetGo(h.hereAt, h.request.ID)
}

// deliver a request whose cache was sent to a decode replica, which knows of it from when its prompt was computed.
func (s *Server) deliver(h *handover) {
	to := s.pick(Decode, h.request.Session)
	s.submitted(to.engine.Receive(h.at, h.hereAt, h.request), &h.request)
	h.from.sending = append(slices.DeleteFunc(h.from.sending, func(x sending) bool { return x.hereAt <= h.at }), sending{h.request.ID, h.hereAt, to})
}

// handOver the requests whose prompts were computed while there was no decode replica.
func (s *Server) handOver(at float64) {
	waiting := s.computed
	s.computed = nil
	for i := range waiting {
		waiting[i].at = at
		s.send(&waiting[i])
		s.deliver(&waiting[i])
	}
}

// unsent takes the requests whose caches a replica had not sent at a time, and that are lost with it.
func (s *Server) unsent(at float64, gone *replica) (lost []simulation.Request) {
	for _, x := range gone.sending {
		if x.hereAt <= at {
			continue
		}
		if request, there := x.to.engine.Recall(x.id); there {
			lost = append(lost, request)
		}
	}
	s.computed = slices.DeleteFunc(s.computed, func(h handover) bool {
		if h.from == gone {
			lost = append(lost, h.request)
		}
		return h.from == gone
	})
	return lost
}

// apart tells whether a request is to go to replicas of roles: where both are there, and nothing does both, or what does is fuller. That is by the unfinished
// requests for each block of the caches that tokens are made with, waiting prompts included. Gateways for roles decide for each request, too: that of llm-d
// first picks a replica that decodes, those that do both among them, by its load and cache, and then, unless most of the prompt is cached there, one that
// prefills (github.com/llm-d/llm-d-inference-scheduler, docs/disagg_pd.md, Apache-2.0).
func (s *Server) apart() bool {
	if !s.has(Prefill) || !s.has(Decode) {
		return false
	}
	var pending, blocks [roleCount]float64
	for _, r := range s.replicas {
		if !r.draining {
			pending[r.role] += float64(r.engine.Pending())
			blocks[r.role] += float64(r.engine.Stats().Blocks)
		}
	}
	return blocks[Both] == 0 || (pending[Prefill]+pending[Decode])*blocks[Both] <= pending[Both]*blocks[Decode]
}

// takes says whether new requests for a role go to the replica.
func (r *replica) takes(role Role) bool { return r.role == role && !r.draining }

func (s *Server) has(role Role) bool { return s.there[role] > 0 }

// count a replica that comes to take requests, or no longer does.
func (s *Server) count(r *replica, n int) {
	s.there[r.role] += n
	s.recorder.add(r.on, n)
}

// pick a replica of a role, of which there is one, for a session or, where that is 0, for anybody.
func (s *Server) pick(role Role, session uint64) *replica {
	s.routed, s.pending, s.homes = s.routed[:0], s.pending[:0], s.homes[:0]
	for _, r := range s.replicas {
		if r.takes(role) {
			s.routed, s.pending, s.homes = append(s.routed, r), append(s.pending, r.engine.Pending()), append(s.homes, r.home)
		}
	}
	if session != 0 {
		return s.routed[routing.Home(session, s.homes, s.pending)]
	}
	return s.routed[s.balancers[role].Pick(s.pending)]
}

// submitted says whether a replica took a request; one that fits no cache is rejected.
func (s *Server) submitted(err error, request *simulation.Request) bool {
	switch {
	case errors.Is(err, simulation.ErrTooLong):
		s.recorder.rejected(request.ArrivedAt)
	case err != nil:
		panic(fmt.Sprintf("serving: %v", err)) // Arrive and trace give well-formed requests only
	}
	return err == nil
}
