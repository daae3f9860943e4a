package solver_test

import (
	"context"
	"math"
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

func TestChangePrice(t *testing.T) {
	x := solver.Change{StartupSeconds: 120, Start: 2, Switch: 5, HorizonSeconds: 1800}
	if err := x.Validate(); err != nil {
		t.Fatal(err)
	}
	c := on("A", 4, 40) // 10 cents/h a replica: a start costs 2 + 10·120/3600
	start := 2 + 10*120./3600
	for _, k := range []struct {
		accelerator string
		replicas    int
		want        float64
	}{
		{"A", 4, 0}, {"A", 6, 0}, {"A", 3, 2 * start}, {"", 0, 2 * 4 * start}, {"B", 4, 2 * (4*start + 5)},
	} {
		if got := x.Price(k.accelerator, k.replicas, c.Parts[0], c.Cost); math.Abs(got-k.want) > 1e-9 {
			t.Errorf("from %d on %q: %v, want %v", k.replicas, k.accelerator, got, k.want)
		}
	}
	for _, bad := range []solver.Change{{}, {Start: -1, HorizonSeconds: 1}, {Switch: math.NaN(), HorizonSeconds: 1}} {
		if bad.Validate() == nil {
			t.Errorf("no error of %+v", bad)
		}
	}
}

func TestPower(t *testing.T) {
	p := solver.Power{Idle: 200, Mid: 600, MidUtil: .5, Full: 700}
	for u, want := range map[float64]float64{-1: 200, 0: 200, .25: 400, .5: 600, .75: 650, 1: 700, 2: 700} {
		if got := p.Watts(u); got != want {
			t.Errorf("Watts(%v) = %v, want %v", u, got, want)
		}
	}
	mix := solver.CostMix{Energy: .5, CentsPerKWh: 20}
	if got, want := mix.Cost(on("A", 2, 100), p, 1), .5*100+.5*2*.7*20; math.Abs(got-want) > 1e-9 {
		t.Errorf("cost %v, want %v", got, want)
	}
}
