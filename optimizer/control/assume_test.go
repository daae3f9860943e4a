package control_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// priced is a system of one server of a model on three types of cards, of which no performance is given.
func priced(model string) *v1alpha1.System {
	s := observed(1000, 0, 0, 0)
	s.Models = v1alpha1.ModelData{Info: []v1alpha1.ModelInfo{{Name: "m", ModelProperties: v1alpha1.ModelProperties{ServedName: model}}}}
	s.Accelerators.Spec = nil
	for _, a := range []v1alpha1.AcceleratorEntry{
		{Name: "H100", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Cost: 400}}},
		{Name: "L4", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Cost: 50}}},
		{Name: "L40S", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Cost: 120}}},
		{Name: "abacus", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Cost: 1}}},
	} {
		s.Accelerators.Spec = append(s.Accelerators.Spec, a)
		s.Models.Spec = append(s.Models.Spec, v1alpha1.PerformanceEntry{Name: "m", Performance: v1alpha1.Performance{Acc: a.Name}})
	}
	o := &s.Optimizer.Spec
	o.Unlimited, o.QueueModel = true, &v1alpha1.Plug{Name: "continuous-batching"}
	s.ServiceClasses.Spec[0].ModelTargets = []v1alpha1.ModelTarget{{Model: "m", TTFT: 2000, ITL: 60, Percentile: 99}}
	e := &s.Servers.Spec[0]
	e.Model, e.MaxBatchSize, e.Observation, e.DesiredAlloc = "m", 0, nil, nil
	e.CurrentAlloc = &v1alpha1.Allocation{Load: &v1alpha1.Load{ArrivalRate: 600, AvgInTokens: 800, AvgOutTokens: 250}}
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
	s.Models.Spec[2].PerfParms = &v1alpha1.PerfParms{Alpha: 20, Beta: 0.1, Gamma: 1e-4}
	d = decide(t, s, control.State{})
	if len(d.core.Assumptions) != 3 || !d.Verdicts[name].Planned {
		t.Errorf("%+v", d.core.Assumptions)
	}
}
