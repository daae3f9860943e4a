package control_test

import (
	"context"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// A server that nothing can be planned for, however absurd what it asks, is told so, keeps what it has, and changes nobody else's plan.
func TestOneServersFaultIsItsOwn(t *testing.T) {
	for _, c := range []struct {
		name   string
		spoil  func(*jsonspec.ServerEntry)
		reason string
	}{
		{"replicas beyond all bounds", func(e *jsonspec.ServerEntry) { e.MinNumReplicas = math.MaxInt64 / 2 }, v1alpha1.ReasonInfeasible},
		{"a class without a rank", func(e *jsonspec.ServerEntry) { e.Class = "rankless" }, v1alpha1.ReasonInvalidSpec},
		{"an unknown model", func(e *jsonspec.ServerEntry) { e.Model = "unheard of" }, v1alpha1.ReasonUnknownModel},
		{"a class that it may not use", func(e *jsonspec.ServerEntry) { e.Refused = "spec.serviceClass: it is not allowed" }, v1alpha1.ReasonClassNotAllowed},
		{"an unknown class", func(e *jsonspec.ServerEntry) { e.Class = "unheard of" }, v1alpha1.ReasonUnknownServiceClass},
		// Without a plan such a server begins small.
		{"no number", func(e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate = math.NaN() }, v1alpha1.ReasonPlanned},
		{"a load beyond all bounds", func(e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate = math.MaxFloat64 }, v1alpha1.ReasonPlanned},
		{"lengths beyond all bounds", func(e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.AvgOutTokens = math.MaxFloat64 }, v1alpha1.ReasonInfeasible},
	} {
		t.Run(c.name, func(t *testing.T) {
			whole, rest := load(t, "large"), load(t, "large")
			for _, s := range []*jsonspec.System{whole, rest} {
				s.Optimizer.Spec.Unlimited = true
			}
			rankless := whole.ServiceClasses.Spec[0]
			rankless.Name, rankless.Priority = "rankless", 0
			whole.ServiceClasses.Spec = append(whole.ServiceClasses.Spec, rankless)
			spoilt := &whole.Servers.Spec[0]
			rest.Servers.Spec = rest.Servers.Spec[1:]
			c.spoil(spoilt)
			d, err := stages(t, whole).Decide(context.Background(), at(whole, 1000).Core(), control.State{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got, want := report(whole, d), decide(t, rest, control.State{})
			if v := got.Verdicts[spoilt.Name]; v.Reason != c.reason {
				t.Errorf("the verdict is %+v, want %s", v, c.reason)
			}
			delete(got.Plan.Allocations, spoilt.Name)
			if diff := cmp.Diff(want.Plan.Allocations, got.Plan.Allocations); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A server whose pods all crash on one accelerator moves to another, is not planned for twice over, and stays where it is where there is no other.
func TestPodsThatCrashAreNotDoubled(t *testing.T) {
	s := load(t, "large")
	s.Optimizer.Spec.Unlimited = true
	s.Servers.Spec = s.Servers.Spec[:1]
	first := decide(t, s, control.State{})
	e := &s.Servers.Spec[0]
	had := first.Plan.Allocations[e.Name]
	e.DesiredAlloc = &had
	crash := func() {
		e.CurrentAlloc = nil
		e.Observation = &jsonspec.Observation{
			Fault: v1alpha1.ReasonNoMetrics, Detail: "no pod is ready",
			Parts: []jsonspec.ObservedPart{{Accelerator: had.Accelerator, Starting: had.NumReplicas, Failing: had.NumReplicas}},
		}
	}
	crash()
	state := first.State
	for i := range int64(200) { // past three start-up times
		d := decideOn(t, at(s, 2000+30*i), state)
		state = d.State
		got := d.Plan.Allocations[e.Name]
		if i < 15 && (got.Accelerator == had.Accelerator || got.NumReplicas == 0) {
			t.Fatalf("cycle %d: %d × %s: %s", i, got.NumReplicas, got.Accelerator, d.Verdicts[e.Name].Message)
		}
		if got.NumReplicas > 2*had.NumReplicas {
			t.Fatalf("cycle %d: %d replicas, %d before", i, got.NumReplicas, had.NumReplicas)
		}
	}
	e.KeepAccelerator = true
	for i := range int64(200) {
		d := decideOn(t, at(s, 2000+30*i), first.State)
		if got := d.Plan.Allocations[e.Name]; got.Accelerator != had.Accelerator || got.NumReplicas > had.NumReplicas {
			t.Fatalf("kept where it is: %d × %s, %d × %s before", got.NumReplicas, got.Accelerator, had.NumReplicas, had.Accelerator)
		}
	}
}
