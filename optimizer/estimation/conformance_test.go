package estimation_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/estimation/conformance"
)

// learners are the registered estimators that learn.
var learners = []string{estimation.EstimatorEKF, estimation.EstimatorSlidingWindow}

func TestConformance(t *testing.T) {
	for _, name := range estimation.Estimators().Names() {
		t.Run(name, func(t *testing.T) {
			e, err := estimation.Estimators().New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			conformance.Run(t, e)
		})
	}
}
