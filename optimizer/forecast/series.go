package forecast

import "math"

const (
	// outageShare: a rate below this share of the one just before is an outage and not load, until it lasts. Load of many users that
	// falls by a factor of five does so over hours; a service that stops does so at once.
	outageShare = 0.2
	// outageNoise: where the usual step from window to window is above this (a share of the step of an outage, in logarithms), drops to
	// a fifth are ordinary, and no window is called an outage.
	outageNoise = 0.25
	// outageLimit is the number of low windows after which the low rate is the load, and is learned from.
	outageLimit = 36
	// leastReach and usualReach (in usual steps) are how far the rate of a window may be from the median of those before without being an
	// outlier; after two windows the median has followed.
	leastReach, usualReach = 0.4, 6
	// recent is the number of accepted windows whose median a rate is compared with.
	recent = 3
	// noiseSpan is the number of windows that the usual step is taken from.
	noiseSpan = 100
)

// series is the history of one server as windows of equal length, missing ones included. The newest window is open: set may change it until
// the next one is begun with advance.
type series struct {
	perDay  int     // windows in a day
	atom    float64 // requests/s: one request in a window
	horizon int     // windows

	// Per window: the logarithm of the rate to go on from (see level), and whether it was accepted: neither missing nor an outage.
	logs     []float64
	accepted []bool
	smooth   sums // of the accepted logarithms
	sobered  sums // the same, outliers cut

	verdict verdict // on the open window
	last    verdict // on the one before it
	steps   ordered // sizes of the steps between accepted windows
	fresh   []float64
}

// verdict on a window. level is the rate to go on from: what was seen, or the last one accepted while the window is missing or an outage
// that is young.
type verdict struct {
	level    float64
	accepted bool
	missing  bool
	low      int // windows that the outage has lasted
	patience int // windows of it that are waited for the load to return
}

func newSeries(perDay, horizon int, atom float64) *series {
	return &series{perDay: perDay, horizon: horizon, atom: atom, last: verdict{level: math.NaN()}}
}

// newest is the place of the open window.
func (s *series) newest() int { return len(s.logs) - 1 }

// log of a rate, and its inverse. One request per window is added, so that a window without requests has a logarithm, too.
func (s *series) log(rate float64) float64 { return math.Log(rate + s.atom) }

func (s *series) exp(log float64) float64 {
	if rate := math.Exp(log) - s.atom; rate > 1e-9*s.atom { // less is rounding
		return rate
	}
	return 0
}

// advance begins a window; it is missing until it is set.
func (s *series) advance() {
	if n := s.newest(); n >= 0 {
		s.close()
	}
	s.logs = append(s.logs, 0)
	s.accepted = append(s.accepted, false)
	s.set(math.NaN())
}

// set gives the open window a rate, NaN where it is missing.
func (s *series) set(rate float64) {
	n := s.newest()
	s.verdict = s.judge(rate)
	s.logs[n], s.accepted[n] = s.log(s.verdict.level), s.verdict.accepted
	x, y := math.NaN(), math.NaN()
	if s.accepted[n] {
		x, y = s.logs[n], s.sober()
	}
	s.smooth.set(n, x)
	s.sobered.set(n, y)
}

// odd tells whether the newest rate is as far above those just before as an outage is below.
func (s *series) odd() bool {
	return len(s.fresh) == recent && outageShare*s.exp(s.logs[s.newest()]) > median3(s.fresh)
}

// sober is the logarithm of the newest rate within reach of those just before: what a spike is counted as where the past is learned from.
func (s *series) sober() float64 {
	x := s.logs[s.newest()]
	if len(s.fresh) < recent {
		return x
	}
	reach := leastReach
	if s.steps.len() >= recent {
		reach = max(reach, usualReach*s.steps.quantile(0.5))
	}
	middle := s.log(median3(s.fresh))
	return min(max(x, middle-reach), middle+reach)
}

func (s *series) close() {
	n := s.newest()
	s.last = s.verdict
	if !s.last.accepted {
		return
	}
	if k := len(s.fresh); k > 0 {
		s.steps.add(n, math.Abs(s.logs[n]-s.log(s.fresh[k-1])))
		s.steps.forget(s.steps.queue[max(0, s.steps.len()-noiseSpan)].at)
	}
	s.fresh = append(s.fresh, s.last.level)
	if len(s.fresh) > recent {
		s.fresh = s.fresh[1:]
	}
}

func (s *series) judge(rate float64) verdict {
	v := s.last
	v.accepted, v.missing = false, math.IsNaN(rate)
	switch {
	case v.missing:
	case !s.isLow(rate):
		v = verdict{level: rate, accepted: true}
	default:
		if v.low == 0 {
			v.patience = s.patience()
		}
		if v.low++; v.low > v.patience {
			v.level = rate
		}
	}
	return v
}

func (s *series) isLow(rate float64) bool {
	if len(s.fresh) < recent || s.last.low >= outageLimit || rate >= outageShare*median3(s.fresh) {
		return false
	}
	return s.steps.len() < recent || s.steps.quantile(0.5) < -math.Log(outageShare)*outageNoise
}

// patience is how many windows of an outage are waited for the load to return. To go on from the old rate through k windows costs k·(1−q)
// in pinball loss, to be caught by the return costs q: waiting about as long as the horizon is never much worse than the better of both.
// The first window after missing ones is often counted in part only.
func (s *series) patience() int {
	if s.last.missing {
		return max(s.horizon/2, 1)
	}
	return s.horizon / 2
}

func median3(x []float64) float64 {
	a, b, c := x[0], x[1], x[2]
	return max(min(a, b), min(max(a, b), c))
}
