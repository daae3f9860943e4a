package specification

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// way is how a model runs on an accelerator, of those of the specification.
type way struct{ accelerator, variant, role, domain string }

// ways by model, then by the core's name of the accelerator; of what runs in one way on its accelerator there are those within domains alone, without a variant.
type ways map[string]map[string]way

// on is the core's name of an accelerator that a variant runs on.
func on(accelerator, variant string) string {
	return (&jsonspec.AllocationPart{Accelerator: accelerator, Variant: variant}).On()
}

func waysOf(s *jsonspec.System) ways {
	all := ways{}
	for i := range s.Models.Spec {
		p := &s.Models.Spec[i]
		if p.Way() == "" && p.Domain() == "" {
			continue
		}
		if all[p.Name] == nil {
			all[p.Name] = map[string]way{}
		}
		all[p.Name][p.On()] = way{p.Acc, p.Way(), p.Role, p.Domain()}
	}
	return all
}

// accelerators of the core: those that are given, each followed by what variants run on it, by name.
func (w ways) accelerators(given []fleet.Accelerator) []fleet.Accelerator {
	if len(w) == 0 {
		return given
	}
	variants := map[string]map[string]bool{}
	for _, of := range w {
		for name, way := range of {
			if way.variant == "" {
				continue
			}
			if variants[way.accelerator] == nil {
				variants[way.accelerator] = map[string]bool{}
			}
			variants[way.accelerator][name] = true
		}
	}
	var all []fleet.Accelerator
	for _, a := range given {
		all = append(all, a)
		for _, name := range slices.Sorted(maps.Keys(variants[a.Name])) {
			v := a
			v.Name, v.Given.Type = name, a.Type
			all = append(all, v)
		}
	}
	return all
}

// unrun are the core's names of what no workload of a server runs of its model.
func (w ways) unrun(e *jsonspec.ServerEntry) map[string]bool {
	var all map[string]bool
	for name, way := range w[e.Model] {
		if way.variant != "" && (e.ScaleTargetRef != nil || len(e.Variants) > 0) && e.VariantOf(way.accelerator, way.variant) == "" {
			if all == nil {
				all = map[string]bool{}
			}
			all[name] = true
		}
	}
	return all
}

// scopes by the core's names: those of an accelerator hold for all that runs on it and has none of its own.
func (w ways) scopes(given map[string]string) map[string]string {
	if len(w) == 0 || len(given) == 0 {
		return given
	}
	all := maps.Clone(given)
	for _, of := range w {
		for name, way := range of {
			if scope, bounded := given[way.accelerator]; bounded && all[name] == "" {
				all[name] = scope
			}
		}
	}
	return all
}

// VariantFaults say which workloads of a server run what its model has not: a variant or role that it does not name, or not on such an accelerator.
func VariantFaults(s *jsonspec.System, e *jsonspec.ServerEntry) (faults []string) {
	on := map[string][]string{}
	for i := range s.Models.Spec {
		if p := &s.Models.Spec[i]; p.Name == e.Model && p.Way() != "" {
			on[p.Way()] = append(on[p.Way()], p.Acc)
		}
	}
	for i := range e.Variants {
		v := &e.Variants[i]
		has, known := on[v.ModelVariant]
		switch {
		case v.ModelVariant == "":
		case !known:
			faults = append(faults, fmt.Sprintf("spec.variants[%s].modelVariant: %q is no variant or role of model %s, which has %s", v.Name, v.ModelVariant, e.Model,
				cmp.Or(strings.Join(slices.Sorted(maps.Keys(on)), ", "), "none")))
		default:
			for _, a := range v.Accelerators {
				if !slices.Contains(has, a) {
					faults = append(faults, fmt.Sprintf("spec.variants[%s].accelerators: model %s has no %s on %s, it has it on %s", v.Name, e.Model, v.ModelVariant, a, strings.Join(has, ", ")))
				}
			}
		}
	}
	return faults
}
