package solver

import (
	"context"
	"fmt"
)

// AutoName is the registered name of Auto.
const AutoName = "auto"

// Auto picks the solver by the problem: separable where capacity is not limited, or is more than enough for every server's first choice;
// exact else, which proves the optimum of small fleets and a gap for large ones, and at the deadline returns the best plan it has. The
// solution names the solver that was picked, and why.
type Auto struct{ exact *Exact }

// NewAuto makes an Auto; the options are those of exact.
func NewAuto(o ExactOptions) (*Auto, error) {
	x, err := NewExact(o)
	if err != nil {
		return nil, err
	}
	return &Auto{x}, nil
}

// Solve implements Solver.
func (a *Auto) Solve(ctx context.Context, p *Problem) (*Solution, error) {
	if p.Unlimited {
		s, err := Separable{}.Solve(ctx, p)
		return because(s, "capacity is not limited"), err
	}
	if s, err := (Separable{}).Solve(ctx, p); err != nil || s.Gap == 0 {
		return because(s, "capacity suffices for every server's first choice"), err
	}
	s, err := a.exact.Solve(ctx, p)
	size := fmt.Sprintf("capacity binds; %d servers: the optimum is proven", len(p.Servers))
	if n := len(p.Servers); n > a.exact.o.ExactServers {
		size = fmt.Sprintf("capacity binds; %d servers, above %d: solved to a gap of %g", n, a.exact.o.ExactServers, a.exact.o.Gap)
	}
	return because(s, size), err
}

func because(s *Solution, why string) *Solution {
	if s != nil {
		s.Why = why
	}
	return s
}
