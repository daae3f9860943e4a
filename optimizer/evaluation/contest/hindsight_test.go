package contest

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// The few schedules find one that is no cheaper than the best of all, and no dearer than what is known; what nothing serves has no other.
func TestHindsight(t *testing.T) {
	s, err := scenario.Open("../../../test/data/scenarios/short.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
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
	got, err := Hindsight(f, served, dear)
	if err != nil || got < best || got >= dear {
		t.Errorf("%v, the best of all costs %v: %v", got, best, err)
	}
	if got, err = Hindsight(f, 1.1, 7); got != 7 || err != nil {
		t.Errorf("what nothing serves costs %v: %v", got, err)
	}
}
