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

// What is bought is needed, also where purchases cost nothing: what is there comes first, and the dearest and largest purchase is the first that is left out.
func TestNothingIsBoughtInVain(t *testing.T) {
	for _, c := range []struct {
		name           string
		replicas, free int
		small, large   int
	}{
		{"what is there suffices", 4, 4, 0, 0}, {"one large purchase does for all", 3, 0, 0, 1}, {"some of it", 3, 2, 1, 0}, {"more than small ones there are", 9, 0, 1, 1},
	} {
		for _, name := range []string{solver.ExactName, solver.AutoName} {
			s, err := solver.Solvers().New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			p := &solver.Problem{
				Servers: []solver.Server{{Name: "chat", Priority: 1, Candidates: []solver.Candidate{solver.On("h100", "H100", c.replicas, 1, 100)}}},
				Nodes:   []solver.Node{{Name: "a", Type: "H100", Free: c.free}},
				Elastic: []solver.Elastic{{Name: "large", Type: "H100", Cards: 8, Limit: 5}, {Name: "small", Type: "H100", Cards: 1, Limit: 5}},
			}
			got, err := s.Solve(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if got.Bought[0] != c.large || got.Bought[1] != c.small || conformance.Check(p, got) != nil {
				t.Errorf("%s, %s: bought %v, want %d large and %d small: %v", name, c.name, got.Bought, c.large, c.small, conformance.Check(p, got))
			}
		}
	}
}
