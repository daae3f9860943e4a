package solver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

func solved(t *testing.T, work int, p *solver.Problem) *solver.Solution {
	t.Helper()
	o := solver.DefaultExactOptions()
	o.Work = work
	x, err := solver.NewExact(o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := x.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := conformance.Check(p, s); err != nil {
		t.Error(err)
	}
	return s
}

// Work ends the search of a hard problem, at the same plan every time, and about where it should.
func TestWorkEndsTheSearch(t *testing.T) {
	const millisecond = 400_000
	for _, servers := range []int{50, 100, 300} {
		for _, work := range []int{1, 3, 10, 50} {
			p := instances.Fleet(1, servers, 20, .6)
			first, second := solved(t, work, p), solved(t, work, p)
			if diff := cmp.Diff(first, second, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%d servers, %d ms: a second run differs:\n%s", servers, work, diff)
			}
			if first.Ended != solver.EndedWork && first.Ended != solver.EndedOptimal {
				t.Errorf("%d servers, %d ms: ended by %s", servers, work, first.Ended)
			}
			if most := int64(work+10) * millisecond * 3 / 2; first.Work > most {
				t.Errorf("%d servers, %d ms: %d units of work, want at most %d", servers, work, first.Work, most)
			}
		}
	}
}

// A deadline of any length, on a machine as busy as it is, ends the search at a point that can be found again.
func TestDeadlinesAreReplayed(t *testing.T) {
	p := instances.Fleet(1, 1200, 12, .6)
	x := exact(t)
	for _, limit := range []time.Duration{0, 2 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 150 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		first, err := x.Solve(ctx, p)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		again := *p
		if first.Ended == solver.EndedDeadline {
			again.StopAt = first.Work
		}
		second, err := x.Solve(context.Background(), &again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, second, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("ended by %s after %d units of work: again it differs:\n%s", first.Ended, first.Work, diff)
		}
	}
}

// What ended the search is what the solution proves.
func TestEndedIsTrue(t *testing.T) {
	ends := map[solver.Ended]int{}
	for seed := range uint64(200) {
		p := instances.Small(seed)
		s := solved(t, 500, p)
		if ends[s.Ended]++; s.Ended != solver.EndedOptimal {
			t.Errorf("seed %d: ended by %s", seed, s.Ended)
		}
	}
	large := instances.Fleet(1, 400, 20, .9)
	if s := solved(t, 500, large); s.Ended != solver.EndedGap || s.Gap > solver.DefaultExactOptions().Gap {
		t.Errorf("a large fleet ended by %s with a gap of %v", s.Ended, s.Gap)
	}
}

// More work never gives a worse plan of a problem in which everybody can be served.
func TestMoreWorkIsNotWorse(t *testing.T) {
	p := instances.Fleet(0, 100, 20, .9)
	last := solved(t, 20, p)
	for _, work := range []int{100, 500} {
		t.Run(fmt.Sprint(work), func(t *testing.T) {
			s := solved(t, work, p)
			if conformance.Of(p, s).Compare(conformance.Of(p, last)) > 0 {
				t.Errorf("%+v, with less work %+v", conformance.Of(p, s), conformance.Of(p, last))
			}
			last = s
		})
	}
}
