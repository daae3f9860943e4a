package contributing_test

import (
	"context"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// Patient is the solver "patient": each server its cheapest candidate where that suffices for all, else greedy.
type Patient struct{}

// Solve implements solver.Solver.
func (Patient) Solve(ctx context.Context, p *solver.Problem) (*solver.Solution, error) {
	s, err := solver.Separable{}.Solve(ctx, p)
	if err != nil || s.LowerBound == s.Value+s.Penalty { // nothing to improve on
		return s, err
	}
	g, err := solver.NewGreedy(solver.DefaultGreedyOptions())
	if err != nil {
		return nil, err
	}
	return g.Solve(ctx, p)
}

func TestSolver(t *testing.T) {
	const instances = 200
	conformance.Run(t, Patient{}, instances)
}
