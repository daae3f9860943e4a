package observe

import (
	"math"
	"slices"
)

// histogram maps upper bounds of buckets to how much lies at or below them, per second. Buckets may be missing and +Inf is one of them.
type histogram map[float64]float64

// merged is the sum of histograms; nil where none was measured. Bounds that only some of them have are left out: between its own bounds a
// histogram does not say how much lies below another's.
func merged(all []histogram) histogram {
	var sum histogram
	for _, h := range all {
		switch {
		case len(h) == 0:
		case sum == nil:
			sum = histogram{}
			for bound, n := range h {
				sum[bound] = n
			}
		default:
			for bound := range sum {
				if n, ok := h[bound]; ok {
					sum[bound] += n
				} else {
					delete(sum, bound)
				}
			}
		}
	}
	return sum
}

// cell is what lies between two neighbouring bounds.
type cell struct{ low, high, count float64 }

// cells in ascending order, from 0, without the empty ones. Counts that fall from one bound to the next, as those of pods scraped at
// different moments may, are levelled.
func (h histogram) cells() []cell {
	bounds := make([]float64, 0, len(h))
	for bound, n := range h {
		if !math.IsNaN(bound) && !math.IsNaN(n) && !math.IsInf(n, 0) {
			bounds = append(bounds, bound)
		}
	}
	slices.Sort(bounds)
	var list []cell
	low, below := 0.0, 0.0
	for _, high := range bounds {
		if n := h[high]; n > below {
			list = append(list, cell{low, high, n - below})
			below = n
		}
		low = high
	}
	return list
}

// quantile interpolates within a cell, as Prometheus' histogram_quantile does: in the last, unbounded one it is its lower bound. NaN where
// nothing was counted.
func (h histogram) quantile(q float64) float64 {
	cells := h.cells()
	total := 0.0
	for _, c := range cells {
		total += c.count
	}
	rank := q * total
	for i, c := range cells {
		if rank > c.count && i < len(cells)-1 {
			rank -= c.count
			continue
		}
		if math.IsInf(c.high, 1) {
			return c.low
		}
		return c.low + (c.high-c.low)*min(1, rank/c.count)
	}
	return math.NaN()
}

// sd is the standard deviation around a mean that is known better than the histogram tells. Values are taken to be spread evenly within
// their cells, and those beyond the last bound to lie twice as far. NaN where nothing was counted or the cells contradict the mean.
func (h histogram) sd(mean float64) float64 {
	square, total := 0.0, 0.0
	for _, c := range h.cells() {
		high := c.high
		if math.IsInf(high, 1) {
			high = 2 * c.low
		}
		square += c.count * (c.low*c.low + c.low*high + high*high) / 3
		total += c.count
	}
	if v := square/total - mean*mean; v >= 0 {
		return math.Sqrt(v)
	}
	return math.NaN()
}

// clearCut is the largest share of a histogram that may lie in the same cell as a bound for the share within the bound to be known.
const clearCut = 0.005

// within is the share that does not exceed a bound, at least; NaN where the buckets do not tell, because more than a trace lies in the cell that
// the bound is in, or nothing was counted.
func (h histogram) within(bound float64) float64 {
	below, beside, total := 0.0, 0.0, 0.0
	for _, c := range h.cells() {
		total += c.count
		switch {
		case c.high <= bound:
			below += c.count
		case c.low < bound:
			beside += c.count
		}
	}
	if !(total > 0) || beside > clearCut*total {
		return math.NaN()
	}
	return below / total
}
