package solver

import (
	"context"
	"math"
)

// SeparableName is the registered name of Separable.
const SeparableName = "separable"

// Separable gives every server its candidate of least value. That is the optimum while capacity does not bind; where the choices together
// exceed a limited capacity, servers go without in the order of priority, then regret, and no other candidate is tried.
type Separable struct{}

// Solve implements Solver.
func (Separable) Solve(_ context.Context, p *Problem) (*Solution, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d, err := entitled(p, DefaultExactOptions())
	if err != nil {
		return nil, err
	}
	bound := 0.0
	all := true
	for _, r := range turns(p, rank(p)) {
		c := &p.Servers[r.server].Candidates[r.candidates[0]]
		if !d.fits(r.server, c) {
			all = false
			continue
		}
		bound += c.Value
		d.give(r.server, r.candidates[0], c.Replicas())
	}
	if !all {
		bound = math.NaN() // other candidates might serve as many for less
		d.saturate(p.Servers, func(*Server) bool { return true })
	}
	return d.solution(SeparableName, bound), nil
}
