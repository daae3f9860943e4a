package choicelp

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

const (
	// feasible is how far a variable may be below 0, or above it where it is banned.
	//
	// Tuned: share of a set, or units of a row; guard against rounding that is taken for a variable out of its bounds
	feasible = 1e-7
	// refactor is the number of pivots after which the inverse of the basis is computed anew.
	//
	// Tuned: pivots; guard against rounding that adds up in the inverse of the basis
	refactor = 50
	// smallPivot is the pivot that is not trusted.
	//
	// Tuned: 1; guard against division by a pivot that is nothing but rounding
	smallPivot = 1e-8
	// flat is the slope or direction that counts as 0.
	//
	// Tuned: 1; guard against rounding that is taken for a slope
	flat = 1e-10
)

// Status is how a climb ended.
type Status int

const (
	// Optimal: prices and solution are those of the relaxation.
	Optimal Status = iota
	// Infeasible: no solution exists, not even a fractional one.
	Infeasible
	// Stopped: the bound reached the cutoff, or the pivots or the work ran out. The bound holds, the solution need not be feasible.
	Stopped
)

// State is a dual feasible basis of a program, with the columns that are banned from its solutions. It is made by Start.
type State struct {
	p     *Program
	meter *work.Meter
	// Prices λ of the rows.
	Prices []float64
	// Key is the column that each set has, but for what basic columns take of it.
	Key []int32
	// Pivots since the start.
	Pivots int
	// Bans since the start.
	Bans int

	banned []bool
	m      int
	basic  []int32   // basic variables: a column, −1−r for the slack of row r, or −1−m−r for what it borrows
	x      []float64 // their values
	inv    []float64 // inverse of the basis, row-major
	rho    []float64 // b − Σ a_key
	inSet  []int16   // number of basic columns of each set
	isIn   []bool    // the column is basic
	fresh  int       // pivots since the inverse was computed
	*scratch
}

// scratch is what a climb writes to and nobody reads afterwards; clones share it.
type scratch struct {
	d, alpha []float64
	isRow    []bool // slacks, then what rows borrow: the variable is basic
	heap     []breakpoint
	matrix   []float64
}

// Start is the state at prices 0 where every set has its cheapest column. The meter, which may be nil, counts what is done to it.
func Start(meter *work.Meter, p *Program) *State {
	meter.Charge(2 * p.Columns())
	p.perturb()
	m := len(p.Capacity)
	st := &State{p: p, meter: meter, m: m, Prices: make([]float64, m), Key: make([]int32, p.Sets()), banned: make([]bool, p.Columns()),
		basic: make([]int32, m), x: make([]float64, m), inv: make([]float64, m*m), rho: make([]float64, m),
		inSet: make([]int16, p.Sets()), isIn: make([]bool, p.Columns()),
		scratch: &scratch{d: make([]float64, m), alpha: make([]float64, m), isRow: make([]bool, 2*m), heap: make([]breakpoint, 0, p.Sets()+m), matrix: make([]float64, 2*m*m)}}
	for r := range m {
		st.basic[r] = int32(-1 - r)
		st.inv[r*m+r] = 1
	}
	for s := range st.Key {
		st.Key[s] = st.cheapest(s)
	}
	st.resum()
	return st
}

// Basis are the basic variables: columns, −1−r for the slack of row r, or −1−m−r for what it borrows, of m rows.
func (st *State) Basis() []int32 { return st.basic }

// Install makes the basis and the keys those of a program that differs little, of which this one has all rows and columns. Sets without
// basic columns then get their cheapest column. A basis that does not do leaves the state at its start.
func (st *State) Install(keys, basis []int32) {
	copy(st.Key, keys)
	copy(st.basic, basis)
	clear(st.inSet)
	clear(st.isIn)
	for _, v := range st.basic {
		if v >= 0 {
			st.isIn[v] = true
			st.inSet[st.p.set[v]]++
		}
	}
	st.invert()
	st.rekey()
}

// Clone copies the state.
func (st *State) Clone() *State {
	st.meter.Charge(st.p.Columns())
	c := *st
	c.Prices, c.Key, c.banned = slices.Clone(st.Prices), slices.Clone(st.Key), slices.Clone(st.banned)
	c.basic, c.x, c.inv, c.rho = slices.Clone(st.basic), slices.Clone(st.x), slices.Clone(st.inv), slices.Clone(st.rho)
	c.inSet, c.isIn = slices.Clone(st.inSet), slices.Clone(st.isIn)
	return &c
}

// Banned says whether the column must be 0.
func (st *State) Banned(column int32) bool { return st.banned[column] }

// Ban forbids the column. It says whether its set has another column left.
func (st *State) Ban(column int32) bool {
	if st.banned[column] {
		return true
	}
	st.banned[column] = true
	st.Bans++
	s := int(st.p.set[column])
	if st.Key[s] != column {
		return true
	}
	if st.inSet[s] > 0 && st.freeBasic(int32(s)) {
		st.exchange(int32(s)) // what is left of the old key leaves by pivots
		return true
	}
	j := st.cheapest(s)
	if j < 0 {
		return false
	}
	st.setKey(s, j)
	if st.inSet[s] > 0 {
		st.invert()
	} else {
		st.resolve()
	}
	return true
}

// freeBasic says whether a basic column of the set is not banned. Keys never are banned.
func (st *State) freeBasic(s int32) bool {
	for _, v := range st.basic {
		if v >= 0 && st.p.set[v] == s && !st.banned[v] {
			return true
		}
	}
	return false
}

// Fix bans all other columns of the column's set.
func (st *State) Fix(column int32) {
	s := st.p.set[column]
	for j := st.p.First[s]; j < st.p.First[s+1]; j++ {
		if j != column {
			st.Ban(j)
		}
	}
}

// Bound is L at the state's prices, of the true costs.
func (st *State) Bound() float64 {
	st.meter.Charge(st.p.Columns())
	return st.p.Bound(st.Prices, st.banned)
}

// Fraction calls f for every column that is positive in a set that has more than one such.
func (st *State) Fraction(f func(set int, column int32, x float64)) {
	left := map[int32]float64{}
	order := []int32{}
	for i, v := range st.basic {
		if v < 0 {
			continue
		}
		s := st.p.set[v]
		if _, ok := left[s]; !ok {
			left[s] = 1
			order = append(order, s)
		}
		left[s] -= st.x[i]
	}
	slices.Sort(order)
	for _, s := range order {
		if left[s] > 1-1e-6 {
			continue
		}
		if left[s] > 1e-6 {
			f(int(s), st.Key[s], left[s])
		}
		for i, v := range st.basic {
			if v >= 0 && st.p.set[v] == s && st.x[i] > 1e-6 {
				f(int(s), v, st.x[i])
			}
		}
	}
}

// Parts calls f for every column that is positive.
func (st *State) Parts(f func(set int, column int32, x float64)) {
	split := make([]bool, len(st.Key))
	st.Fraction(func(set int, column int32, x float64) {
		split[set] = true
		f(set, column, x)
	})
	for set, column := range st.Key {
		if !split[set] {
			f(set, column, 1)
		}
	}
}

// Climb raises the bound to the optimum of the relaxation, or until it exceeds the cutoff (+Inf: never), within so many pivots.
func (st *State) Climb(cutoff float64, pivots int) Status {
	for range pivots {
		if st.meter.Over() {
			return Stopped
		}
		st.meter.Charge(2*st.p.Columns() + st.m*st.m)
		i, sign := st.leaving()
		if i < 0 {
			if st.fresh == 0 {
				return Optimal
			}
			st.invert() // is it optimal without the rounding of the updates?
			if i, sign = st.leaving(); i < 0 {
				return Optimal
			}
		}
		for r := range st.m {
			st.d[r] = sign * st.inv[i*st.m+r]
		}
		slope := -sign * st.x[i]
		enter, t := st.search(i, slope, cutoff)
		switch {
		case enter == enough:
			return Stopped
		case enter == nothing:
			if st.certain() {
				return Infeasible
			}
			return Stopped
		case !st.pivot(i, enter, t):
			if st.fresh == 0 {
				return Stopped
			}
			st.invert()
			st.rekey()
		}
	}
	return Stopped
}

// leaving is the position of the basic variable that leaves, −1 at the optimum, with the sign of the direction in which its reduced cost
// goes: +1 where it is below 0, −1 where it is banned and above. The largest violation relative to the row of the inverse goes first: the
// steepest edge. A key that violates is made basic.
func (st *State) leaving() (int, float64) {
	best, at, sign := 0.0, -1, 0.0
	key := false
	consider := func(i int, x float64, banned, isKey bool, norm float64) {
		v, s := -x, 1.0
		if banned && x > feasible {
			v, s = x, -1
		}
		if v > feasible && v*v > best*norm*(1+1e-12) {
			best, at, sign, key = v*v/norm, i, s, isKey
		}
	}
	for i, v := range st.basic {
		norm := 1e-30
		for _, e := range st.inv[i*st.m : (i+1)*st.m] {
			norm += e * e
		}
		consider(i, st.x[i], v >= 0 && st.banned[v], false, norm)
		if v < 0 {
			continue
		}
		s := st.p.set[v]
		if left, first := st.keyLeft(i, s); first && left < -feasible && st.freeBasic(s) {
			consider(i, left, false, true, norm)
		}
	}
	if key {
		at = st.exchange(st.p.set[st.basic[at]])
	}
	return at, sign
}

// keyLeft is the value of the key of set s; first says whether position i is the first of the set's basic columns.
func (st *State) keyLeft(i int, s int32) (left float64, first bool) {
	left, first = 1, true
	for q, v := range st.basic {
		if v >= 0 && st.p.set[v] == s {
			left -= st.x[q]
			first = first && q >= i
		}
	}
	return left, first
}

// exchange makes the largest basic column of the set its key, and the old key basic in its place, which is returned.
func (st *State) exchange(s int32) int {
	at, best := -1, math.Inf(-1)
	for i, v := range st.basic {
		if v >= 0 && st.p.set[v] == s {
			x := st.x[i]
			if st.banned[v] {
				x -= 1e6
			}
			if x > best {
				at, best = i, x
			}
		}
	}
	m := st.m
	left := 1.0
	row := st.inv[at*m : (at+1)*m]
	for i, v := range st.basic {
		if v < 0 || st.p.set[v] != s {
			continue
		}
		left -= st.x[i]
		if i != at {
			for r, e := range st.inv[i*m : (i+1)*m] {
				row[r] += e
			}
		}
	}
	for r := range row {
		row[r] = -row[r]
	}
	old, now := st.Key[s], st.basic[at]
	st.isIn[old], st.isIn[now] = true, false
	st.basic[at] = old
	st.setKey(int(s), now)
	st.x[at] = left
	return at
}

// breakpoint is where, on the way along the direction, a set changes to another column, or the price of a row reaches 0.
type breakpoint struct {
	t      float64
	set    int32 // −1−r: row r; −1−m−r: what it borrows
	column int32
	drop   float64 // of the slope
}

func (a breakpoint) before(b breakpoint) bool {
	return a.t < b.t || a.t == b.t && (a.set < b.set || a.set == b.set && a.column < b.column)
}

const (
	// nothing enters: the bound grows without end.
	//
	// Exact: a number that no column or row has.
	nothing = math.MinInt32
	// enough: the bound exceeds the cutoff.
	//
	// Exact: another number that no column or row has.
	enough = math.MinInt32 + 1
)

// search finds how far to go along d: to where the slope ends to be positive, or where a variable blocks. It changes the keys that it
// passes and returns what enters (a column, or −1−r) and the step.
func (st *State) search(leaving int, slope, cutoff float64) (enter int32, step float64) {
	p, h := st.p, st.heap[:0]
	from := int32(-1)
	if v := st.basic[leaving]; v >= 0 {
		from = p.set[v]
	}
	st.markRows(leaving)
	bound := 0.0
	for r, b := range p.Capacity {
		bound -= st.Prices[r] * b
		if st.d[r] < -flat && !st.isRow[r] {
			h = append(h, breakpoint{t: max(st.Prices[r], 0) / -st.d[r], set: int32(-1 - r)})
		}
		if a := p.above(r); a >= 0 && st.d[r]-st.d[a] > flat && !st.isRow[st.m+r] {
			h = append(h, breakpoint{t: max(st.Prices[a]-st.Prices[r], 0) / (st.d[r] - st.d[a]), set: int32(-1 - st.m - r)})
		}
	}
	for s := range p.Sets() {
		k := st.Key[s]
		wk := p.work[k] + p.dot(st.Prices, k)
		bound += wk
		if b := st.next(int32(s), k, wk, 0); b.column >= 0 {
			h = append(h, b)
		}
	}
	if bound > cutoff {
		return enough, 0
	}
	heapify(h)
	defer func() { st.heap = h[:0] }()
	for len(h) > 0 {
		b := h[0]
		if b.set < 0 {
			return b.set, b.t
		}
		basics := st.inSet[b.set]
		if b.set == from {
			basics--
		}
		slope -= b.drop
		if slope <= flat || basics > 0 {
			return b.column, b.t
		}
		st.setKey(int(b.set), b.column)
		wk := p.work[b.column] + p.dot(st.Prices, b.column)
		n := st.next(b.set, b.column, wk, b.t)
		if n.column < 0 {
			n = h[len(h)-1]
			h = h[:len(h)-1]
		}
		if len(h) > 0 {
			h[0] = n
			siftDown(h, 0)
		}
	}
	return nothing, 0
}

// next is the first breakpoint of a set whose cheapest column along the way is k from step t on; its column is −1 where there is none.
func (st *State) next(s, k int32, wk, t float64) breakpoint {
	p := st.p
	best := breakpoint{t: math.Inf(1), set: s, column: -1}
	gk := p.dot(st.d, k) - flat
	for j := p.First[s]; j < p.First[s+1]; j++ {
		g := p.dot(st.d, j)
		if g >= gk || st.banned[j] || st.isIn[j] {
			continue
		}
		drop := gk + flat - g
		at := max((p.work[j]+p.dot(st.Prices, j)-wk)/drop, t)
		if at < best.t || at == best.t && drop > best.drop {
			best.t, best.column, best.drop = at, j, drop
		}
	}
	return best
}

// markRows marks the basic variables of rows, but for the one that leaves.
func (st *State) markRows(leaving int) {
	clear(st.isRow)
	for i, v := range st.basic {
		if v < 0 && i != leaving {
			st.isRow[-1-v] = true
		}
	}
}

// pivot moves along d by the step and exchanges the variable at position i for the one that enters. False: the pivot is too small.
func (st *State) pivot(i int, enter int32, step float64) bool {
	m := st.m
	st.column(enter, st.alpha)
	alpha := make([]float64, m)
	for q := range m {
		sum := 0.0
		for r, e := range st.inv[q*m : (q+1)*m] {
			sum += e * st.alpha[r]
		}
		alpha[q] = sum
	}
	if math.Abs(alpha[i]) < smallPivot {
		st.resolve()
		return false
	}
	for r := range m {
		st.Prices[r] += step * st.d[r]
	}
	st.p.clip(st.Prices)
	if v := st.basic[i]; v >= 0 {
		st.isIn[v] = false
		st.inSet[st.p.set[v]]--
	}
	st.basic[i] = enter
	if enter >= 0 {
		st.isIn[enter] = true
		st.inSet[st.p.set[enter]]++
	}
	row := st.inv[i*m : (i+1)*m]
	for r := range row {
		row[r] /= alpha[i]
	}
	for q := range m {
		if q == i || alpha[q] == 0 {
			continue
		}
		for r, e := range row {
			st.inv[q*m+r] -= alpha[q] * e
		}
	}
	st.Pivots++
	if st.fresh++; st.fresh >= refactor {
		st.invert()
	} else {
		st.resolve()
	}
	return true
}

// column writes the working column of a variable: a_j − a_key of a column.
func (st *State) column(v int32, into []float64) {
	clear(into)
	switch r := int(-1 - v); {
	case v >= 0:
		st.addTo(into, v, 1)
		st.addTo(into, st.Key[st.p.set[v]], -1)
	case r < st.m:
		into[r] = 1
	default:
		into[r-st.m], into[st.p.Above[r-st.m]] = -1, 1
	}
}

func (st *State) addTo(v []float64, j int32, sign float64) {
	for e := st.p.Ptr[j]; e < st.p.Ptr[j+1]; e++ {
		v[st.p.Row[e]] += sign * st.p.Amount[e]
	}
}

// setKey gives the set another key. Basic columns of the set have to be none or to be dealt with by the caller.
func (st *State) setKey(s int, j int32) {
	st.addTo(st.rho, st.Key[s], 1)
	st.addTo(st.rho, j, -1)
	st.Key[s] = j
}

// rekey gives every set without basic columns the column that is cheapest at the prices.
func (st *State) rekey() {
	for s := range st.Key {
		if st.inSet[s] == 0 {
			st.Key[s] = st.cheapest(s)
		}
	}
	st.resum()
}

// resolve computes the values of the basic variables.
func (st *State) resolve() {
	m := st.m
	for q := range m {
		sum := 0.0
		for r, e := range st.inv[q*m : (q+1)*m] {
			sum += e * st.rho[r]
		}
		st.x[q] = sum
	}
}

// resum computes what the keys leave of the capacity.
func (st *State) resum() {
	copy(st.rho, st.p.Capacity)
	for _, k := range st.Key {
		st.addTo(st.rho, k, -1)
	}
	st.resolve()
}

// invert computes the inverse, the prices and the solution of the basis anew (Gauss–Jordan with partial pivoting). Where the basis turned
// singular, the state starts again from slacks, at the same prices clipped to what is dual feasible: none of the bounds is lost but this.
func (st *State) invert() {
	m := st.m
	st.meter.Charge(m * m * m)
	a := st.matrix[:m*m] // columns of the basis
	for i, v := range st.basic {
		st.column(v, st.alpha)
		for r := range m {
			a[r*m+i] = st.alpha[r]
		}
	}
	if !gaussJordan(a, st.inv, m) {
		st.restart()
		return
	}
	st.fresh = 0
	st.price()
	st.resum()
}

// price computes λ from the basis: the reduced costs of basic columns are those of their keys, the prices of rows with basic slack 0.
func (st *State) price() {
	clear(st.Prices)
	for i, v := range st.basic {
		if v < 0 {
			continue
		}
		c := st.p.work[v] - st.p.work[st.Key[st.p.set[v]]]
		for r, e := range st.inv[i*st.m : (i+1)*st.m] {
			st.Prices[r] -= c * e
		}
	}
	st.p.clip(st.Prices)
}

// restart goes back to the basis of slacks at prices 0.
func (st *State) restart() {
	clear(st.inv)
	clear(st.Prices)
	clear(st.inSet)
	clear(st.isIn)
	for r := range st.m {
		st.basic[r] = int32(-1 - r)
		st.inv[r*st.m+r] = 1
	}
	for s := range st.Key {
		st.Key[s] = st.cheapest(s)
	}
	st.fresh = 0
	st.resum()
}

// cheapest column of the set that is not banned, −1 where there is none.
func (st *State) cheapest(s int) int32 {
	best, at := math.Inf(1), int32(-1)
	for j := st.p.First[s]; j < st.p.First[s+1]; j++ {
		if st.banned[j] {
			continue
		}
		if w := st.p.work[j] + st.p.dot(st.Prices, j); w < best {
			best, at = w, j
		}
	}
	return at
}

// Ray is the combination of rows by which the last climb found that there is no solution.
func (st *State) Ray() []float64 { return st.d }

// certain says whether d proves that there is no solution among the columns that are not banned.
func (st *State) certain() bool {
	st.p.clip(st.d)
	return st.p.impossible(st.d, st.banned)
}
