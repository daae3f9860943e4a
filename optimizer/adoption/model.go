package adoption

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// model that a workload serves: one that says the same, which may be somebody's, or else a new one. It stays that of the Server for as long as it says the same.
func (o *World) model(read *workload.Workload, performance []v1alpha1.Performance, before *v1alpha1.Server) (name string, made *v1alpha1.Model, err error) {
	kinds := catalogue.ClassifierOf(o.Accelerators)
	var found *v1alpha1.Model
	for i := range o.Models {
		m := &o.Models[i]
		if !says(m, read, kinds) {
			continue
		}
		if found == nil || m.Name < found.Name || before != nil && m.Name == before.Spec.Model {
			found = m
		}
		if before != nil && m.Name == before.Spec.Model {
			break
		}
	}
	if found != nil && found.Labels[ManagedByLabel] != ManagedBy {
		return found.Name, nil, nil
	}
	if found != nil {
		name = found.Name
	} else if name = o.free(read); name == "" {
		return "", nil, fmt.Errorf("all names that a Model of %s could have are taken: write one with servedName %s, and %d cards per replica", read.Name(), read.Shown(), read.Cards.Value)
	}
	made, err = newModel(name, read, performance)
	return name, made, err
}

// says tells whether a Model is of what is served, in the same precision, by the same engine, on as many cards in as many stages. One without entries leaves that open.
func says(m *v1alpha1.Model, read *workload.Workload, kinds *catalogue.Classifier) bool {
	if served := m.Spec.ServedName; served != read.Shown() && served != read.Name() {
		return false
	}
	match := read.Match()
	for i := range m.Spec.Performance {
		p := &m.Spec.Performance[i]
		k, known := kinds.Kind(p.Accelerator)
		if known && max(1, p.AcceleratorsPerReplica)*k.Multiplicity != read.Cards.Value {
			return false
		}
		if stages := "pipeline_parallel"; cmp.Or(p.Match[stages], "1") != cmp.Or(match[stages], "1") {
			return false
		}
		for what, value := range match {
			if given, has := p.Match[what]; has && given != value {
				return false
			}
		}
	}
	return len(m.Spec.Performance) > 0
}

// free name for a Model; empty where there is none.
func (o *World) free(read *workload.Workload) string {
	base := workload.ResourceName(read.Name())
	precise := fmt.Sprintf("%s-%s-x%d", base, read.Precision.Value, read.Cards.Value)
	for _, name := range []string{base, precise, precise + "-" + workload.ResourceName(read.Engine.Value)} {
		if !slices.ContainsFunc(o.Models, func(m v1alpha1.Model) bool { return m.Name == name }) {
			return name
		}
	}
	return ""
}

// newModel of what is served. Metrics show it under a name that need not be the one that tells what it is: then its architecture is that of the catalogue.
func newModel(name string, read *workload.Workload, performance []v1alpha1.Performance) (*v1alpha1.Model, error) {
	properties := jsonspec.ModelProperties{ServedName: read.Name()}
	if shown := read.Shown(); shown != read.Name() {
		if a, guess := fitting.BuiltInArchitectures().Find(read.Name()); !guess {
			properties.ServedName, properties.Architecture = shown, &a
		}
	}
	data := jsonspec.ModelData{Info: []jsonspec.ModelInfo{{Name: name, ModelProperties: properties}}}
	r, err := specification.ToResources(&jsonspec.System{Models: data}, "")
	if err != nil {
		return nil, err
	}
	m := &r.Models[0]
	m.Labels, m.Spec.Performance = map[string]string{ManagedByLabel: ManagedBy}, performance
	return m, nil
}
