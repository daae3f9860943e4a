package forecast

import "math"

const (
	// outageShare: a rate below this share of the one just before is an outage and not load, until it lasts. Load of many users that
	// falls by a factor of five does so over hours; a service that stops does so at once.
	// Tuned: share; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference; at twice: 0.70, 0.70, 0.65, and Holt on bursts 2.2 after 1.5, which it takes for outages
	outageShare = 0.2
	// outageLimit is the number of low windows after which the low rate is the load, and is learned from.
	// Tuned: windows; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference, and outages of half the length are learned; at twice: no difference, and a lasting drop is followed twice as late
	outageLimit = 36
	// reach is how far the rate of a window may be from the median of those before without being an outlier; after two windows the median has
	// followed.
	// Tuned: logarithm; guard against a spike that seasons and regressions learn for a week: half and twice of it make no difference to
	// TestAdaptiveOnProductionLoad
	reach = 0.4
	// recent is the number of accepted windows whose median a rate is compared with.
	// Exact: the fewest whose median one outlier does not move; median3 takes so many.
	recent = 3

	// leastRate in requests per window: less is what rounding leaves of nothing.
	// Tuned: requests; guard against a rate that is nothing but rounding
	leastRate = 0.002
	// longSlope is the number of windows in the longest mean that slopes are taken from.
	// Tuned: windows; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.70, 0.67; at twice: 0.70, 0.70, 0.69
	longSlope = 18
	// fineGrain of the logarithms of those windows, in steps of 0.1 %.
	// Tuned: 1 a logarithm; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference; at twice: no difference, and a bit more for each window and each hour of a season
	fineGrain = 1024
	// coarseGrain of those of past hours, which are means over some, in steps of 0.4 %.
	// Tuned: 1 a logarithm; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference; at twice: no difference, and a bit more for each hour of a week
	coarseGrain = 256
	// hour in seconds: past days are remembered by their hours.
	// Exact: an hour has so many seconds.
	hour = 3600
	// keptHours of the past.
	// Exact: those of a week and one more.
	keptHours = daysBack*hours + 1
)

// series is what is remembered of the rates of one server in windows of equal length, missing ones included.
type series struct {
	window  float64 // s
	verdict verdict // on the last window that was closed

	fresh []float64 // rates of the last accepted windows
	// lately are the logarithms of the last windows, missing where they were not accepted.
	lately []int32
	// past are the means of the logarithms of past hours, outliers cut; the hour that is not over yet is summed up.
	past       []int32
	sum, count float64
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

func (s *series) atom() float64 { return 1 / s.window } // requests/s: one request in a window

// log of a rate, and its inverse. One request per window is added, so that a window without requests has a logarithm, too.
func (s *series) log(rate float64) float64 { return math.Log(rate + s.atom()) }

func (s *series) exp(log float64) float64 {
	if rate := math.Exp(log) - s.atom(); rate > leastRate*s.atom() {
		return min(rate, math.MaxFloat32)
	}
	return 0
}

// view is the newest window, which is open, after those before it.
type view struct {
	*series
	verdict
	at    int     // the window, since the epoch
	log   float64 // of its level
	steps int     // windows in the horizon
}

// look at the open window with the rate that it has so far, NaN where it is missing.
func (s *series) look(at int, rate float64, steps int) view {
	v := view{series: s, verdict: s.judge(rate, steps), at: at, steps: steps}
	v.log = s.log(v.verdict.level)
	return v
}

// odd tells whether the newest rate is as far above those just before as an outage is below.
func (v *view) odd() bool {
	return len(v.fresh) == recent && outageShare*v.level > median3(v.fresh)
}

// sober is the logarithm of the newest rate within reach of those just before: what a spike is counted as where the past is learned from.
func (v *view) sober() float64 {
	if len(v.fresh) < recent {
		return v.log
	}
	middle := v.series.log(median3(v.fresh))
	return min(max(v.log, middle-reach), middle+reach)
}

// close ends the window that is looked at.
func (v *view) close() {
	s := v.series
	s.verdict = v.verdict
	place := int32(missing)
	if v.accepted {
		place = grain(v.log, fineGrain)
		s.sum += v.sober()
		s.count++
		s.follow(v)
	}
	s.lately = append(s.lately, place)
	s.lately = s.lately[max(0, len(s.lately)-longSlope+1):]
	if s.hourOf(v.at+1) > s.hourOf(v.at) {
		s.closeHour()
	}
}

// follow an accepted window.
func (s *series) follow(v *view) {
	s.fresh = append(s.fresh, v.level)
	s.fresh = s.fresh[max(0, len(s.fresh)-recent):]
}

// hourOf is the hour that a window is in, by its middle.
func (s *series) hourOf(window int) float64 { return math.Floor(s.place(window) + 0.5) }

// place of the middle of a window among the middles of hours.
func (s *series) place(window int) float64 { return (float64(window)+0.5)*s.window/hour - 0.5 }

// closeHour ends an hour. No window is longer.
func (s *series) closeHour() {
	mean := int32(missing)
	if s.count > 0 {
		mean = grain(s.sum/s.count, coarseGrain)
	}
	s.past = append(s.past, mean)
	s.past = s.past[max(0, len(s.past)-keptHours):]
	s.sum, s.count = 0, 0
}

// then is the logarithm of the rate in a window some time ago, between the hours around it.
func (v *view) then(window int) (float64, bool) {
	place := v.place(window)
	low := math.Floor(place)
	newest := v.hourOf(v.at) - 1
	if low+1 > newest {
		return 0, false
	}
	a, before := v.hourMean(int(newest - low))
	b, after := v.hourMean(int(newest - low - 1))
	switch share := place - low; {
	case before && after:
		return a + share*(b-a), true
	case before:
		return a, true
	default:
		return b, after
	}
}

// hourMean is that of the hour so many before the newest that is over.
func (s *series) hourMean(back int) (float64, bool) {
	i := len(s.past) - 1 - back
	if i < 0 || s.past[i] == missing {
		return 0, false
	}
	return float64(s.past[i]) / coarseGrain, true
}

// mean of the logarithms of the last windows, the open one included, and whether there is any.
func (v *view) mean(windows int) (float64, bool) {
	sum, n := 0.0, 0.0
	if v.accepted {
		sum, n = v.log, 1
	}
	for _, x := range v.lately[max(0, len(v.lately)-windows+1):] {
		if x != missing {
			sum, n = sum+float64(x)/fineGrain, n+1
		}
	}
	return sum / n, n > 0
}

func grain(x, grain float64) int32 { return int32(math.Round(x * grain)) }

func (s *series) judge(rate float64, steps int) verdict {
	v := s.verdict
	v.accepted, v.missing = false, math.IsNaN(rate)
	switch {
	case v.missing:
	case !s.isLow(rate):
		v = verdict{level: rate, accepted: true}
	default:
		if v.low == 0 {
			v.patience = s.patience(steps)
		}
		if v.low++; v.low > v.patience {
			v.level = rate
		}
	}
	return v
}

func (s *series) isLow(rate float64) bool {
	return len(s.fresh) >= recent && s.verdict.low < outageLimit && rate < outageShare*median3(s.fresh)
}

// patience is how many windows of an outage are waited for the load to return. To go on from the old rate through k windows costs k·(1−q)
// in pinball loss, to be caught by the return costs q: waiting about as long as the horizon is never much worse than the better of both.
// The first window after missing ones is often counted in part only.
func (s *series) patience(steps int) int {
	if s.verdict.missing {
		return max(steps/2, 1)
	}
	return steps / 2
}

func median3(x []float64) float64 {
	a, b, c := x[0], x[1], x[2]
	return max(min(a, b), min(max(a, b), c))
}

func (s *series) walk(c *codec) {
	v := &s.verdict
	c.number(&v.level)
	c.check(v.level >= 0 && v.level <= 2*maxRate)
	c.whole(&v.low, outageLimit)
	c.whole(&v.patience, longestHorizon)
	c.flag(&v.missing)
	length(c, &s.fresh, recent)
	for i := range s.fresh {
		c.number(&s.fresh[i])
		c.check(s.fresh[i] >= 0 && s.fresh[i] <= 2*maxRate)
	}
	c.curve(&s.lately, longSlope-1)
	c.curve(&s.past, keptHours)
	c.number(&s.sum)
	c.number(&s.count)
}
