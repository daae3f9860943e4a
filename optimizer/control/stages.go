// Package control wires the stages of a decision: observe, estimate, forecast, size, solve, stabilise.
//
// [Stages.Decide] is the decision core, a pure function from a snapshot and a state to a plan, the next state and the reasons. It knows no
// clock, client or logger, and answers the same question with the same bytes. The live loop, the command line and the replay of a recorded
// cycle all call it.
package control

import (
	"cmp"
	"errors"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// Stages are the implementations that a decision is made with.
type Stages struct {
	Model      queueing.Model
	Estimator  estimation.Estimator
	Forecaster forecast.Forecaster
	Solver     solver.Solver
	Stabiliser stability.Stabiliser
	// Names of the implementations, by stage, for reports.
	Names map[string]string
	// Quantile of the rate that servers are sized for; 0 is the forecaster's own.
	Quantile float64
	// Horizon in seconds that forecasts look ahead.
	Horizon float64
	// Probing is whether probes are suggested, and ProbeEvery the least time in seconds between two of a pair that are acted on; 0 where
	// none is.
	Probing    bool
	ProbeEvery float64
	// Confidence in a pair's parameters that is sized with, a probability; 0 stands for 0.5.
	Confidence float64
	// StartUp of a replica in seconds; 0 where it is not known.
	StartUp float64
	// StopAt ends the solver after so many units of work, as where a deadline ended it when a decision was recorded; 0 is never.
	StopAt int64
	// Window in seconds that rates were measured over; 0 is a minute.
	Window float64
}

func (st *Stages) window() float64 { return cmp.Or(st.Window, 60) }

// DefaultQueueModel is the queueing model used where none is named.
const DefaultQueueModel = "mm1k-state-dependent"

// defaultSolver is the solver used where none is named.
func defaultSolver(o *v1alpha1.OptimizerEntry) string {
	if o.MILPSolver {
		return solver.MILPName
	}
	return solver.AutoName
}

// NewStages builds the stages that the options name, with defaults for those they do not name. The error joins the faults of all stages.
func NewStages(o *v1alpha1.OptimizerEntry) (*Stages, error) {
	s := &Stages{Names: map[string]string{}, Confidence: o.Confidence, Probing: o.Probing != ""}
	if o.Probing == v1alpha1.ProbingAct {
		s.ProbeEvery = cmp.Or(o.ProbingCooldownSeconds, probeEvery)
	}
	var faults []error
	stage := func(kind string, p *v1alpha1.Plug, fallback string, build func(name string, options []byte) error) {
		var options []byte
		name := fallback
		if p != nil {
			name = cmp.Or(p.Name, fallback)
			if p.Options != nil {
				options = p.Options.Raw
			}
		}
		s.Names[kind] = name
		faults = append(faults, build(name, options))
	}
	stage("queueModel", o.QueueModel, DefaultQueueModel, into(&s.Model, queueing.Models().New))
	stage("estimator", o.Estimator, estimation.Default, into(&s.Estimator, estimation.Estimators().New))
	stage("forecaster", o.Forecaster, forecast.Default, into(&s.Forecaster, forecast.Forecasters().New))
	stage("solver", o.Solver, defaultSolver(o), into(&s.Solver, solver.Solvers().New))
	stage("stability", o.Stability, stability.Default, into(&s.Stabiliser, stability.Stabilisers().New))
	_, err := pricesOf(&o.SolverPolicy)
	_, wrong := objectiveOf(&o.SolverPolicy)
	var bad error
	s.Quantile, bad = quantileOf(o.ForecastQuantile)
	if err := errors.Join(append(faults, err, wrong, bad)...); err != nil {
		return nil, err
	}
	return s, nil
}

func into[T any](field *T, build func(string, []byte) (T, error)) func(string, []byte) error {
	return func(name string, options []byte) (err error) {
		*field, err = build(name, options)
		return err
	}
}
