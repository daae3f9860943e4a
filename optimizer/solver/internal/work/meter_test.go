package work_test

import (
	"context"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// do works in steps of the given sizes, over and over, until the meter ends it, and returns the number of steps.
func do(m *work.Meter, sizes ...int) int {
	for n := 0; ; n++ {
		if m.Over() {
			return n
		}
		m.Charge(sizes[n%len(sizes)])
	}
}

// strikes is a context that ends when it is asked for the n-th time.
type strikes struct {
	context.Context
	left int
}

func (s *strikes) Err() error {
	if s.left--; s.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// Where a deadline has struck, a stop at what was spent ends the work at the same step, though steps may cost nothing.
func TestStopIsWhereTheDeadlineStruck(t *testing.T) {
	for _, sizes := range [][]int{{0}, {1}, {0, 0, 5}, {100, 1}} {
		for n := range 50 {
			first := work.NewMeter(&strikes{context.Background(), n}, math.MaxInt64, 0)
			steps := do(first, sizes...)
			ended, spent := first.Ended()
			again := work.NewMeter(context.Background(), math.MaxInt64, spent)
			if got := do(again, sizes...); got != steps || steps != n || ended != work.Deadline {
				t.Errorf("steps of %v: %d until the deadline, %d until the stop at %d", sizes, steps, got, spent)
			}
			if by, at := again.Ended(); by != work.Deadline || at != spent {
				t.Errorf("steps of %v: the stop at %d says %v at %d", sizes, spent, by, at)
			}
		}
	}
}

// What ended the work first has ended it, and what is done afterwards does not count.
func TestTheEndIsTheEnd(t *testing.T) {
	m := work.NewMeter(context.Background(), 100, 0)
	do(m, 30)
	by, at := m.Ended()
	m.Charge(1000)
	if !m.Over() || by != work.Limit || at < 100 || at > 130 || m.Left() != 0 {
		t.Errorf("ended by %v at %d with %d left", by, at, m.Left())
	}
	if _, later := m.Ended(); later != at {
		t.Errorf("the end moved from %d to %d", at, later)
	}
	var none *work.Meter
	none.Charge(5)
	if by, _ := none.Ended(); none.Over() || none.Spent() != 0 || by != work.Not {
		t.Error("a meter that is none has ended")
	}
}
