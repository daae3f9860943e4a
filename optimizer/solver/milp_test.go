//go:build cgo && lpsolve

package solver_test

import (
	"context"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

func TestMILPAgainstBruteForce(t *testing.T) {
	m, err := solver.NewMILP(solver.DefaultMILPOptions())
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(1000) {
		for _, p := range []*solver.Problem{instances.Small(seed), instances.Bundled(seed)} {
			s, err := m.Solve(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := conformance.Of(p, s), conformance.BruteForce(p); got.Compare(want) != 0 {
				t.Fatalf("seed %d: got %+v, want %+v\nof %+v", seed, got, want, p)
			}
		}
	}
}
