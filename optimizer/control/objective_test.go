package control_test

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// scarce is the small system with a share of its capacity and no best effort.
func scarce(t *testing.T, share float64) *jsonspec.System {
	s := load(t, "small")
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count = int(share * float64(s.Capacity.Count[i].Count))
	}
	return s
}

func loadServed(s *jsonspec.System, d *decided) float64 {
	sum := 0.0
	for _, e := range s.Servers.Spec {
		if _, ok := d.Plan.Allocations[e.Name]; ok {
			sum += e.CurrentAlloc.Load.ArrivalRate
		}
	}
	return sum
}

// Where load counts, the plan serves at least as much of it, of one priority.
func TestCountingLoad(t *testing.T) {
	more := 0
	for _, share := range []float64{.1, .15, .2, .25, .3, .4} {
		s := scarce(t, share)
		for i := range s.ServiceClasses.Spec {
			s.ServiceClasses.Spec[i].Priority = 1
		}
		servers := decide(t, s, control.State{})
		s.Optimizer.Spec.Counting = jsonspec.CountingLoad
		byLoad := decide(t, s, control.State{})
		sound(t, s, byLoad)
		a, b := loadServed(s, servers), loadServed(s, byLoad)
		if n := len(servers.Plan.Allocations); b < a-1e-6 || len(byLoad.Plan.Allocations) > n {
			t.Errorf("capacity × %v: %v req/min by %d servers, counted by load %v by %d", share, a, n, b, len(byLoad.Plan.Allocations))
		}
		if b > a+1e-6 {
			more++
		}
	}
	if more == 0 {
		t.Error("counting load never served more of it: the test says little")
	}
}

// A weighted sum leaves out what costs more than leaving it out, whatever its priority, and serves all where that is dear.
func TestWeightedSum(t *testing.T) {
	s := scarce(t, 1)
	s.Optimizer.Spec.Objective = jsonspec.ObjectiveWeightedSum
	s.Optimizer.Spec.UnservedCost = 1e6
	all := decide(t, s, control.State{})
	sound(t, s, all)
	if len(all.Plan.Unserved) > 0 {
		t.Fatalf("there is enough for all, but %+v", all.Plan.Unserved)
	}
	least := math.Inf(1)
	for _, a := range all.Plan.Allocations {
		least = min(least, a.Cost)
	}
	s.Optimizer.Spec.UnservedCost, s.Optimizer.Spec.PriorityFactor = 2*least, 1
	some := decide(t, s, control.State{})
	sound(t, s, some)
	for name, a := range some.Plan.Allocations {
		if a.Cost > 2*least+1e-9 {
			t.Errorf("%s is served for %v, leaving it out costs %v", name, a.Cost, 2*least)
		}
	}
	if len(some.Plan.Allocations) == 0 || len(some.Plan.Unserved) == 0 || !strings.Contains(some.Plan.Unserved[0].Reason, "the penalty of leaving it out") {
		t.Errorf("served %d, unserved %+v", len(some.Plan.Allocations), some.Plan.Unserved)
	}
	if g := some.Plan.Solver.Gap; g == nil || *g != 0 {
		t.Errorf("gap %v, want 0", g)
	}
}

func TestObjectiveFaults(t *testing.T) {
	for want, spoil := range map[string]func(*jsonspec.OptimizerEntry){
		"objective":      func(o *jsonspec.OptimizerEntry) { o.Objective = "Best" },
		"counting":       func(o *jsonspec.OptimizerEntry) { o.Counting = "Tokens" },
		"unservedCost":   func(o *jsonspec.OptimizerEntry) { o.Objective = jsonspec.ObjectiveWeightedSum },
		"priorityFactor": func(o *jsonspec.OptimizerEntry) { o.PriorityFactor = .5 },
	} {
		var o jsonspec.OptimizerEntry
		spoil(&o)
		if _, err := control.NewStages(&o); err == nil || !strings.Contains(err.Error(), want+":") {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
