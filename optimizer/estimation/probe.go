package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Uncertainty is the standard deviation of the logarithm of ITL at a point, to first order, by what is not known of the parameters: 0.1 is
// 10 %. It is 0 for performance without a covariance, and an error where the point or the performance is not allowed.
func Uncertainty(p jsonspec.Performance, at Point) (float64, error) {
	s, err := newSurface(p, at)
	if err != nil {
		return 0, err
	}
	return math.Sqrt(s.covariance(at, at)), nil
}

// Unsure says that a standard deviation of log ITL is one for which a probe may be worth its disturbance.
func Unsure(sd float64) bool { return sd >= tolerable }

// Probe is a suggestion: to let so many requests run on a replica for one window would make ITL at the point that matters better known.
type Probe struct {
	// Running requests per replica: a batch size to set, or a share of the load to give it.
	Running float64
	// Before and After are the standard deviations of the logarithm of ITL at the point that matters.
	Before, After float64
}

const (
	// tolerable is the uncertainty of ITL below which a probe is not worth its disturbance.
	//
	// Tuned: logarithm; measured by TestProbingShowsWhatOnePointDoesNot, where it is 0.166; at half: no difference; at twice: its probe is not made
	tolerable = 0.15
	// worth is the least share of it that a probe must take away.
	//
	// Tuned: share; measured by TestProbingShowsWhatOnePointDoesNot; at half: no difference; at twice: its probe is not made
	worth = 0.3
)

// SuggestProbe looks for the number of running requests, from 1 to most, whose ITL would tell most about the ITL at a point. ok is false
// where that is known well enough, or no probe would tell much: the point itself is where the replica is now, or the directions that
// matter cannot be seen from here. With a and b the gradients of log ITL at the point and at the probe, P the covariance and r the noise of
// one window, what remains is aᵀPa − (aᵀPb)²/(bᵀPb + r).
func SuggestProbe(p jsonspec.Performance, at Point, most float64) (probe Probe, ok bool) {
	var tries []float64
	for n := 1.0; n <= most; n *= 2 {
		tries = append(tries, n)
	}
	return bestProbe(p, at, tries)
}

// WorthProbing says what letting so many requests run would tell of the ITL at a point; ok is false where that is not worth it.
func WorthProbing(p jsonspec.Performance, at Point, running float64) (probe Probe, ok bool) {
	return bestProbe(p, at, []float64{running})
}

// bestProbe is the one among the tries after which least remains unknown.
func bestProbe(p jsonspec.Performance, at Point, tries []float64) (probe Probe, ok bool) {
	s, err := newSurface(p, at)
	if err != nil {
		return Probe{}, false
	}
	before := s.covariance(at, at)
	if !Unsure(math.Sqrt(before)) {
		return Probe{}, false
	}
	o := DefaultOptions()
	noise := square(o.ITLNoise) + square(o.RunningNoise) // ITL grows at most as the batch does
	best := Probe{Before: math.Sqrt(before), After: math.Sqrt(before)}
	for _, n := range tries {
		if !(n > 0) {
			continue
		}
		there := at
		there.Running = n
		left := before - square(s.covariance(at, there))/(s.covariance(there, there)+noise)
		if after := math.Sqrt(max(0, left)); after < best.After*(1-1e-6) {
			best.Running, best.After = n, after
		}
	}
	return best, best.After < (1-worth)*best.Before
}
