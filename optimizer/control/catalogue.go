package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// pair is a model on an accelerator, ready to be sized.
type pair struct {
	accelerator *v1alpha1.AcceleratorEntry
	perf        v1alpha1.Performance
	law         queueing.Law
	// unreliable is whether predictions of the law keep failing.
	unreliable bool
	// fault says why the pair cannot be sized.
	fault error
}

// unitsPerReplica is the number of cards a replica takes.
func (p *pair) unitsPerReplica() int { return p.perf.Accelerators() * p.accelerator.Cards() }

// costPerReplica in cents per hour.
func (p *pair) costPerReplica() float64 { return float64(p.perf.Accelerators()) * p.accelerator.Cost }

// classTargets are the targets of one class for one model.
type classTargets struct {
	priority int
	targets  map[string]v1alpha1.ModelTarget
	// quantile that loads are forecast with, 0 where the class asks for none, and what a violation costs, in cents, 0 where it says nothing.
	quantile, violationCost float64
	// fault says what is wrong with them.
	fault error
}

// catalogue finds what a system says of names.
type catalogue struct {
	pairs   map[string][]*pair // by model, sorted by accelerator
	classes map[string]classTargets
}

func newCatalogue(s *v1alpha1.System) *catalogue {
	c := &catalogue{pairs: map[string][]*pair{}, classes: map[string]classTargets{}}
	accelerators := map[string]*v1alpha1.AcceleratorEntry{}
	for i := range s.Accelerators.Spec {
		accelerators[s.Accelerators.Spec[i].Name] = &s.Accelerators.Spec[i]
	}
	for _, m := range s.Models.Info {
		c.pairs[m.Name] = nil
	}
	for _, m := range s.Models.Spec {
		list := c.pairs[m.Name]
		if a := accelerators[m.Acc]; a != nil {
			list = append(list, &pair{accelerator: a, perf: m.Performance})
		}
		c.pairs[m.Name] = list
	}
	for _, list := range c.pairs {
		slices.SortFunc(list, func(a, b *pair) int { return strings.Compare(a.perf.Acc, b.perf.Acc) })
	}
	for _, sc := range s.ServiceClasses.Spec {
		ct := classTargets{priority: sc.Priority, targets: map[string]v1alpha1.ModelTarget{}}
		for _, t := range sc.ModelTargets {
			ct.targets[t.Model] = t
		}
		ct.quantile, ct.violationCost, ct.fault = classQuantile(&sc.ServiceClassSpec)
		c.classes[sc.Name] = ct
	}
	return c
}

// pair of a model and an accelerator, nil where there is none.
func (c *catalogue) pair(model, accelerator string) *pair {
	for _, p := range c.pairs[model] {
		if p.perf.Acc == accelerator {
			return p
		}
	}
	return nil
}

// asked is what a server's names stand for.
type asked struct {
	pairs    []*pair
	priority int
	targets  sizing.Targets
	// quantile and violationCost are those of the class.
	quantile, violationCost float64
}

// resolve finds what a server asks for, or the verdict that says what is missing.
func (c *catalogue) resolve(s *v1alpha1.ServerEntry) (asked, *Verdict) {
	pairs, ok := c.pairs[s.Model]
	if !ok {
		return asked{}, &Verdict{Reason: v1alpha1.ReasonUnknownModel, Message: fmt.Sprintf("model %q does not exist, known are %s", s.Model, names(c.pairs))}
	}
	class, ok := c.classes[s.Class]
	if !ok {
		return asked{}, &Verdict{Reason: v1alpha1.ReasonUnknownServiceClass, Message: fmt.Sprintf("service class %q does not exist, known are %s", s.Class, names(c.classes))}
	}
	t, ok := class.targets[s.Model]
	if !ok {
		return asked{}, &Verdict{Reason: v1alpha1.ReasonNoTarget, Message: fmt.Sprintf("service class %q has no targets for model %q, only for %s", s.Class, s.Model, names(class.targets))}
	}
	if len(pairs) == 0 {
		return asked{}, &Verdict{Reason: v1alpha1.ReasonInfeasible, Message: fmt.Sprintf("model %q has no performance data for any accelerator", s.Model)}
	}
	if class.fault != nil {
		return asked{}, &Verdict{Reason: v1alpha1.ReasonInvalidSpec, Message: fmt.Sprintf("service class %q: %v", s.Class, class.fault)}
	}
	return asked{pairs: pairs, priority: class.priority, quantile: class.quantile, violationCost: class.violationCost, targets: sizing.Targets{
		TTFT: v1alpha1.Seconds(t.TTFT), ITL: v1alpha1.Seconds(t.ITL), TPS: t.TPS, Percentile: t.Percentile,
	}}, nil
}

// names lists the keys of a map for a message, the first ten of them.
func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	const most = 10
	if len(keys) > most {
		return strings.Join(keys[:most], ", ") + fmt.Sprintf(" and %d more", len(keys)-most)
	}
	return strings.Join(keys, ", ")
}
