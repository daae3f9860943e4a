package control

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// objective is what the solver is asked for, beside the value of what it chooses.
type objective struct {
	weightedSum, byLoad bool
	// unserved is what it costs to leave a server of the highest priority unserved, factor how many times less it is at each next one.
	unserved, factor float64
}

// objectiveOf reads the objective of a policy.
func objectiveOf(o *v1alpha1.SolverPolicy) (objective, error) {
	b := objective{
		weightedSum: o.Objective == v1alpha1.ObjectiveWeightedSum, byLoad: o.Counting == v1alpha1.CountingLoad,
		unserved: o.UnservedCost, factor: cmp.Or(o.PriorityFactor, v1alpha1.DefaultPriorityFactor),
	}
	switch {
	case o.Objective != "" && o.Objective != v1alpha1.ObjectiveLexicographic && !b.weightedSum:
		return b, fmt.Errorf("objective: %q is not allowed, must be one of %s, %s", o.Objective, v1alpha1.ObjectiveLexicographic, v1alpha1.ObjectiveWeightedSum)
	case o.Counting != "" && o.Counting != v1alpha1.CountingServers && !b.byLoad:
		return b, fmt.Errorf("counting: %q is not allowed, must be one of %s, %s", o.Counting, v1alpha1.CountingServers, v1alpha1.CountingLoad)
	case !(b.unserved >= 0) || math.IsInf(b.unserved, 0) || b.weightedSum && b.unserved == 0:
		return b, fmt.Errorf("unservedCost: %v is not allowed, must be a number of at least 0, and above 0 for the objective %s", b.unserved, v1alpha1.ObjectiveWeightedSum)
	case !(b.factor >= 1) || math.IsInf(b.factor, 0):
		return b, fmt.Errorf("priorityFactor: %v is not allowed, must be a number of at least 1", b.factor)
	}
	return b, nil
}

// weigh says for each server of the problem, given its load in requests per second, what serving it counts and leaving it costs.
func (b objective) weigh(p *solver.Problem, load []float64) {
	p.WeightedSum = b.weightedSum
	var priorities []int
	for i := range p.Servers {
		priorities = append(priorities, p.Servers[i].Priority)
	}
	slices.Sort(priorities)
	priorities = slices.Compact(priorities)
	for i := range p.Servers {
		s := &p.Servers[i]
		count := 1.0
		if b.byLoad {
			count = max(1, math.Ceil(v1alpha1.PerMinute(load[i])-1e-9))
			s.Weight = int(min(count, 1<<30))
		}
		if b.weightedSum {
			lower, _ := slices.BinarySearch(priorities, s.Priority)
			s.Penalty = b.unserved * math.Pow(b.factor, -float64(lower)) * count
		}
	}
}
