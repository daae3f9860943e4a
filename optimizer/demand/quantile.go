package demand

const (
	// leastQuantile bounds a quantile that follows from prices from below: below the median a server would be sized for less than it is likely to get.
	//
	// Tuned: 1; guard against a misses' price below that of capacity
	leastQuantile = 0.5
	// mostQuantile bounds it from above: of the four hundred errors that forecasters take quantiles from a handful lie beyond the 0.99.
	//
	// Tuned: 1; guard against a quantile that so few errors do not have
	mostQuantile = 0.99
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
	return min(max(1-capacity/violation, leastQuantile), mostQuantile)
}
