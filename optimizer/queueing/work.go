package queueing

import (
	"errors"
	"math"
)

// Work is the reference service-time law: an iteration takes
//
//	α + β · computed tokens + γ · KV tokens read.
//
// Each decode computes one token. Source: llm-inferno queue-analysis v0.8.
type Work struct {
	// Alpha is the time of an empty iteration in seconds, above 0.
	Alpha float64
	// Beta is the time of computing one token in seconds, at least 0.
	Beta float64
	// Gamma is the time of reading one KV token in seconds, at least 0.
	Gamma float64
}

// IterationTime implements [Law].
func (w Work) IterationTime(b Batch) float64 {
	return w.Alpha + w.Beta*(b.Decodes+b.PrefillTokens) + w.Gamma*(b.DecodeContext+b.PrefillContext)
}

// workOptions are the parameters as model data give them, in milliseconds.
type workOptions struct {
	Alpha float64 `json:"alpha"`
	Beta  float64 `json:"beta"`
	Gamma float64 `json:"gamma"`
}

// Validate implements plug.Option.
func (o workOptions) Validate() error {
	return errors.Join(
		within("alpha", o.Alpha, math.SmallestNonzeroFloat64, math.MaxFloat64, "above 0"),
		within("beta", o.Beta, 0, math.MaxFloat64, "at least 0"),
		within("gamma", o.Gamma, 0, math.MaxFloat64, "at least 0"),
	)
}

func (o workOptions) law() (Law, error) {
	return Work{Alpha: o.Alpha * millisecond, Beta: o.Beta * millisecond, Gamma: o.Gamma * millisecond}, nil
}
