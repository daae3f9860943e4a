package solver_test

import (
	"context"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
)

func TestSplitsCarryTheLoad(t *testing.T) {
	a := solver.Rated{Candidate: on("A", 5, 10), Rate: 2}
	b := solver.Rated{Candidate: on("B", 2, 12), Rate: 5}
	for _, routing := range []string{"", v1alpha1.RoutingLeastRequest, v1alpha1.RoutingWeighted, v1alpha1.RoutingRoundRobin} {
		splits, err := solver.Splits([]solver.Rated{a, b}, 9.5, routing, 10)
		if err != nil || len(splits) == 0 {
			t.Fatal(splits, err)
		}
		for _, c := range splits {
			n, m := c.Parts[0], c.Parts[1]
			if math.Abs(n.Share+m.Share-1) > 1e-12 || n.Replicas+m.Replicas != c.Replicas() {
				t.Errorf("%s: shares or replicas of %+v", routing, c)
			}
			if n.Share*9.5 > float64(n.Replicas)*2+1e-9 || m.Share*9.5 > float64(m.Replicas)*5+1e-9 {
				t.Errorf("%s: a part of %+v gets more than it carries", routing, c)
			}
			if want := 2*float64(n.Replicas) + 6*float64(m.Replicas); math.Abs(c.Cost-want) > 1e-9 {
				t.Errorf("%s: cost %v of %+v, want %v", routing, c.Cost, c, want)
			}
		}
	}
}

func TestSplitsRefuse(t *testing.T) {
	good := []solver.Rated{{Candidate: on("A", 5, 10), Rate: 2}}
	for _, c := range []struct {
		rated   []solver.Rated
		load    float64
		routing string
	}{{good, math.NaN(), ""}, {good, -1, ""}, {good, 1, "Random"}, {[]solver.Rated{{Candidate: on("A", 5, 10)}}, 1, ""}} {
		if _, err := solver.Splits(c.rated, c.load, c.routing, 3); err == nil {
			t.Errorf("no error of %+v", c)
		}
	}
}

// Neither type alone has room for the server, both together have.
func TestSplitServesWhatNoTypeCan(t *testing.T) {
	rated := []solver.Rated{{Candidate: on("A", 5, 10), Rate: 2}, {Candidate: on("B", 2, 12), Rate: 5}}
	splits, err := solver.Splits(rated, 9.5, v1alpha1.RoutingLeastRequest, 10)
	if err != nil {
		t.Fatal(err)
	}
	p := &solver.Problem{Capacity: map[string]int{"A": 3, "B": 1}, Servers: []solver.Server{
		{Name: "s", Priority: 1, Candidates: append([]solver.Candidate{rated[0].Candidate, rated[1].Candidate}, splits...)}}}
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
