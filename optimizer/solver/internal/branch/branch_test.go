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
	borrow  bool
}{"knapsacks": {1, 1, false}, "several rows": {3, 1, false}, "capacity to buy": {2, -2, false}, "what is borrowed": {1, 1, true}, "several borrow": {3, 1, true}}

// random program of few sets, so that all solutions can be tried.
func random(kind string, seed uint64) *choicelp.Program {
	k := kinds[kind]
	r := rand.New(rand.NewPCG(seed, 7))
	capacity := make([]float64, 1+r.IntN(4))
	for i := range capacity {
		capacity[i] = float64(r.IntN(16))
	}
	var above []int32
	if k.borrow { // of any row before it, which may borrow, too
		for i := range capacity {
			above = append(above, int32(r.IntN(i+1))-1)
		}
	}
	p := choicelp.NewProgram(capacity, above)
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
	for r := len(left) - 1; r >= 0; r-- {
		switch l := left[r]; {
		case l >= -1e-9:
		case p.Above == nil || p.Above[r] < 0:
			return 0, false
		default:
			left[p.Above[r]] += l
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

// knapsack is the 0-1 knapsack problem as sets of two columns: to take the item, or to lose its profit.
func knapsack(capacity float64, weights, profits []float64) *choicelp.Program {
	p := choicelp.NewProgram([]float64{capacity}, nil)
	for i := range weights {
		p.AddEntry(0, weights[i])
		p.EndColumn(0)
		p.EndColumn(profits[i])
		p.EndSet()
	}
	return p
}

// Optima that are published: P02, P07 and P08 of Burkardt's collection of knapsack problems (people.sc.fsu.edu/~jburkardt/datasets/knapsack_01),
// and a row that cannot be filled, where the relaxation is half an item off.
func TestKnownOptima(t *testing.T) {
	for name, c := range map[string]struct {
		capacity         float64
		weights, profits []float64
		profit           float64
	}{
		"P02": {26, []float64{12, 7, 11, 8, 9}, []float64{24, 13, 23, 15, 16}, 51},
		"P07": {750, []float64{70, 73, 77, 80, 82, 87, 90, 94, 98, 106, 110, 113, 115, 118, 120},
			[]float64{135, 139, 149, 150, 156, 163, 173, 184, 192, 201, 210, 214, 221, 229, 240}, 1458},
		"P08": {6404180, []float64{382745, 799601, 909247, 729069, 467902, 44328, 34610, 698150, 823460, 903959, 853665, 551830, 610856, 670702, 488960,
			951111, 323046, 446298, 931161, 31385, 496951, 264724, 224916, 169684},
			[]float64{825594, 1677009, 1676628, 1523970, 943972, 97426, 69666, 1296457, 1679693, 1902996, 1844992, 1049289, 1252836, 1319836, 953277,
				2067538, 675367, 853655, 1826027, 65731, 901489, 577243, 466257, 369261}, 13549094},
		"three cards, items of two": {3, []float64{2, 2}, []float64{5, 5}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			p := knapsack(c.capacity, c.weights, c.profits)
			all := 0.0
			for _, v := range c.profits {
				all += v
			}
			r := branch.Solve(meter(t.Context()), p, branch.Options{Work: enough})
			sound(t, p, r, all-c.profit)
			if math.Abs(all-r.Cost-c.profit) > near || r.Bound < r.Cost-near*(1+r.Cost) {
				t.Errorf("profit %v, bound on it %v, want %v", all-r.Cost, all-r.Bound, c.profit)
			}
		})
	}
}

// tight is a program too large to try all solutions of, and hard to prove anything of: every set could take of every row, of which there is not
// enough for the cheapest columns, and may go without at a price.
func tight(seed uint64, sets int) *choicelp.Program {
	r := rand.New(rand.NewPCG(seed, 11))
	capacity := make([]float64, 5)
	for i := range capacity {
		capacity[i] = float64(sets) / 2
	}
	p := choicelp.NewProgram(capacity, nil)
	for range sets {
		for row := range capacity {
			n := 1 + r.IntN(9)
			p.AddEntry(row, float64(n))
			p.EndColumn(float64(10*n + r.IntN(20)))
		}
		p.EndColumn(150)
		p.EndSet()
	}
	return p
}

// first is more than a first relaxation of what these tests pose takes, with a rounding.
const first = 2_000_000

// However little the work, the answer is sound; a search that its work has ended says so, and does little more than it may; with more of it the
// answer is no worse.
func TestWorkLimits(t *testing.T) {
	for seed := range uint64(5) {
		p := tight(seed, 60)
		whole := branch.Solve(work.NewMeter(t.Context(), math.MaxInt64, 0), p, branch.Options{Work: enough})
		last := math.Inf(1)
		for _, limit := range []int{0, 100_000, 1_000_000, 10_000_000} {
			m := work.NewMeter(t.Context(), math.MaxInt64, 0)
			r := branch.Solve(m, p, branch.Options{Work: limit})
			sound(t, p, r, whole.Cost)
			if r.Cost < whole.Bound-near || whole.Cost < r.Bound-near {
				t.Errorf("seed %d, %d units: cost %v, bound %v; with more work %v, %v", seed, limit, r.Cost, r.Bound, whole.Cost, whole.Bound)
			}
			if m.Spent() > int64(limit)+first {
				t.Errorf("seed %d: %d units spent of %d", seed, m.Spent(), limit)
			}
			if open := r.Bound < r.Cost-near; open != r.Cut {
				t.Errorf("seed %d, %d units: cost %v, bound %v, cut %v", seed, limit, r.Cost, r.Bound, r.Cut)
			}
			if r.Cost > last+near {
				t.Errorf("seed %d, %d units: cost %v, with less work %v", seed, limit, r.Cost, last)
			}
			last = r.Cost
		}
	}
}

// Wherever the meter ends a search, the answer is sound, and the same if it ends there again.
func TestAStopIsFoundAgain(t *testing.T) {
	p := tight(1, 60)
	whole := branch.Solve(meter(t.Context()), p, branch.Options{Work: enough})
	for stop := int64(1); stop < 20_000_000; stop *= 3 {
		once := branch.Solve(work.NewMeter(t.Context(), math.MaxInt64, stop), p, branch.Options{Work: enough})
		again := branch.Solve(work.NewMeter(t.Context(), math.MaxInt64, stop), p, branch.Options{Work: enough})
		sound(t, p, once, whole.Cost)
		if d := cmp.Diff(once, again, cmpopts.EquateNaNs()); d != "" {
			t.Errorf("stopped at %d: %s", stop, d)
		}
	}
}

// A search that finds no solution gives up where it is told to.
func TestBlindSearchGivesUp(t *testing.T) {
	// Sets of two, three and five cards on rows of which none can be filled: the relaxation has a solution, and no pick has.
	p := choicelp.NewProgram([]float64{7, 7, 7, 7, 7, 7}, nil)
	for range 12 {
		for row := range 6 {
			p.AddEntry(row, 3.5-.5*float64(row%2))
			p.EndColumn(float64(row))
		}
		p.EndSet()
	}
	p.Capacity[0], p.Capacity[2] = 6.9, 6.9
	m := meter(t.Context())
	r := branch.Solve(m, p, branch.Options{Work: enough, Blind: 1000})
	sound(t, p, r, math.Inf(1))
	if r.Pick != nil || m.Spent() > 2_000_000 {
		t.Errorf("pick %v after %d units", r.Pick, m.Spent())
	}
}
