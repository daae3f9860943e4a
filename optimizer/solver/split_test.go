package solver_test

import (
	"context"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
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
			if math.Abs(n.Share+m.Share-1) > 1e-12 || n.Replicas+m.Replicas != c.Replicas {
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
