package contributing_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/estimation/conformance"
)

// Recent is the estimator "recent": the sliding window of the project over the last few observations.
type Recent struct{ within estimation.Estimator }

// NewRecent looks at the last observations, so many.
func NewRecent(keep int) (Recent, error) {
	o := estimation.DefaultWindowOptions()
	o.Keep = keep
	e, err := estimation.Estimators().New(estimation.EstimatorSlidingWindow, mustJSON(o))
	return Recent{e}, err
}

// Estimate implements estimation.Estimator.
func (r Recent) Estimate(given jsonspec.Performance, learned *v1alpha1.PairMemory, seen []estimation.Observation) (estimation.Estimate, error) {
	return r.within.Estimate(given, learned, seen)
}

func TestEstimator(t *testing.T) {
	e, err := NewRecent(32)
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, e)
}
