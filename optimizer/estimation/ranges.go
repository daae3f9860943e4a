package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Names of the quantities whose ranges are kept.
const (
	rangeRunning = "running"
	rangeInput   = "inputTokens"
	rangeOutput  = "outputTokens"
)

// remembered is the number of observations over which the moments of the operating conditions are taken.
const remembered = 30

// attenuate takes a quantity measured with an error into a range, and returns what it most likely was: with reliability
//
//	ρ = max(0, 1 − error²/variance),  log x̂ = mean + ρ·(log x − mean),
//
// a scatter no wider than the measurement error counts for nothing. Without it a filter that sees one operating point for long takes the
// error of its inputs for a response of zero, and unlearns the slope that it was given.
//
// Regression calibration: Carroll, Ruppert, Stefanski & Crainiceanu, Measurement Error in Nonlinear Models, 2006, chapter 4.
func attenuate(r v1alpha1.OperatingRange, known bool, x, err float64) (v1alpha1.OperatingRange, float64) {
	l := math.Log(x)
	if !known {
		return v1alpha1.OperatingRange{Name: r.Name, Low: x, High: x, LogMean: l}, x
	}
	const w = 1.0 / remembered
	d := l - r.LogMean
	r.LogMean += w * d
	r.LogVariance = (1 - w) * (r.LogVariance + w*d*d)
	r.Low, r.High = min(r.Low, x), max(r.High, x)
	if r.LogVariance <= err*err {
		return r, math.Exp(r.LogMean)
	}
	return r, math.Exp(r.LogMean + (1-err*err/r.LogVariance)*(l-r.LogMean))
}

// attenuateAll returns the reading under its most likely conditions, and the ranges with it taken in.
func attenuateAll(ranges []v1alpha1.OperatingRange, r reading, o *Options) (reading, []v1alpha1.OperatingRange) {
	next := make([]v1alpha1.OperatingRange, 0, 3)
	one := func(name string, x *float64, err float64) {
		before, known := v1alpha1.OperatingRange{Name: name}, false
		for _, b := range ranges {
			if b.Name == name {
				before, known = b, true
			}
		}
		if !(*x > 0) { // not measured, or requests without a prompt
			if known {
				next = append(next, before)
			}
			return
		}
		before, *x = attenuate(before, known, *x, err)
		next = append(next, before)
	}
	one(rangeRunning, &r.running, o.RunningNoise)
	one(rangeInput, &r.input, o.TokensNoise)
	one(rangeOutput, &r.output, o.TokensNoise)
	return r, next
}
