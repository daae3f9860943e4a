// Package analysis answers questions about one replica: its latencies at a rate, the rates that meet targets, the best batch. Questions and
// answers are those of llm-inferno's queue-analysis, as JSON ([JSON]), or rows of a table ([CSV]).
package analysis

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Problem is a replica to analyse, in the units of the package queueing: seconds, requests per second, tokens.
type Problem struct {
	Law      queueing.Work
	Requests queueing.Requests
	Limits   queueing.Limits
	// Rate of arrivals.
	Rate float64
	// Targets of the latencies; zero where there are none.
	Targets sizing.Targets
}

// NewProblem is one whose requests have known mean lengths, in tokens, and unknown variation; all else is left to set.
func NewProblem(inputTokens, outputTokens float64) Problem {
	unknown := math.NaN()
	return Problem{Requests: queueing.Requests{
		InputTokens: inputTokens, OutputTokens: outputTokens, InputTokensSD: unknown, OutputTokensSD: unknown, ArrivalCV: unknown,
	}}
}

// Validate joins the faults of the law; the rest is checked where it is used.
func (p *Problem) Validate() error {
	var faults []error
	if !(p.Law.Alpha > 0) || math.IsInf(p.Law.Alpha, 0) {
		faults = append(faults, fmt.Errorf("alpha: %v ms is not allowed, must be above 0", jsonspec.Milliseconds(p.Law.Alpha)))
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"beta", p.Law.Beta}, {"gamma", p.Law.Gamma}} {
		if !(f.value >= 0) || math.IsInf(f.value, 0) {
			faults = append(faults, fmt.Errorf("%s: %v ms is not allowed, must be at least 0", f.name, jsonspec.Milliseconds(f.value)))
		}
	}
	return errors.Join(faults...)
}

// Latencies at the problem's rate.
func (p *Problem) Latencies(m queueing.Model) (queueing.Prediction, error) {
	replica, err := m.Replica(p.Law, p.Requests, p.Limits)
	if err != nil {
		return queueing.Prediction{}, err
	}
	return replica.Open(p.Rate)
}

// Highest rate that meets targets, and what is predicted at it. The error is a [*sizing.Infeasible] where no rate does.
func (p *Problem) Highest(m queueing.Model, targets sizing.Targets) (queueing.Prediction, error) {
	_, q, err := sizing.RatePerReplica(m, p.Law, p.Requests, p.Limits, targets)
	return q, err
}

// Smallest batch that comes near the highest rate that meets the problem's targets. The error is a [*sizing.Infeasible] where none does.
func (p *Problem) Smallest(m queueing.Model) (sizing.Choice, error) {
	return sizing.Choose(m, p.Law, p.Requests, p.Limits, p.Targets, sizing.Free{Batch: true})
}

// infeasible tells the error that says that targets cannot be met.
func infeasible(err error) bool { return errors.As(err, new(*sizing.Infeasible)) }
