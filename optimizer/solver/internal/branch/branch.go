// Package branch finds the best integral solution of a program of multiple choice: of every set exactly one column. Relaxations give bounds
// and what is left fractional is branched on; columns whose reduced cost exceeds the gap are banned (Nemhauser, Wolsey 1988, II.2).
package branch

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// Options of a search.
type Options struct {
	// Incumbent is a feasible solution to start from, a column for each set; nil: none is known.
	Incumbent []int32
	// Gap, relative, at which the search stops. 0: the optimum is proven.
	Gap float64
	// Prices of the rows that are near those of the relaxation, such as those of a problem that differs little; nil: none are known.
	Prices []float64
	// Near is the difference of cost to the bound at which the search stops, beside Gap.
	Near float64
	// Step of which all costs of solutions are multiples, or exceed multiples by at most Excess; 0 where there is none. Only the multiples
	// count: bounds are rounded up to them, and a solution is better if its multiple is less.
	Step, Excess float64
	// Work is the number of units to spend after the first relaxation, and Blind after how many of them a search gives up that has found no
	// solution yet; 0 is at their end.
	Work, Blind int
}

// Result of a search.
type Result struct {
	// Pick is the column of each set, nil where no solution was found.
	Pick []int32
	// Cost of the pick, +Inf without.
	Cost float64
	// Bound on the cost of every solution; +Inf where there is none.
	Bound float64
	// Prices of the rows at the first relaxation: what a unit more of capacity is worth.
	Prices []float64
	// Nodes searched.
	Nodes int
	// Cut says that the search ended because its work was done, or the meter's.
	Cut bool
}

// slack is the relative tolerance of comparisons of costs: more than the perturbation that bounds suffer from.
//
// Tuned: 1; guard against rounding, and the perturbation of costs, that are taken for a difference
const slack = 5e-8

// Steps of the climb of the knapsacks.
const (
	// rootSteps are those at the root of a search.
	//
	// Tuned: steps; measured by eight fleets of 50 to 5000 servers; at half: 8 % less work for 50 servers; at twice: 32 % more
	rootSteps = 2000
	// nodeSteps are those below the root.
	//
	// Tuned: steps; measured by eight fleets of 50 to 5000 servers; at half: 438 servers of 600 are served after 436; at twice: 437, and a gap of 0.08 %
	// after 0.15 % for 100 servers
	nodeSteps = 8
)

const (
	// firstKernel is the number of sets of the first kernel.
	//
	// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: 439 servers of 600 are served after 436, the optimum of 100 is proven, with
	// twice the work for 200; at twice: 439 servers, 40 % less work for 200
	firstKernel = 40
	// kernelGrowth is how many times more each next kernel has.
	//
	// Tuned: 1; measured by eight fleets of 50 to 5000 servers; at half: 439 servers of 600 are served after 436; at twice: 439, and the optimum of 100
	// servers is proven
	kernelGrowth = 4
)

// wholeSets is the number of sets up to which all columns are searched where the gap need not be 0.
//
// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: a gap of 0.16 % after 0.09 % for 1000 servers, with half the work; at twice: twice
// the work for 2000 of whom a tenth is not served, no difference in plans
const wholeSets = 1500

// maxPivots of one relaxation, far above what is ever needed.
//
// Tuned: pivots; guard against a climb that does not end
const maxPivots = 20000

// Solve searches until the optimum is proven, the gap reached, the work done or the meter at its end.
func Solve(m *work.Meter, p *choicelp.Program, o Options) Result {
	p, to := p.Slim()
	if to != nil {
		m.Charge(2 * p.Columns())
		o.Prices = slim(o.Prices, to, len(p.Capacity))
	}
	s := &search{meter: m, p: p, step: o.Step, over: o.Excess, best: math.Inf(1), gap: o.Gap, near: o.Near, shared: new(shared)}
	if o.Incumbent != nil {
		s.keep(o.Incumbent)
	}
	root, infeasible := s.crash(o.Prices)
	if infeasible {
		return Result{Cost: math.Inf(1), Bound: math.Inf(1)}
	}
	status := root.Climb(math.Inf(1), maxPivots)
	res := Result{Prices: whole(root.Prices, to), Bound: math.Inf(1)}
	s.allow(o.Work)
	s.end, s.blind = s.until, s.until
	if o.Blind > 0 {
		s.blind = min(s.blind, m.Spent()+int64(o.Blind))
	}
	if status != choicelp.Infeasible {
		res.Bound = s.raise(root.Bound())
		res.Bound = max(res.Bound, s.root(root, res.Bound))
	}
	res.Pick, res.Cost, res.Nodes, res.Cut = s.pick, s.best, s.nodes, s.cut
	if res.Bound >= s.target() {
		res.Bound = s.best
	}
	res.Bound = min(res.Bound, res.Cost)
	return res
}

// slim are the prices of the rows of a program that was slimmed, given those of the whole.
func slim(prices []float64, to []int32, rows int) []float64 {
	if prices == nil {
		return nil
	}
	s := make([]float64, rows)
	for r := range slices.Backward(to) {
		if to[r] >= 0 {
			s[to[r]] = prices[r]
		}
	}
	return s
}

// whole are the prices of the rows of a program, given those of the one that it was slimmed to: 0 of rows that it has not.
func whole(prices []float64, to []int32) []float64 {
	if to == nil {
		return slices.Clone(prices)
	}
	w := make([]float64, len(to))
	for r, at := range to {
		if at >= 0 {
			w[r] = prices[at]
		}
	}
	return w
}

// search is one run over a program.
type search struct {
	meter *work.Meter
	p     *choicelp.Program
	step  float64
	over  float64 // excess
	gap   float64
	near  float64
	// until is what the meter may show at most.
	until int64
	// offset is the cost of what is decided elsewhere: costs, bounds and the target are without it.
	offset float64
	nodes  int
	*shared

	knaps *knapsacks // nil where they do not apply

	pick []int32
	best float64
	left []float64 // of the rows, for trials

	users   [][]int32 // sets by row, in a trial: see usersOf
	changes int       // of the trial since users were collected
}

// root proves a bound at least as good as that of the first relaxation, and looks for good solutions: by rounding, in the kernel of columns
// that nearly are in the relaxation, and among all columns that can be in a better solution at all.
func (s *search) root(st *choicelp.State, bound float64) float64 {
	s.round(st)
	exact := st.Bound() // not rounded up: reduced costs add to this one
	for sets := firstKernel; sets < kernelGrowth*s.p.Sets() && (s.gap > 0 || sets < 200); sets *= kernelGrowth {
		if sets == kernelGrowth*firstKernel {
			s.neighbourhoods(st, exact)
		}
		if s.closed(bound) || s.done() {
			return bound
		}
		s.kernel(st, exact, min(sets, s.p.Sets()))
	}
	s.neighbourhoods(st, exact)
	if s.closed(bound) || s.done() || s.gap > 0 && s.p.Sets() > wholeSets {
		return bound
	}
	sub := s.reduce(st.Prices, func(_ int, _ int32, extra float64) bool { return exact+extra < s.target() })
	if sub == nil {
		return s.best
	}
	return sub.search(s, s.remains(), true)
}

// closed says whether the best solution is as good as asked for, given the bound.
func (s *search) closed(bound float64) bool {
	return bound >= s.target() || s.best-bound <= max(s.near, s.gap*math.Abs(bound+s.offset))
}

// target is what a solution has to cost less than to be news, with tolerance.
func (s *search) target() float64 {
	if math.IsInf(s.best, 1) {
		return s.best
	}
	if s.step > 0 {
		multiple := math.Floor((s.best+s.offset)/s.step + 1e-6)
		return (multiple-1+1e-6)*s.step + s.over - s.offset
	}
	return s.best - slack*(1+math.Abs(s.best))
}

// raise rounds a bound up to the next cost that is possible.
func (s *search) raise(bound float64) float64 {
	if s.step > 0 && !math.IsInf(bound, 0) {
		return max(bound, s.step*math.Ceil((bound+s.offset-s.over)/s.step-1e-6)-s.offset)
	}
	return bound
}

// shared is what a search and those within it have in common.
type shared struct {
	// end is what the meter may show at most for all of them, and blind while no solution is known.
	end, blind int64
	// cut says that they ended for that, or for the meter.
	cut bool
}

// allow the search so many units of work from now on.
func (s *search) allow(units int) { s.until = s.meter.Spent() + int64(units) }

// remains is how many units of work the search may still do.
func (s *search) remains() int { return int(max(0, s.until-s.meter.Spent())) }

func (s *search) done() bool {
	end := s.end
	if math.IsInf(s.best, 1) {
		end = s.blind
	}
	over := s.meter.Over() || s.meter.Spent() >= end
	s.cut = s.cut || over
	return over || s.meter.Spent() >= s.until
}

// keep takes the pick as the best if it is feasible and better.
func (s *search) keep(pick []int32) bool {
	s.meter.Charge(len(pick))
	cost := 0.0
	for _, j := range pick {
		cost += s.p.Cost[j]
	}
	if !s.keepable(pick) {
		return false
	}
	if cost >= s.best-slack*(1+math.Abs(cost)) {
		return false
	}
	s.pick, s.best = slices.Clone(pick), cost
	return true
}

// leave computes what a pick leaves of the rows.
func (s *search) leave(pick []int32) {
	if s.left == nil {
		s.left = make([]float64, len(s.p.Capacity))
	}
	copy(s.left, s.p.Capacity)
	for _, j := range pick {
		s.take(j, 1)
	}
}

func (s *search) take(j int32, sign float64) {
	for e := s.p.Ptr[j]; e < s.p.Ptr[j+1]; e++ {
		choicelp.Take(s.left, s.p.Above, s.p.Row[e], sign*s.p.Amount[e])
	}
}

func (s *search) fits(j int32) bool {
	for e := s.p.Ptr[j]; e < s.p.Ptr[j+1]; e++ {
		if s.p.Amount[e] > choicelp.Room(s.left, s.p.Above, s.p.Row[e])+1e-6 {
			return false
		}
	}
	return true
}

// node searches the tree of the state, whose knapsack multipliers are mu (nil: not known yet), and returns a bound on all solutions in it.
func (s *search) node(st *choicelp.State, mu []float64) float64 {
	s.nodes++
	bound := math.Inf(-1)
	var status choicelp.Status
	for fresh := true; fresh; {
		bans := st.Bans
		status = st.Climb(s.target(), maxPivots)
		if status == choicelp.Infeasible {
			return math.Inf(1)
		}
		bound = max(bound, s.raise(st.Bound()))
		if bound >= s.target() {
			return bound
		}
		s.round(st)
		if s.closed(bound) || s.done() {
			return bound
		}
		if !s.tighten(st, st.Bound()) {
			return s.best
		}
		if s.knaps != nil {
			if len(mu) == 0 {
				mu = multipliers(st, s.p)
			}
			bound = max(bound, s.whole(st, mu))
			if s.closed(bound) || s.done() {
				return bound
			}
			lifted, ok := s.knaps.fix(st, mu, s.target())
			if !ok {
				return s.best
			}
			if bound = max(bound, s.raise(lifted)); s.closed(bound) {
				return bound
			}
		}
		fresh = st.Bans > bans
	}
	column := s.branchOn(st, status)
	if column < 0 {
		if status != choicelp.Optimal && !s.keepable(st.Key) {
			return math.Inf(1)
		}
		s.keep(st.Key)
		return bound
	}
	first := st.Clone()
	first.Fix(column)
	lower := s.node(first, slices.Clone(mu))
	if s.closed(bound) || s.done() {
		return bound
	}
	if !st.Ban(column) {
		return max(bound, lower)
	}
	return max(bound, min(lower, s.node(st, mu)))
}

// whole is the bound of the knapsacks.
func (s *search) whole(st *choicelp.State, mu []float64) float64 {
	steps := nodeSteps
	if s.nodes == 1 {
		steps = min(rootSteps, max(nodeSteps, s.remains()/(10*max(1, s.knaps.cells))))
	}
	bound := s.raise(s.knaps.climb(st, mu, s.target, steps, func() {
		if s.nodes == 1 {
			s.repair(st)
		}
	}))
	return bound
}

// tighten bans columns that cannot be in a better solution, by the bound, not rounded up, and their reduced costs. False: some set has none left.
func (s *search) tighten(st *choicelp.State, bound float64) bool {
	room := s.target() - bound
	s.meter.Charge(2 * s.p.Columns())
	for set := range s.p.Sets() {
		least := math.Inf(1)
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			if !st.Banned(j) {
				least = min(least, s.p.Reduced(st.Prices, j))
			}
		}
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			if !st.Banned(j) && s.p.Reduced(st.Prices, j)-least > room+slack*(1+math.Abs(bound)) && !st.Ban(j) {
				return false
			}
		}
	}
	return true
}

// branchOn is the column to branch on: of the set that is most evenly split, weighed by the price of what it takes, the largest part; of
// any set with a choice where the relaxation was not solved, which only rounding can cause; −1 where nothing is left to decide.
func (s *search) branchOn(st *choicelp.State, status choicelp.Status) int32 {
	best, at := -1.0, int32(-1)
	set, part, col := -1, 0.0, int32(-1)
	flush := func() {
		if col >= 0 && s.open(st, set) > 1 {
			if score := (1 - part) * (1 + math.Abs(s.p.Reduced(st.Prices, col)-s.p.Cost[col])); score > best {
				best, at = score, col
			}
		}
	}
	st.Fraction(func(k int, j int32, x float64) {
		if k != set {
			flush()
			set, part, col = k, -1, -1
		}
		if x > part && !st.Banned(j) {
			part, col = x, j
		}
	})
	flush()
	if at >= 0 {
		return at
	}
	if status == choicelp.Optimal {
		return -1
	}
	for k := range s.p.Sets() {
		if s.open(st, k) > 1 {
			return st.Key[k]
		}
	}
	return -1
}

// open is the number of columns of the set that are not banned.
func (s *search) open(st *choicelp.State, set int) int {
	n := 0
	for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
		if !st.Banned(j) {
			n++
		}
	}
	return n
}

// keepable says whether the pick is feasible.
func (s *search) keepable(pick []int32) bool {
	s.leave(pick)
	return s.p.Holds(s.left)
}
