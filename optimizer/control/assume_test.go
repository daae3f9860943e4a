package control_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// priced is a system of one server of a model on three types of cards, of which no performance is given.
func priced(model string) *jsonspec.System {
	s := observed(1000, 0, 0, 0)
	s.Models = jsonspec.ModelData{Info: []jsonspec.ModelInfo{{Name: "m", ModelProperties: jsonspec.ModelProperties{ServedName: model}}}}
	s.Accelerators.Spec = nil
	for _, a := range []jsonspec.AcceleratorEntry{
		{Name: "H100", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 400}}},
		{Name: "L4", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 50}}},
		{Name: "L40S", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 120}}},
		{Name: "abacus", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Cost: 1}}},
	} {
		s.Accelerators.Spec = append(s.Accelerators.Spec, a)
		s.Models.Spec = append(s.Models.Spec, jsonspec.PerformanceEntry{Name: "m", Performance: jsonspec.Performance{Acc: a.Name}})
	}
	o := &s.Optimizer.Spec
	o.Unlimited, o.QueueModel = true, &jsonspec.Plug{Name: "continuous-batching"}
	s.ServiceClasses.Spec[0].ModelTargets = []jsonspec.ModelTarget{{Model: "m", TTFT: 2000, ITL: 60, Percentile: 99}}
	e := &s.Servers.Spec[0]
	e.Model, e.MaxBatchSize, e.Observation, e.DesiredAlloc = "m", 0, nil, nil
	e.CurrentAlloc = &jsonspec.Allocation{Load: &jsonspec.Load{ArrivalRate: 600, AvgInTokens: 800, AvgOutTokens: 250}}
	return s
}

// A model of which nobody gave a law is planned from physics on what it fits on, and the plan says what it rests on.
func TestPlansFromPhysics(t *testing.T) {
	s := priced("meta-llama/Llama-3.1-8B-Instruct")
	name := s.Servers.Spec[0].Name
	d := decide(t, s, control.State{})
	a, v := d.Plan.Allocations[name], d.Verdicts[name]
	if !v.Planned || a.NumReplicas < 1 || a.Accelerator == "abacus" {
		t.Fatalf("%+v, %+v", a, v)
	}
	if len(d.core.Assumptions) != 4 {
		t.Fatalf("%+v", d.core.Assumptions)
	}
	for _, x := range d.core.Assumptions {
		if unknown := x.Accelerator == "abacus"; (x.Fault != "") != unknown || unknown && !strings.Contains(x.Fault, "memBW") || !unknown && !strings.Contains(x.From, "catalogue") {
			t.Errorf("%+v", x)
		}
	}
	// A guess is planned with more caution than what is known.
	guess := priced("our-own-8b")
	if b := decide(t, guess, control.State{}).Plan.Allocations[name]; !(b.Cost >= a.Cost) {
		t.Errorf("%v cents/h by a guess, %v by what is known", b.Cost, a.Cost)
	}
	// What is given goes before what is assumed.
	s.Models.Spec[2].PerfParms = &jsonspec.PerfParms{Alpha: 20, Beta: 0.1, Gamma: 1e-4}
	d = decide(t, s, control.State{})
	if len(d.core.Assumptions) != 3 || !d.Verdicts[name].Planned {
		t.Errorf("%+v", d.core.Assumptions)
	}
}
