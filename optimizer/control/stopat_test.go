package control_test

import (
	"context"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// A decision that a deadline has ended is made again, byte for byte, from what it says of itself; so is one that none has ended.
func TestDecisionsUnderADeadlineAreMadeAgain(t *testing.T) {
	s := load(t, "large")
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count /= 2
	}
	snap := at(s, 1000).Core()
	struck := map[bool]bool{}
	plans := map[string]bool{}
	for _, questions := range []int{0, 1, 10, 100, 1000, 1e9} {
		st := stages(t, s)
		first, err := st.Decide(&conformance.Countdown{Context: context.Background(), Questions: questions}, snap, control.State{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		again := *snap
		again.StopAt = control.StopAt(&first.Plan.Solver)
		struck[again.StopAt > 0] = true
		second, err := st.Decide(context.Background(), &again, control.State{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := written(t, report(s, first)), written(t, report(s, second))
		if a != b {
			t.Errorf("ended at question %d: \n%s\nagain\n%s", questions, a, b)
		}
		plans[a] = true
	}
	if !struck[true] || !struck[false] || len(plans) < 3 {
		t.Errorf("deadlines struck: %v, %d different plans: the test says little", struck, len(plans))
	}
}
