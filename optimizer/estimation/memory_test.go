package estimation_test

import (
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
)

func TestMemoryOfAnotherKindIsRefused(t *testing.T) {
	w := newWorld(1)
	for name, c := range map[string]struct {
		spoil func(*v1alpha1.PairMemory)
		want  string
	}{
		"estimator":  {func(s *v1alpha1.PairMemory) { s.Estimator = "other" }, `by the estimator "other"`},
		"version":    {func(s *v1alpha1.PairMemory) { s.Version = 99 }, "version 99"},
		"basis":      {func(s *v1alpha1.PairMemory) { s.Basis = "x" }, "was given has changed"},
		"law":        {func(s *v1alpha1.PairMemory) { s.Law.Name = "linear" }, "law"},
		"no law":     {func(s *v1alpha1.PairMemory) { s.Law = nil }, "law"},
		"order":      {func(s *v1alpha1.PairMemory) { s.Law.Order[0] = "beta" }, "parameters"},
		"covariance": {func(s *v1alpha1.PairMemory) { s.Law.Covariance = s.Law.Covariance[1:] }, "covariance"},
		"row":        {func(s *v1alpha1.PairMemory) { s.Law.Covariance[1] = nil }, "covariance[1]"},
		"variance":   {func(s *v1alpha1.PairMemory) { s.Law.Covariance[1][1] = -1 }, "variance -1"},
		"parameter":  {func(s *v1alpha1.PairMemory) { s.Law.Parameters["alpha"] = 0 }, "not above 0"},
	} {
		p := newPupil(t, estimation.EstimatorEKF, truth.performance())
		for range 30 {
			p.sees(w.observe(truth.times(2, 2, 2), w.vary()))
		}
		c.spoil(p.learned)
		e, err := p.e.Estimate(p.given, p.learned, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(e.Notice, c.want) {
			t.Errorf("%s: notice is %q, want it to hold %q", name, e.Notice, c.want)
		}
		if got := e.Performance.Law.Parameters["alpha"]; math.Abs(got/truth.alpha-1) > 1e-9 {
			t.Errorf("%s: alpha is %v, want what was given, %v", name, got, truth.alpha)
		}
	}
}

func TestMemoryDoesNotGrow(t *testing.T) {
	w := newWorld(1)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	for i := range 500 {
		o := w.observe(truth, w.vary())
		o.Source = string(rune('a'+i%26)) + string(rune('a'+i/26))
		p.sees(o)
	}
	if len(p.learned.Sources) > 64 || len(p.learned.Kept) > 0 || len(p.learned.Ranges) > 4 {
		t.Errorf("%d sources, %d kept observations and %d ranges are remembered", len(p.learned.Sources), len(p.learned.Kept), len(p.learned.Ranges))
	}
}

func TestRepeatsAndWaitsAreNotLearned(t *testing.T) {
	w := newWorld(1)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	o := w.observe(truth, spots[1])
	p.sees(o)
	if j := p.sees(o); j.Accepted || !strings.Contains(j.Reason, "stale") {
		t.Errorf("the same window again: %+v", j)
	}
	o.Time += 60
	if j := p.sees(o); j.Accepted || !strings.Contains(j.Reason, "repeats") {
		t.Errorf("a repeat under a new time: %+v", j)
	}
	o.Source = "another"
	if j := p.sees(o); !j.Accepted {
		t.Errorf("the same values from another server: %+v", j)
	}
	o = w.observe(truth, spots[1])
	o.Waiting, o.TTFT = 10, 30
	if j := p.sees(o); !j.Accepted || !strings.Contains(j.Reason, "waiting") {
		t.Errorf("TTFT that holds a wait: %+v", j)
	}
	if f := p.learned.Law.Parameters["calibration.ttft"]; f > 1.5 {
		t.Errorf("waiting was learned as prefill: the factor of TTFT is %v", f)
	}
}

func TestFitIsTakenAtItsWord(t *testing.T) {
	given := jsonspec.Performance{Acc: "H100", Law: &jsonspec.LawParms{
		Name: "work", Parameters: map[string]float64{"alpha": 11.5, "beta": 0.042, "gamma": 5e-5},
		Order: []string{"gamma", "alpha", "beta"}, Covariance: [][]float64{{0.2, 0, 0}, {0, 1e-4, 0}, {0, 0, 1e-3}},
	}}
	p := newPupil(t, estimation.EstimatorEKF, given)
	w := newWorld(1)
	p.sees(w.observe(truth, spots[1]))
	c := p.last.Performance.Law.Covariance
	if c[2][2] < 0.15 || c[0][0] > 0.06 {
		t.Errorf("variances of alpha and gamma are %v and %v, want those of the fit with a machine's spread added", c[0][0], c[2][2])
	}
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := estimation.Estimators().New(estimation.EstimatorSlidingWindow, []byte(`{"spread": -1, "gate": 0, "believe": 1, "keep": 1000}`))
	for _, want := range []string{"spread: -1", "gate: 0", "believe: 1", "keep: 1000"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not hold %q", err, want)
		}
	}
}

// An update allocates as much after a thousand observations as after a hundred.
func TestUpdatesDoNotGrow(t *testing.T) {
	w := newWorld(1)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	allocations := func(observations int) float64 {
		for p.learned == nil || p.learned.Observations < int64(observations) {
			p.sees(w.observe(truth, w.vary()))
		}
		return testing.AllocsPerRun(20, func() { p.sees(w.observe(truth, w.vary())) })
	}
	if early, late := allocations(100), allocations(1000); late > 1.1*early {
		t.Errorf("an update makes %v allocations after 100 observations, %v after 1,000", early, late)
	}
}

// The size of the cache is known before anything is learned, and whoever learned the rest.
func TestCacheSizeIsKept(t *testing.T) {
	w := newWorld(1)
	p := newPupil(t, estimation.EstimatorEKF, truth.performance())
	p.learned = &v1alpha1.PairMemory{Acc: "H100", KVTokens: 1000}
	p.sees(w.observe(truth, w.vary()))
	if p.last.Notice != "" || p.learned.Notice != "" || p.learned.KVTokens != 1000 || p.learned.Observations != 1 {
		t.Errorf("notice %q, learned %+v", p.last.Notice, p.learned)
	}
	p.learned.Estimator = "other"
	p.sees(w.observe(truth, w.vary()))
	if p.learned.Notice == "" || p.learned.KVTokens != 1000 || p.learned.Observations != 1 {
		t.Errorf("memory of another estimator: %+v", p.learned)
	}
}
