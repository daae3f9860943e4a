package sizing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Replicas that start for long are not counted on; the clock begins anew whenever one becomes ready, and stops when none starts.
func TestPending(t *testing.T) {
	pods := func(ready, starting int) *fleet.Observation {
		return &fleet.Observation{Pods: []fleet.Pods{{Accelerator: "A", Ready: ready, Starting: starting}, {Starting: 1}}}
	}
	st, on := new(Stage), &Pair{Accelerator: &fleet.Accelerator{Name: "A"}, StartUp: 100}
	server := &Server{Pairs: []*Pair{on}}
	var m Memory
	step := func(now float64, o *fleet.Observation, late map[string]int) {
		t.Helper()
		m.Pending = pendingOf(o, m.Pending, now)
		if diff := cmp.Diff(late, st.late(server, m.Pending, now)); diff != "" {
			t.Errorf("at %v: %s", now, diff)
		}
	}
	none := map[string]int{}
	step(1000, pods(1, 2), none)
	step(1300, pods(1, 2), none)
	step(1301, pods(1, 2), map[string]int{"A": 2})
	step(1400, nil, map[string]int{"A": 2}) // nothing seen is nothing new
	step(1401, pods(2, 1), none)            // one came
	step(1702, pods(2, 1), map[string]int{"A": 1})
	if got := m.Waited(1702); got != 702 {
		t.Errorf("a pod without a node has waited for %v s", got)
	}
	failing := pods(2, 1)
	failing.Pods[0].Failing = 1
	step(1703, failing, map[string]int{"A": 0}) // another in its place would fail, too
	step(1800, pods(3, 0), none)
	on.StartUp = 0 // not known
	step(1900, pods(3, 1), none)
	step(2800, pods(3, 1), none)
	step(2801, pods(3, 1), map[string]int{"A": 1})
}
