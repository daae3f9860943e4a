package sizing

import (
	"maps"
	"slices"
	"strings"
)

const (
	// leastTrim bounds a trim from below, mostTrim from above: the model is believed to that extent, whatever is measured.
	//
	// Tuned: logarithm; guard against misses that more replicas do not mend: half and twice of it make no difference
	leastTrim = -0.7
	// mostTrim is the other bound: a model that is too careful is corrected by a sixth at most.
	//
	// Tuned: logarithm; guard against windows that are kind by chance: half and twice of it make no difference
	mostTrim = 0.15
	// trimDown is by how much a trim falls in a cycle for each allowance of misses that is missed beyond the first, at most trimSteps of them.
	//
	// Tuned: logarithm a cycle; measured by TestTrimFollowsMisses; at half: a model that is wrong is followed in twice the time, no difference over
	// the scenarios; at twice: more than that test allows, no difference over the scenarios
	trimDown = 0.004
	// trimSteps is the most allowances that count in a cycle.
	//
	// Tuned: allowances; guard against one cycle of an outage that decides: half and twice of it make no difference
	trimSteps = 10
	// trimUp is by how much a trim rises in a cycle without a miss. A cycle of misses takes a while to be forgotten.
	//
	// Tuned: logarithm a cycle; measured by the scenarios ramp, short and flash-crowd; at half: no difference; at twice: no difference in attainment,
	// 1 % less cost of flash-crowd
	trimUp = 0.0004
	// trimAllowance is the share of the misses that targets allow, 1 − goal, that are allowed while nothing changes: the others are for when
	// something does, or a server that is just good enough at rest would miss its goal with every rise of its load.
	//
	// Tuned: share; measured by the scenario flash-crowd and TestTrimKeepsHalfOfTheAllowance; at half: 99.7 % of flash-crowd at 10 % more cost; at
	// twice: no difference over the scenarios, and nothing is left for rises
	trimAllowance = 0.5
)

// trim integrates measured attainment into the trims of a server, the logarithms of factors on the rate that its replicas are taken to sustain,
// by accelerator: the model leads, and what it gets wrong for one pair is corrected where it shows. A trim moves only while what is measured is
// the model's doing (anti-windup): the plan is in force and complete on one accelerator, or by two roles, nothing starts, no backlog is left of what came before,
// load does not rise, and nothing limits the plan.
func trim(trims map[string]float64, s *Server) map[string]float64 {
	goal := s.Targets.Percentile / 100
	if s.Seen == nil || goal == 0 || !s.Demand.Steady || s.Seen.Backlog() > 0 {
		return trims
	}
	attained, known := s.Seen.Attainment.Get()
	on, settled := settledOn(s)
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
	next[on] = min(max(next[on]+step, leastTrim), mostTrim)
	return next
}

// settledOn is the ID of the candidate by which all pods of a server are ready, as many as planned: of one accelerator, or of two roles.
func settledOn(s *Server) (string, bool) {
	plan := s.Plan
	if plan == nil || plan.BestEffort {
		return "", false
	}
	var names []string
	for _, p := range plan.Parts {
		if pair := PairOn(s.Pairs, p.Accelerator); len(plan.Parts) > 1 && (pair == nil || pair.Performance.Role == "") || s.Seen.ReadyOn(p.Accelerator) != p.Replicas {
			return "", false
		}
		names = append(names, p.Accelerator)
	}
	for _, p := range s.Seen.Pods {
		if !slices.Contains(names, p.Accelerator) || p.Starting > 0 {
			return "", false
		}
	}
	return strings.Join(names, "+"), s.Seen.Ready() > 0
}
