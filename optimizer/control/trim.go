package control

import (
	"maps"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

const (
	// Bounds of a trim: the model is believed to that extent, whatever is measured.
	leastTrim, mostTrim = -0.7, 0.15
	// trimDown is by how much a trim falls in a cycle for each allowance of misses that is missed beyond the first, at most trimSteps of them;
	// trimUp by how much it rises in a cycle without a miss. A cycle of misses takes a while to be forgotten.
	trimDown, trimSteps, trimUp = 0.004, 10, 0.0004
	// trimAllowance is the share of the misses that targets allow, 1 − goal, that are allowed while nothing changes: the others are for when
	// something does, or a server that is just good enough at rest would miss its goal with every rise of its load.
	trimAllowance = 0.5
)

// trim integrates measured attainment into the trims of a server, the logarithms of factors on the rate that its replicas are taken to sustain,
// by accelerator: the model leads, and what it gets wrong for one pair is corrected where it shows. A trim moves only while what is measured is
// the model's doing (anti-windup): the plan is in force and complete on one accelerator, nothing starts, no backlog is left of what came before,
// load does not rise, and nothing limits the plan.
func trim(trims map[string]float64, w *work, steady bool) map[string]float64 {
	o := w.entry.Observation
	goal := w.asked.targets.Percentile / 100
	if o == nil || o.Attainment == nil || goal == 0 || !steady {
		return trims
	}
	accelerator, alone := settledOn(o, w.entry.DesiredAlloc)
	if !alone || backlog(o) > 0 {
		return trims
	}
	next := maps.Clone(trims)
	if next == nil {
		next = map[string]float64{}
	}
	missed := (1 - *o.Attainment) / (trimAllowance * (1 - goal)) // in allowances
	step := trimUp * (1 - missed)
	if missed > 1 {
		step = -trimDown * min(missed-1, trimSteps)
	}
	next[accelerator] = min(max(next[accelerator]+step, leastTrim), mostTrim)
	return next
}

// settledOn is the accelerator that all pods of a server are ready on, as many as planned.
func settledOn(o *v1alpha1.Observation, plan *v1alpha1.Allocation) (string, bool) {
	if plan == nil || plan.BestEffort || len(plan.Parts) > 1 {
		return "", false
	}
	ready := 0
	for _, p := range o.Parts {
		if p.Accelerator != plan.Accelerator || p.Starting > 0 {
			return "", false
		}
		ready += p.Ready
	}
	return plan.Accelerator, ready > 0 && ready == plan.NumReplicas
}

// trimmed is a rate with the trim of its accelerator.
func (c *candidate) trimmed(rate float64) float64 { return rate * math.Exp(c.trim) }

// needed replicas of a candidate for so many times the load: those that did not come are not counted on.
func (c *candidate) needed(factor float64, least int) int {
	n := max(sizing.Replicas(factor*c.demand, c.rate, least), c.drain)
	return n + min(c.late, n)
}
