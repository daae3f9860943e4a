package estimation_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// The first prediction after a jump is for where it is, not for something between there and where it always was.
func TestAJumpIsNotTakenForNoise(t *testing.T) {
	w := newWorld(5)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	for range 300 {
		p.sees(w.observe(truth, point{20, 1000, 500}))
	}
	for _, to := range []point{{80, 1500, 300}, {20, 3000, 500}, {4, 1000, 500}, {40, 500, 1000}} {
		want, _ := truth.latencies(to)
		q := *p
		if got := q.sees(w.observe(truth, to)).PredictedITL; math.Abs(got/want-1) > 0.06 {
			t.Errorf("ITL at %v is predicted as %.1f ms after a jump, is %.1f", to, 1e3*got, 1e3*want)
		}
	}
}
