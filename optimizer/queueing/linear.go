package queueing

import "math"

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

// Phases implements [Phased].
func (l Linear) Phases(input, n float64) (prefill, decode float64) {
	if input > 0 {
		prefill = l.Gamma + l.Delta*input*n
	}
	return prefill, l.Alpha + l.Beta*n
}

// Phased is a law that defines prefill and decode as phases of a whole batch instead of parts of an iteration: the seconds of the prefill
// of n requests together, and of one decode iteration of n requests.
type Phased interface {
	Phases(input, n float64) (prefill, decode float64)
}

// Parameters implements [Described].
func (l *Linear) Parameters() []Parameter {
	return []Parameter{
		{"alpha", &l.Alpha, Millisecond, AboveZero, "alpha", []string{"overhead", "weights", "experts"}},
		{"beta", &l.Beta, Millisecond, AtLeastZero, "beta", []string{"sequence"}},
		{"gamma", &l.Gamma, Millisecond, AtLeastZero, "gamma", []string{"overhead"}},
		{"delta", &l.Delta, Millisecond, AtLeastZero, "delta", []string{"compute"}},
	}
}
