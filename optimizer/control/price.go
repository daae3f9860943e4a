package control

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// prices are what is minimised beside the cost of accelerators.
type prices struct {
	// change is nil where changing costs nothing.
	change *solver.Change
	mix    solver.CostMix
}

// pricesOf reads the prices of a policy. The error joins every fault.
func pricesOf(o *v1alpha1.SolverPolicy) (prices, error) {
	p := prices{mix: solver.CostMix{Energy: o.EnergyShare, CentsPerKWh: o.CentsPerKWh}}
	var faults []error
	if err := p.mix.Validate(); err != nil {
		faults = append(faults, err)
	} else if o.EnergyShare > 0 && o.CentsPerKWh == 0 {
		faults = append(faults, fmt.Errorf("centsPerKWh: 0 is not allowed where energyShare is %v, must be above 0", o.EnergyShare))
	}
	if c := o.Change; c != nil {
		p.change = &solver.Change{StartupSeconds: c.StartupSeconds, Start: c.Start, Switch: c.Switch, HorizonSeconds: c.HorizonSeconds}
		if err := p.change.Validate(); err != nil {
			faults = append(faults, fmt.Errorf("change: %w", err))
		}
	}
	return p, errors.Join(faults...)
}

// value sets what the solver minimises for every feasible candidate of a server.
func (p *prices) value(w *work) {
	for _, c := range w.feasible {
		c.Value = c.Cost
		if p.mix.Energy > 0 {
			c.Value = p.mixed(c)
		}
		if p.change != nil {
			c.Value += p.changing(w, c)
		}
	}
}

// mixed is the cost of a candidate with the share of energy in it, in cents per hour.
func (p *prices) mixed(c *candidate) float64 {
	sum := 0.0
	for i, part := range partsOf(&c.Candidate) {
		of := c
		if len(c.parts) > 0 {
			of = c.parts[i]
		}
		one := solver.Candidate{Parts: []solver.Part{part}, Cost: float64(part.Replicas) * of.pair.costPerReplica()}
		sum += p.mix.Cost(one, of.pair.power(), of.utilisation(part.Share*c.demand/float64(part.Replicas)))
	}
	return sum
}

// power of one card: the curve of an accelerator is that of all its cards.
func (p *pair) power() solver.Power {
	curve, cards := p.accelerator.Power, float64(p.accelerator.Cards())
	return solver.Power{Idle: curve.Idle / cards, Mid: curve.MidPower / cards, MidUtil: curve.MidUtil, Full: curve.Full / cards}
}

// utilisation of a replica that gets so many requests per second, as a share of what it can sustain whatever the latency; 0 without load.
func (c *candidate) utilisation(rate float64) float64 {
	if c.replica == nil || !(c.replica.MaxRate() > 0) {
		return 0
	}
	return rate / c.replica.MaxRate()
}

// changing is the price, in cents per hour, of going from what the server has to the candidate: of the replicas that are new on their
// accelerators, and of a switch where one of them is new to a server that runs.
func (p *prices) changing(w *work, c *candidate) float64 {
	sum, moves := 0.0, false
	for i, part := range partsOf(&c.Candidate) {
		of := c
		if len(c.parts) > 0 {
			of = c.parts[i]
		}
		have := w.present[part.Accelerator]
		sum += p.change.Price(part.Accelerator, have, part, float64(part.Replicas)*of.pair.costPerReplica())
		moves = moves || have == 0
	}
	if moves && w.running() {
		sum += p.change.Switch * 3600 / p.change.HorizonSeconds
	}
	return sum
}

// running says whether the server has replicas anywhere.
func (w *work) running() bool {
	for _, n := range w.present {
		if n > 0 {
			return true
		}
	}
	return false
}

// usable are the prices that a solver can start from; a state that was read may hold anything.
func usable(prices map[string]float64) map[string]float64 {
	good := map[string]float64{}
	for t, x := range prices {
		if x >= 0 && !math.IsInf(x, 0) {
			good[t] = x
		}
	}
	if len(good) == 0 {
		return nil
	}
	return good
}
