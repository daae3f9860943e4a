package solver_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

// on is a candidate of so many replicas of one card each.
func on(kind string, replicas int, value float64) solver.Candidate {
	return solver.On(kind, kind, replicas, 1, value)
}

// Ten cards: enough for first and third in full, not for second besides, nor ever for fourth or fifth.
func TestSaturationPolicies(t *testing.T) {
	servers := []solver.Server{
		{Name: "first", Priority: 1, Candidates: []solver.Candidate{on("A", 6, 6)}},
		{Name: "second", Priority: 1, Candidates: []solver.Candidate{on("A", 7, 5)}},
		{Name: "third", Priority: 2, Candidates: []solver.Candidate{on("A", 2, 5)}},
		{Name: "fourth", Priority: 3, Candidates: []solver.Candidate{on("A", 11, 5)}},
		{Name: "fifth", Priority: 3, Candidates: []solver.Candidate{on("A", 12, 4)}},
	}
	for _, c := range []struct {
		policy  string
		delayed bool
		want    map[string]int
	}{
		{jsonspec.SaturationNone, false, map[string]int{"first": 6, "third": 2}},
		{jsonspec.SaturationNone, true, map[string]int{"first": 6, "third": 2}},
		// What first leaves is second's, before third has its turn.
		{jsonspec.SaturationPriorityExhaustive, false, map[string]int{"first": 6, "second": 4}},
		{jsonspec.SaturationPriorityRoundRobin, false, map[string]int{"first": 6, "second": 4}},
		{jsonspec.SaturationRoundRobin, false, map[string]int{"first": 6, "second": 4}},
		// third is served, then the last two go to second, or one each to second and fourth.
		{jsonspec.SaturationPriorityExhaustive, true, map[string]int{"first": 6, "third": 2, "second": 2}},
		{jsonspec.SaturationPriorityRoundRobin, true, map[string]int{"first": 6, "third": 2, "second": 2}},
		{jsonspec.SaturationRoundRobin, true, map[string]int{"first": 6, "third": 2, "second": 1, "fourth": 1}},
	} {
		t.Run(c.policy, func(t *testing.T) {
			p := &solver.Problem{Servers: servers, Capacity: map[string]int{"A": 10}, SaturationPolicy: c.policy, DelayedBestEffort: c.delayed}
			g, err := solver.NewGreedy(solver.DefaultGreedyOptions())
			if err != nil {
				t.Fatal(err)
			}
			s, err := g.Solve(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := conformance.Check(p, s); err != nil {
				t.Error(err)
			}
			got := map[string]int{}
			for i, ch := range s.Choices {
				if ch.Replicas > 0 {
					got[servers[i].Name] = ch.Replicas
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("delayed %v (-want +got):\n%s", c.delayed, diff)
			}
		})
	}
}
