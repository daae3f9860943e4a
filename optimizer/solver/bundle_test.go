package solver_test

import (
	"context"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// Neither type alone has room for the server, both together have.
func TestSplitServesWhatNoTypeCan(t *testing.T) {
	split := solver.Candidate{ID: "A+B", Cost: 12, Value: 12, Parts: []solver.Part{
		{Accelerator: "A", Type: "A", Replicas: 3, UnitsPerReplica: 1}, {Accelerator: "B", Type: "B", Replicas: 1, UnitsPerReplica: 1}}}
	p := &solver.Problem{Capacity: map[string]int{"A": 3, "B": 1}, Servers: []solver.Server{
		{Name: "s", Priority: 1, Candidates: []solver.Candidate{on("A", 5, 10), on("B", 2, 12), split}}}}
	s, err := exact(t).Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Choices[0]; c.Candidate < 2 || c.BestEffort {
		t.Errorf("got %+v", c)
	}
}

// A candidate with other replicas has as many as asked, each part near its share; nothing else changes, nor what it was made from.
func TestResized(t *testing.T) {
	c := solver.Candidate{ID: "b", Cost: 7, Value: 8, Parts: []solver.Part{
		{Accelerator: "A", Type: "A", Replicas: 2, UnitsPerReplica: 4}, {Accelerator: "B", Type: "B", Replicas: 5, UnitsPerReplica: 1}, {Accelerator: "C", Type: "B", Replicas: 1, UnitsPerReplica: 2}}}
	for n := range 40 {
		got := c.Resized(n)
		if got.Replicas() != n || got.ID != c.ID || got.Cost != c.Cost || got.Value != c.Value {
			t.Errorf("%d replicas: %+v", n, got)
		}
		for i, p := range got.Parts {
			if share := float64(n*c.Parts[i].Replicas) / 8; math.Abs(float64(p.Replicas)-share) >= 1 {
				t.Errorf("%d replicas: part %d has %d, its share is %v", n, i, p.Replicas, share)
			}
		}
	}
	if c.Replicas() != 8 || c.Units() != 15 || c.Types() != "A+B+B" {
		t.Errorf("%d replicas, %d units of %s", c.Replicas(), c.Units(), c.Types())
	}
	if none := (solver.Candidate{}).Resized(3); none.Replicas() != 0 {
		t.Errorf("who needs no replica has %d", none.Replicas())
	}
}

// A bundle makes way for another, on all of its types.
func TestGreedyMakesWayForBundles(t *testing.T) {
	g, err := solver.NewGreedy(solver.DefaultGreedyOptions())
	if err != nil {
		t.Fatal(err)
	}
	pair := func(a, b string, value float64) solver.Candidate {
		return solver.Candidate{ID: a + "+" + b, Cost: value, Value: value, Parts: []solver.Part{
			{Accelerator: a, Type: a, Replicas: 2, UnitsPerReplica: 1, Share: 1}, {Accelerator: b, Type: b, Replicas: 1, UnitsPerReplica: 1, Share: 1}}}
	}
	p := &solver.Problem{Capacity: map[string]int{"A": 2, "B": 1, "C": 3, "D": 3}, Servers: []solver.Server{
		{Name: "first", Priority: 1, Candidates: []solver.Candidate{pair("A", "B", 1), pair("C", "D", 5)}}, // has more to lose, so it comes first
		{Name: "second", Priority: 1, Candidates: []solver.Candidate{pair("A", "B", 3), pair("A", "E", 4)}},
	}}
	s, err := g.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := conformance.Check(p, s); err != nil {
		t.Error(err)
	}
	if s.Choices[0].Candidate != 1 || s.Choices[1].Candidate != 0 {
		t.Errorf("%+v: both could be served", s.Choices)
	}
}
