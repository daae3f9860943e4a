package observe

import (
	"math"
	"slices"
)

// histogram maps upper bounds of buckets to how much lies at or below them, per second. Buckets may be missing and +Inf is one of them.
type histogram map[float64]float64

// bucketList are the buckets of a histogram: how much lies at or below each of its bounds, NaN where that is not known. Pods may share their bounds: each
// has five histograms, and bounds of its own would be half of all that is kept of it.
type bucketList struct {
	bounds *[]float64
	below  []float64
}

// set how much lies at or below a bound.
func (b *bucketList) set(bound, below float64) {
	if math.IsNaN(bound) {
		return
	}
	if b.bounds == nil {
		b.bounds = new([]float64)
	}
	i := slices.Index(*b.bounds, bound)
	if i < 0 {
		i = len(*b.bounds)
		*b.bounds = append(*b.bounds, bound)
	}
	if len(b.below) <= i {
		b.below = slices.Grow(b.below, len(*b.bounds)-len(b.below))
		for len(b.below) <= i {
			b.below = append(b.below, math.NaN())
		}
	}
	b.below[i] = below
}

// Histogram is how much lies at or below each bound, as far as it is known; nil where there are no buckets.
func (b bucketList) Histogram() map[float64]float64 {
	if len(b.below) == 0 {
		return nil
	}
	h := make(map[float64]float64, len(b.below))
	for i, below := range b.below {
		if !math.IsNaN(below) {
			h[(*b.bounds)[i]] = below
		}
	}
	return h
}

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

// share at or below a bound, interpolated within a cell; of the last, unbounded one nothing lies below a bound. NaN where nothing was counted.
func (h histogram) share(bound float64) float64 {
	below, total := 0.0, 0.0
	for _, c := range h.cells() {
		total += c.count
		if part := (bound - c.low) / (c.high - c.low); part > 0 {
			below += min(part, 1) * c.count
		}
	}
	return below / total
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

// sd is the standard deviation around a mean that is known better than the histogram tells. The density falls, or rises, within every cell as
// e^(−λx), with the λ that gives that mean; what lies beyond the last bound lies up to twice as far. Of an exponential distribution that is the
// truth. With even densities prompts of 1024 tokens each, in buckets of 1, 2, 5, 10, …, would deviate by 1100. NaN where nothing was counted or the
// cells contradict the mean.
func (h histogram) sd(mean float64) float64 {
	cells := h.cells()
	for i, c := range cells {
		if math.IsInf(c.high, 1) {
			cells[i].high = 2 * c.low
		}
	}
	lowest, _ := moments(cells, math.Inf(1))
	highest, _ := moments(cells, math.Inf(-1))
	if !(mean >= lowest && mean <= highest) {
		return math.NaN()
	}
	from, to := -1.0, 1.0
	for range doublings {
		if m, _ := moments(cells, from); m < mean {
			from *= 2
		}
		if m, _ := moments(cells, to); m > mean {
			to *= 2
		}
	}
	for range bisections {
		middle := (from + to) / 2
		if m, _ := moments(cells, middle); m > mean {
			from = middle
		} else {
			to = middle
		}
	}
	_, square := moments(cells, to)
	return math.Sqrt(max(square-mean*mean, 0))
}

const (
	// Exact: doublings reach any slope that a float64 can tell, from 1 per unit.
	doublings = 64
	// Exact: bisections of a slope to the last bit but a few.
	bisections = 60
)

// moments are the mean and the mean square where the density within every cell is as e^(−λx).
func moments(cells []cell, slope float64) (mean, square float64) {
	total := 0.0
	for _, c := range cells {
		width := c.high - c.low
		m, s := tilted(slope * width)
		total += c.count
		mean += c.count * (c.low + width*m)
		square += c.count * (c.low*c.low + 2*c.low*width*m + width*width*s)
	}
	return mean / total, square / total
}

// tilted are the mean and the mean square of what has a density as e^(−s·u) between 0 and 1.
func tilted(s float64) (mean, square float64) {
	switch {
	case s < 0:
		mean, square = tilted(-s)
		return 1 - mean, 1 - 2*mean + square
	case s < 1e-3: // to the first order; the second is below 1e-8
		return 1./2 - s/12, 1./3 - s/12
	}
	e := math.Expm1(s)
	return 1/s - 1/e, 2/(s*s) - (1+2/s)/e
}

// clearCut is the largest share of requests that buckets may leave open for the share within targets to be known.
//
// Tuned: share; measured by the scenarios ramp, short and flash-crowd; at half: no difference, and 3 % less cost of flash-crowd with twice the token
// budget; at twice: no difference, and 1 % more there
const clearCut = 0.005

// within is the share that does not exceed a bound, at least and at most: what lies in the same cell as the bound may or may not. NaN where nothing was
// counted.
func (h histogram) within(bound float64) (least, most float64) {
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
	if !(total > 0) {
		return math.NaN(), math.NaN()
	}
	return below / total, (below + beside) / total
}
