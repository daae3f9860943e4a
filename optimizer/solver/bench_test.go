package solver_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

// BenchmarkSolvers prints, for each solver and instance, the time in multiples of one pass over the candidates (passes), the servers served
// of those asked (served/%), the value above the proven bound (gap/%) and above the greedy's (to-greedy/%, negative is better; only where
// both serve as many).
func BenchmarkSolvers(b *testing.B) {
	for _, n := range []int{50, 1000, 5000} {
		for _, share := range []float64{.9, .7, .6} {
			p := instances.Fleet(1, n, 20, share)
			pass := passTime(p)
			greedy := conformance.Of(p, run(b, solver.GreedyName, "", p))
			for _, s := range []struct{ label, name, options string }{
				{"greedy", solver.GreedyName, ""}, {"exact", solver.ExactName, `{"work": 200}`}, {"milp", solver.MILPName, `{"timeout": 10}`},
			} {
				if s.name == solver.MILPName && n > 50 {
					continue // takes its timeout in every pass
				}
				b.Run(fmt.Sprintf("%s/servers=%d/capacity=%g", s.label, n, share), func(b *testing.B) {
					var got *solver.Solution
					for b.Loop() {
						got = run(b, s.name, s.options, p)
					}
					if err := conformance.Check(p, got); err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(pass), "passes")
					st := conformance.Of(p, got)
					b.ReportMetric(100*float64(sum(st.Served))/float64(n), "served/%")
					if !math.IsNaN(got.Gap) {
						b.ReportMetric(100*got.Gap, "gap/%")
					}
					if sum(st.Served) == sum(greedy.Served) {
						b.ReportMetric(100*(st.Value/greedy.Value-1), "to-greedy/%")
					}
				})
			}
		}
	}
}

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
				total += c.Value + float64(c.Replicas*c.UnitsPerReplica)
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
