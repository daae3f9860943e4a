package queueing_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/queueing/conformance"
)

func TestModelsConform(t *testing.T) {
	for _, name := range queueing.Models().Names() {
		t.Run(name, func(t *testing.T) {
			m, err := queueing.Models().New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			// The reference splits the time of a mean batch into prefill and decode by its formulas, whose rounding and clipping make it
			// jump where prompts are cut; it is kept as it is.
			conformance.Run(t, m, conformance.Contract{Monotone: name != queueing.ModelStateDependent})
		})
	}
}
