package solver_test

import (
	"context"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// Both want A; rich would lose 10 by going to B, modest 3.
func scarce() *solver.Problem {
	return &solver.Problem{Capacity: map[string]int{"A": 4, "B": 9}, Servers: []solver.Server{
		{Name: "modest", Priority: 1, Candidates: []solver.Candidate{on("A", 4, 5), on("B", 4, 8)}},
		{Name: "rich", Priority: 1, Candidates: []solver.Candidate{on("A", 4, 5), on("B", 4, 15)}},
		{Name: "huge", Priority: 2, Candidates: []solver.Candidate{on("B", 7, 5)}},
	}}
}

func TestExplain(t *testing.T) {
	p := scarce()
	s, err := exact(t).Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	for server, want := range map[int][]string{
		0: {"modest gets candidate 1 at 8.00", "1 cheaper need cards that are scarce", "needs 4 × A, 0 left beside the other servers"},
		1: {"rich gets candidate 0 at 5.00", "the cheapest of all", "10.00 cents/h more than the one chosen"},
		2: {"huge is not served: needs 7 × B, 5 left"},
	} {
		e, err := solver.Explain(p, s, server)
		if err != nil {
			t.Fatal(err)
		}
		text := e.Summary
		for _, o := range e.Options {
			text += "\n" + o.Why
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%q does not say %q", text, w)
			}
		}
	}
	if s.Prices["A"] < 3./4-1e-6 || s.Prices["A"] > 10./4+1e-6 {
		t.Errorf("price of A is %v, a card is worth 3/4 to modest and 10/4 to rich", s.Prices["A"])
	}
	if _, err := solver.Explain(p, s, 3); err == nil {
		t.Error("no error of a server that is not there")
	}
}
