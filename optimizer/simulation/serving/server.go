package serving

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Server is a model server: replicas behind a gateway. Times, in s, never
// decrease from call to call. It is not safe for concurrent use.
type Server struct {
	balancer routing.Balancer
	recorder *recorder
	clients  *crowd
	gate     gate

	replicas []*replica // by name
	routed   []*replica // scratch of dispatch, as is the next
	pending  []int
	queue    []simulation.Request
	nextID   uint64
	done     []simulation.Completion
}

type replica struct {
	name        string
	accelerator string
	engine      *simulation.Engine
	draining    bool // takes no new requests
}

// NewServer makes a server without replicas.
func NewServer(balancer routing.Balancer, record RecordOptions) (*Server, error) {
	if err := record.Validate(); err != nil {
		return nil, err
	}
	return &Server{balancer: balancer, recorder: newRecorder(record), clients: newCrowd(record.Clients)}, nil
}

// Add makes a replica available, an engine that nobody else uses. What waits at
// the gateway is dispatched.
func (s *Server) Add(at float64, name, accelerator string, engine *simulation.Engine) error {
	i, found := s.find(name)
	if found {
		return fmt.Errorf("replica %q: is there already", name)
	}
	s.Advance(at)
	engine.Advance(at, nil)
	s.replicas = slices.Insert(s.replicas, i, &replica{name: name, accelerator: accelerator, engine: engine})
	s.recorder.add(accelerator, 1)
	waiting := s.queue
	s.queue = nil
	for _, request := range waiting {
		s.dispatch(at, request)
	}
	return nil
}

// Remove takes a replica away at once. Requests that it had not finished start
// over at others; their latency still counts from their arrival.
func (s *Server) Remove(at float64, name string) error {
	i, found := s.find(name)
	if !found {
		return fmt.Errorf("replica %q: is not there", name)
	}
	s.Advance(at)
	gone := s.replicas[i]
	s.replicas = slices.Delete(s.replicas, i, i+1)
	if !gone.draining {
		s.recorder.add(gone.accelerator, -1)
	}
	lost := gone.engine.Abort()
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
		s.recorder.add(r.accelerator, -1)
	}
	return nil
}

// Arrive takes a request at the gateway.
func (s *Server) Arrive(arrival trace.Arrival) {
	s.Advance(arrival.At)
	request := simulation.Request{
		ID: s.nextID, ArrivedAt: arrival.At, InputTokens: arrival.InputTokens, OutputTokens: arrival.OutputTokens,
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
	if s.abandon(a.request.ID) {
		s.recorder.abandoned(a.request.ArrivedAt, s.clients.again(a))
	}
}

// abandon a request wherever it waits; false where it has its first token.
func (s *Server) abandon(id uint64) bool {
	for i := range s.queue {
		if s.queue[i].ID == id {
			s.queue = slices.Delete(s.queue, i, i+1)
			return true
		}
	}
	for _, r := range s.replicas {
		if r.engine.Abandon(id) {
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
	for _, r := range s.replicas {
		s.done = r.engine.Advance(to, s.done[:0])
		for _, completion := range s.done {
			s.recorder.completed(completion)
		}
	}
}

// Report returns the record so far.
func (s *Server) Report() Report { return s.recorder.report(s.load()) }

// Queued is the number of requests that wait at the gateway because there is no replica.
func (s *Server) Queued() int { return len(s.queue) }

// load is the number of requests at the gateway and in the replicas.
func (s *Server) load() (queued, pending int) {
	for _, r := range s.replicas {
		pending += r.engine.Pending()
	}
	return len(s.queue), pending
}

func (s *Server) dispatch(at float64, request simulation.Request) {
	s.routed, s.pending = s.routed[:0], s.pending[:0]
	for _, r := range s.replicas {
		if !r.draining {
			s.routed, s.pending = append(s.routed, r), append(s.pending, r.engine.Pending())
		}
	}
	if len(s.routed) == 0 {
		s.queue = append(s.queue, request)
		return
	}
	err := s.routed[s.balancer.Pick(s.pending)].engine.Submit(at, request)
	switch {
	case errors.Is(err, simulation.ErrTooLong):
		s.recorder.rejected(request.ArrivedAt)
	case err != nil:
		panic(fmt.Sprintf("serving: %v", err)) // Arrive and trace give well-formed requests only
	}
}

func (s *Server) find(name string) (int, bool) {
	return slices.BinarySearchFunc(s.replicas, name, func(r *replica, name string) int { return cmp.Compare(r.name, name) })
}
