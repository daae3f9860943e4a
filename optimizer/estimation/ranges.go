package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Names of the quantities whose ranges are kept.
const (
	rangeRunning  = "running"
	rangeArrivals = "arrivalRate"
	rangeInput    = "inputTokens"
	rangeOutput   = "outputTokens"
)

// remembered is the number of observations over which the moments of the operating conditions are taken.
const remembered = 30

// attenuate takes a quantity that is measured with an error into a range, and returns what it most likely was:
//
//	log x̂ = mean + reliability · (log x − mean),
//
// where reliability is the share of the variance that is not the error's. Without it a filter that sees one operating point for long takes
// the errors of its inputs for a response of zero, and unlearns the slope that it was given.
//
// Regression calibration: Carroll, Ruppert, Stefanski & Crainiceanu, Measurement Error in Nonlinear Models, 2006, chapter 4.
func attenuate(r v1alpha1.OperatingRange, known bool, x float64, reliability func(variance float64) float64) (v1alpha1.OperatingRange, float64) {
	l := math.Log(x)
	if !known {
		return v1alpha1.OperatingRange{Name: r.Name, Low: x, High: x, LogMean: l}, x
	}
	const w = 1.0 / remembered
	d := l - r.LogMean
	r.LogMean += w * d
	r.LogVariance = (1 - w) * (r.LogVariance + w*d*d)
	r.Low, r.High = min(r.Low, x), max(r.High, x)
	return r, math.Exp(r.LogMean + reliability(r.LogVariance)*(l-r.LogMean))
}

// always is the reliability of a quantity whose error has the same variance in each observation: a scatter no wider counts for nothing.
func always(sd float64) func(float64) float64 {
	return func(variance float64) float64 {
		if variance <= sd*sd {
			return 0
		}
		return 1 - sd*sd/variance
	}
}

// once is the reliability of a quantity in an observation whose error has the given variance, among others with smaller ones.
func once(err float64) func(float64) float64 {
	return func(variance float64) float64 {
		if variance == 0 {
			return 0
		}
		return variance / (variance + err)
	}
}

// attenuateAll returns the reading under its most likely conditions, and the ranges with it taken in.
func attenuateAll(ranges []v1alpha1.OperatingRange, r reading, o *Options) (reading, []v1alpha1.OperatingRange) {
	next := make([]v1alpha1.OperatingRange, 0, 4)
	one := func(name string, x *float64, reliability func(float64) float64) {
		before, known := v1alpha1.OperatingRange{Name: name}, false
		for _, b := range ranges {
			if b.Name == name {
				before, known = b, true
			}
		}
		if *x > 0 { // measured
			before, *x = attenuate(before, known, *x, reliability)
			known = true
		}
		if known {
			next = append(next, before)
		}
	}
	running, arrivals := r.running, r.rate
	if !math.IsNaN(running) {
		arrivals = math.NaN()
	}
	one(rangeRunning, &running, always(o.RunningNoise))
	one(rangeArrivals, &arrivals, once(r.batchNoise))
	r.running = running
	if math.IsNaN(running) {
		r.rate = arrivals
	}
	one(rangeInput, &r.input, always(o.TokensNoise))
	one(rangeOutput, &r.output, always(o.TokensNoise))
	return r, next
}
