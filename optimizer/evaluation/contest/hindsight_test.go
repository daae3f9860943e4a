package contest

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// short is the fleet of the shortest scenario.
func short(t *testing.T) *policy.Fleet {
	t.Helper()
	s, err := scenario.Open("../../../test/data/scenarios/short.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The few schedules find one that is no cheaper than the best of all, and no dearer than what is known; what nothing serves has no other.
func TestHindsight(t *testing.T) {
	f := short(t)
	all, err := playSchedules(f, new(Options))
	if err != nil {
		t.Fatal(err)
	}
	const served, dear = 0.95, 1e6
	best := dear
	for _, o := range all {
		if o.Served >= served {
			best = min(best, o.CostPerHour)
		}
	}
	got, err := Hindsight(f, served, nil, dear)
	if err != nil || got < best || got >= dear {
		t.Errorf("%v, the best of all costs %v: %v", got, best, err)
	}
	if got, err = Hindsight(f, 1.1, nil, 7); got != 7 || err != nil {
		t.Errorf("what nothing serves costs %v: %v", got, err)
	}
}

// No schedule costs less than the bound says of what it serves.
func TestNothingCostsLessThanTheBound(t *testing.T) {
	f := short(t)
	all, err := playSchedules(f, new(Options))
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{Outcomes: all}
	if err := r.BoundBelow(f); err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Outcomes {
		if !(*o.Bound > 0 && *o.Bound <= o.CostPerHour) {
			t.Errorf("%s, the bound is %v", o, *o.Bound)
		}
	}
}
