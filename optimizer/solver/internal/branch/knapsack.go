package branch

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// The relaxation in the prices of capacity knows that half a server cannot be served, but not that half a row cannot be used: of three cards,
// servers of two use two. Pricing the servers instead and keeping each row whole does (Fisher, Jaikumar, Van Wassenhove 1986):
//
//	L(μ) = Σ_S μ_S − Σ_r max { Σ_j (μ_S(j) − c_j) x_j : Σ_j a_rj x_j ≤ b_r, x_j ∈ {0, 1} },
//
// one knapsack for each row, by dynamic programming. It starts from the prices that the relaxation implies, where it is no worse, and is
// climbed by subgradients (Held, Wolfe, Crowder 1974). A column with entries in several rows is of the first one's knapsack; its other
// entries are priced as in the relaxation. What a row borrows of the one above it costs the price of that one, whose own columns are priced, too.

// maxTable bounds the cells of all knapsacks of a program: beyond, the relaxation alone is tight enough, for there are many servers to a row.
//
// Tuned: cells; guard against tables that fill the memory
const maxTable = 4_000_000

// knapsacks are the rows of a program as knapsacks. Amounts have to be of at least 0. A row of which the first entry of a column is not whole is priced.
type knapsacks struct {
	meter  *work.Meter
	p      *choicelp.Program
	items  [][]int32 // columns of each row, as their first entry
	loose  []int32   // columns of no knapsack: without entries, or of rows too large for a table, which are priced
	priced []bool    // of rows
	size   []int     // of each row with what it can borrow, in the greatest common divisor of its amounts
	unit   []int     // that divisor
	also   []bool    // columns of other rows' knapsacks have entries in the row, which are priced
	set    []int32   // of each column
	take   []int     // what each column takes of its row's size
	cells  int

	profit []float64 // of each column
	in     []bool    // the column is in the knapsack
	// what it costs to have each column in its knapsack and to leave it out; of rows, for one set at a time
	inLoss, outLoss, rowLoss []float64
	count                    []int32 // of columns taken, by set
	table                    []float64
}

// newKnapsacks is nil where the program has amounts below 0, or too many cells.
func newKnapsacks(m *work.Meter, p *choicelp.Program) *knapsacks {
	m.Charge(2 * p.Columns())
	k := &knapsacks{meter: m, p: p, items: make([][]int32, len(p.Capacity)), size: make([]int, len(p.Capacity)), unit: make([]int, len(p.Capacity)), also: make([]bool, len(p.Capacity)), priced: make([]bool, len(p.Capacity)),
		set: make([]int32, p.Columns()), take: make([]int, p.Columns()), profit: make([]float64, p.Columns()),
		inLoss: make([]float64, p.Columns()), outLoss: make([]float64, p.Columns()), rowLoss: make([]float64, len(p.Capacity)),
		in: make([]bool, p.Columns()), count: make([]int32, p.Sets())}
	for s := range p.Sets() {
		for j := p.First[s]; j < p.First[s+1]; j++ {
			k.set[j] = int32(s)
			if p.Ptr[j] == p.Ptr[j+1] {
				k.loose = append(k.loose, j)
				continue
			}
			for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
				a := p.Amount[e]
				if a < 0 {
					return nil
				}
				if e == p.Ptr[j] && a != math.Trunc(a) {
					k.priced[p.Row[e]] = true
				}
				if e > p.Ptr[j] {
					k.also[p.Row[e]] = true
				}
			}
			r := p.Row[p.Ptr[j]]
			k.items[r] = append(k.items[r], j)
		}
	}
	for r, items := range k.items {
		unit, total := 0, 0
		for _, j := range items {
			k.take[j] = int(p.Amount[p.Ptr[j]])
			unit = gcd(unit, k.take[j])
			total += k.take[j]
		}
		unit = max(1, unit)
		k.unit[r] = unit
		k.size[r] = int(min(float64(total), max(0, choicelp.Room(p.Capacity, p.Above, int32(r))+1e-6))) / unit
		if (len(items)+2)*(k.size[r]+1) > maxTable/4 || k.priced[r] || slices.Contains(p.Above, int32(r)) {
			k.price(r)
			continue
		}
		for _, j := range items {
			k.take[j] /= unit
		}
		if k.cells += (len(items) + 2) * (k.size[r] + 1); k.cells > maxTable {
			return nil
		}
	}
	return k
}

// price takes the row for one without a table.
func (k *knapsacks) price(r int) {
	k.loose = append(k.loose, k.items[r]...)
	k.items[r], k.size[r], k.priced[r], k.also[r] = nil, 0, true, true
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// multipliers are the prices of the sets that the relaxation implies: the least reduced cost of each.
func multipliers(st *choicelp.State, p *choicelp.Program) []float64 {
	mu := make([]float64, p.Sets())
	for s := range mu {
		mu[s] = math.Inf(1)
		for j := p.First[s]; j < p.First[s+1]; j++ {
			if !st.Banned(j) {
				mu[s] = min(mu[s], p.Reduced(st.Prices, j))
			}
		}
	}
	return mu
}

// bound is L(μ); it fills in and count.
func (k *knapsacks) bound(st *choicelp.State, mu []float64) float64 {
	p := k.p
	k.meter.Charge(2 * p.Columns())
	total := 0.0
	for _, m := range mu {
		total += m
	}
	for j := range k.profit {
		k.in[j] = false
		pr := mu[k.set[j]] - p.Cost[j]
		first := p.Ptr[j] // of the entries that are priced
		if first < p.Ptr[j+1] && !k.priced[p.Row[first]] {
			first++
		}
		for e := first; e < p.Ptr[j+1]; e++ {
			pr -= st.Prices[p.Row[e]] * p.Amount[e]
		}
		if st.Banned(int32(j)) {
			pr = math.Inf(-1)
		}
		k.profit[j] = pr
	}
	clear(k.count)
	for r := range p.Capacity {
		total -= k.fill(st, r)
		if k.also[r] {
			total -= st.Prices[r] * p.Capacity[r]
		}
	}
	for _, j := range k.loose {
		if k.profit[j] > 0 {
			total -= k.profit[j]
			k.in[j] = true
			k.count[k.set[j]]++
		}
	}
	return total
}

// borrow writes what a row pays, by what its columns leave of its size, for what it borrows of the row above it.
func (k *knapsacks) borrow(st *choicelp.State, r int, pays []float64) {
	clear(pays)
	if k.p.Above == nil || k.p.Above[r] < 0 {
		return
	}
	for left := range pays {
		pays[left] = -st.Prices[k.p.Above[r]] * max(0, float64((len(pays)-1-left)*k.unit[r])-k.p.Capacity[r])
	}
}

// fill solves the knapsack of a row.
func (k *knapsacks) fill(st *choicelp.State, r int) float64 {
	size := k.size[r]
	var items []int32
	total := 0
	for _, j := range k.items[r] {
		if a := k.take[j]; k.profit[j] > 0 && a <= size {
			items = append(items, j)
			total += a
		}
	}
	if total <= size && float64(total*k.unit[r]) <= k.p.Capacity[r]+1e-6 { // all fit
		sum := 0.0
		for _, j := range items {
			sum += k.profit[j]
			k.in[j] = true
			k.count[k.set[j]]++
		}
		return sum
	}
	width := size + 1
	k.meter.Charge(len(items) * width)
	t := k.rows((len(items) + 1) * width)
	k.borrow(st, r, t[:width])
	for i, j := range items {
		prev, next := t[i*width:(i+1)*width], t[(i+1)*width:(i+2)*width]
		a, pr := k.take[j], k.profit[j]
		copy(next[:a], prev[:a])
		for c := a; c < width; c++ {
			next[c] = max(prev[c], prev[c-a]+pr)
		}
	}
	c := size
	for i := len(items) - 1; i >= 0; i-- {
		if t[(i+1)*width+c] > t[i*width+c] {
			j := items[i]
			k.in[j] = true
			k.count[k.set[j]]++
			c -= k.take[j]
		}
	}
	return t[len(items)*width+size]
}

func (k *knapsacks) rows(n int) []float64 {
	if cap(k.table) < n {
		k.table = make([]float64, n)
	}
	return k.table[:n]
}

// climb improves μ by so many steps towards the goal, and returns the best bound, whose μ it leaves behind. each sees every solution of the
// knapsacks. Steps go along the subgradient deflected by the last direction (Camerini, Fratta, Maffioli 1975), with Polyak's length.
func (k *knapsacks) climb(st *choicelp.State, mu []float64, goal func() float64, steps int, each func()) float64 {
	best := k.bound(st, mu)
	at := slices.Clone(mu)
	d := make([]float64, len(mu))
	value := best
	scale, since := 1.0, 0
	patience := 20
	if steps < 200 {
		scale, patience = .5, 5
	}
	for range steps {
		target := goal()
		if best >= target {
			break
		}
		each()
		if math.IsInf(target, 1) {
			target = best + .02*math.Abs(best) + 1 // as good a guess as any
		}
		norm, dot, last := 0.0, 0.0, 0.0
		for s, n := range k.count {
			g := float64(1 - n)
			norm += g * g
			dot += g * d[s]
			last += d[s] * d[s]
		}
		if norm == 0 {
			break // the knapsacks agree: this is a solution
		}
		deflect := 0.0
		if dot < 0 {
			deflect = -1.5 * dot / last
		}
		length := 0.0
		for s, n := range k.count {
			d[s] = float64(1-n) + deflect*d[s]
			length += d[s] * d[s]
		}
		if length == 0 {
			break
		}
		t := scale * max(target-value, 1e-6*math.Abs(value)) / length
		for s := range at {
			at[s] += t * d[s]
		}
		value = k.bound(st, at)
		if value > best+1e-4*math.Abs(target-best) {
			since = 0
		} else if since++; since >= patience {
			if since, scale = 0, scale/2; scale < .01 {
				scale = .3
				copy(at, mu)
				clear(d)
				value = k.bound(st, at)
			}
		}
		if value > best {
			best = value
			copy(mu, at)
		}
	}
	return best
}

// fix bans the columns that by the knapsacks at μ cannot be in a solution below the target. It returns a bound that is at least L(μ).
// False: a set has no column left.
//
// The knapsacks are independent, so what it costs to take column j of set S adds up over the rows: that of having j in its own, and in each
// other row that of leaving out what S has there. One of the columns must be taken, so the least of these costs adds to the bound.
func (k *knapsacks) fix(st *choicelp.State, mu []float64, target float64) (bound float64, ok bool) {
	p := k.p
	bound = k.bound(st, mu)
	for r := range p.Capacity {
		k.sensitivity(st, r, func(j int32, with, without, best float64) {
			k.inLoss[j], k.outLoss[j] = max(0, best-with), max(0, best-without)
		})
	}
	for _, j := range k.loose {
		k.inLoss[j], k.outLoss[j] = max(0, -k.profit[j]), max(0, k.profit[j])
	}
	lift := 0.0
	for set := range p.Sets() {
		all := k.leaveOut(st, set)
		least := math.Inf(1)
		for j := p.First[set]; j < p.First[set+1]; j++ {
			if st.Banned(j) {
				continue
			}
			loss := k.inLoss[j] + all
			if r := k.rowOf(j); r >= 0 {
				loss -= k.rowLoss[r]
			} else {
				loss -= k.outLoss[j]
			}
			if least = min(least, loss); bound+loss >= target && !st.Ban(j) {
				return bound, false
			}
		}
		lift = max(lift, least)
	}
	return bound + lift, true
}

// rowOf is the row in whose knapsack the column is, −1 where it is in none.
func (k *knapsacks) rowOf(j int32) int32 {
	if e := k.p.Ptr[j]; e < k.p.Ptr[j+1] && !k.priced[k.p.Row[e]] {
		return k.p.Row[e]
	}
	return -1
}

// leaveOut is what it costs to leave out all columns of the set: in each knapsack, whose part it writes to rowLoss, the largest cost of one.
func (k *knapsacks) leaveOut(st *choicelp.State, set int) float64 {
	p := k.p
	for j := p.First[set]; j < p.First[set+1]; j++ {
		if r := k.rowOf(j); r >= 0 {
			k.rowLoss[r] = 0
		}
	}
	sum := 0.0
	for j := p.First[set]; j < p.First[set+1]; j++ {
		switch r := k.rowOf(j); {
		case st.Banned(j):
		case r < 0:
			sum += k.outLoss[j]
		case k.outLoss[j] > k.rowLoss[r]:
			sum += k.outLoss[j] - k.rowLoss[r]
			k.rowLoss[r] = k.outLoss[j]
		}
	}
	return sum
}

// sensitivity calls f for every column of the row's knapsack that is not banned, with the best profit where it is in, where it is not, and
// in all.
func (k *knapsacks) sensitivity(st *choicelp.State, r int, f func(j int32, with, without, best float64)) {
	size := k.size[r]
	width := size + 1
	var items []int32
	for _, j := range k.items[r] {
		if !math.IsInf(k.profit[j], -1) {
			items = append(items, j)
		}
	}
	n := len(items)
	k.meter.Charge(4 * n * width)
	// before[i] is the best of the first i items by capacity, after[i] of those from i on.
	t := k.rows(2 * (n + 1) * width)
	before, after := t[:(n+1)*width], t[(n+1)*width:]
	k.borrow(st, r, before[:width])
	clear(after[n*width:])
	extend := func(prev, next []float64, j int32) {
		a, pr := k.take[j], k.profit[j]
		if pr <= 0 || a > size {
			copy(next, prev)
			return
		}
		copy(next[:a], prev[:a])
		for c := a; c < width; c++ {
			next[c] = max(prev[c], prev[c-a]+pr)
		}
	}
	for i, j := range items {
		extend(before[i*width:(i+1)*width], before[(i+1)*width:(i+2)*width], j)
	}
	for i := n - 1; i >= 0; i-- {
		extend(after[(i+1)*width:(i+2)*width], after[i*width:(i+1)*width], items[i])
	}
	best := before[n*width+size]
	for i, j := range items {
		b, a := before[i*width:(i+1)*width], after[(i+1)*width:(i+2)*width]
		combine := func(room int) float64 {
			if room < 0 {
				return math.Inf(-1)
			}
			most := math.Inf(-1)
			for c := 0; c <= room; c++ {
				most = max(most, b[c]+a[room-c])
			}
			return most
		}
		f(j, combine(size-k.take[j])+k.profit[j], combine(size), best)
	}
}
