package sizing

import (
	"maps"

	"github.com/llm-inferno/inferno/optimizer/fleet"
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
func trim(trims map[string]float64, s *Server) map[string]float64 {
	goal := s.Targets.Percentile / 100
	if s.Seen == nil || goal == 0 || !s.Demand.Steady || s.Seen.Backlog() > 0 {
		return trims
	}
	attained, known := s.Seen.Attainment.Get()
	accelerator, settled := settledOn(s.Seen, s.Plan)
	if !known || !settled {
		return trims
	}
	next := maps.Clone(trims)
	if next == nil {
		next = map[string]float64{}
	}
	missed := (1 - attained) / (trimAllowance * (1 - goal)) // in allowances
	step := trimUp * (1 - missed)
	if missed > 1 {
		step = -trimDown * min(missed-1, trimSteps)
	}
	next[accelerator] = min(max(next[accelerator]+step, leastTrim), mostTrim)
	return next
}

// settledOn is the accelerator that all pods of a server are ready on, as many as planned.
func settledOn(o *fleet.Observation, plan *fleet.Allocation) (string, bool) {
	if plan == nil || plan.BestEffort || len(plan.Parts) != 1 {
		return "", false
	}
	on := plan.Parts[0].Accelerator
	for _, p := range o.Pods {
		if p.Accelerator != on || p.Starting > 0 {
			return "", false
		}
	}
	ready := o.Ready()
	return on, ready > 0 && ready == plan.Replicas()
}
