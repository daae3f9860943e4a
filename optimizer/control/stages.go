// Package control makes decisions: it puts the stages in their order, and makes of what they return a plan that explains itself.
//
//	snapshot, state → estimate → demand → size → stabilise → solve → plan, reasons, next state
//
// [Stages.Decide] is the decision core, a pure function. It knows no clock, client or logger, and answers the same question with the same bytes.
// The live loop, the command line, the simulation and the replay of a recorded cycle all call it.
package control

import (
	"cmp"
	"errors"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fitting"
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
	// Knowledge that pairs are planned by of which no performance was given.
	Knowledge fitting.Knowledge
	// Names of the implementations, by stage, for reports.
	Names map[string]string
}

// DefaultQueueModel is the queueing model used where none is named.
const DefaultQueueModel = "mm1k-state-dependent"

// defaultSolver is the solver used where none is named.
func defaultSolver(o *jsonspec.OptimizerEntry) string {
	if o.MILPSolver {
		return solver.MILPName
	}
	return solver.AutoName
}

// NewStages builds the stages that the options name, with defaults for those they do not name. The error joins the faults of all stages, and
// those of the policy that goes with them.
func NewStages(o *jsonspec.OptimizerEntry) (*Stages, error) {
	s := &Stages{Names: map[string]string{}, Knowledge: fitting.BuiltIn()}
	var faults []error
	stage := func(kind string, p *jsonspec.Plug, fallback string, build func(name string, options []byte) error) {
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
	_, err := policyOf(&o.SolverPolicy)
	if err := errors.Join(append(faults, err)...); err != nil {
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
