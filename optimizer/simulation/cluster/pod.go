package cluster

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/realise"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// state of a pod, in the order of its life.
type state int

const (
	unscheduled state = iota // waits for a node
	starting
	ready
	draining
	ended
)

// pod is one replica.
type pod struct {
	name        string
	number      int // of creation
	state       state
	node        *node
	accelerator string
	count       int // accelerators it holds
	limits      simulation.Limits
	createdAt   float64
	readyAt     float64 // when it will be, or was
	endedAt     float64 // when it will be gone at the latest, or was
	engine      *simulation.Engine
	counters    *counters
	series      Series
}

// bound tells whether the pod holds a node and is not going.
func (p *pod) bound() bool { return p.state == starting || p.state == ready }

// replicate creates or ends pods until there are as many as ordered, as a ReplicaSet does.
func (c *Cluster) replicate(s *server) {
	var alive []*pod
	for _, p := range s.pods {
		if p.state < draining {
			alive = append(alive, p)
		}
	}
	for n := len(alive); n < s.order.Replicas; n++ {
		c.created++
		s.pods = append(s.pods, &pod{name: fmt.Sprintf("%s-%d", s.Name, c.created), number: c.created, createdAt: c.now})
	}
	if excess := len(alive) - s.order.Replicas; excess > 0 {
		s.sortForDeletion(alive)
		for _, p := range alive[:excess] {
			c.end(s, p)
		}
	}
}

// sortForDeletion puts those first that a ReplicaSet deletes first: unscheduled, not ready, of the lowest deletion cost (those beyond the quota
// of their accelerator), then the newest. Source: controller_utils.go of the ReplicaSet controller, ActivePodsWithRanks.
func (s *server) sortForDeletion(pods []*pod) {
	over := s.beyondQuota()
	slices.SortFunc(pods, func(a, b *pod) int {
		return cmp.Or(cmp.Compare(a.state, b.state), cmp.Compare(rank(over[b]), rank(over[a])), cmp.Compare(b.number, a.number))
	})
}

func rank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// beyondQuota are the bound pods that the order has no place for.
func (s *server) beyondQuota() map[*pod]bool {
	var bound []*pod
	var list []realise.Pod
	for _, p := range s.pods {
		if p.bound() {
			bound = append(bound, p)
			list = append(list, realise.Pod{Name: p.name, Created: p.createdAt, Started: jsonspec.ObservedPart{
				Accelerator: p.accelerator, MaxBatchSize: p.limits.MaxNumSeqs, MaxBatchedTokens: p.limits.MaxNumBatchedTokens,
			}})
		}
	}
	over := map[*pod]bool{}
	for _, i := range realise.OverQuota(s.order.Parts, list) {
		over[bound[i]] = true
	}
	return over
}

// end a pod: one that serves drains, others go at once.
func (c *Cluster) end(s *server, p *pod) {
	if p.state == ready && p.engine.Pending() > 0 && c.config.Times.Drain > 0 {
		must(s.serving.Drain(c.now, p.name))
		p.state, p.endedAt = draining, c.now+c.config.Times.Drain
		return
	}
	c.remove(s, p)
}

// remove a pod with whatever it has.
func (c *Cluster) remove(s *server, p *pod) {
	if p.state == ready || p.state == draining {
		must(s.serving.Remove(c.now, p.name))
		s.gone = append(s.gone, p)
	}
	p.state, p.endedAt, p.node = ended, c.now, nil
	s.pods = slices.DeleteFunc(s.pods, func(x *pod) bool { return x == p })
}

// settle lets pods become ready, and those that drained go.
func (c *Cluster) settle(s *server) {
	for _, p := range slices.Clone(s.pods) {
		switch {
		case p.state == starting && c.now >= p.readyAt:
			p.state, p.readyAt = ready, c.now
			must(s.serving.Add(c.now, p.name, p.accelerator, p.engine))
		case p.state == draining && (p.engine.Pending() == 0 || c.now >= p.endedAt):
			c.remove(s, p)
		}
	}
}

// bind a pod to a node.
func (c *Cluster) bind(s *server, p *pod, n *node, t *Truth) error {
	limits := s.order.limits(t.Accelerator, s.Limits)
	p.counters = newCounters(t.Cache)
	engine, err := simulation.New(simulation.Config{
		Limits: limits, Cache: t.Cache, StepTime: t.StepTime, RequestOverhead: t.RequestOverhead, NoiseCV: t.NoiseCV,
		Seed: c.config.Seed ^ uint64(p.number)*0x9e3779b97f4a7c15, Hooks: p.counters.hooks(),
	})
	if err != nil {
		return fmt.Errorf("pod %s on %s: %w", p.name, t.Accelerator, err)
	}
	p.engine, p.limits = engine, limits
	p.state, p.node, p.accelerator, p.count = starting, n, t.Accelerator, t.Count
	p.readyAt = c.now + c.config.Times.StartUp
	return nil
}

// must is for what cannot fail because the cluster keeps the names of its pods unique and known.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("cluster: %v", err))
	}
}
