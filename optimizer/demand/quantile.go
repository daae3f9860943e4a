package demand

import "math"

const (
	// leastQuantile and mostQuantile bound a quantile that follows from prices: below the median a server would be sized for less than it is
	// likely to get, and of the four hundred errors that forecasters take quantiles from a handful lie beyond the 0.99.
	leastQuantile, mostQuantile = 0.5, 0.99
	// quantileStep is what it is rounded to, so that it does not move with every breath of what a replica is thought to sustain.
	quantileStep = 0.01
)

// Quantile of the demand that is worth serving, where the capacity for a request costs the first price and a request that is not served as
// promised the second:
//
//	P(demand ≤ capacity) = c_u/(c_u + c_o) = 1 − capacity/violation
//
// with c_o = capacity, what too much costs, and c_u = violation − capacity, what too little costs: the price of the miss less the capacity that
// was saved (Arrow, Harris and Marschak, Optimal inventory policy, Econometrica 19, 1951). A request beyond capacity is taken to be one miss; in
// an overload that lasts a queue makes it more.
func Quantile(capacity, violation float64) float64 {
	q := math.Round((1-capacity/violation)/quantileStep) * quantileStep
	return min(max(q, leastQuantile), mostQuantile)
}
