package solver_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

func TestConformance(t *testing.T) {
	for _, name := range solver.Solvers().Names() {
		t.Run(name, func(t *testing.T) {
			s, err := solver.Solvers().New(name, nil)
			if err != nil {
				t.Skip(err)
			}
			conformance.Run(t, s, 2000)
		})
	}
}
