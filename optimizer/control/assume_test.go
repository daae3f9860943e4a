package control_test

import (
	"context"
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

// The wider a prior is, the more replicas its plan has.
func TestCautionGrowsWithThePrior(t *testing.T) {
	s := priced("meta-llama/Llama-3.1-8B-Instruct")
	s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = 6000
	s.Models.Spec = s.Models.Spec[:1] // H100 alone
	last, first := 0, 0
	for _, width := range []float64{0, 0.25, 0.5, 1, 1.5, 2} {
		st := stages(t, s)
		for i := range st.Knowledge.Experience {
			st.Knowledge.Experience[i].Spread *= width
		}
		d, err := st.Decide(context.Background(), at(s, 1000).Core(), control.State{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := report(s, d).Plan.Allocations[s.Servers.Spec[0].Name].NumReplicas
		t.Logf("a prior %v times as wide: %d replicas", width, n)
		if n < 1 || n < last {
			t.Errorf("%d replicas for a prior %v times as wide, %d for a narrower one", n, width, last)
		}
		if first == 0 {
			first = n
		}
		last = n
	}
	if last <= first {
		t.Errorf("%d replicas for a prior of no width, %d for a wide one", first, last)
	}
}

// What a model shows on one accelerator moves the prior of another that it never ran on: the slower it was found, the more replicas are planned there.
func TestRelativesTeach(t *testing.T) {
	system := func(i int, itl float64) *jsonspec.System {
		s := priced("meta-llama/Llama-3.1-8B-Instruct")
		s.ServiceClasses.Spec[0].ModelTargets = []jsonspec.ModelTarget{{Model: "m", TTFT: 4000, ITL: 150, Percentile: 99}}
		ran := observed(1000+60*int64(i), 2, itl, 0).Servers.Spec[0]
		ran.Model, ran.Name, ran.CurrentAlloc.Accelerator, ran.KeepAccelerator = "m", "ran", "H100", true
		ran.Observation.Parts[0].Accelerator, ran.Observation.Groups[0].Accelerator = "H100", "H100"
		other := s.Servers.Spec[0]
		other.Name, other.KeepAccelerator = "other", true
		other.CurrentAlloc = &jsonspec.Allocation{Accelerator: "L40S", NumReplicas: 1, Load: &jsonspec.Load{ArrivalRate: 6000, AvgInTokens: 800, AvgOutTokens: 250}}
		s.Servers.Spec = []jsonspec.ServerEntry{ran, other}
		return s
	}
	planned := map[float64]int{}
	for _, itl := range []float64{6, 18, 60} {
		d := cycles(t, 10, func(i int) *jsonspec.System { return system(i, itl) })
		a := d.Plan.Allocations["other"]
		if a.Accelerator != "L40S" {
			t.Fatalf("%+v", d.Verdicts["other"])
		}
		planned[itl] = a.NumReplicas
	}
	alone := decide(t, system(0, 18), control.State{}).Plan.Allocations["other"].NumReplicas
	t.Logf("%d replicas on L40S before anything is learned on H100, then by its ITL there %v", alone, planned)
	if !(planned[6] <= planned[18] && planned[18] <= planned[60] && planned[6] < alone && alone < planned[60]) {
		t.Errorf("%d replicas on L40S before anything is learned on H100, then by its ITL there %v", alone, planned)
	}
}
