package solver_test

import (
	"context"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

func run(b *testing.B, name, options string, p *solver.Problem) *solver.Solution {
	s, err := solver.Solvers().New(name, []byte(options))
	if err != nil {
		b.Skip(err)
	}
	got, err := s.Solve(context.Background(), p)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

// passTime is the time of one pass over all candidates that looks at value and units.
func passTime(p *solver.Problem) time.Duration {
	best := time.Duration(1 << 62)
	total := 0.0
	for range 20 {
		start := time.Now()
		for i := range p.Servers {
			for j := range p.Servers[i].Candidates {
				c := &p.Servers[i].Candidates[j]
				total += c.Value + float64(c.Units())
			}
		}
		best = min(best, time.Since(start))
	}
	if total < 0 {
		panic("values are not negative")
	}
	return best
}

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
