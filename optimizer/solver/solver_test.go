package solver_test

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// lp_solve may take its whole timeout for the largest instance of the suite.
var impatient = map[string][]byte{solver.MILPName: []byte(`{"timeout": 1}`)}

func TestConformance(t *testing.T) {
	for _, name := range solver.Solvers().Names() {
		t.Run(name, func(t *testing.T) {
			s, err := solver.Solvers().New(name, impatient[name])
			if err != nil {
				t.Skip(err)
			}
			conformance.Run(t, s, 2000)
		})
	}
}
