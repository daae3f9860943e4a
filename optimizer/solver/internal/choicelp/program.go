// Package choicelp solves linear programs of multiple choice: of every set one column, at least cost, within the capacity of rows.
//
//	minimise  Σ_j c_j x_j   subject to   Σ_{j∈S} x_j = 1 for every set S,   Σ_j a_rj x_j ≤ b_r for every row r,   x ≥ 0.
//
// A row may have one above it, which gives it what it lacks: with y_r ≥ 0 that it borrows,
//
//	Σ_j a_rj x_j − y_r + Σ_{q below r} y_q ≤ b_r,
//
// and the price of a row is at most that of the row above it, λ_r ≤ λ_above(r).
//
// There are few rows (card types, at most some dozens) and many sets (servers), so at most as many sets as rows are fractional in a basic
// solution, and the basis that is worked with has the size of the rows: generalised upper bounding (Dantzig, Van Slyke 1967). The dual
//
//	L(λ) = Σ_S min_{j∈S} (c_j + λ·a_j) − λ·b,   λ ≥ 0,
//
// is concave and piecewise linear; it is climbed by a dual simplex whose line search passes every breakpoint while the slope is positive
// (the long step; Fourer 1994, Koberstein 2005). Whatever rounding does to the basis, L(λ) of the true costs is a lower bound.
package choicelp

import (
	"math"
	"slices"
)

// Program is a linear program of multiple choice. It is not changed by solving.
type Program struct {
	// Capacity b of the rows; of at least 0 where a row has one above it.
	Capacity []float64
	// Above is, by row, the one that gives it what it lacks, which comes before it, or −1 where there is none; nil where no row has one.
	Above []int32
	// First column of each set, and the number of columns at the end: set s has the columns First[s] to First[s+1]−1, at least one.
	First []int32
	// Cost c of the columns.
	Cost []float64
	// Entries of column j are those from Ptr[j] to Ptr[j+1]−1.
	Ptr []int32
	// Row and Amount of the entries.
	Row    []int32
	Amount []float64

	set  []int32   // of each column
	work []float64 // costs, perturbed
}

// NewProgram makes a program without sets, whose rows have these above them: nil where none has.
func NewProgram(capacity []float64, above []int32) *Program {
	return &Program{Capacity: capacity, Above: above, First: []int32{0}, Ptr: []int32{0}}
}

// Of is a program without sets that has the same rows, of which so much is left, as [Take] leaves it: what a row lacks is taken of the one above already.
func (p *Program) Of(left []float64) *Program {
	for r := range left {
		if p.above(r) >= 0 {
			left[r] = max(0, left[r])
		}
	}
	return NewProgram(left, p.Above)
}

// Grow makes room for so many more sets, columns and entries.
func (p *Program) Grow(sets, columns, entries int) {
	p.First = slices.Grow(p.First, sets)
	p.Cost, p.Ptr, p.set = slices.Grow(p.Cost, columns), slices.Grow(p.Ptr, columns), slices.Grow(p.set, columns)
	p.Row, p.Amount = slices.Grow(p.Row, entries), slices.Grow(p.Amount, entries)
}

// AddEntry adds an entry to the column that is being added.
func (p *Program) AddEntry(row int, amount float64) {
	p.Row = append(p.Row, int32(row))
	p.Amount = append(p.Amount, amount)
}

// EndColumn ends the column whose entries were added and gives it its cost.
func (p *Program) EndColumn(cost float64) {
	p.Cost = append(p.Cost, cost)
	p.Ptr = append(p.Ptr, int32(len(p.Row)))
}

// Copy adds a column of another program that has the same rows.
func (p *Program) Copy(from *Program, column int32) {
	first, end := from.Ptr[column], from.Ptr[column+1]
	p.Row = append(p.Row, from.Row[first:end]...)
	p.Amount = append(p.Amount, from.Amount[first:end]...)
	p.EndColumn(from.Cost[column])
}

// EndSet ends the set whose columns were added.
func (p *Program) EndSet() {
	for len(p.set) < len(p.Cost) {
		p.set = append(p.set, int32(p.Sets()))
	}
	p.First = append(p.First, int32(len(p.Cost)))
}

// perturbation is the largest change of a cost, relative to itself plus the least, that breaks ties while climbing. Bounds are of the true
// costs.
//
// Tuned: 1; guard against a climb that stalls on ties
const perturbation = 1e-8

// perturb makes the costs that the climb works with: ties, which would make it stall, are broken by a fixed pseudo-random pattern.
func (p *Program) perturb() {
	if len(p.work) == len(p.Cost) {
		return
	}
	least := math.Inf(1)
	for _, c := range p.Cost {
		if c != 0 {
			least = min(least, math.Abs(c))
		}
	}
	if math.IsInf(least, 1) {
		least = 1
	}
	p.work = make([]float64, len(p.Cost))
	for j, c := range p.Cost {
		h := uint64(j+1) * 0x9e3779b97f4a7c15 // Fibonacci hashing (Knuth, vol. 3, 6.4)
		h ^= h >> 29
		h *= 0xbf58476d1ce4e5b9
		p.work[j] = c + perturbation*(least+math.Abs(c))*float64(h>>40)/(1<<24)
	}
}

// Sets is the number of sets.
func (p *Program) Sets() int { return len(p.First) - 1 }

// Columns is the number of columns.
func (p *Program) Columns() int { return len(p.Cost) }

// above is the row above a row, −1 where there is none.
func (p *Program) above(row int) int32 {
	if p.Above == nil {
		return -1
	}
	return p.Above[row]
}

// clip makes prices such that none is below 0 or above that of the row above.
func (p *Program) clip(prices []float64) {
	for r := range prices {
		prices[r] = max(0, prices[r])
		if a := p.above(r); a >= 0 {
			prices[r] = min(prices[r], prices[a])
		}
	}
}

// Root is the row that must not be overdrawn when a row is: the last above it.
func (p *Program) Root(row int32) int32 {
	for a := p.above(int(row)); a >= 0; a = p.above(int(row)) {
		row = a
	}
	return row
}

// Take takes an amount of a row out of what is left of the rows, or gives it back where it is below 0: what a row is overdrawn by is taken of the
// one above it.
func Take(left []float64, above []int32, row int32, amount float64) {
	for {
		before := min(left[row], 0)
		left[row] -= amount
		if above == nil || above[row] < 0 {
			return
		}
		amount = before - min(left[row], 0)
		row = above[row]
	}
}

// Room is how much can be taken of a row.
func Room(left []float64, above []int32, row int32) float64 {
	room := left[row]
	for above != nil && above[row] >= 0 {
		row = above[row]
		room = max(0, room) + max(0, left[row])
	}
	return room
}

// Holds says whether no row is overdrawn that must not be, given what is left of the rows.
func (p *Program) Holds(left []float64) bool {
	for r, l := range left {
		if l < -1e-6 && p.above(r) < 0 {
			return false
		}
	}
	return true
}

// dot is v·a_j.
func (p *Program) dot(v []float64, j int32) float64 {
	e, end := p.Ptr[j], p.Ptr[j+1]
	if end-e == 1 {
		return v[p.Row[e]] * p.Amount[e]
	}
	sum := 0.0
	for ; e < end; e++ {
		sum += v[p.Row[e]] * p.Amount[e]
	}
	return sum
}

// Reduced is the cost of a column at the prices: c_j + λ·a_j.
func (p *Program) Reduced(prices []float64, column int32) float64 {
	return p.Cost[column] + p.dot(prices, column)
}

// Bound is L(λ) over the columns that are not banned (nil: none is): a lower bound on the cost of every solution, for any prices of at
// least 0, none above that of the row above. +Inf where a set has no column left.
func (p *Program) Bound(prices []float64, banned []bool) float64 {
	sum := 0.0
	for r, b := range p.Capacity {
		sum -= prices[r] * b
	}
	for s := range p.Sets() {
		least := math.Inf(1)
		for j := p.First[s]; j < p.First[s+1]; j++ {
			if banned != nil && banned[j] {
				continue
			}
			if w := p.Reduced(prices, j); w < least {
				least = w
			}
		}
		sum += least
	}
	return sum
}

// Impossible says whether the rows combined by the ray ≥ 0 prove that there is no solution: the least that the sets can take exceeds the
// capacity. A ray that is nil proves nothing.
func (p *Program) Impossible(ray []float64) bool { return ray != nil && p.impossible(ray, nil) }

func (p *Program) impossible(ray []float64, banned []bool) bool {
	need, have, scale := 0.0, 0.0, 0.0
	for r, d := range ray {
		have += d * p.Capacity[r]
		scale += d
	}
	for s := range p.Sets() {
		least := math.Inf(1)
		for j := p.First[s]; j < p.First[s+1]; j++ {
			if banned == nil || !banned[j] {
				least = min(least, p.dot(ray, j))
			}
		}
		need += least
	}
	return need > have+feasible*scale
}
