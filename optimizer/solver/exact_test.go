package solver_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

func exact(t *testing.T) solver.Solver {
	t.Helper()
	x, err := solver.NewExact(solver.DefaultExactOptions())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestExactAgainstBruteForce(t *testing.T) {
	x := exact(t)
	for seed := range uint64(10000) {
		p := instances.Small(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		got, want := conformance.Of(p, s), conformance.BruteForce(p)
		if got.Compare(want) != 0 || s.Gap != 0 {
			t.Fatalf("seed %d: got %+v, gap %v, want %+v\nof %+v", seed, got, s.Gap, want, p)
		}
		for i, q := range want.Priorities {
			if s.AtMost[q] != want.Served[i] {
				t.Fatalf("seed %d: at most %v can be served by priority, are %+v", seed, s.AtMost, want)
			}
		}
	}
}

func TestExactPlacesAndBuysLikeBruteForce(t *testing.T) {
	likeBruteForce(t, instances.Placed)
}

func TestExactBundlesLikeBruteForce(t *testing.T) {
	likeBruteForce(t, instances.Bundled)
	likeBruteForce(t, instances.Roles)
}

// Where some replicas can be on some nodes alone, all is where it can be, and no plan claims to be better than it is. Rows count what each scope needs; where
// scopes overlap that is not all that a packing needs, and a few plans are not the best.
func TestExactKeepsScopes(t *testing.T) { nearlyBest(t, instances.Scoped, 2985) }

// Groups are whole, each within one domain, and as many are served as any plan can serve, but for a few plans.
func TestExactKeepsDomains(t *testing.T) { nearlyBest(t, instances.Racked, 2955) }

// nearlyBest asks for so many of 3000 plans that are as good as any.
func nearlyBest(t *testing.T, instance func(seed uint64) *solver.Problem, least int) {
	t.Helper()
	x := exact(t)
	const problems = 3000
	best, unbound := 0, 0
	for seed := range uint64(problems) {
		p := instance(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := conformance.Check(p, s); err != nil {
			t.Fatalf("seed %d: %v\nof %+v", seed, err, p)
		}
		switch got, want := conformance.Of(p, s), conformance.BruteForce(p); {
		case got.Compare(want) < 0:
			t.Fatalf("seed %d: better than the best %+v: %+v\nof %+v", seed, want, got, p)
		case got.Compare(want) == 0:
			best++
		case s.Ended == solver.EndedOptimal:
			t.Fatalf("seed %d: said to be the best: %+v, which is %+v\nof %+v\nby %+v", seed, got, want, p, s)
		case slices.Equal(got.Served, want.Served) && s.LowerBound > want.Value+1e-6:
			t.Fatalf("seed %d: a bound of %v, where the best has %v\nof %+v", seed, s.LowerBound, want.Value, p)
		case math.IsInf(s.Gap, 0):
			unbound++
		}
	}
	t.Logf("%d plans have no bound above 0", unbound)
	if best < least {
		t.Errorf("%d plans of %d are the best", best, problems)
	} else {
		t.Logf("%d plans of %d are the best", best, problems)
	}
}

// Where replicas differ in what they take of processors and memory no plan overdraws these, nor says more of itself than what is so.
func TestExactKeepsPortions(t *testing.T) {
	x := exact(t)
	served := 0
	for seed := range uint64(2000) {
		p := instances.Mixed(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := conformance.Check(p, s); err != nil {
			t.Fatalf("seed %d: %v\nof %+v", seed, err, p)
		}
		for _, at := range s.Placement {
			served += at.Replicas
		}
	}
	if served < 2000 {
		t.Errorf("%d replicas are placed: too few to tell anything", served)
	}
}

func likeBruteForce(t *testing.T, instance func(seed uint64) *solver.Problem) {
	t.Helper()
	x := exact(t)
	for seed := range uint64(3000) {
		p := instance(seed)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := conformance.Check(p, s); err != nil {
			t.Fatalf("seed %d: %v\nof %+v", seed, err, p)
		}
		if got, want := conformance.Of(p, s), conformance.BruteForce(p); got.Compare(want) != 0 || s.Gap != 0 {
			t.Fatalf("seed %d: got %+v, gap %v, want %+v\nof %+v\nby %+v", seed, got, s.Gap, want, p, s)
		}
	}
}

func TestExactCountsAndSumsLikeBruteForce(t *testing.T) {
	x := exact(t)
	for name, of := range map[string]func(uint64) *solver.Problem{"by weight": instances.Counted, "weighted sum": instances.Summed} {
		for seed := range uint64(2000) {
			p := of(seed)
			s, err := x.Solve(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := conformance.Check(p, s); err != nil {
				t.Fatalf("%s, seed %d: %v\nof %+v", name, seed, err, p)
			}
			if got, want := conformance.Of(p, s), conformance.BruteForce(p); got.Compare(want) != 0 || s.Gap != 0 {
				t.Fatalf("%s, seed %d: got %+v, gap %v, want %+v\nof %+v\nby %+v", name, seed, got, s.Gap, want, p, s)
			}
		}
	}
}

// The optima are what HiGHS 1.x proves for the same instances in lexicographic passes (scipy.optimize.milp).
func TestExactAgainstKnownOptima(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	x := exact(t)
	for _, c := range []struct {
		seed    uint64
		servers int
		share   float64
		served  []int
		value   float64
	}{
		{1, 50, .5, []int{19, 12, 10}, 3440}, {0, 50, .7, []int{13, 18, 18}, 3553},
		{1, 50, .7, []int{22, 14, 11}, 5366}, {0, 50, .9, []int{13, 18, 19}, 3804}, {0, 100, .7, []int{27, 34, 39}, 9189},
		{0, 100, .9, []int{27, 34, 39}, 9048}, {0, 200, .7, []int{48, 66, 86}, 18839.5}, {0, 200, .9, []int{48, 66, 86}, 18579.5},
	} {
		p := instances.Fleet(c.seed, c.servers, 20, c.share)
		s, err := x.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if err := conformance.Check(p, s); err != nil {
			t.Error(err)
		}
		want := conformance.Standing{Priorities: []int{1, 2, 3}, Served: c.served, Value: c.value}
		if got := conformance.Of(p, s); got.Compare(want) != 0 || s.Gap > 1e-4 {
			t.Errorf("seed %d, %d servers, %g: got %+v with gap %v, want %+v", c.seed, c.servers, c.share, got, s.Gap, want)
		}
	}
}

// What auto says of its plan is what is proven of it.
func TestAutoSaysWhy(t *testing.T) {
	binding := instances.Fleet(1, 30, 8, .6)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		problem *solver.Problem
		options string
		want    string
	}{
		"unlimited":   {context.Background(), &solver.Problem{Unlimited: true}, ``, "capacity is not limited"},
		"enough":      {context.Background(), instances.Fleet(1, 30, 8, 50), ``, "capacity suffices"},
		"proven":      {context.Background(), binding, ``, "30 servers: it is proven that no plan"},
		"little work": {context.Background(), instances.Fleet(1, 100, 12, .5), `{"work": 1}`, "100 servers: searched as far as its work of 1 ms allows"},
		"large":       {context.Background(), instances.Fleet(1, 400, 12, .9), `{"exactServers": 10, "gap": 0.01}`, "400 servers, above 10: solved to a gap of 0.01"},
		"deadline":    {ended, binding, ``, "30 servers: the best plan at the deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			auto, err := solver.Solvers().New(solver.AutoName, []byte(c.options))
			if err != nil {
				t.Fatal(err)
			}
			s, err := auto.Solve(c.ctx, c.problem)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(s.Why, c.want) {
				t.Errorf("%q does not say %q (gap %v)", s.Why, c.want, s.Gap)
			}
		})
	}
}
