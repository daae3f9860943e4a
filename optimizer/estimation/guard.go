package estimation

import "math"

const (
	// reluctance is how many standard deviations sure it must be that a prediction gets no worse by leaving what was given: 90 %.
	//
	// Tuned: standard deviations; derived from a probability of 90 % in one tail of the normal distribution, measured by TestOneOperatingPointForLong; at half:
	// a mean error of wrong priors elsewhere of 9.4 and 15.9 % after 12.5 and 19.6, but one worse by 24.8 points, after 3.9; at twice: 17.8 and 21.4 %
	reluctance = 1.2816
	// indifference is by how much, as a logarithm, a prediction may get worse than what was given.
	//
	// Tuned: logarithm; measured by TestOneOperatingPointForLong; at half: a mean error of wrong priors elsewhere of 13.6 and 20.3 % after 12.5 and 19.6, none
	// worse by more than 1.9 points, after 3.9; at twice: 10.7 and 18.2 %, worse by up to 7.9 points
	indifference = 0.03
)

// guarded is how far a logarithm is moved from what was given by what was learned, where that is likeliest to be delta away, known to a
// standard deviation sd.
//
// One operating point shows one combination of parameters. What that says of another point is the likeliest, but where errors of what was
// given happen to cancel out there, any correction makes it worse. Moved by a in the direction of delta, it is worse than given by more than ε
// where the truth t, normal around delta, is below (a − ε)/2. For that to have a probability of 10 % at most,
//
//	a = min(delta, max(ε, 2·(delta − 1.28·sd) + ε)).
//
// So a point that is well known is moved all the way, one that was never seen by what is certain of it, or hardly.
func guarded(delta, sd float64) float64 {
	size := math.Abs(delta)
	return math.Copysign(min(size, max(indifference, 2*(size-reluctance*sd)+indifference)), delta)
}

// predicted is a logarithm that is predicted with the estimate, guarded by what was given.
func (t *tracker) predicted(f func(x []float64) float64) float64 {
	given, learned := f(t.form.prior.mean), f(t.mean)
	if math.Abs(learned-given) <= indifference {
		return learned
	}
	return given + guarded(learned-given, math.Sqrt(linear{slope: slopes(t.mean, f, learned)}.variance(t.gaussian)))
}

// slopes of f at x, where it is y.
func slopes(x []float64, f func(x []float64) float64, y float64) []float64 {
	const step = 1e-5
	slope := make([]float64, len(x))
	for i := range x {
		before := x[i]
		x[i] += step
		slope[i] = (f(x) - y) / step
		x[i] = before
	}
	return slope
}
