package solver_test

import (
	"context"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

// changed is the problem after every twentieth server's candidates grew or shrank by up to a tenth.
func changed(p *solver.Problem) *solver.Problem {
	q := *p
	q.Servers = append([]solver.Server(nil), p.Servers...)
	for i := 0; i < len(q.Servers); i += 20 {
		factor := .9 + .2*float64(i%7)/6
		q.Servers[i].Candidates = append([]solver.Candidate(nil), q.Servers[i].Candidates...)
		for j := range q.Servers[i].Candidates {
			c := &q.Servers[i].Candidates[j]
			had := float64(c.Replicas())
			n := max(1, int(math.Round(had*factor)))
			c.Cost, c.Value = c.Cost*float64(n)/had, c.Value*float64(n)/had
			*c = c.Resized(n)
		}
	}
	return &q
}

// Known prices, right or wrong, do not make plans worse than the gap.
func TestKnownPrices(t *testing.T) {
	p := instances.Fleet(1, 1200, 12, .8)
	cold, err := exact(t).Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	q := changed(p)
	for name, prices := range map[string]map[string]float64{
		"right": cold.Prices, "wrong": {"A100": 1e6, "L4": 1e-6, "nowhere": 5}, "huge": {"A100": 1e300, "H100": 1e300},
	} {
		t.Run(name, func(t *testing.T) {
			w := *q
			w.Prices = prices
			got, err := exact(t).Solve(context.Background(), &w)
			if err != nil {
				t.Fatal(err)
			}
			if err := conformance.Check(&w, got); err != nil {
				t.Error(err)
			}
			plain, err := exact(t).Solve(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			if sum(conformance.Of(q, plain).Served) == len(q.Servers) && got.LowerBound > plain.Value*(1+1e-9) {
				t.Errorf("lower bound %v, but there is a plan of %v", got.LowerBound, plain.Value)
			}
			a, b := conformance.Of(&w, got), conformance.Of(q, plain)
			if sum(a.Served) != sum(b.Served) || math.Abs(a.Value/b.Value-1) > 2e-3 {
				t.Errorf("%+v with prices, %+v without", a, b)
			}
		})
	}
}

// BenchmarkWarm solves a fleet of which a twentieth changed, with and without the prices of the last solution.
func BenchmarkWarm(b *testing.B) {
	p := instances.Fleet(1, 5000, 20, .7)
	last := run(b, solver.ExactName, "", p)
	q := changed(p)
	for _, warm := range []bool{false, true} {
		name := "cold"
		if warm {
			name = "warm"
		}
		b.Run(name, func(b *testing.B) {
			w := *q
			if warm {
				w.Prices = last.Prices
			}
			var got *solver.Solution
			for b.Loop() {
				got = run(b, solver.ExactName, "", &w)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(passTime(p)), "passes")
			b.ReportMetric(100*got.Gap, "gap/%")
		})
	}
}
