package forecast

import (
	"math"
	"slices"
)

const (
	// residualSpan is the number of windows that errors are remembered for, on average: enough for the 99th percentile and short enough to follow a
	// change of volatility.
	// Tuned: windows; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.71, 0.72, 0.69; at twice: 0.70, 0.70, 0.66 at 250, and a byte more for each count above
	residualSpan = 200
	// residualsNeeded is the number of past errors below which an expert does not speak.
	// Tuned: errors; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference, the first hour more; at twice: 0.70, 0.70, 0.67
	residualsNeeded = 10

	// latelySpan is the mean age of the errors that say how volatile the present is.
	// Tuned: windows; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.71, 0.67; at twice: 0.72, 0.71, 0.67
	latelySpan = 5
	// latelyPrior is what the long-term size of errors weighs in it.
	// Tuned: share; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.71, 0.68; at twice: 0.71, 0.70, 0.66
	latelyPrior = 0.4
	// newDay is what the errors of a new day weigh against those at the same hour of the days before.
	// Tuned: share; measured by TestAdaptiveKnowsTheDayOfTheWeek;
	// at half: 0.28 at 2 h on office hours, after 0.25; at twice: 0.28 at 2 h on office hours, after 0.27
	newDay = 0.25
	// sizesNeeded is the number of errors below which their size is not known.
	// Tuned: errors; measured by TestAdaptiveOnProductionLoad;
	// at half: 0.70, 0.70, 0.66; at twice: 0.70, 0.71, 0.67
	sizesNeeded = 20
	// leastSize keeps the scale of a series without any noise above zero.
	// Tuned: logarithm; guard against a division by zero
	leastSize = 1e-6
	// hours of the day.
	// Exact: a day has so many.
	hours = 24
	// shareGrain is how fine the share of the size of errors is that is remembered of each.
	// Tuned: 1; measured by TestAdaptiveOnProductionLoad;
	// at half: no difference; at twice: no difference, and a bit more for each hour
	shareGrain = 32
	// mostShare that is remembered.
	// Tuned: 1; guard against an hour whose errors were nothing before: half and twice of it make no difference
	mostShare = 100
)

// voice turns what a method expects into quantiles: the same quantile of the errors it has made lately, each relative to the size of error that was
// to be expected. There are several ideas of that size, each of them an expert.
type voice struct {
	size   mean // of the method's errors, without sign
	lately mean // of the last of them
	// daily is the size at an hour of the day, as a share of size; missing where nothing is known. The hour that is not over yet is summed up.
	daily      []int32
	hour       int
	sum, count float64
	experts    []expert
}

// expert is a voice with an idea of the size of errors: constant, that of the last hours, or that at this hour of past days.
type expert struct {
	errors ranks
	loss   float64
}

// Ideas of the size of errors.
const (
	constant = iota
	lately
	daily
	ideas
)

func newVoice(ideas int) voice {
	v := voice{experts: make([]expert, ideas), hour: -1}
	if ideas > daily {
		v.daily = slices.Repeat([]int32{missing}, hours)
	}
	return v
}

// opinion on a window. All in logarithms of the growth; NaN where there is none.
type opinion struct {
	centre         float64
	scales, uppers [ideas]float64
}

// opinion on the window at a time of day, in hours, from what the method expects, NaN where it is silent.
func (v *voice) opinion(centre, hour, quantile float64) opinion {
	o := opinion{centre: centre, scales: [ideas]float64{v.size.value + leastSize, math.NaN(), math.NaN()}}
	if v.size.n >= sizesNeeded {
		o.scales[lately] = v.lately.value + latelyPrior*(v.size.value-v.lately.value) + leastSize
		o.scales[daily] = v.size.value*v.share(hour) + leastSize
	}
	seen := &v.experts[constant].errors
	for i := range o.uppers {
		o.uppers[i] = math.NaN()
		if i >= len(v.experts) || v.experts[i].errors.n < residualsNeeded {
			continue
		}
		margin := o.scales[i] * v.experts[i].errors.quantile(quantile)
		if i != constant {
			// However volatile the present is, a forecast further out than any outcome yet is an extrapolation.
			margin = min(max(margin, o.scales[constant]*seen.quantile(0)), o.scales[constant]*seen.quantile(1))
		}
		o.uppers[i] = centre + margin
	}
	return o
}

// share is the size of errors at a time of day over that of all, between those of the hours around it.
func (v *voice) share(hour float64) float64 {
	if v.daily == nil {
		return 1
	}
	low := math.Floor(hour - 0.5)
	known := func(h float64) float64 {
		return shareAt(v.daily[(int(h)+hours)%hours])
	}
	a, b := known(low), known(low+1)
	return a + (hour-0.5-low)*(b-a)
}

// shareAt is a share as it is remembered; 1 where nothing is.
func shareAt(x int32) float64 {
	if x == missing {
		return 1
	}
	return max(0, float64(x)/shareGrain)
}

// learn from the growth that followed an opinion on a window at a time of day; turn shares out what is forgotten.
func (v *voice) learn(o opinion, growth, hour float64, turn, span int) {
	e := growth - o.centre
	if math.IsNaN(e) {
		return
	}
	v.learnHour(int(hour), math.Abs(e))
	v.size.add(math.Abs(e), float64(span))
	v.lately.add(math.Abs(e), latelySpan)
	o.scales[constant] = v.size.value + leastSize
	for i := range v.experts {
		if r := e / o.scales[i]; !math.IsNaN(r) {
			v.experts[i].errors.add(r, span, turn)
		}
	}
}

func (v *voice) learnHour(hour int, size float64) {
	if v.daily == nil {
		return
	}
	if hour != v.hour && v.count > 0 && v.size.value > 0 {
		was, now := shareAt(v.daily[v.hour]), v.sum/v.count/v.size.value
		v.daily[v.hour] = grain(min(was+newDay*(now-was), mostShare), shareGrain)
		v.sum, v.count = 0, 0
	}
	v.hour = hour
	v.sum, v.count = v.sum+size, v.count+1
}

// rescale for errors of another size.
func (v *voice) rescale(factor float64) {
	v.size.value *= factor
	v.lately.value *= factor
	v.sum *= factor
}

func (v *voice) walk(c *codec) {
	v.size.walk(c)
	v.lately.walk(c)
	for i := range v.experts {
		v.experts[i].errors.walk(c)
		c.number(&v.experts[i].loss)
		c.check(v.experts[i].loss >= 0)
	}
	if v.daily == nil {
		return
	}
	c.curve(&v.daily, hours)
	c.check(len(v.daily) == hours)
	hour := v.hour + 1
	c.whole(&hour, hours)
	v.hour = hour - 1
	c.number(&v.sum)
	c.number(&v.count)
	c.check(v.sum >= 0 && v.count >= 0 && (v.hour >= 0 || v.count == 0))
}

// pinball is the loss of a quantile forecast: q per unit of rate above it, 1−q per unit below.
func pinball(rate, forecast, q float64) float64 {
	return max(q*(rate-forecast), (1-q)*(forecast-rate))
}
