package cluster

import (
	"cmp"
	"fmt"
	"maps"
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

// pod is one replica, be it of several pods.
type pod struct {
	name      string
	number    int    // of creation
	workload  string // see [Order]
	state     state
	nodes     []*node // one for each of its pods, the leader's first
	truth     *Truth  // of what it runs on, or ran
	limits    simulation.Limits
	createdAt float64
	readyAt   float64 // when it will be, or was
	endedAt   float64 // when it will be gone at the latest, or was
	engine    *simulation.Engine
	counters  *counters
	series    Series
}

// busy tells whether it has work, or caches to send.
func (p *pod) busy() bool { return p.engine.Pending()+p.engine.Keeps() > 0 }

// bound tells whether the pod holds a node and is not going.
func (p *pod) bound() bool { return p.state == starting || p.state == ready }

// replicate creates or ends pods until each workload has as many as ordered, as a ReplicaSet does.
func (c *Cluster) replicate(s *server) {
	wanted := s.order.workloads()
	for _, p := range s.pods {
		wanted[p.workload] += 0 // also those that the order no longer has
	}
	for _, w := range slices.Sorted(maps.Keys(wanted)) {
		var alive []*pod
		for _, p := range s.pods {
			if p.workload == w && p.state < draining {
				alive = append(alive, p)
			}
		}
		for n := len(alive); n < wanted[w]; n++ {
			c.created++
			s.pods = append(s.pods, &pod{name: fmt.Sprintf("%s-%d", s.Name, c.created), number: c.created, workload: w, createdAt: c.now})
		}
		if excess := len(alive) - max(wanted[w], 0); excess > 0 {
			s.sortForDeletion(alive, w)
			for _, p := range alive[:excess] {
				c.end(s, p)
			}
		}
	}
}

// sortForDeletion puts those first that a ReplicaSet deletes first: unscheduled, not ready, of the lowest deletion cost (those beyond the quota
// of their accelerator), then the newest. Source: controller_utils.go of the ReplicaSet controller, ActivePodsWithRanks.
func (s *server) sortForDeletion(pods []*pod, workload string) {
	over := s.beyondQuota(workload)
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

// beyondQuota are the bound pods of a workload that the order has no place for.
func (s *server) beyondQuota(of string) map[*pod]bool {
	var bound []*pod
	var list []realise.Pod
	for _, p := range s.pods {
		if p.bound() && p.workload == of {
			bound = append(bound, p)
			list = append(list, realise.Pod{Name: p.name, Created: p.createdAt, Started: jsonspec.ObservedPart{
				Accelerator: p.truth.Accelerator, Variant: cmp.Or(p.truth.Variant, p.truth.Role), MaxBatchSize: p.limits.MaxNumSeqs, MaxBatchedTokens: p.limits.MaxNumBatchedTokens,
			}})
		}
	}
	var parts []jsonspec.AllocationPart
	for i := range s.order.Parts {
		if p := &s.order.Parts[i]; workload(p) == of {
			parts = append(parts, *p)
		}
	}
	over := map[*pod]bool{}
	for _, i := range realise.OverQuota(parts, list) {
		over[bound[i]] = true
	}
	return over
}

// end a pod: one that serves drains, others go at once.
func (c *Cluster) end(s *server, p *pod) {
	if p.state == ready && p.busy() && c.config.Times.Drain > 0 {
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
	p.state, p.endedAt, p.nodes = ended, c.now, nil
	s.pods = slices.DeleteFunc(s.pods, func(x *pod) bool { return x == p })
}

// settle lets pods become ready, and those that drained go.
func (c *Cluster) settle(s *server) {
	for _, p := range slices.Clone(s.pods) {
		switch {
		case p.state == starting && c.now >= p.readyAt:
			p.state, p.readyAt = ready, c.now
			must(s.serving.AddApart(c.now, p.name, p.truth.On(), roles[p.truth.Role], p.truth.Link, p.engine))
		case p.state == draining && (!p.busy() || c.now >= p.endedAt):
			c.remove(s, p)
		}
	}
}

// bind a pod to nodes.
func (c *Cluster) bind(s *server, p *pod, nodes []*node, t *Truth) error {
	limits := s.order.limits(t.On(), s.Limits)
	p.counters = newCounters(t.Cache)
	engine, err := simulation.New(simulation.Config{
		Limits: limits, Cache: t.Cache, StepTime: t.StepTime, RequestOverhead: t.RequestOverhead, NoiseCV: t.NoiseCV,
		Seed: c.config.Seed ^ uint64(p.number)*0x9e3779b97f4a7c15, KeepsCaches: t.Role == jsonspec.RolePrefill, Hooks: p.counters.hooks(),
	})
	if err != nil {
		return fmt.Errorf("pod %s on %s: %w", p.name, t.On(), err)
	}
	p.engine, p.limits = engine, limits
	p.state, p.nodes, p.truth = starting, nodes, t
	p.readyAt = c.now + c.config.Times.StartUp
	return nil
}

// must is for what cannot fail because the cluster keeps the names of its pods unique and known.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("cluster: %v", err))
	}
}
