package control_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// What can be admitted is below the load wherever it is said, is said of every plan that is short and of none that is not, and grows with the cards there are.
func TestAdmissibleRates(t *testing.T) {
	last := map[string]float64{}
	said := 0
	for _, cards := range []int{0, 1, 2, 4, 8, 16, 64, 1024} {
		s := load(t, "small")
		s.Optimizer.Spec.Unlimited, s.Optimizer.Spec.SaturationPolicy = false, jsonspec.SaturationPriorityExhaustive
		for i := range s.Capacity.Count {
			s.Capacity.Count[i].Count = cards
		}
		d := decide(t, s, control.State{})
		for _, e := range s.Servers.Spec {
			arrivals := e.CurrentAlloc.Load.ArrivalRate
			a, planned := d.Plan.Allocations[e.Name]
			switch rate := a.AdmissibleRate; {
			case !planned:
			case a.BestEffort != (rate != nil):
				t.Errorf("%d cards, %s: best effort is %t, and %v can be admitted", cards, e.Name, a.BestEffort, rate)
			case rate != nil:
				said++
				if *rate <= 0 || *rate >= arrivals {
					t.Errorf("%d cards, %s: %v of %v requests/min can be admitted", cards, e.Name, *rate, arrivals)
				}
				if !strings.Contains(d.Verdicts[e.Name].Message, "requests/min can be admitted within targets") {
					t.Errorf("%s: %s", e.Name, d.Verdicts[e.Name].Message)
				}
			}
		}
		for _, u := range d.Plan.Unserved {
			if none := d.Verdicts[u.Server].Reason == v1alpha1.ReasonNoCapacity; none != (u.AdmissibleRate != nil) || none && *u.AdmissibleRate != 0 {
				t.Errorf("%d cards, %s is not served for %s: %v", cards, u.Server, d.Verdicts[u.Server].Reason, u.AdmissibleRate)
			}
		}
	}
	if said == 0 {
		t.Error("no plan was short")
	}
	for most := 1; most <= 3; most++ {
		s := one(t, func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.MaxNumReplicas, e.KeepAccelerator, e.DesiredAlloc = most, true, &jsonspec.Allocation{Accelerator: "G2", NumReplicas: most}
		})
		name := s.Servers.Spec[0].Name
		a := decide(t, s, control.State{}).Plan.Allocations[name]
		switch {
		case most == 3 && a.AdmissibleRate != nil:
			t.Errorf("three suffice, and %v can be admitted", *a.AdmissibleRate)
		case most < 3 && (a.AdmissibleRate == nil || *a.AdmissibleRate <= last[name]):
			t.Errorf("%d replicas: %v can be admitted, after %v", most, a.AdmissibleRate, last[name])
		case most < 3:
			last[name] = *a.AdmissibleRate
		}
	}
}

// Only replicas that are ready serve: while those of a plan start that is short, they alone count; while those of a plan start that is not, what is ready
// completes is let through, and requests that wake a server which may have no replicas are held. What is not known is not said.
func TestAdmissibleRateIsThatOfReadyReplicas(t *testing.T) {
	pods := func(ready, starting int) func(*jsonspec.System, *jsonspec.ServerEntry) {
		return func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
			e.Observation = &jsonspec.Observation{Parts: []jsonspec.ObservedPart{{Accelerator: "G2", Ready: ready, Starting: starting}}}
		}
	}
	capped := func(most int, f func(*jsonspec.System, *jsonspec.ServerEntry)) func(*jsonspec.System, *jsonspec.ServerEntry) {
		return func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			e.MaxNumReplicas, e.KeepAccelerator = most, true
			e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "G2", NumReplicas: most}
			f(s, e)
		}
	}
	rate := func(f func(*jsonspec.System, *jsonspec.ServerEntry)) *float64 {
		s := one(t, f)
		return decide(t, s, control.State{}).Plan.Allocations[s.Servers.Spec[0].Name].AdmissibleRate
	}
	two, oneReady, none := rate(capped(2, pods(2, 0))), rate(capped(2, pods(1, 1))), rate(capped(2, pods(0, 2)))
	if two == nil || oneReady == nil || none == nil || *none != 0 || *oneReady <= 0 || *two < 1.5**oneReady {
		t.Errorf("two ready %v, one %v, none %v", two, oneReady, none)
	}
	if all := rate(capped(100, pods(100, 0))); all != nil {
		t.Errorf("enough are ready, and %v can be admitted", *all)
	}
	if some := rate(capped(100, pods(1, 2))); some == nil || *some != *oneReady {
		t.Errorf("one of enough is ready: %v, want %v", some, *oneReady)
	}
	held := func(_ *jsonspec.System, e *jsonspec.ServerEntry) { e.MinNumReplicas = 0 }
	if wakes := rate(capped(100, func(s *jsonspec.System, e *jsonspec.ServerEntry) { pods(0, 3)(s, e); held(s, e) })); wakes != nil {
		t.Errorf("a server wakes, and %v can be admitted", *wakes)
	}
	infeasible := func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		pods(2, 0)(s, e)
		s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 0.5
	}
	if got := rate(capped(2, infeasible)); got != nil {
		t.Errorf("no rate meets the targets, and %v can be admitted", *got)
	}
	kept := 120.0
	unknown := func(_ *jsonspec.System, e *jsonspec.ServerEntry) {
		e.CurrentAlloc, e.DesiredAlloc = nil, &jsonspec.Allocation{Accelerator: "G2", NumReplicas: 2, AdmissibleRate: &kept}
	}
	if got := rate(unknown); got == nil || *got != kept {
		t.Errorf("the last plan stands: %v, want %v", got, kept)
	}
}
