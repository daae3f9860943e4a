package control

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// policy is what is asked of plans beside the targets.
type policy struct {
	*jsonspec.SolverPolicy
	weightedSum, byLoad bool
	// factor is how many times less it costs to leave a server of the next lower priority unserved.
	factor float64
	// quantile that loads are forecast with; 0 is the forecaster's own.
	quantile float64
	// probing is whether probes are suggested, and probeEvery the least time in seconds between two of a pair.
	probing    bool
	probeEvery float64
}

// policyOf reads a policy. The error joins every fault.
func policyOf(o *jsonspec.SolverPolicy) (policy, error) {
	p := policy{
		SolverPolicy: o, weightedSum: o.Objective == jsonspec.ObjectiveWeightedSum, byLoad: o.Counting == jsonspec.CountingLoad,
		factor: cmp.Or(o.PriorityFactor, jsonspec.DefaultPriorityFactor), probing: o.Probing != "", probeEvery: cmp.Or(o.ProbingCooldownSeconds, probeEvery),
	}
	var faults []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	if c := o.Change; c != nil {
		if err := fleet.ValidateChange(c); err != nil {
			faults = append(faults, fmt.Errorf("change: %w", err))
		}
	}
	fault(!(o.AheadSeconds >= 0 && o.AheadSeconds <= jsonspec.MaxAheadSeconds), "aheadSeconds: %v is not allowed, must be from 0 to %d", o.AheadSeconds, jsonspec.MaxAheadSeconds)
	fault(!(o.EnergyShare >= 0 && o.EnergyShare <= 1), "energyShare: %v is not allowed, must be from 0 to 1", o.EnergyShare)
	fault(!(o.CentsPerKWh >= 0) || math.IsInf(o.CentsPerKWh, 0), "centsPerKWh: %v is not allowed, must be a number of at least 0", o.CentsPerKWh)
	fault(o.EnergyShare > 0 && o.CentsPerKWh == 0, "centsPerKWh: 0 is not allowed where energyShare is %v, must be above 0", o.EnergyShare)
	fault(o.Objective != "" && o.Objective != jsonspec.ObjectiveLexicographic && !p.weightedSum,
		"objective: %q is not allowed, must be one of %s, %s", o.Objective, jsonspec.ObjectiveLexicographic, jsonspec.ObjectiveWeightedSum)
	fault(o.Counting != "" && o.Counting != jsonspec.CountingServers && !p.byLoad,
		"counting: %q is not allowed, must be one of %s, %s", o.Counting, jsonspec.CountingServers, jsonspec.CountingLoad)
	fault(!(o.UnservedCost >= 0) || math.IsInf(o.UnservedCost, 0) || p.weightedSum && o.UnservedCost == 0,
		"unservedCost: %v is not allowed, must be a number of at least 0, and above 0 for the objective %s", o.UnservedCost, jsonspec.ObjectiveWeightedSum)
	fault(!(p.factor >= 1) || math.IsInf(p.factor, 0), "priorityFactor: %v is not allowed, must be a number of at least 1", p.factor)
	if q := o.ForecastQuantile; q != nil {
		p.quantile = *q
		if err := forecast.ValidQuantile(*q); err != nil {
			faults = append(faults, fmt.Errorf("forecastQuantile: %w", err))
		}
	}
	return p, errors.Join(faults...)
}

// weigh says for each server of the problem, given its load in requests per second, what serving it counts and leaving it costs. Where load is
// counted, a request per minute counts as one.
func (b *policy) weigh(p *solver.Problem, load []float64) {
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
			count = max(1, math.Ceil(jsonspec.PerMinute(load[i])-1e-9))
			s.Weight = int(min(count, 1<<30))
		}
		if b.weightedSum {
			lower, _ := slices.BinarySearch(priorities, s.Priority)
			s.Penalty = b.UnservedCost * math.Pow(b.factor, -float64(lower)) * count
		}
	}
}
