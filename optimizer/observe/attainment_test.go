package observe

import (
	"math"
	"testing"
)

func TestShareWithinABound(t *testing.T) {
	h := histogram{0.01: 10, 0.025: 90, 0.05: 98, 0.075: 100, math.Inf(1): 100}
	for _, c := range []struct {
		name        string
		bound, want float64
	}{
		{"at a bound", 0.05, 0.98},
		{"where nearly nothing lies beside it", 0.1, 1},
		{"in a cell that holds much", 0.03, math.NaN()},
	} {
		if got := h.within(c.bound); !(math.Abs(got-c.want) < 1e-12 || math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := (histogram)(nil).within(1); !math.IsNaN(got) {
		t.Errorf("nothing counted: %v", got)
	}
}
