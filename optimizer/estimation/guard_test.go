package estimation_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// What is seen is planned with as it was learned, what is not with less of it: never beyond, never on the other side of what was given.
func TestGuardedBySeenPoints(t *testing.T) {
	seen, unseen := point{20, 1000, 500}, point{80, 1500, 300}
	for seed := range uint64(10) {
		w := newWorld(seed)
		wrong := func() float64 { return math.Exp2(2*w.rng.Float64() - 1) }
		given := truth.times(wrong(), wrong(), wrong())
		p := newPupil(t, estimation.EstimatorEKF, given.performance())
		for range 100 {
			p.sees(w.observe(truth, seen))
		}
		at := func(where point) (learned, guarded, before float64) {
			g, err := estimation.Guarded(p.last.Performance, p.given, estimation.Point{Running: where.running, InputTokens: where.input, OutputTokens: where.output})
			if err != nil {
				t.Fatal(err)
			}
			moved := *p
			moved.last.Performance = g
			learned, _ = p.law().latencies(where)
			guarded, _ = moved.law().latencies(where)
			before, _ = given.latencies(where)
			return math.Log(learned), math.Log(guarded), math.Log(before)
		}
		if learned, guarded, _ := at(seen); math.Abs(guarded-learned) > 0.03 {
			t.Errorf("seed %d: where it was seen ITL is moved by %.1f %%", seed, 100*(guarded-learned))
		}
		learned, guarded, before := at(unseen)
		if far, near := learned-before, guarded-before; near*far < 0 || math.Abs(near) > math.Abs(far)+0.02 {
			t.Errorf("seed %d: elsewhere learned is %+.3f from what was given, guarded %+.3f", seed, far, near)
		}
	}
}

func TestGuardedLeavesWhatIsNotKnown(t *testing.T) {
	given := truth.performance()
	at := estimation.Point{Running: 20, InputTokens: 1000, OutputTokens: 500}
	if g, err := estimation.Guarded(given, given, at); err != nil || g.Law != nil {
		t.Errorf("what states no covariance is changed to %+v, %v", g, err)
	}
	if _, err := estimation.Guarded(given, given, estimation.Point{}); err == nil {
		t.Error("a point without requests is no error")
	}
	law := &v1alpha1.LawParms{
		Name: "work", Parameters: map[string]float64{"alpha": 11.5, "beta": 0.042, "gamma": 5e-5}, Order: []string{"alpha", "beta", "gamma"},
		Covariance: [][]float64{{0, 0, 0}, {0, 0, 0}, {0, 0, 0}},
	}
	certain := v1alpha1.Performance{Acc: "H100", Law: law}
	if g, err := estimation.Guarded(certain, truth.times(3, 3, 3).performance(), at); err != nil || g.Law != law {
		t.Errorf("what is certain is changed to %+v, %v", g, err)
	}
}

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
