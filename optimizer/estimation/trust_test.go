package estimation_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

// Predictions that fail three times are not relied on until they hold again; one outlier changes nothing.
func TestPredictionsThatFail(t *testing.T) {
	for _, name := range estimation.Estimators().Names() {
		w := newWorld(5)
		p := newPupil(t, name, truth.performance())
		for range 40 {
			p.sees(w.observe(truth, w.vary()))
		}
		if p.learned == nil || p.learned.Unreliable {
			t.Fatalf("%s: %+v, want a pair that is relied on", name, p.learned)
		}
		spike := w.observe(truth, w.vary())
		spike.ITL *= 3
		if p.sees(spike); p.learned.Unreliable {
			t.Errorf("%s: one outlier makes the pair unreliable", name)
		}
		slower := truth.times(3, 3, 3)
		doubted := 0
		for i := range 3 {
			if p.sees(w.observe(slower, w.vary())); p.learned.Unreliable && doubted == 0 {
				doubted = i + 1
			}
		}
		if doubted == 0 {
			t.Errorf("%s: three failures and the pair is still relied on: %d misses", name, p.learned.Misses)
		}
		real := slower // an estimator that learns follows; for one that does not the old world has to come back
		if name == estimation.EstimatorFixed {
			real = truth
		}
		for range 12 {
			p.sees(w.observe(real, w.vary()))
		}
		if p.learned.Unreliable || p.learned.Misses > 0 {
			t.Errorf("%s: predictions hold again, but the pair is not relied on: %d misses", name, p.learned.Misses)
		}
	}
}

func TestUncertaintyAndProbe(t *testing.T) {
	w := newWorld(2)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	here, there := estimation.Point{Running: 4, InputTokens: 1000, OutputTokens: 500}, estimation.Point{Running: 150, InputTokens: 1000, OutputTokens: 500}
	for range 60 {
		p.sees(w.observe(truth, point{here.Running, here.InputTokens, here.OutputTokens}))
	}
	sd := func(at estimation.Point) float64 {
		sd, err := estimation.Uncertainty(p.last.Performance, at)
		if err != nil {
			t.Fatal(err)
		}
		return sd
	}
	if want := p.sd(point{there.Running, there.InputTokens, there.OutputTokens}); math.Abs(sd(there)/want-1) > 0.01 {
		t.Errorf("uncertainty is %v, from the covariance it is %v", sd(there), want)
	}
	if probe, ok := estimation.SuggestProbe(p.last.Performance, here, 256); ok {
		t.Errorf("where ITL is known to %.3f a probe is suggested: %+v", sd(here), probe)
	}
	probe, ok := estimation.SuggestProbe(p.last.Performance, there, 256)
	if !ok || probe.Running < 16 || math.Abs(probe.Before-sd(there)) > 1e-9 || probe.After > probe.Before/2 {
		t.Fatalf("ITL at %v is known to %.3f, the probe is %+v, %t", there, sd(there), probe, ok)
	}
	// What the probe promises comes true.
	o := w.observe(truth, point{probe.Running, there.InputTokens, there.OutputTokens})
	o.Settled = true
	p.sees(o)
	if got := sd(there); got > 2*probe.After {
		t.Errorf("after the probe ITL is known to %.3f, promised was %.3f", got, probe.After)
	}
	// One that is held to a batch that tells nothing is not worth it.
	if probe, ok := estimation.SuggestProbe(p.last.Performance, there, 4); ok {
		t.Errorf("a probe where everything was seen already: %+v", probe)
	}
	if _, err := estimation.Uncertainty(jsonspec.Performance{}, here); err == nil {
		t.Error("performance without a law has an uncertainty")
	}
	if _, ok := estimation.SuggestProbe(p.last.Performance, estimation.Point{}, 8); ok {
		t.Error("a probe of nothing is suggested")
	}
}
