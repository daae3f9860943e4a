package control

import (
	"cmp"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/forecast"
)

const (
	// leastQuantile and mostQuantile bound a quantile that follows from prices: below the median a server would be sized for less than it is
	// likely to get, and of the four hundred errors that forecasters take quantiles from a handful lie beyond the 0.99.
	leastQuantile, mostQuantile = 0.5, 0.99
	// quantileStep is what it is rounded to, so that it does not move with every breath of what a replica is thought to sustain.
	quantileStep = 0.01
)

// newsvendor is the quantile of the demand that is worth serving, where the capacity for a request costs the first price and a request that is
// not served as promised the second: P(demand ≤ capacity) = c_u/(c_u + c_o) with c_o = capacity, what too much costs, and c_u = violation −
// capacity, what too little costs: the price of the miss less the capacity that was saved (Arrow, Harris and Marschak, Optimal inventory policy,
// Econometrica 19, 1951). So it is 1 − capacity/violation. A request beyond capacity is taken to be one miss; in an overload that lasts a queue
// makes it more.
func newsvendor(capacity, violation float64) float64 {
	q := math.Round((1-capacity/violation)/quantileStep) * quantileStep
	return min(max(q, leastQuantile), mostQuantile)
}

// quantile of the rate that a server is sized for; 0 is the forecaster's own. What its class says goes before what is said for all. The price
// of capacity is that of the last decision: before the first there is none, and the quantile is that for all.
func (st *Stages) quantile(a *asked, m *ServerState) float64 {
	if a.violationCost > 0 && m.CapacityPrice != nil {
		return newsvendor(*m.CapacityPrice, a.violationCost)
	}
	return cmp.Or(a.quantile, st.Quantile)
}

// priceCapacity remembers what it costs to be able to serve a request, in cents: on the accelerator where that is cheapest, the price of a
// replica for the time in which it serves one. Where nothing can be sized the last price stands.
func (w *work) priceCapacity() {
	least := math.Inf(1)
	for _, c := range w.feasible {
		if c.rate > 0 && c.pair != nil {
			least = min(least, c.pair.costPerReplica()/(c.rate*secondsPerHour))
		}
	}
	if !math.IsInf(least, 0) {
		w.memory.CapacityPrice = &least
	}
}

const secondsPerHour = 3600

// quantileOf a policy or class; 0 where it says none.
func quantileOf(q *float64) (float64, error) {
	if q == nil {
		return 0, nil
	}
	if err := forecast.ValidQuantile(*q); err != nil {
		return 0, fmt.Errorf("forecastQuantile: %w", err)
	}
	return *q, nil
}

// classQuantile is what a class says of the rate that its servers are sized for: a quantile, or the cost of a violation in cents.
func classQuantile(c *v1alpha1.ServiceClassSpec) (quantile, violationCost float64, err error) {
	quantile, err = quantileOf(c.ForecastQuantile)
	if x := c.ViolationCost; x != nil {
		violationCost = *x
		if !(*x > 0) || math.IsInf(*x, 0) {
			err = fmt.Errorf("violationCost: %v is not allowed, must be a finite number above 0", *x)
		}
	}
	return quantile, violationCost, err
}
