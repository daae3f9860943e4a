package demand

import "github.com/llm-inferno/inferno/optimizer/fleet"

const (
	// burstStep is by what share what is remembered of bursts moves in a cycle, up or down: their running median, which an hour of bursts shifts and
	// the one step of a load that jumps does not.
	burstStep = 0.05
	// leastBursts and mostBursts bound the square of the CV of the times between arrivals. What is nearer to Poisson than the least is chance.
	leastBursts, mostBursts = 1.25, 25
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
	last = min(max(last, 1), mostBursts) // also where it was read from somewhere
	if square := cv * cv; square > last {
		return min(last*(1+burstStep), square, mostBursts)
	} else {
		return max(last/(1+burstStep), square, 1)
	}
}
