package solver_test

import (
	"context"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

func exact(t *testing.T) solver.Solver {
	t.Helper()
	x, err := solver.NewExact(solver.DefaultExactOptions())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestExactAgainstBruteForce(t *testing.T) {
	x := exact(t)
	for seed := range uint64(10000) {
		p := instances.Small(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := conformance.Of(p, s), conformance.BruteForce(p); got.Compare(want) != 0 || s.Gap != 0 {
			t.Fatalf("seed %d: got %+v, gap %v, want %+v\nof %+v", seed, got, s.Gap, want, p)
		}
	}
}

func TestExactPlacesAndBuysLikeBruteForce(t *testing.T) {
	x := exact(t)
	for seed := range uint64(3000) {
		p := instances.Placed(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := conformance.Check(p, s); err != nil {
			t.Fatalf("seed %d: %v\nof %+v", seed, err, p)
		}
		if got, want := conformance.Of(p, s), conformance.BruteForce(p); got.Compare(want) != 0 || s.Gap != 0 {
			t.Fatalf("seed %d: got %+v, gap %v, want %+v\nof %+v\nby %+v", seed, got, s.Gap, want, p, s)
		}
	}
}
