package metricsadapter

import (
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Labels of a value, each also under its name in inferno's group, which is what pods carry.
const (
	labelNamespace   = "namespace"
	labelServer      = "server"
	labelVariant     = "variant"
	labelAccelerator = "accelerator"
)

// labelAliases maps every label that a selector may name to its short form.
var labelAliases = map[string]string{
	labelNamespace:                 labelNamespace,
	labelServer:                    labelServer,
	v1alpha1.ServerLabel:           labelServer,
	labelVariant:                   labelVariant,
	v1alpha1.VariantLabel:          labelVariant,
	labelAccelerator:               labelAccelerator,
	v1alpha1.AcceleratorAnnotation: labelAccelerator,
}

// A scope is the part of a server that a value is about: all of it, a variant, an accelerator, or an accelerator within a variant.
type scope struct {
	variant     string
	accelerator string
}

// labels of a value of the server at this scope.
func (s scope) labels(server *v1alpha1.Server) labels.Set {
	set := labels.Set{
		labelNamespace:       server.Namespace,
		labelServer:          server.Name,
		v1alpha1.ServerLabel: server.Name,
	}
	if s.variant != "" {
		set[labelVariant] = s.variant
		set[v1alpha1.VariantLabel] = s.variant
	}
	if s.accelerator != "" {
		set[labelAccelerator] = s.accelerator
		set[v1alpha1.AcceleratorAnnotation] = s.accelerator
	}
	return set
}

// covers tells whether what runs on the accelerator, with a variant of the model where it has several, belongs to the scope.
func (s scope) covers(server *v1alpha1.Server, accelerator, ofModel string) bool {
	if s.accelerator != "" && s.accelerator != accelerator {
		return false
	}
	return s.variant == "" || s.variant == server.Spec.VariantOf(accelerator, ofModel)
}

// A level is the detail that is asked for.
type level struct {
	byVariant     bool
	byAccelerator bool
}

// scopes lists the scopes of the server at a level, in order of name. A scope exists where the plan or the server's own specification names
// it: so a variant without a part has none of the replicas, while a misspelt accelerator has no scope at all.
func (l level) scopes(server *v1alpha1.Server) []scope {
	var found []scope
	switch {
	case l.byAccelerator:
		for _, accelerator := range accelerators(server) {
			if !l.byVariant {
				found = append(found, scope{accelerator: accelerator})
				continue
			}
			for _, variant := range server.Spec.Variants {
				if server.Spec.VariantOf(accelerator, variant.ModelVariant) == variant.Name {
					found = append(found, scope{variant.Name, accelerator})
				}
			}
		}
	case l.byVariant:
		for _, variant := range server.Spec.Variants {
			found = append(found, scope{variant: variant.Name})
		}
	default:
		found = append(found, scope{})
	}
	slices.SortFunc(found, func(a, b scope) int {
		return slices.Compare([]string{a.variant, a.accelerator}, []string{b.variant, b.accelerator})
	})
	return found
}

// accelerators that the plan or the variants of the server name, each once, in order of name.
func accelerators(server *v1alpha1.Server) []string {
	var names []string
	for _, variant := range server.Spec.Variants {
		names = append(names, variant.Accelerators...)
	}
	if plan := server.Status.Desired; plan != nil {
		for _, part := range plan.Parts {
			names = append(names, part.Accelerator)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
