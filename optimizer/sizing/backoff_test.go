package sizing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// An accelerator on which all pods fail is done without for twice as long each time, until one becomes ready there.
func TestBackOff(t *testing.T) {
	pods := func(ready, starting, failing int) *fleet.Observation {
		return &fleet.Observation{Pods: []fleet.Pods{{Accelerator: "A", Ready: ready, Starting: starting, Failing: failing}, {Accelerator: "B", Ready: 1}}}
	}
	var m map[string]BackOff
	step := func(now float64, o *fleet.Observation, want map[string]BackOff) {
		t.Helper()
		m = backOffs(o, m, now)
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("at %v: %s", now, diff)
		}
	}
	step(1000, pods(0, 2, 0), nil)
	step(1030, pods(1, 2, 2), nil) // one is ready: the others may be unlucky
	first := map[string]BackOff{"A": {1060 + firstBackOff, 1}}
	step(1060, pods(0, 2, 2), first)
	step(1090, pods(0, 2, 2), first)
	step(1120, nil, first)
	step(1150, pods(0, 0, 0), first) // the plan has left it
	second := map[string]BackOff{"A": {2000 + 2*firstBackOff, 2}}
	step(2000, pods(0, 1, 1), second)
	step(2030, pods(1, 0, 0), nil)
	for now := 3000.0; now < 1e6; now = m["A"].Until {
		m = backOffs(pods(0, 1, 1), m, now)
		if until := m["A"].Until; until > now+longestBackOff {
			t.Fatalf("backed off for %v s", until-now)
		}
	}
}

// Ways on an accelerator that is backed off from are left out, where there are others.
func TestWithoutFailing(t *testing.T) {
	on := func(names ...string) *Candidate {
		c := new(Candidate)
		for _, n := range names {
			c.Parts = append(c.Parts, Part{Sized: &Sized{Pair: &Pair{Accelerator: &fleet.Accelerator{Name: n}}}, Replicas: 1})
		}
		return c
	}
	off := map[string]BackOff{"A": {Until: 100, Times: 3}}
	a, b := on("A"), on("B")
	if got := withoutFailing([]*Candidate{a, b}, off, 40); len(got) != 1 || got[0] != b || a.Fault == nil || a.Fault.Error() != "pods do not start on it: not tried again for 60 s, after 3 times" {
		t.Errorf("%d ways, the other is not taken because %v", len(got), a.Fault)
	}
	if got := withoutFailing([]*Candidate{on("A"), on("B")}, off, 100); len(got) != 2 {
		t.Errorf("%d ways once the time is over", len(got))
	}
	if got := withoutFailing([]*Candidate{on("A")}, off, 40); len(got) != 1 || got[0].Fault != nil {
		t.Errorf("%d ways where there is no other", len(got))
	}
}
