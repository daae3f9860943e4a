package specification

import (
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// policy writes the options of the JSON specification as those of an Optimizer.
func policy(p *jsonspec.SolverPolicy) v1alpha1.PlanPolicy {
	out := v1alpha1.PlanPolicy{
		Capacity: either(p.Unlimited, v1alpha1.CapacityUnlimited), AcceleratorsPerServer: either(p.Heterogeneous, v1alpha1.AcceleratorsSeveral),
		MaxDelay: ofSeconds(p.MaxDelaySeconds), LookAhead: ofSeconds(p.AheadSeconds), BestEffort: either(p.DelayedBestEffort, v1alpha1.BestEffortAfterAllPriorities),
		SaturationPolicy: p.SaturationPolicy, Objective: p.Objective, Counting: p.Counting, UnservedCost: positive(p.UnservedCost),
		PriorityFactor: positive(p.PriorityFactor), EnergyShare: positive(p.EnergyShare), CentsPerKWh: positive(p.CentsPerKWh),
		Confidence: positive(p.Confidence), ForecastQuantile: decimal(p.ForecastQuantile), Probing: p.Probing,
		ProbingCooldown: ofSeconds(p.ProbingCooldownSeconds),
	}
	if c := p.Change; c != nil {
		out.Change = &v1alpha1.ChangePolicy{StartupTime: ofSeconds(c.StartupSeconds), StartCost: positive(c.Start), SwitchCost: positive(c.Switch)}
		if h := ofSeconds(c.HorizonSeconds); h != nil {
			out.Change.Horizon = *h
		}
	}
	return out
}

// fromPolicy writes the options of an Optimizer as those of the JSON specification. Of what the schema fills in, the specification leaves out the same.
func fromPolicy(p *v1alpha1.PlanPolicy) jsonspec.SolverPolicy {
	out := jsonspec.SolverPolicy{
		Unlimited: p.Capacity == v1alpha1.CapacityUnlimited, Heterogeneous: p.AcceleratorsPerServer == v1alpha1.AcceleratorsSeveral,
		MaxDelaySeconds: InSeconds(p.MaxDelay), AheadSeconds: InSeconds(p.LookAhead), DelayedBestEffort: p.BestEffort == v1alpha1.BestEffortAfterAllPriorities,
		SaturationPolicy: p.SaturationPolicy, Objective: p.Objective, Counting: p.Counting, UnservedCost: orZero(p.UnservedCost),
		PriorityFactor: orZero(p.PriorityFactor), EnergyShare: orZero(p.EnergyShare), CentsPerKWh: orZero(p.CentsPerKWh),
		Confidence: orZero(p.Confidence), ForecastQuantile: float(p.ForecastQuantile), Probing: p.Probing,
		ProbingCooldownSeconds: InSeconds(p.ProbingCooldown),
	}
	if p.Probing == v1alpha1.ProbingNone {
		out.Probing = ""
	}
	if c := p.Change; c != nil {
		out.Change = &jsonspec.ChangePolicy{
			StartupSeconds: InSeconds(c.StartupTime), Start: orZero(c.StartCost), Switch: orZero(c.SwitchCost), HorizonSeconds: c.Horizon.Seconds(),
		}
	}
	return out
}

// either is a value of a resource where the JSON specification says true, and the default where it says false.
func either(given bool, value string) string {
	if given {
		return value
	}
	return ""
}

// elastic writes pools of the JSON specification as those of an Optimizer: what is found in a cluster is not written.
func elastic(pools []jsonspec.ElasticCapacity) []v1alpha1.ElasticCapacity {
	var out []v1alpha1.ElasticCapacity
	for _, e := range pools {
		out = append(out, v1alpha1.ElasticCapacity{
			Name: e.Name, Type: e.Type, Cards: e.Cards, Limit: e.Limit, NodeSelector: e.NodeSelector,
			CostPerHour: positive(e.Price), Delay: ofSeconds(e.DelaySeconds), Deadline: ofSeconds(e.DeadlineSeconds),
		})
	}
	return out
}

func fromElastic(pools []v1alpha1.ElasticCapacity) []jsonspec.ElasticCapacity {
	var out []jsonspec.ElasticCapacity
	for _, e := range pools {
		out = append(out, jsonspec.ElasticCapacity{
			Name: e.Name, Type: e.Type, Cards: e.Cards, Limit: e.Limit, NodeSelector: e.NodeSelector,
			Price: orZero(e.CostPerHour), DelaySeconds: InSeconds(e.Delay), DeadlineSeconds: InSeconds(e.Deadline),
		})
	}
	return out
}

func share(b *jsonspec.ShareBounds) v1alpha1.Share {
	s := v1alpha1.Share{Name: b.Name, Cards: b.Cards, PowerCap: decimal(b.PowerCap)}
	if c := b.Cost; c != nil {
		s.CostPerHour = &v1alpha1.ShareCost{Guaranteed: decimal(c.Guaranteed), Most: decimal(c.Most)}
	}
	return s
}

func fromShare(s *v1alpha1.Share) jsonspec.ShareBounds {
	b := jsonspec.ShareBounds{Name: s.Name, Cards: s.Cards, PowerCap: float(s.PowerCap)}
	if c := s.CostPerHour; c != nil {
		b.Cost = &jsonspec.ShareCost{Guaranteed: float(c.Guaranteed), Most: float(c.Most)}
	}
	return b
}
