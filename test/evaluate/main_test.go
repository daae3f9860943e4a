package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
)

// What is not played again stays, what is played replaces what was, and the order is that of the policies.
func TestMerge(t *testing.T) {
	outcome := func(name, settings string, cost float64) *contest.Outcome {
		return &contest.Outcome{Policy: name, Settings: settings, CostPerHour: cost}
	}
	before := &contest.Result{
		Outcomes:  []*contest.Outcome{outcome("inferno", "", 1), outcome("keda-slo", "", 2), outcome("keda-slo", "tuned: up=1", 3), outcome("renamed", "", 4)},
		Schedules: []*contest.Outcome{outcome("oracle", "share=1", 0.5)},
	}
	now := &contest.Result{Outcomes: []*contest.Outcome{outcome("aibrix-melange", "", 5), outcome("keda-slo", "tuned: up=0.9", 6), outcome("static-peak", "", 7)}}
	all := merge(before, now)
	want := &contest.Result{
		Outcomes:  []*contest.Outcome{before.Outcomes[0], now.Outcomes[2], before.Outcomes[1], now.Outcomes[0], now.Outcomes[1]},
		Schedules: before.Schedules,
	}
	if d := cmp.Diff(want, all, cmp.AllowUnexported(contest.Outcome{})); d != "" {
		t.Error(d)
	}
	if ratio := all.Outcomes[0].ToOracle; ratio == nil || *ratio != 2 {
		t.Errorf("inferno costs %v of the cheapest that serves as much, want 2", ratio)
	}
	if first := merge(nil, now); len(first.Outcomes) != 3 {
		t.Errorf("%d outcomes without any before", len(first.Outcomes))
	}
}
