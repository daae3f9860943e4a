// Package estimation learns how fast a model really runs on an accelerator. Estimators are chosen by registered name and are deterministic
// functions of what was given, learned before, and observed.
package estimation

import (
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Observation is what was measured of one model on one accelerator over one window. A NaN was not measured.
type Observation struct {
	// Time in seconds since the Unix epoch.
	Time float64
	// Running requests per replica, mean over the window.
	Running float64
	// InputTokens and OutputTokens per request.
	InputTokens, OutputTokens float64
	// TTFT and ITL, means in seconds.
	TTFT, ITL float64
	// ArrivalRate per replica in requests per second.
	ArrivalRate float64
	// MaxBatch that the replicas were started with, 0 where unknown.
	MaxBatch int
}

// Estimator learns the performance of one (model, accelerator) pair.
type Estimator interface {
	// Estimate returns the performance to plan with and what to remember. learned is nil where nothing was learned yet.
	Estimate(given v1alpha1.Performance, learned *v1alpha1.PairStatus, seen []Observation) (v1alpha1.Performance, *v1alpha1.PairStatus, error)
}

// Fixed trusts what was given and learns nothing.
type Fixed struct{}

// Estimate returns what was given.
func (Fixed) Estimate(given v1alpha1.Performance, learned *v1alpha1.PairStatus, _ []Observation) (v1alpha1.Performance, *v1alpha1.PairStatus, error) {
	return given, learned, nil
}

// Default is the estimator used where none is named.
const Default = "fixed"

// Estimators are the registered estimators.
func Estimators() plug.Registry[Estimator] {
	return plug.NewRegistry("estimator",
		plug.Of("fixed", func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (Estimator, error) { return Fixed{}, nil }),
	)
}
