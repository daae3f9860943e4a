package policy

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// Where not all fits, servers are spread over the types that hold most of them: nobody who knows the peak pins four servers to four cards.
func TestPinsUnderScarcity(t *testing.T) {
	s, err := scenario.Open("../../../test/data/scenarios/scarcity.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, a := range f.Pins {
		used[a] = true
	}
	if len(used) < 2 {
		t.Errorf("all are pinned to one type: %v", f.Pins)
	}
}
