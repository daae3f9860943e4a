package estimation_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/estimation"
)

func TestCautious(t *testing.T) {
	w := newWorld(1)
	p := newPupil(t, estimation.EstimatorEKF, truth.times(2, 0.5, 2).performance())
	at := estimation.Point{Running: 40, InputTokens: 1000, OutputTokens: 500}
	spot := point{at.Running, at.InputTokens, at.OutputTokens}
	itl := func(probability float64) float64 {
		t.Helper()
		perf, err := estimation.Cautious(p.last.Performance, at, probability)
		if err != nil {
			t.Fatal(err)
		}
		v := perf.Law.Parameters
		itl, _ := law{v["alpha"], v["beta"], v["gamma"]}.latencies(spot)
		return itl
	}
	margin := math.Inf(1)
	for _, n := range []int{1, 30} {
		for range n {
			p.sees(w.observe(truth, w.vary()))
		}
		// 84.13 % is one standard deviation of a normal distribution.
		got := math.Log(itl(0.8413) / itl(0.5))
		if want := p.sd(spot); math.Abs(got-want) > 0.05*want+4*want*want { // the second order is left out
			t.Errorf("one standard deviation of ITL is %.4f, caution adds %.4f", want, got)
		}
		if got >= margin {
			t.Errorf("caution adds %.4f after more observations, %.4f before", got, margin)
		}
		margin = got
	}
	for _, bad := range []float64{0, 1, -1, math.NaN()} {
		if _, err := estimation.Cautious(p.last.Performance, at, bad); err == nil {
			t.Errorf("probability %v is taken", bad)
		}
	}
	if _, err := estimation.Cautious(p.last.Performance, estimation.Point{}, 0.9); err == nil {
		t.Error("a point where nothing runs is taken")
	}
}
