package control_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/control"
)

// countdown is a context that ends when it is asked for the n-th time whether it has.
type countdown struct {
	context.Context
	questions int
}

func (c *countdown) Err() error {
	if c.questions--; c.questions < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// A decision that a deadline has ended is made again, byte for byte, from what it says of itself; so is one that none has ended.
func TestDecisionsUnderADeadlineAreMadeAgain(t *testing.T) {
	s := load(t, "large")
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count /= 2
	}
	snap := &control.Snapshot{Time: metav1.NewMicroTime(time.Unix(1000, 0)), System: *s}
	struck := map[bool]bool{}
	plans := map[string]bool{}
	for _, questions := range []int{0, 1, 10, 100, 1000, 1e9} {
		st := stages(t, s)
		first, err := st.Decide(&countdown{context.Background(), questions}, snap, control.State{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		st.StopAt = first.StopAt()
		struck[st.StopAt > 0] = true
		second, err := st.Decide(context.Background(), snap, control.State{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(first)
		b, _ := json.Marshal(second)
		if string(a) != string(b) {
			t.Errorf("ended at question %d: \n%s\nagain\n%s", questions, a, b)
		}
		plans[string(a)] = true
	}
	if !struck[true] || !struck[false] || len(plans) < 3 {
		t.Errorf("deadlines struck: %v, %d different plans: the test says little", struck, len(plans))
	}
}
