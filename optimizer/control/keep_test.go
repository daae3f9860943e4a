package control_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// A server whose targets cannot be met where it runs, and that would go elsewhere if there were room, keeps what it has; where there is room it moves, where
// best effort is not wanted it gets nothing, and nobody who is served gives way for it.
func TestAServerKeepsWhatItHasWhereNothingElseIsFree(t *testing.T) {
	for _, c := range []struct {
		name     string
		b        int // cards that could serve it
		change   func(*jsonspec.System)
		on       string
		replicas int
	}{
		{"room elsewhere", 8, func(*jsonspec.System) {}, "B", 2},
		{"no room", 0, func(*jsonspec.System) {}, "A", 4},
		{"fewer cards than it had", 0, func(s *jsonspec.System) { s.Capacity.Count[0].Count = 3 }, "A", 3},
		{"no best effort", 0, func(s *jsonspec.System) { s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone }, "", 0},
		{"three of its cards serve another in full", 0, func(s *jsonspec.System) {
			other := s.Servers.Spec[0]
			other.Name, other.Class = "other", "lenient"
			other.CurrentAlloc = &jsonspec.Allocation{Accelerator: "A", NumReplicas: 1, MaxBatch: 64, Load: &jsonspec.Load{ArrivalRate: 1500, AvgInTokens: 1000, AvgOutTokens: 200}}
			other.DesiredAlloc = nil
			s.Servers.Spec = append(s.Servers.Spec, other)
		}, "A", 1},
	} {
		s := observed(1000, 2, 22, 0)
		s.Optimizer.Spec.Unlimited, s.Optimizer.Spec.SaturationPolicy = false, jsonspec.SaturationPriorityExhaustive
		s.Accelerators.Spec = append(s.Accelerators.Spec, jsonspec.AcceleratorEntry{Name: "B", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 400}}})
		fast := s.Models.Spec[0]
		fast.Acc, fast.PerfParms = "B", &jsonspec.PerfParms{Alpha: 6, Beta: 0.02, Gamma: 2.5e-5}
		s.Models.Spec = append(s.Models.Spec, fast)
		lenient := s.ServiceClasses.Spec[0]
		lenient.Name, lenient.ModelTargets = "lenient", []jsonspec.ModelTarget{{Model: "m", ITL: 35, TTFT: 4000}}
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, lenient)
		s.ServiceClasses.Spec[0].ModelTargets = []jsonspec.ModelTarget{{Model: "m", ITL: 11, TTFT: 4000}} // below what A does with one request
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 4}, {Type: "B", Count: c.b}}
		e := &s.Servers.Spec[0]
		e.CurrentAlloc = &jsonspec.Allocation{Accelerator: "A", NumReplicas: 4, MaxBatch: 64, Load: &jsonspec.Load{ArrivalRate: 1500, AvgInTokens: 1000, AvgOutTokens: 200}}
		e.Observation, e.DesiredAlloc = nil, &jsonspec.Allocation{Accelerator: "A", NumReplicas: 4, MaxBatch: 64}
		c.change(s)
		d := decideOn(t, at(s, 1000), control.State{})
		a, v := d.Plan.Allocations["s"], d.Verdicts["s"]
		if a.Accelerator != c.on || a.NumReplicas != c.replicas || v.Planned != (c.on == "B") {
			t.Errorf("%s: %+v, %+v", c.name, a, v)
		}
		if c.on == "A" && (!a.BestEffort || !strings.Contains(a.Reason+v.Message, "A")) {
			t.Errorf("%s: %+v, %+v", c.name, a, v)
		}
		if other := "other"; len(s.Servers.Spec) > 1 && !d.Verdicts[other].Planned {
			t.Errorf("%s: the other: %+v", c.name, d.Verdicts[other])
		}
	}
}
