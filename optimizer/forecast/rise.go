package forecast

import "math"

const (
	// recentSamples are kept: enough to average chance out.
	recentSamples = 20
	// levelChance is how many standard deviations of chance a sample may lie from the mean of those after it to be of the same load.
	levelChance = 2.5
	// riseSamples is the number of samples that a rise is seen in: few, for the next pod is ordered minutes before it is needed.
	riseSamples = 4
	// riseChance is how many standard errors a rise must be above chance.
	riseChance = 3
	// riseLimit bounds what is expected, in multiples of the present rate: a flash crowd rises steeply, but not for long.
	riseLimit = 2
	// leastDispersion of counts in a window over those of Poisson arrivals, for arrivals of many users that come in bursts, and overlap that of
	// means over windows that share half of their time.
	leastDispersion, overlap = 2, 2
)

// Recent appends a sample to those that [Level] and [Rise] look at. The given ones are not written to.
func Recent(samples []Sample, s Sample) []Sample {
	if n := len(samples); !s.sound() || n > 0 && s.Time <= samples[n-1].Time {
		return samples
	}
	from := max(0, len(samples)-recentSamples+1)
	return append(append(make([]Sample, 0, recentSamples), samples[from:]...), s)
}

// Level is the rate of the load that is there now: the mean of the recent samples, each over a window of the given seconds, back to the first
// that differs from those after it by more than chance. So what is noise is averaged out, and a step is followed at once. NaN without a sample.
// Chance is as large as arrivals are dispersed: the variance of their number in a window over its mean; 0 where that is not known.
func Level(recent []Sample, window, dispersion float64) float64 {
	n := len(recent)
	if n == 0 {
		return math.NaN()
	}
	dispersion = max(dispersion, leastDispersion)
	sum, count := recent[n-1].Rate, 1.0
	for i := n - 2; i >= 0; i-- {
		mean := sum / count
		chance := math.Sqrt(dispersion * max(mean, recent[i].Rate) / window)
		if !(math.Abs(recent[i].Rate-mean) <= levelChance*chance) {
			break
		}
		sum, count = sum+recent[i].Rate, count+1
	}
	return sum / count
}

// Rise is the rate to be expected so many seconds after the last of the recent samples, each a mean over a window of the given seconds, if load
// goes on rising as it does: the last rate plus the slope times the time to come and half a window, for a mean lags behind. It is the last rate
// where the slope is not above chance (see [Level]), and at most twice that. A rise is expected
// to go on for as long as it has been seen, no longer: how old something is, is all that is known of how long it will last (Gott, Implications of
// the Copernican principle, Nature 363, 1993).
//
// Forecasters look at windows of minutes and learn from days. What multiplies within minutes is in no season; it is seen here or not at all.
func Rise(recent []Sample, window, horizon, dispersion float64) float64 {
	recent = recent[max(0, len(recent)-riseSamples):]
	n := len(recent)
	if n == 0 {
		return math.NaN()
	}
	last := recent[n-1].Rate
	if n < 3 || !(window > 0) || !(horizon >= 0) {
		return last
	}
	var t, r float64
	for _, s := range recent {
		t, r = t+s.Time/float64(n), r+s.Rate/float64(n)
	}
	var tt, tr float64
	for _, s := range recent {
		tt += (s.Time - t) * (s.Time - t)
		tr += (s.Time - t) * (s.Rate - r)
	}
	slope := tr / tt
	if chance := math.Sqrt(max(dispersion, leastDispersion) * overlap * r / window / tt); !(slope > riseChance*chance) {
		return last
	}
	seen := recent[n-1].Time - recent[0].Time + window
	return min(last+slope*min(horizon+window/2, seen), riseLimit*last)
}
