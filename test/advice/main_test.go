package main

import (
	"math"
	"strings"
	"testing"
)

// What advise says of an hour that others ran is so: laws that it learned predict what came later, of engines that it never saw, and what it promises of token
// budgets as they are comes, within five points. What it promises comes at the attainment of before, or at that of the targets.
func TestPromisesAreKept(t *testing.T) {
	if testing.Short() {
		t.Skip("plays hours")
	}
	for name, share := range map[string]float64{"ramp": 0, "measured": 0.14} { // an engine with a law of another kind, and one with none
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := open("../data/scenarios", name)
			if err != nil {
				t.Fatal(err)
			}
			r, err := try(s, share)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if !(r.itl <= 0.06) || !(r.ttft <= 0.15) {
				t.Errorf("ITL is %s off in the median, TTFT %s, want at most 6 %% and 15 %%", percent(r.itl), percent(r.ttft))
			}
			if p := r.fixed; math.IsNaN(p.promised) || p.promised > p.shown+0.05 || p.outcome.Served < min(r.was.Served, 0.99)-0.005 {
				t.Errorf("%s are promised, and %s come at %.2f %%; before it were %.2f %%", percent(p.promised), percent(p.shown), 100*p.outcome.Served, 100*r.was.Served)
			}
		})
	}
}

// Every scenario of the list can be read.
func TestScenariosAreThere(t *testing.T) {
	for _, h := range histories {
		if _, err := open("../data/scenarios", h.name); err != nil || h.share <= 0 || strings.Contains(h.name, " ") {
			t.Errorf("%s: %v", h.name, err)
		}
	}
}
