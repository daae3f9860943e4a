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

// expert turns what a method expects into a quantile: the same quantile of the errors it has made lately; where scaled, of the errors
// relative to how large they were in the last windows and at this time of past days.
type expert struct {
	scaled bool

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
	e.open.centre, e.open.scale = centre, 1
	if e.scaled {
		e.open.scale = e.volatility(s)
	}
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

const (
	// Windows whose errors say how volatile the present is, and what the long-term size of errors weighs against them, in windows.
	volatilitySpan, volatilityPrior = 18, 12
	// The same for this time of past days: windows to either side, and the prior.
	dailySpan, dailyPrior = 4, 18
	// sizesNeeded is the number of errors below which their size is not known.
	sizesNeeded = 20
	// leastSize keeps the scale of a series without any noise above zero.
	leastSize = 1e-6
)

// volatility is the size of error to be expected now: the geometric mean of those of the last hours and of this time of past days, both
// shrunk towards the long-term mean.
func (e *expert) volatility(s *series) float64 {
	t := s.newest()
	known := t - s.horizon
	sum, n := e.size.over(known-residualSpan, known)
	if n < sizesNeeded {
		return math.NaN()
	}
	mean := sum / n
	lately, n := e.size.over(t-s.horizon-volatilitySpan, known)
	now := (lately + volatilityPrior*mean) / (n + volatilityPrior)
	daily, days := 0.0, 0.0
	for d := 1; d <= daysBack; d++ {
		j := t - d*s.perDay
		if j-dailySpan < 0 {
			break
		}
		sum, n := e.size.over(j-dailySpan, min(j+dailySpan+1, known))
		daily, days = daily+sum, days+n
	}
	daily = (daily + dailyPrior*mean) / (days + dailyPrior)
	return math.Sqrt(now*daily) + leastSize
}

// persistence expects no growth.
type persistence struct{}

func (persistence) expect(*series) (float64, bool) { return 0, true }
func (persistence) close(*series)                  {}
