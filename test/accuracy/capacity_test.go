package main

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// TestSizedRatesAreThoseMeasured sizes for what was measured. At low load latencies hardly depend on the rate, so that an error of 1 % in an
// ITL moves the answer by tens of percent: those runs are logged but not judged. Arrivals of the first file behave as regular ones do, and
// are taken for that; see docs/models.md.
func TestSizedRatesAreThoseMeasured(t *testing.T) {
	open, err := readOpen("../data/simulated/open-loop.csv")
	if err != nil {
		t.Fatal(err)
	}
	budget, err := readOpen("../data/simulated/token-budget.csv")
	if err != nil {
		t.Fatal(err)
	}
	k := fitting.BuiltIn()
	fits, err := k.FitAll(open.points, fitting.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := predictor(k, fits, queueing.ContinuousBatching{})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]struct {
		*sheet
		cv float64
	}{"loads, regular": {open, 0}, "token budgets, regular": {budget, 0}, "token budgets, Poisson": {budget, 1}} {
		byLoad, err := s.capacities(p, s.cv)
		if err != nil {
			t.Fatal(err)
		}
		for load, errs := range byLoad {
			t.Logf("%s, load %v: %d runs, median error %.3f", name, load, len(errs), median(errs))
			if m := median(errs); load >= 0.7 && m > 0.08 {
				t.Errorf("%s, load %v: sized rates are off by %.1f %% (median), want at most 8 %%", name, load, 100*m)
			}
		}
	}
}
