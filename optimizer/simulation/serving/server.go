package serving

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Server is a model server: replicas behind a gateway. Times, in s, never
// decrease from call to call. It is not safe for concurrent use.
type Server struct {
	balancers [roleCount]routing.Balancer
	recorder  *recorder
	clients   *crowd
	gate      gate

	replicas []*replica     // by name
	there    [roleCount]int // of each role, that take requests
	routed   []*replica     // scratch of pick, as are the next
	pending  []int
	homes    []uint64
	queue    []simulation.Request
	nextID   uint64
	done     []simulation.Completion

	outputs  map[uint64]int // of requests whose prompts are computed apart
	computed []handover     // prompts for which there was no decode replica
}

type replica struct {
	name     string
	on       string // accelerator, and way to run the model on it
	role     Role
	home     uint64 // by which sessions tell it, see [routing.Home]
	engine   *simulation.Engine
	draining bool // takes no new requests

	// Of a role: an end of the link. What sends has caches on their way over it, in order, and is free again at a time.
	link       Link
	sending    []sending
	linkFreeAt float64
}

// NewServer makes a server without replicas.
func NewServer(balancer routing.Balancer, record RecordOptions) (*Server, error) {
	if err := record.Validate(); err != nil {
		return nil, err
	}
	return &Server{
		balancers: [roleCount]routing.Balancer{Both: balancer}, recorder: newRecorder(record), clients: newCrowd(record.Clients), outputs: map[uint64]int{},
	}, nil
}

// Add makes a replica available, an engine that nobody else uses. What waits at
// the gateway is dispatched.
func (s *Server) Add(at float64, name, on string, engine *simulation.Engine) error {
	return s.add(at, &replica{name: name, on: on, engine: engine})
}

func (s *Server) add(at float64, r *replica) error {
	i, found := s.find(r.name)
	if found {
		return fmt.Errorf("replica %q: is there already", r.name)
	}
	s.Advance(at)
	r.home = routing.Identity(r.name)
	r.engine.Advance(at, nil)
	s.replicas = slices.Insert(s.replicas, i, r)
	s.count(r, 1)
	if r.role == Decode {
		s.handOver(at)
	}
	waiting := s.queue
	s.queue = nil
	for _, request := range waiting {
		s.dispatch(at, request)
	}
	return nil
}

// Remove takes a replica away at once. Requests that it had not finished, or whose
// caches it had not sent, start over at others; their latency still counts from their arrival.
func (s *Server) Remove(at float64, name string) error {
	i, found := s.find(name)
	if !found {
		return fmt.Errorf("replica %q: is not there", name)
	}
	s.Advance(at)
	gone := s.replicas[i]
	s.replicas = slices.Delete(s.replicas, i, i+1)
	if !gone.draining {
		s.count(gone, -1)
	}
	lost := gone.engine.Abort()
	for i := range lost {
		lost[i] = s.whole(lost[i])
	}
	lost = append(lost, s.unsent(at, gone)...)
	s.recorder.retried(len(lost))
	for _, request := range lost {
		s.dispatch(at, request)
	}
	return nil
}

// Drain lets a replica finish what it has and gives it nothing new; it stays until it is removed. It no longer counts as a replica.
func (s *Server) Drain(at float64, name string) error {
	i, found := s.find(name)
	if !found {
		return fmt.Errorf("replica %q: is not there", name)
	}
	s.Advance(at)
	if r := s.replicas[i]; !r.draining {
		r.draining = true
		s.count(r, -1)
	}
	return nil
}

// Arrive takes a request at the gateway.
func (s *Server) Arrive(arrival trace.Arrival) {
	s.Advance(arrival.At)
	request := simulation.Request{
		ID: s.nextID, ArrivedAt: arrival.At, InputTokens: arrival.InputTokens, OutputTokens: arrival.OutputTokens, Session: s.clients.turn(),
	}
	s.nextID++
	s.recorder.arrived(request)
	if !s.gate.admit(arrival.At) {
		s.recorder.shed(request.ArrivedAt)
		return
	}
	s.clients.sent(arrival.At, 0, request)
	s.dispatch(arrival.At, request)
}

// Limit what is let through at the gateway from a time on to a rate in requests per second, and so many requests at once. What is beyond is refused at once, for
// good.
func (s *Server) Limit(at, rate, burst float64) {
	s.Advance(at)
	s.gate.bound(at, rate, burst)
}

// LetAll ends the limit.
func (s *Server) LetAll(at float64) {
	s.Advance(at)
	s.gate.open()
}

// Sent is how many requests came to the gateway, those that it refused and that were sent again included.
func (s *Server) Sent() int { return s.recorder.total.Sent() }

// act does what an impatient client does: give up a request that has no first token, or send it again.
func (s *Server) act(a attempt) {
	if a.resend {
		request := a.request
		request.ID = s.nextID
		s.nextID++
		s.recorder.resent()
		if !s.gate.admit(a.at) {
			s.recorder.shed(request.ArrivedAt)
			return
		}
		s.clients.sent(a.at, a.number, request)
		s.dispatch(a.at, request)
		return
	}
	if s.abandon(a.at, a.request.ID) {
		s.recorder.abandoned(a.request.ArrivedAt, s.clients.again(a))
	}
}

// abandon a request wherever it waits; false where it has its first token.
func (s *Server) abandon(at float64, id uint64) bool {
	for i := range s.queue {
		if s.queue[i].ID == id {
			s.queue = slices.Delete(s.queue, i, i+1)
			return true
		}
	}
	for i := range s.computed {
		if h := &s.computed[i]; h.request.ID == id {
			h.from.engine.LetGo(at, id)
			s.computed = slices.Delete(s.computed, i, i+1)
			return true
		}
	}
	for _, r := range s.replicas {
		if r.engine.Abandon(id) {
			delete(s.outputs, id)
			return true
		}
	}
	return false
}

// Advance runs all replicas up to the given, finite time.
func (s *Server) Advance(to float64) {
	for {
		end := s.recorder.windowEnd()
		if a, due := s.clients.due(min(end, to)); due {
			s.run(a.at)
			s.act(a)
			continue
		}
		if end > to {
			s.run(to)
			return
		}
		s.run(end)
		s.recorder.closeWindow(s.load())
	}
}

func (s *Server) run(to float64) {
	s.computePrompts(to)
	s.advance(Both, to)
	s.advance(Decode, to)
}

// advance the replicas of a role.
func (s *Server) advance(role Role, to float64) {
	for _, r := range s.replicas {
		if r.role != role {
			continue
		}
		s.done = r.engine.Advance(to, s.done[:0])
		for _, completion := range s.done {
			s.recorder.completed(completion)
		}
	}
}

// Report returns the record so far.
func (s *Server) Report() Report { return s.recorder.report(s.load()) }

// Queued is the number of requests that wait at the gateway because there is no replica, or none of a role that it needs.
func (s *Server) Queued() int { return len(s.queue) }

// load is the number of requests at the gateway and in the replicas.
func (s *Server) load() (queued, pending int) {
	for _, r := range s.replicas {
		pending += r.engine.Pending()
	}
	return len(s.queue), pending + len(s.computed)
}

func (s *Server) dispatch(at float64, request simulation.Request) {
	switch {
	case s.apart():
		s.prompt(at, request)
	case s.has(Both):
		s.submitted(s.pick(Both, request.Session).engine.Submit(at, request), &request)
	default:
		s.queue = append(s.queue, request)
	}
}

func (s *Server) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.replicas, name, func(r *replica, name string) int { return cmp.Compare(r.name, name) })
}
