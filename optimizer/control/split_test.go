package control_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// spread is the small system where servers may be split, by the given routing, with a share of its capacity.
func spread(t *testing.T, routing string, factor float64) *jsonspec.System {
	s := load(t, "small")
	s.Optimizer.Spec.Heterogeneous = true
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count = int(factor * float64(s.Capacity.Count[i].Count))
	}
	for i := range s.Servers.Spec {
		s.Servers.Spec[i].Routing = routing
	}
	return s
}

// Splits are only more ways to serve: plans with them are sound and no worse, and where cards are scarce they are taken.
func TestSplitsAreSoundAndNoWorse(t *testing.T) {
	taken := 0
	for _, routing := range []string{jsonspec.RoutingRoundRobin, jsonspec.RoutingWeighted} {
		for _, factor := range []float64{0.5, 0.2, 0.1} {
			s := spread(t, routing, factor)
			with := decide(t, s, control.State{})
			sound(t, s, with)
			s.Optimizer.Spec.Heterogeneous = false
			without := decide(t, s, control.State{})
			served := slices.Compare(servedBy(s, with), servedBy(s, without))
			if served < 0 || (served == 0 && with.Plan.TotalCost > without.Plan.TotalCost+1e-6) {
				t.Errorf("%s, capacity × %v: worse with splits: cost %v instead of %v", routing, factor, with.Plan.TotalCost, without.Plan.TotalCost)
			}
			for _, a := range with.Plan.Allocations {
				if len(a.Parts) > 0 {
					taken++
				}
			}
		}
	}
	if taken < 5 {
		t.Errorf("%d splits were taken: the test says little", taken)
	}
}

// torn is a system of one server whose cheapest accelerator has too few cards, so that it is split.
func torn(t *testing.T, change func(*jsonspec.ServerEntry)) *jsonspec.System {
	s := one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		s.Optimizer.Spec.Heterogeneous = true
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "G2", Count: 5}, {Type: "A100", Count: 9}}
		e.CurrentAlloc.Load.ArrivalRate = 240
		change(e)
	})
	return s
}

func only(t *testing.T, s *jsonspec.System, d *decided) jsonspec.Allocation {
	t.Helper()
	sound(t, s, d)
	a, ok := d.Plan.Allocations[s.Servers.Spec[0].Name]
	if !ok {
		t.Fatalf("not served: %+v", d.Verdicts)
	}
	return a
}

// The parts say what runs where, with limits and the share of the load that the routing gives them.
func TestPartsOfASplit(t *testing.T) {
	for _, routing := range []string{jsonspec.RoutingRoundRobin, jsonspec.RoutingLeastRequest} {
		s := torn(t, func(e *jsonspec.ServerEntry) { e.Routing = routing })
		d := decide(t, s, control.State{})
		a := only(t, s, d)
		if len(a.Parts) != 2 || !d.Verdicts[s.Servers.Spec[0].Name].Planned {
			t.Fatalf("%s: %+v", routing, a)
		}
		rates := map[string]float64{}
		for _, c := range d.Candidates {
			rates[c.Accelerator] = c.RatePerReplica
		}
		capacity := 0.0
		for _, p := range a.Parts {
			capacity += float64(p.Replicas) * rates[p.Accelerator]
		}
		for _, p := range a.Parts {
			want := float64(p.Replicas) * rates[p.Accelerator] / capacity
			if routing == jsonspec.RoutingRoundRobin {
				want = float64(p.Replicas) / float64(a.NumReplicas)
			}
			if math.Abs(p.Share-want) > 1e-5 || p.MaxBatchSize == 0 || p.MaxBatchedTokens == 0 {
				t.Errorf("%s: part %+v, want share %v and limits", routing, p, want)
			}
			// No part gets more than its replicas sustain.
			if each := p.Share * 240 / float64(p.Replicas); each > rates[p.Accelerator]*(1+1e-5) {
				t.Errorf("%s: %v req/min for each replica on %s, which sustains %v", routing, each, p.Accelerator, rates[p.Accelerator])
			}
		}
		if a.TTFTAverage <= 0 || a.ITLAverage <= 0 {
			t.Errorf("%s: no prediction: %+v", routing, a)
		}
	}
}

// A split in force stays while the load does, also where it is pinned to its accelerators, and is held when the load falls.
func TestSplitInForceStays(t *testing.T) {
	for _, keep := range []bool{false, true} {
		s := torn(t, func(e *jsonspec.ServerEntry) { e.KeepAccelerator = keep })
		first := decide(t, s, control.State{})
		plan := only(t, s, first)
		s.Servers.Spec[0].DesiredAlloc = &plan
		second := decide(t, s, first.State)
		if diff := cmp.Diff(plan.Parts, only(t, s, second).Parts); diff != "" {
			t.Errorf("keepAccelerator %t: %s", keep, diff)
		}
		s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = 200
		// After a restart the plan in force is held as if it had just been needed.
		held := only(t, s, decide(t, s, control.State{}))
		if held.NumReplicas != plan.NumReplicas || len(held.Parts) != 2 || held.ITLAverage >= plan.ITLAverage {
			t.Errorf("keepAccelerator %t: %+v became %+v: not held", keep, plan, held)
		}
	}
}

// A split in force that needs more than a cycle may add grows by what it may add, on both its accelerators.
func TestSplitInForceGrowsByWhatACycleMayAdd(t *testing.T) {
	s := torn(t, func(e *jsonspec.ServerEntry) {
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 2, Parts: []jsonspec.AllocationPart{
			{Accelerator: "A100", Replicas: 1, Share: 0.5}, {Accelerator: "G2", Replicas: 1, Share: 0.5},
		}}
	})
	s.Capacity.Count[0].Count = 8 // nine are needed without the other accelerator
	a := only(t, s, decide(t, s, control.State{}))
	sum := 0
	for _, p := range a.Parts {
		sum += p.Replicas
	}
	const most = 8 // four times as many
	if len(a.Parts) != 2 || a.NumReplicas != most || sum != most {
		t.Errorf("%+v, want %d replicas on two accelerators", a, most)
	}
}

// A plan in force that names fewer replicas than its parts neither brings a cycle down nor keeps a plan from being made.
func TestPlanThatSaysLessThanItsParts(t *testing.T) {
	s := torn(t, func(e *jsonspec.ServerEntry) {
		e.CurrentAlloc.Load.ArrivalRate = 40
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 1, Parts: []jsonspec.AllocationPart{
			{Accelerator: "A100", Replicas: 1, Share: 0.5}, {Accelerator: "G2", Replicas: 1, Share: 0.5},
		}}
	})
	memory := stability.Memory{Accelerator: "A100+G2", Moved: 990} // it stays where it moved to ten seconds ago
	only(t, s, decide(t, s, control.State{Servers: map[string]control.ServerState{s.Servers.Spec[0].Name: {Stability: memory}}}))
}

// A held split reserves the cards of all its parts.
func TestHeldSplitKeepsItsCapacity(t *testing.T) {
	s := load(t, "small")
	s.Servers.Spec = s.Servers.Spec[:2]
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	held := &s.Servers.Spec[1]
	held.CurrentAlloc = nil
	held.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 5, Cost: 3*160 + 2*92, Parts: []jsonspec.AllocationPart{
		{Accelerator: "A100", Replicas: 3, Share: 0.5}, {Accelerator: "G2", Replicas: 2, Share: 0.5},
	}}
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A100", Count: 14}, {Type: "G2", Count: 9}}
	sound(t, s, decide(t, s, control.State{}))
}

// A server that only one type serves has nothing to be split over.
func TestNoSplitOverOneType(t *testing.T) {
	s := one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		s.Optimizer.Spec.Heterogeneous = true
		s.Models.Spec = slices.DeleteFunc(s.Models.Spec, func(p jsonspec.PerformanceEntry) bool { return p.Acc != "A100" && p.Acc != "4xA100" })
	})
	for _, c := range decide(t, s, control.State{}).Candidates {
		if len(c.Parts) > 0 {
			t.Errorf("candidate %+v", c)
		}
	}
}

// What is held stays where capacity binds, unless it lets another server be served.
func TestHoldsWhereCapacityBinds(t *testing.T) {
	s := one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "G2", Count: 2}, {Type: "A100", Count: 6}}
		e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "A100", NumReplicas: 6}
	})
	if a := only(t, s, decide(t, s, control.State{})); a.Accelerator != "A100" || a.NumReplicas != 6 {
		t.Errorf("%+v is not held", a)
	}
	other := load(t, "small").Servers.Spec[0]
	other.Name = "other"
	s.Servers.Spec = append(s.Servers.Spec, other)
	d := decide(t, s, control.State{})
	sound(t, s, d)
	if len(d.Plan.Unserved) > 0 {
		t.Errorf("unserved %+v for the sake of what is held: %+v", d.Plan.Unserved, d.Plan.Allocations)
	}
}
