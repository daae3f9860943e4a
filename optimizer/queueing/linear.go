package queueing

import (
	"errors"
	"math"
)

// Linear is the older reference law, in which decodes and prefills run apart:
//
//	a decode iteration of n requests takes  α + β · n,
//	the prefill of n requests together      γ + δ · n · prompt tokens.
//
// Source: llm-inferno optimizer, before queue-analysis v0.8.
type Linear struct {
	// Alpha is the base time of a decode iteration in seconds, above 0.
	Alpha float64
	// Beta is the time that each further request adds to a decode iteration, in seconds, at least 0.
	Beta float64
	// Gamma is the base time of a prefill in seconds, at least 0.
	Gamma float64
	// Delta is the time of prefilling one token in seconds, at least 0.
	Delta float64
}

// IterationTime implements [Law]. An iteration with both kinds of work takes the sum of both; one that holds less than a whole prompt
// token on average holds a prefill in that share of iterations.
func (l Linear) IterationTime(b Batch) float64 {
	return l.Alpha + l.Beta*b.Decodes + l.Gamma*math.Min(1, b.PrefillTokens) + l.Delta*b.PrefillTokens
}

// phases implements phased.
func (l Linear) phases(input, n float64) (prefill, decode float64) {
	if input > 0 {
		prefill = l.Gamma + l.Delta*input*n
	}
	return prefill, l.Alpha + l.Beta*n
}

// phased is a law that defines prefill and decode as phases of a whole batch instead of parts of an iteration: the seconds of the prefill
// of n requests together, and of one decode iteration of n requests.
type phased interface {
	phases(input, n float64) (prefill, decode float64)
}

// linearOptions are the parameters as model data give them, in milliseconds.
type linearOptions struct {
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	Gamma float64 `json:"gamma"`
	Delta float64 `json:"delta"`
}

// Validate implements plug.Option.
func (o linearOptions) Validate() error {
	return errors.Join(
		within("alpha", o.Alpha, math.SmallestNonzeroFloat64, math.MaxFloat64, "above 0"),
		within("beta", o.Beta, 0, math.MaxFloat64, "at least 0"),
		within("gamma", o.Gamma, 0, math.MaxFloat64, "at least 0"),
		within("delta", o.Delta, 0, math.MaxFloat64, "at least 0"),
	)
}

func (o linearOptions) law() (Law, error) {
	return Linear{
		Alpha: o.Alpha * millisecond, Beta: o.Beta * millisecond,
		Gamma: o.Gamma * millisecond, Delta: o.Delta * millisecond,
	}, nil
}
