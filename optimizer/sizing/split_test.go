package sizing

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// sized is a candidate of replicas on an accelerator of its own type, one of which carries a rate at a cost.
func sized(name string, rate, cost, demand float64) *Candidate {
	one := &Sized{Pair: &Pair{Accelerator: &fleet.Accelerator{Name: name, Type: name, Cards: 1, Cost: cost}}, Rate: rate, demand: demand}
	return &Candidate{Parts: []Part{{one, one.needed(1, 0), 1}}, Demand: demand}
}

// A split carries the load, whatever the routing: no replica gets more than it sustains, and all requests are somewhere.
func TestSplitsCarryTheLoad(t *testing.T) {
	const load = 9.5
	for _, routing := range []string{"", jsonspec.RoutingLeastRequest, jsonspec.RoutingWeighted, jsonspec.RoutingRoundRobin} {
		s := &Server{Server: &fleet.Server{ServerPolicy: jsonspec.ServerPolicy{Routing: routing}}}
		all := splitsOf(s, []*Candidate{sized("A", 2, 2, load), sized("B", 5, 6, load)}, 10)
		if len(all) == 0 {
			t.Fatal("no splits")
		}
		for _, c := range all {
			sum := 0.0
			for _, p := range c.Parts {
				sum += p.Share
				if p.Replicas < 1 || p.Share*load > float64(p.Replicas)*p.Rate+1e-9 {
					t.Errorf("%s: %s get %.3f of the load", routing, Describe(c.Parts), p.Share)
				}
			}
			if math.Abs(sum-1) > 1e-12 {
				t.Errorf("%s: shares of %s add up to %v", routing, Describe(c.Parts), sum)
			}
			if want := 2*float64(c.Parts[0].Replicas) + 6*float64(c.Parts[1].Replicas); math.Abs(Cost(c.Parts)-want) > 1e-9 {
				t.Errorf("%s costs %v, want %v", Describe(c.Parts), Cost(c.Parts), want)
			}
		}
	}
}

func TestSplitsKeepToTheBoundsOfTheServer(t *testing.T) {
	two := []*Candidate{sized("A", 2, 2, 9.5), sized("B", 5, 6, 9.5)}
	for _, bounds := range [][2]int{{4, 0}, {0, 3}, {0, 1}} {
		s := &Server{Server: &fleet.Server{MinReplicas: bounds[0], MaxReplicas: bounds[1]}}
		for _, c := range splitsOf(s, two, 10) {
			if n := c.Replicas(); n < bounds[0] || bounds[1] > 0 && n > bounds[1] {
				t.Errorf("%d replicas, bounds %v", n, bounds)
			}
		}
	}
}

// Two accelerators of one type are no split: they share the cards.
func TestNoSplitOverOneType(t *testing.T) {
	a, b := sized("A", 2, 2, 9.5), sized("B", 5, 6, 9.5)
	b.Parts[0].Accelerator.Type = "A"
	if all := splits(&Server{Server: &fleet.Server{}}, []*Candidate{a, b}); len(all) != 0 {
		t.Errorf("%d splits", len(all))
	}
}

// A split of another size keeps a replica on each, adds where replicas are lacking, then where they are cheapest, and takes where most are beyond.
func TestResize(t *testing.T) {
	a, b := sized("A", 2, 2, 9.5), sized("B", 5, 6, 9.5)
	c := &Candidate{Parts: []Part{{a.Parts[0].Sized, 3, 0.5}, {b.Parts[0].Sized, 1, 0.5}}, Demand: 9.5}
	for _, k := range []struct {
		replicas int
		inForce  map[string]int
		want     [2]int
	}{
		{4, nil, [2]int{3, 1}}, {6, nil, [2]int{5, 1}}, {6, map[string]int{"A": 3, "B": 2}, [2]int{4, 2}}, {3, nil, [2]int{2, 1}}, {1, nil, [2]int{1, 1}},
	} {
		got := c.Resize(k.replicas, k.inForce, "")
		if got[0].Replicas != k.want[0] || got[1].Replicas != k.want[1] || math.Abs(got[0].Share+got[1].Share-1) > 1e-12 {
			t.Errorf("%d of them with %v in force: %+v", k.replicas, k.inForce, Describe(got))
		}
	}
	if c.Parts[0].Replicas != 3 {
		t.Error("the candidate changed")
	}
	if one := a.Resize(9, nil, ""); one[0].Replicas != 9 || one[0].Share != 1 {
		t.Errorf("of one accelerator %+v", one)
	}
}

// A split that grows with the load carries it, whatever the routing, and one that has what it needs does not grow.
func TestGrownSplitsCarryTheLoad(t *testing.T) {
	const load = 9.5
	for _, routing := range []string{"", jsonspec.RoutingRoundRobin} {
		s := &Server{Server: &fleet.Server{ServerPolicy: jsonspec.ServerPolicy{Routing: routing}}}
		for _, c := range splitsOf(s, []*Candidate{sized("A", 2, 2, load), sized("B", 5, 6, load)}, 10) {
			for _, factor := range []float64{1, 1.01, 1.5, 2, 7.3} {
				parts, all, carried, weakest := c.Grown(factor, 0), 0, 0.0, math.Inf(1)
				for i, p := range c.Parts {
					all, carried, weakest = all+parts[i], carried+float64(parts[i])*p.Rate, min(weakest, p.Rate)
				}
				if routing == jsonspec.RoutingRoundRobin {
					carried = float64(all) * weakest
				}
				if carried < factor*load-1e-9 || factor == 1 && all != c.Replicas() {
					t.Errorf("%s: %s grown to %v carry %v of %v", routing, Describe(c.Parts), parts, carried, factor*load)
				}
			}
		}
	}
}
