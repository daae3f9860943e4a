package forecast

import "math"

const (
	// residualSpan is the number of windows that quantiles are taken from: three days of ten-minute windows, enough for the 99th
	// percentile and short enough to follow a change of volatility.
	residualSpan = 400
	// residualsNeeded is the number of past errors below which an expert does not speak.
	residualsNeeded = 10
)

// method predicts the growth over the horizon of a series: the logarithm of the rate then over the rate now.
type method interface {
	// expect is asked about the newest window, perhaps several times. It is false while the method does not know enough.
	expect(s *series) (float64, bool)
	// close follows the last expect about a window.
	close(s *series)
}

// expert turns what a method expects into a quantile: the same quantile of the errors it has made lately, each relative to the size of error
// that was to be expected.
type expert struct {
	scale  scale
	open   opinion
	past   []opinion // on the windows before, since the newest whose outcome is known
	errors ordered
}

// opinion on a window. All in logarithms of the growth; NaN where there is none.
type opinion struct {
	centre, scale, upper float64
}

// look forms an opinion on the newest window from what the method expects, NaN where it is silent.
func (e *expert) look(s *series, centre float64, size *sums, quantile float64) {
	e.open = opinion{centre, e.scale(s, size), math.NaN()}
	if e.errors.len() >= residualsNeeded {
		e.open.upper = centre + e.open.scale*e.errors.quantile(quantile)
	}
}

// bound keeps the quantile within the errors there have been: however volatile the present is, a forecast further out than any outcome yet is
// an extrapolation.
func (e *expert) bound(seen *ordered) {
	if seen.len() > 0 && !math.IsNaN(e.open.upper) {
		e.open.upper = e.open.centre + min(max(e.open.upper-e.open.centre, seen.quantile(0)), seen.quantile(1))
	}
}

// learn from the growth that followed the oldest opinion.
func (e *expert) learn(at int, growth float64) {
	if r := (growth - e.past[0].centre) / e.past[0].scale; !math.IsNaN(r) {
		e.errors.add(at, r)
	}
	e.errors.forget(at - residualSpan)
}

// scale is the size of error to be expected in the newest window, in any unit; NaN while it is not known. Sizes are those of the errors so far,
// without sign, by the window they were made in.
type scale func(s *series, sizes *sums) float64

const (
	// Windows whose errors say how volatile the present is, and what the long-term size of errors weighs against them, in windows.
	latelySpan, latelyPrior = 9, 6
	// The same for this time of past days, in windows to either side.
	dailySpan, dailyPrior = 4, 18
	// sizesNeeded is the number of errors below which their size is not known.
	sizesNeeded = 20
	// leastSize keeps the scale of a series without any noise above zero.
	leastSize = 1e-6
)

// constant takes all errors to be alike.
func constant(*series, *sums) float64 { return 1 }

// plain are the scales of the textbook.
var plain = []scale{constant}

// lately takes the size of errors to be that of the last hours, shrunk towards the long-term mean.
func lately(s *series, sizes *sums) float64 {
	mean := meanSize(s, sizes)
	sum, n := sizes.over(s.newest()-s.horizon-latelySpan, s.newest()-s.horizon)
	return (sum+latelyPrior*mean)/(n+latelyPrior) + leastSize
}

// daily takes the size of errors to be that at this time of past days, shrunk towards the long-term mean.
func daily(s *series, sizes *sums) float64 {
	mean, t := meanSize(s, sizes), s.newest()
	sum, n := 0.0, 0.0
	for d := 1; d <= daysBack; d++ {
		j := t - d*s.perDay
		more, k := sizes.over(j-dailySpan, min(j+dailySpan+1, t-s.horizon))
		sum, n = sum+more, n+k
	}
	return (sum+dailyPrior*mean)/(n+dailyPrior) + leastSize
}

// meanSize is the long-term mean size of errors.
func meanSize(s *series, sizes *sums) float64 {
	known := s.newest() - s.horizon
	sum, n := sizes.over(known-residualSpan, known)
	if n < sizesNeeded {
		return math.NaN()
	}
	return sum / n
}

// persistence expects no growth.
type persistence struct{}

func (persistence) expect(*series) (float64, bool) { return 0, true }
func (persistence) close(*series)                  {}
