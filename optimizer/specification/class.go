package specification

import (
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// topPriority and lowPriority are the ends of the range of priorities: in the JSON specification 1 matters most, of a ServiceClass 100.
const (
	topPriority = 1   // Exact: the JSON specification's.
	lowPriority = 100 // Exact: the JSON specification's.
)

// reversed turns the priority of a ServiceClass into that of the JSON specification, and back.
func reversed(priority int) int { return topPriority + lowPriority - priority }

// classSpec writes an entry of the JSON specification as that of a ServiceClass.
func classSpec(c *jsonspec.ServiceClassSpec, models []v1alpha1.Model) v1alpha1.ServiceClassSpec {
	spec := v1alpha1.ServiceClassSpec{
		Priority: reversed(c.Priority), ForecastQuantile: decimal(c.ForecastQuantile), ViolationCost: decimal(c.ViolationCost),
		AllowedNamespaces: c.AllowedNamespaces, MaxMinReplicas: c.MaxMinReplicas, PriorityClassName: c.PriorityClassName, Precisions: c.Precisions,
	}
	for _, t := range c.ModelTargets {
		spec.Targets = append(spec.Targets, v1alpha1.Target{
			Model: reference(t.Model, models), ITL: ofMilliseconds(t.ITL), TTFT: ofMilliseconds(t.TTFT), TokensPerSecond: positive(t.TPS), Percentile: positive(t.Percentile),
		})
	}
	return spec
}

// fromClassSpec writes a ServiceClass as an entry of the JSON specification, which names models by modelNames and knows no target for all: the models of
// served that have none of their own get it.
func fromClassSpec(c *v1alpha1.ServiceClassSpec, served []string, modelNames map[string]string) jsonspec.ServiceClassSpec {
	spec := jsonspec.ServiceClassSpec{
		Priority: reversed(c.Priority), ForecastQuantile: float(c.ForecastQuantile), ViolationCost: float(c.ViolationCost),
		AllowedNamespaces: c.AllowedNamespaces, MaxMinReplicas: c.MaxMinReplicas, PriorityClassName: c.PriorityClassName, Precisions: c.Precisions,
	}
	add := func(model string, t *v1alpha1.Target) {
		spec.ModelTargets = append(spec.ModelTargets, jsonspec.ModelTarget{
			Model: resolve(modelNames, model), ITL: inMilliseconds(t.ITL), TTFT: inMilliseconds(t.TTFT), TPS: orZero(t.TokensPerSecond), Percentile: orZero(t.Percentile),
		})
	}
	named := map[string]bool{}
	for i := range c.Targets {
		if t := &c.Targets[i]; t.Model != v1alpha1.AnyModel {
			named[t.Model] = true
			add(t.Model, t)
		}
	}
	for _, model := range served {
		if t := c.TargetFor(model); t != nil && !named[model] {
			add(model, t)
		}
	}
	return spec
}

// servedTo are the models that Servers serve to a class, as these name them, sorted.
func (r *Resources) servedTo(class string) []string {
	var models []string
	for i := range r.Servers {
		if s := &r.Servers[i].Spec; s.ServiceClass == class {
			models = append(models, s.Model)
		}
	}
	slices.Sort(models)
	return slices.Compact(models)
}
