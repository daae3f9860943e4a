package control_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// usageOf the only server of a system that runs three replicas, and one that starts, at a rate of completions.
func usageOf(t *testing.T, change func(*jsonspec.System, *jsonspec.ServerEntry)) (control.Usage, *decided, *jsonspec.System) {
	t.Helper()
	s := one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		attained := 0.9
		e.Observation = &jsonspec.Observation{Parts: []jsonspec.ObservedPart{{Accelerator: "G2", Ready: 3}, {Accelerator: "G2", Starting: 1}, {Starting: 7}}, Attainment: &attained}
		e.CurrentAlloc.Load.Throughput = e.CurrentAlloc.Load.ArrivalRate / 2
		change(s, e)
	})
	d := decide(t, s, control.State{})
	u, known := d.Usage(s.Servers.Spec[0].Name)
	if !known {
		t.Fatal("the decision does not know its server")
	}
	return u, d, s
}

func TestUsage(t *testing.T) {
	u, d, s := usageOf(t, func(*jsonspec.System, *jsonspec.ServerEntry) {})
	e := &s.Servers.Spec[0]
	var card jsonspec.AcceleratorEntry
	for _, a := range s.Accelerators.Spec {
		if a.Name == "G2" {
			card = a
		}
	}
	each := 0.0
	for _, m := range s.Models.Spec {
		if m.Name == e.Model && m.Acc == "G2" {
			each = float64(m.Accelerators())
		}
	}
	saturation := 0.0
	for _, c := range d.Curves(e.Name, 1) {
		if c.Accelerator == "G2" {
			saturation = c.Saturation
		}
	}
	rate, p := e.CurrentAlloc.Load.ArrivalRate/2/60, card.Power
	use := rate / 3 / saturation
	running := p.Idle + (p.MidPower-p.Idle)*use/p.MidUtil
	if !(use > 0 && use < p.MidUtil) || each == 0 {
		t.Fatalf("%v of what %v accelerators can: the formula below is for less than %v", use, each, p.MidUtil)
	}
	for name, c := range map[string]struct{ got, want float64 }{
		"requests":   {u.Requests.OrNaN(), rate},
		"tokens":     {u.OutputTokens.OrNaN(), rate * e.CurrentAlloc.Load.AvgOutTokens},
		"attainment": {u.Attainment.OrNaN(), 0.9},
		"cost":       {u.Cost.OrNaN(), 4 * each * card.Cost},
		"power":      {u.Power.OrNaN(), each * (3*running + p.Idle)},
	} {
		if !(math.Abs(c.got-c.want) <= 1e-9*c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
}

// What is not known is missing.
func TestUsageThatIsNotKnown(t *testing.T) {
	type known struct{ requests, tokens, attainment, cost, power bool }
	for name, c := range map[string]struct {
		change func(*jsonspec.System, *jsonspec.ServerEntry)
		want   known
	}{
		"the load":                {func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Observation.Fault = v1alpha1.ReasonStaleMetrics }, known{cost: true}},
		"whether targets are met": {func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Observation.Attainment = nil }, known{true, true, false, true, true}},
		"an accelerator":          {func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Observation.Parts[1].Accelerator = "X9" }, known{true, true, true, false, false}},
		"a power curve": {func(s *jsonspec.System, _ *jsonspec.ServerEntry) {
			for i := range s.Accelerators.Spec {
				s.Accelerators.Spec[i].Power = jsonspec.PowerCurve{}
			}
		}, known{true, true, true, true, false}},
		"what is there": {func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.Observation = nil }, known{requests: true, tokens: true}},
	} {
		u, _, _ := usageOf(t, c.change)
		is := known{!u.Requests.IsZero(), !u.OutputTokens.IsZero(), !u.Attainment.IsZero(), !u.Cost.IsZero(), !u.Power.IsZero()}
		if is != c.want {
			t.Errorf("without %s is known %+v, want %+v", name, is, c.want)
		}
	}
}

// A server without pods costs and draws nothing, and that is known.
func TestUsageOfNoPods(t *testing.T) {
	u, _, _ := usageOf(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
		e.Observation.Parts, e.CurrentAlloc.Load.Throughput = nil, 0
	})
	if cost, known := u.Cost.Get(); cost != 0 || !known {
		t.Errorf("no pods cost %v (known: %v), want 0", cost, known)
	}
	if watts, known := u.Power.Get(); watts != 0 || !known {
		t.Errorf("no pods draw %v W (known: %v), want 0", watts, known)
	}
}
