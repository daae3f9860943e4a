package branch_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/branch"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// enough work to prove the optimum of what these tests pose.
const enough = 50_000_000

// meter that only the context ends.
func meter(ctx context.Context) *work.Meter { return work.NewMeter(ctx, math.MaxInt64, 0) }

// kinds of random programs: rows, entries of a column at most, and the least amount. Columns of one row with whole amounts are knapsacks, which
// have bounds of their own; negative amounts are capacity that is bought.
var kinds = map[string]struct {
	entries int
	least   int
}{"knapsacks": {1, 1}, "several rows": {3, 1}, "capacity to buy": {2, -2}}

// random program of few sets, so that all solutions can be tried.
func random(kind string, seed uint64) *choicelp.Program {
	k := kinds[kind]
	r := rand.New(rand.NewPCG(seed, 7))
	capacity := make([]float64, 1+r.IntN(4))
	for i := range capacity {
		capacity[i] = float64(r.IntN(16))
	}
	p := choicelp.NewProgram(capacity)
	for range 1 + r.IntN(6) {
		for range 1 + r.IntN(4) {
			for range r.IntN(k.entries + 1) {
				p.AddEntry(r.IntN(len(capacity)), float64(k.least+r.IntN(8)))
			}
			p.EndColumn(float64(r.IntN(40)) / 2)
		}
		p.EndSet()
	}
	return p
}

// fits tells whether a pick is a solution, and what it costs.
func fits(p *choicelp.Program, pick []int32) (cost float64, ok bool) {
	left := append([]float64(nil), p.Capacity...)
	for set, j := range pick {
		if j < p.First[set] || j >= p.First[set+1] {
			return 0, false
		}
		cost += p.Cost[j]
		for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
			left[p.Row[e]] -= p.Amount[e]
		}
	}
	for _, l := range left {
		if l < -1e-9 {
			return 0, false
		}
	}
	return cost, len(pick) == p.Sets()
}

// optimum by trying all picks; +Inf where none fits. It is returned with its pick, and with the dearest pick that fits.
func optimum(p *choicelp.Program) (best float64, pick, dearest []int32) {
	best, most := math.Inf(1), math.Inf(-1)
	current := make([]int32, p.Sets())
	var try func(set int)
	try = func(set int) {
		if set == p.Sets() {
			if cost, ok := fits(p, current); ok {
				if cost < best {
					best, pick = cost, append([]int32(nil), current...)
				}
				if cost > most {
					most, dearest = cost, append([]int32(nil), current...)
				}
			}
			return
		}
		for j := p.First[set]; j < p.First[set+1]; j++ {
			current[set] = j
			try(set + 1)
		}
	}
	try(0)
	return best, pick, dearest
}

// near is the tolerance of comparisons of costs.
const near = 1e-6

// sound checks what every result must hold, whatever ended the search.
func sound(t *testing.T, p *choicelp.Program, r branch.Result, best float64) {
	t.Helper()
	if r.Pick == nil {
		if !math.IsInf(r.Cost, 1) {
			t.Errorf("cost %v without a pick", r.Cost)
		}
	} else if cost, ok := fits(p, r.Pick); !ok || math.Abs(cost-r.Cost) > near {
		t.Errorf("pick %v costs %v (fits: %v), said to cost %v", r.Pick, cost, ok, r.Cost)
	}
	if r.Cost < best-near {
		t.Errorf("cost %v is below the optimum %v", r.Cost, best)
	}
	if r.Bound > best+near {
		t.Errorf("bound %v is above the optimum %v", r.Bound, best)
	}
	if len(r.Prices) > 0 && len(r.Prices) != len(p.Capacity) {
		t.Errorf("%d prices of %d rows", len(r.Prices), len(p.Capacity))
	}
	for row, price := range r.Prices {
		if price < -near {
			t.Errorf("row %d has the price %v: more capacity never costs", row, price)
		}
	}
}

func forAll(t *testing.T, check func(t *testing.T, p *choicelp.Program)) {
	const each = 300
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			for seed := range uint64(each) {
				check(t, random(kind, seed))
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// With a gap of zero and enough work the optimum is found and proven, and where there is none that is told.
func TestOptimumIsProven(t *testing.T) {
	solvable := 0
	forAll(t, func(t *testing.T, p *choicelp.Program) {
		best, _, _ := optimum(p)
		r := branch.Solve(meter(t.Context()), p, branch.Options{Work: enough})
		sound(t, p, r, best)
		if math.IsInf(best, 1) {
			if r.Pick != nil || !math.IsInf(r.Bound, 1) {
				t.Errorf("there is no solution: %+v", r)
			}
			return
		}
		solvable++
		if r.Cost > best+near || r.Bound < best-near*(1+best) {
			t.Errorf("cost %v, bound %v, optimum %v", r.Cost, r.Bound, best)
		}
	})
	if solvable < 300 {
		t.Errorf("only %d programs had a solution: the test says little", solvable)
	}
}

// With a gap the answer is within it, and the bound says so.
func TestGapIsKept(t *testing.T) {
	forAll(t, func(t *testing.T, p *choicelp.Program) {
		const gap = 0.1
		best, pick, _ := optimum(p)
		r := branch.Solve(meter(t.Context()), p, branch.Options{Gap: gap, Work: enough})
		sound(t, p, r, best)
		if pick != nil && r.Cost-r.Bound > gap*math.Abs(r.Cost)+near {
			t.Errorf("cost %v, bound %v, more than a gap of %v apart (optimum %v)", r.Cost, r.Bound, gap, best)
		}
	})
}

// Whatever ends the search, what was known at its begin is not lost, and bounds stay bounds.
func TestAnEndedSearchIsSound(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	forAll(t, func(t *testing.T, p *choicelp.Program) {
		best, _, dearest := optimum(p)
		for ctx, work := range map[context.Context]int{t.Context(): 0, ended: enough} {
			r := branch.Solve(meter(ctx), p, branch.Options{Incumbent: dearest, Work: work})
			sound(t, p, r, best)
			if dearest == nil {
				continue
			}
			if known, _ := fits(p, dearest); r.Cost > known+near {
				t.Errorf("cost %v, though %v was known", r.Cost, known)
			}
		}
	})
}

// Where all costs are multiples of a step, the optimum is the same; where that is told wrong prices to begin with, too.
func TestHintsChangeNothing(t *testing.T) {
	forAll(t, func(t *testing.T, p *choicelp.Program) {
		best, _, _ := optimum(p)
		prices := make([]float64, len(p.Capacity))
		for i := range prices {
			prices[i] = float64(100 * i)
		}
		r := branch.Solve(meter(t.Context()), p, branch.Options{Step: 0.5, Prices: prices, Work: enough})
		sound(t, p, r, best)
		if !math.IsInf(best, 1) && r.Cost > best+near {
			t.Errorf("cost %v, optimum %v", r.Cost, best)
		}
	})
}

// The same program gives the same answer, and is not changed.
func TestSolveIsDeterministic(t *testing.T) {
	forAll(t, func(t *testing.T, p *choicelp.Program) {
		costs, amounts, capacity := append([]float64(nil), p.Cost...), append([]float64(nil), p.Amount...), append([]float64(nil), p.Capacity...)
		first := branch.Solve(meter(t.Context()), p, branch.Options{Gap: 0.02, Work: enough})
		second := branch.Solve(meter(t.Context()), p, branch.Options{Gap: 0.02, Work: enough})
		if d := cmp.Diff(first, second, cmpopts.EquateNaNs()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([][]float64{costs, amounts, capacity}, [][]float64{p.Cost, p.Amount, p.Capacity}); d != "" {
			t.Errorf("the program has changed: %s", d)
		}
	})
}
