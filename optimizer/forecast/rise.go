package forecast

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/llm-inferno/inferno/optimizer/chance"
)

const (
	// recentSamples are kept: enough to average chance out.
	// Tuned: samples; measured by the scenarios ramp, short and flash-crowd;
	// at half: no difference, 1 % less cost of ramp; at twice: no difference
	recentSamples = 20
	// riseSamples is the number of samples that a rise is seen in: few, for the next pod is ordered minutes before it is needed.
	// Tuned: samples; measured by the scenarios ramp, flash-crowd and short;
	// at half: 99.3 % of flash-crowd, after 99.6 (with 3 of them, the fewest that a slope has); at twice: 98.1, 97.9 and 96.5 %, after 99.4, 99.6 and 99.6
	riseSamples = 4
	// riseLimit bounds what is expected, in multiples of the present rate: a flash crowd rises steeply, but not for long.
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd;
	// at half: 95.4, 93.7 and 96.8 %, after 99.4, 99.6 and 99.6; at twice: no difference
	riseLimit = 2
	// leastDispersion of counts in a window over those of Poisson arrivals, for arrivals of many users that come in bursts.
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd;
	// at half: no difference in attainment, 17 % more cost of short; at twice: 99.0 % of short, 11 % less cost of ramp
	leastDispersion = 2
	// overlap is by how much more means vary over windows that share half of their time.
	// Exact: each arrival is in two of them.
	overlap = 2
)

// Samples are the last few rates of a server as they were measured, oldest first.
type Samples []Sample

// Recent appends a sample to those that [Level] and [Rise] look at. The given ones are not written to.
func Recent(samples Samples, s Sample) Samples {
	s = s.Rounded()
	if n := len(samples); !s.sound() || n > 0 && s.Time <= samples[n-1].Time {
		return samples
	}
	from := max(0, len(samples)-recentSamples+1)
	return append(append(make(Samples, 0, recentSamples), samples[from:]...), s)
}

// Rounded to the millisecond and six digits is how samples are written.
func (s Sample) Rounded() Sample { return Sample{Time: decimals(s.Time, 3), Rate: digits(s.Rate, 6)} }

// digits rounds to so many.
func digits(x float64, n int) float64 { return rounded(x, 'g', n) }

// decimals rounds to so many.
func decimals(x float64, n int) float64 { return rounded(x, 'f', n) }

func rounded(x float64, format byte, n int) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, format, n, 64), 64)
	return y
}

// MarshalJSON writes a list of numbers: time and rate of the first sample, and of each that follows how much later it is, in seconds, and its rate.
func (s Samples) MarshalJSON() ([]byte, error) {
	list := make([]float64, 0, 2*len(s))
	last := 0.0
	for _, x := range s {
		list, last = append(list, decimals(x.Time-last, 3), x.Rate), x.Time
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Samples) UnmarshalJSON(data []byte) error {
	var list []float64
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list)%2 != 0 {
		return fmt.Errorf("%d numbers are no samples, want a time and a rate for each", len(list))
	}
	*s = nil
	last := 0.0
	for i := 0; i < len(list); i += 2 {
		last = decimals(last+list[i], 3)
		x := Sample{Time: last, Rate: list[i+1]}
		if !x.sound() {
			return fmt.Errorf("sample %d: time %v and rate %v, want within ±%g and 0 to %g", i/2, x.Time, x.Rate, maxTime, maxRate)
		}
		*s = append(*s, x)
	}
	return nil
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
		deviation := math.Sqrt(dispersion * max(mean, recent[i].Rate) / window)
		if chance.Exceeded(recent[i].Rate-mean, deviation) {
			break
		}
		sum, count = sum+recent[i].Rate, count+1
	}
	return sum / count
}

// Rise is the rate to be expected so many seconds after the last of the recent samples, each a mean over a window of the given seconds, if load
// goes on rising as it does: the last rate plus the slope times the time to come and half a window, for a mean lags behind, and at most twice that. It is NaN
// where the slope is not above chance (see [Level]): a last rate that is high by chance is no load to size for. A rise is expected
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
		return math.NaN()
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
	deviation := math.Sqrt(max(dispersion, leastDispersion) * overlap * r / window / tt)
	if !(slope > 0) || !chance.Exceeded(slope, deviation) {
		return math.NaN()
	}
	seen := recent[n-1].Time - recent[0].Time + window
	return min(last+slope*min(horizon+window/2, seen), riseLimit*last)
}
