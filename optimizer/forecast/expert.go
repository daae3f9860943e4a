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
	scale scale

	past   []opinion
	open   opinion
	size   sums    // of the errors, without sign, by the window they were made in
	errors ordered // relative to their scale
}

// opinion on a window. All in logarithms of the growth; NaN where there is none.
type opinion struct {
	centre, scale, upper float64
}

var silent = opinion{math.NaN(), math.NaN(), math.NaN()}

// look forms an opinion on the newest window from what the method expects, NaN where it is silent.
func (e *expert) look(s *series, centre, quantile float64) opinion {
	e.open = silent
	if math.IsNaN(centre) {
		return silent
	}
	e.open.centre, e.open.scale = centre, e.scale(e, s)
	if e.errors.len() >= residualsNeeded && !math.IsNaN(e.open.scale) {
		e.open.upper = centre + e.open.scale*e.errors.quantile(quantile)
	}
	return e.open
}

// close ends a window and learns from the error of the forecast that was made for it.
func (e *expert) close(s *series) {
	e.past = append(e.past, e.open)
	t := s.newest()
	if j := t - s.horizon; j >= 0 {
		o, err := e.past[j], math.NaN()
		if s.accepted[t] && s.accepted[j] {
			err = s.logs[t] - s.logs[j] - o.centre
		}
		e.size.set(j, math.Abs(err))
		if r := err / o.scale; !math.IsNaN(r) {
			e.errors.add(j, r)
		}
		e.errors.forget(j - residualSpan)
	}
}

// scale is the size of error to be expected of an expert in the newest window, in any unit; NaN while it is not known.
type scale func(e *expert, s *series) float64

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
func constant(*expert, *series) float64 { return 1 }

// plain are the scales of the textbook.
var plain = []scale{constant}

// lately takes the size of errors to be that of the last hours, shrunk towards the long-term mean.
func lately(e *expert, s *series) float64 {
	mean := e.meanSize(s)
	sum, n := e.size.over(s.newest()-s.horizon-latelySpan, s.newest()-s.horizon)
	return (sum+latelyPrior*mean)/(n+latelyPrior) + leastSize
}

// daily takes the size of errors to be that at this time of past days, shrunk towards the long-term mean.
func daily(e *expert, s *series) float64 {
	mean, t := e.meanSize(s), s.newest()
	sum, n := 0.0, 0.0
	for d := 1; d <= daysBack; d++ {
		j := t - d*s.perDay
		more, k := e.size.over(j-dailySpan, min(j+dailySpan+1, t-s.horizon))
		sum, n = sum+more, n+k
	}
	return (sum+dailyPrior*mean)/(n+dailyPrior) + leastSize
}

// meanSize is the long-term mean size of errors.
func (e *expert) meanSize(s *series) float64 {
	known := s.newest() - s.horizon
	sum, n := e.size.over(known-residualSpan, known)
	if n < sizesNeeded {
		return math.NaN()
	}
	return sum / n
}

// persistence expects no growth.
type persistence struct{}

func (persistence) expect(*series) (float64, bool) { return 0, true }
func (persistence) close(*series)                  {}
