package solver

import (
	"context"
	"fmt"
)

// AutoName is the registered name of Auto.
const AutoName = "auto"

// Auto picks the solver by the problem: separable where capacity is not limited, or is more than enough for every server's first choice, and no share binds;
// exact else, which proves the optimum of small fleets and a gap for large ones. The solution names the solver that was picked, and why.
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
		if s, err := (Separable{}).Solve(ctx, p); err != nil || s.Gap == 0 {
			return because(s, "capacity is not limited"), err
		}
	}
	if !p.Unlimited && p.suffices() {
		if s, err := (Separable{}).Solve(ctx, p); err != nil || s.Gap == 0 {
			return because(s, "capacity suffices for every server's first choice"), err
		}
	}
	s, err := a.exact.Solve(ctx, p)
	binds := "capacity binds"
	if p.Unlimited {
		binds = "shares bind"
	}
	why := fmt.Sprintf("%s; %d servers", binds, len(p.Servers))
	switch {
	case s == nil:
	case s.Ended == EndedDeadline:
		why += ": the best plan at the deadline"
	case s.Gap == 0:
		why += ": it is proven that no plan that serves as many costs less"
	case s.Ended == EndedGap:
		why += fmt.Sprintf(", above %d: solved to a gap of %g", a.exact.o.ExactServers, a.exact.o.Gap)
	case s.Ended == EndedWork:
		why += fmt.Sprintf(": searched as far as its work of %d ms allows", a.exact.o.Work)
	default:
		why += ": nothing that was tried further is better"
	}
	return because(s, why), err
}

func because(s *Solution, why string) *Solution {
	if s != nil {
		s.Why = why
	}
	return s
}

// suffices says whether the cards of each type may be enough for the first choice of every server: a count, which costs less than a plan.
func (p *Problem) suffices() bool {
	left := make(map[string]int, len(p.Capacity))
	for t, n := range p.Capacity {
		left[t] = n
	}
	seen := make(map[string]bool, len(p.Capacity))
	for _, n := range p.Nodes {
		if !seen[n.Type] {
			seen[n.Type], left[n.Type] = true, 0
		}
		left[n.Type] += n.Free
	}
	enough := true
	for i := range p.Servers {
		s := &p.Servers[i]
		var first *Candidate
		for j := range s.Candidates {
			if c := &s.Candidates[j]; (first == nil || compareCandidates(c, first) < 0) && !(p.WeightedSum && c.Value > s.Penalty) {
				first = c
			}
		}
		if first == nil {
			continue
		}
		first.uses(func(part *Part) {
			left[part.Type] -= part.Replicas * part.UnitsPerReplica
			enough = enough && left[part.Type] >= 0
		})
		if !enough {
			return false
		}
	}
	return true
}
