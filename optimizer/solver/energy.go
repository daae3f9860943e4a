package solver

import (
	"fmt"
	"math"
)

// Power is what a card draws, in watts: Idle at no load, Mid at the utilisation MidUtil, Full at 1, linear in between. It is the power curve
// of the accelerator specification.
type Power struct {
	Idle, Mid, MidUtil, Full float64
}

// Watts at a utilisation from 0 to 1; outside, the nearest end's. NaN gives NaN.
func (p Power) Watts(utilisation float64) float64 {
	u := min(1, max(0, utilisation))
	if u < p.MidUtil {
		return p.Idle + (p.Mid-p.Idle)*u/p.MidUtil
	}
	if p.MidUtil >= 1 {
		return p.Full
	}
	return p.Mid + (p.Full-p.Mid)*(u-p.MidUtil)/(1-p.MidUtil)
}

// CostMix weighs what is minimised.
type CostMix struct {
	// Energy is the share of energy in the cost, from 0 (the price of accelerators only) to 1 (energy only).
	Energy float64
	// CentsPerKWh is the price of energy.
	CentsPerKWh float64
}

// Validate finds shares out of range and prices that are not numbers of at least 0.
func (m CostMix) Validate() error {
	if math.IsNaN(m.Energy) || m.Energy < 0 || m.Energy > 1 {
		return fmt.Errorf("energy: %v is not between 0 and 1", m.Energy)
	}
	if math.IsNaN(m.CentsPerKWh) || math.IsInf(m.CentsPerKWh, 0) || m.CentsPerKWh < 0 {
		return fmt.Errorf("centsPerKWh: %v is not a number of at least 0", m.CentsPerKWh)
	}
	return nil
}

// Cost of a candidate in cents per hour: (1 − Energy)·cost + Energy·cards·Watts(utilisation)/1000·CentsPerKWh.
func (m CostMix) Cost(c Candidate, p Power, utilisation float64) float64 {
	return (1-m.Energy)*c.Cost + m.Energy*float64(c.Units())*p.Watts(utilisation)/1000*m.CentsPerKWh
}
