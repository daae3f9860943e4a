package forecast

import "math"

const (
	// binWidth of the errors that are counted together, as a share of their size; below rankCore, where they are small, of rankCore.
	// Tuned: share; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.73, 0.73, 0.65, and 0.29 at 2 h on office hours, after 0.25: the bins end where errors do not; at twice: 0.71, 0.71, 0.68
	binWidth = 0.3
	// rankCore is the error below which bins are of equal width, in usual errors.
	// Tuned: 1; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.69, 0.68; at twice: 0.70, 0.70, 0.67
	rankCore = 0.25
	// sideBins of either sign; what is larger counts as the largest.
	// Tuned: bins; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.72, 0.72, 0.65, and 0.29 at 2 h on office hours, after 0.25; at twice: no difference
	sideBins = 16
	// bins of both signs.
	// Exact: those of either sign, and that of zero.
	bins = 2*sideBins + 1
	// golden shares out a range evenly, however many steps are taken (Weyl's sequence).
	// Exact: the golden ratio less one.
	golden = 0.6180339887498949
)

// ranks are numbers of errors by size, from which quantiles are read. The errors are of size one, more or less.
type ranks struct {
	counts [bins]int
	n      int
}

func bin(x float64) int {
	return sideBins + int(math.Round(min(max(math.Asinh(x/rankCore)/binWidth, -sideBins), sideBins)))
}

// edge below the bin.
func edge(bin float64) float64 {
	return rankCore * math.Sinh((bin-sideBins-0.5)*binWidth)
}

// add an error. Where there are as many as span, one of them goes, so that each is as likely to go as any other and the distribution stays as it
// is: the one at the rank that turn says. What is remembered fades with a mean age of span.
func (r *ranks) add(x float64, span, turn int) {
	if r.n >= span {
		place := float64(turn) * golden
		b, _ := r.find((place - math.Floor(place)) * float64(r.n))
		r.counts[b]--
		r.n--
	}
	r.counts[bin(x)]++
	r.n++
}

// find the bin in which so many are passed, and the share of it that is.
func (r *ranks) find(passed float64) (int, float64) {
	last := 0
	for b, n := range r.counts {
		if n == 0 {
			continue
		}
		if passed < float64(n) {
			return b, passed / float64(n)
		}
		passed, last = passed-float64(n), b
	}
	return last, 1
}

// quantile is the value of rank ceil((n+1)·q): with exchangeable values the next one is at most this with probability at least q (split
// conformal prediction; Vovk, Gammerman and Shafer 2005, chapter 4), unless the rank lies beyond n and the largest value must do. There is
// at least one value.
func (r *ranks) quantile(q float64) float64 {
	rank := min(max(math.Ceil(float64(r.n+1)*q), 1), float64(r.n))
	b, share := r.find(rank - 0.5)
	low, high := edge(float64(b)), edge(float64(b+1))
	return low + share*(high-low)
}

// spread is half the distance between the quartiles: for symmetric values the median of their distances from the centre.
func (r *ranks) spread() float64 { return (r.quantile(0.75) - r.quantile(0.25)) / 2 }

func (r *ranks) walk(c *codec) {
	first, after := 0, bins
	for first < bins && r.counts[first] == 0 {
		first++
	}
	for after > first && r.counts[after-1] == 0 {
		after--
	}
	c.whole(&first, bins)
	c.whole(&after, bins)
	c.counts(r.counts[first:max(first, after)])
	r.n = 0
	for _, n := range r.counts {
		r.n += n
	}
	c.check(r.n <= residualSpan)
}

// mean that fades.
type mean struct{ value, n float64 }

// add a value to a mean with an age of span.
func (m *mean) add(x, span float64) {
	m.n = min(m.n+1, span)
	m.value += (x - m.value) / m.n
}

func (m *mean) walk(c *codec) {
	n := int(m.n)
	c.whole(&n, residualSpan)
	m.n = float64(n)
	c.number(&m.value)
	c.check(m.value >= 0)
}
