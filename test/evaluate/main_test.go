package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/simulation/contest"
)

// What is not played again stays, what is played replaces what was, and the order is that of the policies.
func TestMerge(t *testing.T) {
	outcome := func(name, settings string, cost float64) *contest.Outcome {
		return &contest.Outcome{Policy: name, Settings: settings, CostPerHour: cost}
	}
	before := []*contest.Outcome{outcome("inferno", "", 1), outcome("keda-slo", "", 2), outcome("keda-slo", "tuned: up=1", 3), outcome("renamed", "", 4)}
	now := []*contest.Outcome{outcome("aibrix-melange", "", 5), outcome("keda-slo", "tuned: up=0.9", 6), outcome("static-peak", "", 7)}
	want := []*contest.Outcome{before[0], now[2], before[1], now[0], now[1]}
	if d := cmp.Diff(want, merge(before, now), cmp.AllowUnexported(contest.Outcome{})); d != "" {
		t.Error(d)
	}
}
