package control

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const (
	// burstStep is by what share what is remembered of bursts moves in a cycle, up or down: their running median, which an hour of bursts shifts and
	// the one step of a load that jumps does not.
	burstStep = 0.05
	// leastBursts and mostBursts bound the square of the CV of the times between arrivals. What is nearer to Poisson than the least is chance.
	leastBursts, mostBursts = 1.25, 25
)

// bursts is the running median of the square of the coefficient of variation of the times between a server's arrivals; 0 where none was observed.
func bursts(last float64, o *v1alpha1.Observation) float64 {
	if o == nil || o.ArrivalCV == nil || math.IsNaN(*o.ArrivalCV) {
		return last
	}
	last = min(max(last, 1), mostBursts) // also where it was read from somewhere
	if square := *o.ArrivalCV * *o.ArrivalCV; square > last {
		return min(last*(1+burstStep), square, mostBursts)
	} else {
		return max(last/(1+burstStep), square, 1)
	}
}

// requests of the demand as one of so many replicas gets them. Replicas that take turns share what is irregular; a load balancer that goes by the
// fewest requests does no worse. One that spreads by chance leaves each what is irregular of chance itself:
//
//	in turns: CV²/n    by chance: 1 + (CV² − 1)/n
//
// Without bursts the arrivals at the server are taken for Poisson.
func requests(d demand, replicas int) queueing.Requests {
	r := queueing.Requests{InputTokens: d.in, OutputTokens: d.out, InputTokensSD: d.inSD, OutputTokensSD: d.outSD, ArrivalCV: math.NaN()}
	n, square := float64(max(replicas, 1)), 1.0
	if d.bursty() {
		square = d.bursts
	}
	switch {
	case d.turns:
		r.ArrivalCV = math.Sqrt(square / n)
	case d.bursty():
		r.ArrivalCV = math.Sqrt(1 + (square-1)/n)
	}
	return r
}

func (d *demand) bursty() bool { return d.bursts >= leastBursts }
