package demand

import "github.com/llm-inferno/inferno/optimizer/fleet"

const (
	// burstStep is by what share what is remembered of bursts moves in a cycle, up or down: their running median, which an hour of bursts shifts and
	// the one step of a load that jumps does not.
	//
	// Tuned: share; measured by the scenarios ramp, short and flash-crowd; at half: no difference but for cost, 728 ¢/h of short; at twice: 2 % more
	// cost of flash-crowd, less than chance
	burstStep = 0.05
	// leastBursts is the square of the CV of the times between arrivals from which on they are sized for: what is nearer to Poisson, of which it
	// is 1, is chance.
	//
	// Tuned: 1; measured by the scenarios shapes and measured, at half and twice the distance from 1; at half: no difference in attainment; at twice:
	// no difference in attainment, 4 % more cost of measured
	leastBursts = 1.25
	// mostBursts bounds what is remembered of bursts from above.
	//
	// Tuned: 1; guard against a memory that bursts of an outage fill: half and twice of it make no difference
	mostBursts = 25
	// fewBursts bounds what is remembered of bursts from below: of Poisson arrivals half of what is observed lies below 1, and were it cut off there,
	// what is remembered would wander above for want of room below.
	//
	// Tuned: 1; guard against a memory that regular arrivals empty: half and twice of it make no difference
	fewBursts = 0.5
)

// bursts is the running median of the square of the coefficient of variation of the times between a server's arrivals; 0 where none was observed.
func bursts(last float64, o *fleet.Observation) float64 {
	if o == nil {
		return last
	}
	cv, known := o.ArrivalCV.Get()
	if !known {
		return last
	}
	if last == 0 {
		last = 1
	}
	last = min(max(last, fewBursts), mostBursts) // also where it was read from somewhere
	if square := cv * cv; square > last {
		return min(last*(1+burstStep), square, mostBursts)
	} else {
		return max(last/(1+burstStep), square, fewBursts)
	}
}
