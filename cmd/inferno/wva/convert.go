package wva

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// Options of a conversion.
type Options struct {
	// AcceleratorLabel of VariantAutoscalings names the accelerator of their pods; WVA's own where it is empty.
	AcceleratorLabel string
	// Class is the ServiceClass of models that no class of the input has a target for; empty where there must be none.
	Class string
}

// Result of a conversion.
type Result struct {
	Accelerators   []*v1alpha1.Accelerator
	Models         []*v1alpha1.Model
	ServiceClasses []*v1alpha1.ServiceClass
	Servers        []*v1alpha1.Server
	// Notes say what of the input has no counterpart, or was assumed, each with its object and field.
	Notes []string
	// Pods say which labels the pods of a workload must carry.
	Pods []Labelled
}

// Labelled is a workload whose pods must carry labels.
type Labelled struct {
	Namespace, Kind, Name string
	Labels                map[string]string
}

// Convert reads a stream of manifests. The error joins every fault of it, each with its object, field, value and what is allowed; there is no result then.
func Convert(r io.Reader, o Options) (*Result, error) {
	o.AcceleratorLabel = cmp.Or(o.AcceleratorLabel, AcceleratorLabel)
	in := read(r, o.AcceleratorLabel)
	c := &converter{input: in, Options: o, modelNames: map[string]string{}, servers: map[string]bool{}}
	if len(in.faults) == 0 {
		c.convert()
	}
	if len(in.faults) > 0 {
		return nil, errors.New(strings.Join(in.faults, "\n"))
	}
	c.result.Notes = in.notes
	return &c.result, nil
}

type converter struct {
	*input
	Options
	result     Result
	modelNames map[string]string // of Models, by those of models
	servers    map[string]bool   // by namespace and name
}

func (c *converter) convert() {
	slices.SortFunc(c.variants, func(a, b variant) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.model, b.model), cmp.Compare(a.name, b.name))
	})
	for i := 1; i < len(c.variants); i++ {
		if a, b := &c.variants[i-1], &c.variants[i]; a.namespace == b.namespace && a.name == b.name {
			b.fields.fault("metadata.name", "%q is there twice, must be once", b.name)
		}
	}
	c.nameModels()
	c.accelerators()
	c.models()
	c.serviceClasses()
	for i := 0; i < len(c.variants); {
		n := 1
		for i+n < len(c.variants) && c.variants[i+n].namespace == c.variants[i].namespace && c.variants[i+n].model == c.variants[i].model {
			n++
		}
		c.server(c.variants[i : i+n])
		i += n
	}
}

// nameModels names a Model for each model that is spoken of: without its publisher, with it where that is taken.
func (c *converter) nameModels() {
	taken := map[string]bool{}
	name := func(model string) {
		if _, is := c.modelNames[model]; is {
			return
		}
		short := workload.ResourceName(model)
		if taken[short] {
			short = workload.ResourceName(strings.ReplaceAll(model, "/", "-"))
		}
		if taken[short] {
			c.faults = append(c.faults, fmt.Sprintf("model %q: is %s in Kubernetes, as another model is: rename one of them", model, short))
		}
		c.modelNames[model], taken[short] = short, true
	}
	for i := range c.variants {
		name(c.variants[i].model)
	}
	for i := range c.classes {
		for _, t := range c.classes[i].targets {
			if t.model != anyModel {
				name(t.model)
			}
		}
	}
}

// accelerators are those with a cost of their own, and those that variants run on, for which a card costs its part of a replica.
func (c *converter) accelerators() {
	done := map[string]*v1alpha1.Accelerator{}
	for _, u := range c.costsOf {
		a := c.accelerator(u.accelerator, u.cost)
		if u.device != "" {
			a.Spec.ProductNames = []string{u.device}
		}
		if done[a.Name] != nil {
			u.fields.fault("", "%q is %s in Kubernetes, as another accelerator is: rename one of them", u.accelerator, a.Name)
		}
		done[a.Name] = a
	}
	priced := maps.Clone(done)
	for i := range c.variants {
		v := &c.variants[i]
		on := v.runsOn()
		for _, name := range slices.Sorted(maps.Keys(on)) {
			id, cost := workload.ResourceName(name), v.cost/float64(on[name])
			switch {
			case priced[id] != nil:
			case done[id] == nil:
				done[id] = c.accelerator(name, cost)
				v.fields.note("spec.variantCost", "%g has no unit: taken for cents per hour of a replica of %d × %s; put in your price", v.cost, on[name], name)
			case done[id].Spec.CostPerHour.Float() != cost:
				v.fields.note("spec.variantCost", "%g for %d × %s is not kept: an Accelerator has one cost, here %s", v.cost, on[name], name, done[id].Spec.CostPerHour)
			}
		}
		if len(on) == 0 {
			v.fields.note("spec.variantCost", "%g is not kept: nothing says on which accelerator its pods run", v.cost)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		c.result.Accelerators = append(c.result.Accelerators, done[name])
	}
}

// runsOn are the accelerators that a variant names, each with its cards; one where nothing is said of them.
func (v *variant) runsOn() map[string]int {
	on := map[string]int{}
	for _, p := range v.profiles {
		if v.accelerator == "" || v.accelerator == p.accelerator {
			on[p.accelerator] = p.count
		}
	}
	if len(on) == 0 && v.accelerator != "" {
		on[v.accelerator] = 1
	}
	return on
}

func (c *converter) accelerator(name string, cost float64) *v1alpha1.Accelerator {
	a := &v1alpha1.Accelerator{TypeMeta: v1alpha1.TypeMeta("Accelerator"), ObjectMeta: metav1.ObjectMeta{Name: workload.ResourceName(name)}}
	a.Spec.Type, a.Spec.CostPerHour = name, v1alpha1.DecimalOf(cost)
	for _, e := range catalogue.Types() {
		if strings.EqualFold(e.Type, name) || slices.Contains(e.ProductNames, name) {
			a.Spec.Type = e.Type
			return a
		}
	}
	c.notes = append(c.notes, fmt.Sprintf("Accelerator %s: spec.type: %q is none that the built-in catalogue knows: give memory and memoryBandwidth", a.Name, name))
	return a
}

// models of the variants, with the performance that any of them has.
func (c *converter) models() {
	done := map[string]*v1alpha1.Model{}
	for i := range c.variants {
		v := &c.variants[i]
		name := c.modelNames[v.model]
		m := done[name]
		if m == nil {
			m = &v1alpha1.Model{TypeMeta: v1alpha1.TypeMeta("Model"), ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ModelSpec{ServedName: v.model}}
			done[name] = m
		}
		for _, p := range v.profiles {
			c.performance(m, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(done)) {
		c.result.Models = append(c.result.Models, done[name])
	}
}

// performance of a model on an accelerator; the first that says anything of the two stands.
func (c *converter) performance(m *v1alpha1.Model, p profile) {
	entry := v1alpha1.Performance{Accelerator: workload.ResourceName(p.accelerator), AcceleratorsPerReplica: p.count, MaxBatchSize: p.maxBatch}
	if p.fitted {
		entry.Linear = &v1alpha1.LinearLaw{
			Decode:  v1alpha1.DecodeLaw{Alpha: v1alpha1.DecimalOf(p.alpha), Beta: v1alpha1.DecimalOf(p.beta)},
			Prefill: v1alpha1.PrefillLaw{Gamma: v1alpha1.DecimalOf(p.gamma), Delta: v1alpha1.DecimalOf(p.delta)},
		}
	}
	for _, other := range m.Spec.Performance {
		if other.Accelerator == entry.Accelerator {
			if fmt.Sprint(other.AcceleratorsPerReplica, other.MaxBatchSize, other.Linear) != fmt.Sprint(entry.AcceleratorsPerReplica, entry.MaxBatchSize, entry.Linear) {
				p.fields.note("acc", "%q has other values elsewhere, and a Model has one entry for an accelerator: those stand", p.accelerator)
			}
			return
		}
	}
	m.Spec.Performance = append(m.Spec.Performance, entry)
}

func (c *converter) serviceClasses() {
	for i := range c.classes {
		k := &c.classes[i]
		s := &v1alpha1.ServiceClass{TypeMeta: v1alpha1.TypeMeta("ServiceClass"), ObjectMeta: metav1.ObjectMeta{Name: workload.ResourceName(k.name)}}
		if slices.ContainsFunc(c.classes[:i], func(o class) bool { return o.resource == s.Name }) {
			k.fields.fault("name", "%q is %s in Kubernetes, as another class is: rename one of them", k.name, s.Name)
		}
		k.resource = s.Name
		// Of WVA's classes that of priority 1 counts most, of ours that of 100.
		s.Spec.Priority = max(101-k.priority, 1)
		if k.priority > 100 {
			k.fields.note("priority", "%d is beyond what can be told apart: is 1, the lowest", k.priority)
		}
		for _, t := range k.targets {
			model := c.modelNames[t.model]
			if t.model == anyModel {
				model = v1alpha1.AnyModel
			}
			if slices.ContainsFunc(s.Spec.Targets, func(o v1alpha1.Target) bool { return o.Model == model }) {
				t.fields.fault("model", "%q is there twice, must be once", t.model)
			}
			s.Spec.Targets = append(s.Spec.Targets, v1alpha1.Target{Model: model, ITL: milliseconds(t.itl), TTFT: milliseconds(t.ttft)})
		}
		c.result.ServiceClasses = append(c.result.ServiceClasses, s)
	}
}

func milliseconds(ms float64) *metav1.Duration {
	if ms == 0 {
		return nil
	}
	return &metav1.Duration{Duration: time.Duration(ms * float64(time.Millisecond))}
}

// server is what variants of one model in one namespace make up together.
func (c *converter) server(variants []variant) {
	first := &variants[0]
	s := &v1alpha1.Server{TypeMeta: v1alpha1.TypeMeta("Server"), ObjectMeta: metav1.ObjectMeta{Namespace: first.namespace, Name: c.label(first)}}
	if len(variants) > 1 {
		s.Name = c.modelNames[first.model]
	}
	if c.servers[s.Namespace+"/"+s.Name] {
		first.fields.fault("metadata.name", "%q is the name of a Server already: rename it", s.Name)
	}
	c.servers[s.Namespace+"/"+s.Name] = true
	s.Spec.Model, s.Spec.ServiceClass = c.modelNames[first.model], c.classOf(variants)
	least := 1
	if c.goesToZero(first.model, first.namespace) {
		least = 0
	}
	s.Spec.MinReplicas = &least
	if len(variants) == 1 {
		s.Spec.ScaleTargetRef = first.target()
		c.mark(first, s.Name, nil)
		if first.accelerator != "" {
			first.fields.note("metadata.labels["+c.AcceleratorLabel+"]", "%q is not kept: plans choose among the accelerators that the pods' template allows", first.accelerator)
		}
	} else {
		c.several(s, variants)
	}
	c.result.Servers = append(c.result.Servers, s)
}

func (c *converter) several(s *v1alpha1.Server, variants []variant) {
	for i := range variants {
		v := &variants[i]
		on := v.runsOn()
		if len(on) == 0 {
			v.fields.fault("metadata.labels["+c.AcceleratorLabel+"]", "is missing, must name the accelerator of its pods, since the model has %d variants in its namespace", len(variants))
		}
		names := []string{}
		for name := range on {
			names = append(names, workload.ResourceName(name))
		}
		slices.Sort(names)
		name := c.label(v)
		s.Spec.Variants = append(s.Spec.Variants, jsonspec.Variant{Name: name, Accelerators: names, ScaleTargetRef: *v.target()})
		c.mark(v, s.Name, &name)
	}
}

func (v *variant) target() *jsonspec.ScaleTargetRef {
	return &jsonspec.ScaleTargetRef{APIVersion: v.targetVersion, Kind: v.targetKind, Name: v.targetName}
}

// label is the name of a variant, which pods carry as a label.
func (c *converter) label(v *variant) string {
	if len(validation.IsDNS1123Label(v.name)) == 0 {
		return v.name
	}
	name := workload.ResourceName(v.name)
	v.fields.note("metadata.name", "%q is no DNS label: is %q", v.name, name)
	return name
}

// mark says which labels the pods of a variant must carry.
func (c *converter) mark(v *variant, server string, variant *string) {
	labels := map[string]string{v1alpha1.ServerLabel: server}
	if variant != nil {
		labels[v1alpha1.VariantLabel] = *variant
	}
	c.result.Pods = append(c.result.Pods, Labelled{Namespace: v.namespace, Kind: v.targetKind, Name: v.targetName, Labels: labels})
}

// classOf variants of a model: the one that they name, else that of the highest priority that has a target for the model, or for all.
func (c *converter) classOf(variants []variant) string {
	named := ""
	for i := range variants {
		v := &variants[i]
		if v.classKey == "" {
			continue
		}
		name := c.classAt(v)
		if named != "" && name != named {
			v.fields.fault("spec.sloClassRef.key", "%q is not the class of the other variants of the model in its namespace: a Server has one", v.classKey)
		}
		named = name
	}
	if named != "" {
		return named
	}
	first := &variants[0]
	var found []string
	for _, model := range []string{first.model, anyModel} {
		if found = c.classesFor(model); len(found) > 0 {
			break
		}
	}
	if len(found) > 1 {
		first.fields.note("spec.modelID", "%q has targets in several classes: %s: the Server is of the first", first.model, strings.Join(found, ", "))
	}
	if len(found) > 0 {
		return found[0]
	}
	if c.Class == "" {
		first.fields.fault("spec.modelID", "%q has no latency target in any class of the input: name a ServiceClass that is for it (--class)", first.model)
	}
	return c.Class
}

// classAt is the class that a variant names by ConfigMap and key.
func (c *converter) classAt(v *variant) string {
	var keys []string
	for _, k := range c.classes {
		if k.key == v.classKey && strings.HasSuffix(k.configMap, "/"+v.classMap) {
			return k.resource
		}
		keys = append(keys, fmt.Sprintf("%s of %s", k.key, k.configMap))
	}
	if c.Class != "" {
		v.fields.note("spec.sloClassRef", "%s of ConfigMap %s is not in the input: is %s", v.classKey, v.classMap, c.Class)
		return c.Class
	}
	allowed := cmp.Or(strings.Join(keys, ", "), "in the input, or --class must say another")
	v.fields.fault("spec.sloClassRef.key", "%q of ConfigMap %s is not allowed, must be %s", v.classKey, v.classMap, allowed)
	return ""
}

// classesFor a model, the most important first.
func (c *converter) classesFor(model string) []string {
	var found []class
	for _, k := range c.classes {
		if slices.ContainsFunc(k.targets, func(t target) bool { return t.model == model }) {
			found = append(found, k)
		}
	}
	slices.SortStableFunc(found, func(a, b class) int { return cmp.Compare(a.priority, b.priority) })
	var names []string
	for _, k := range found {
		names = append(names, k.resource)
	}
	return names
}

// goesToZero by the rule for the model in the namespace, else for the model, else for all, else WVA's settings.
func (c *converter) goesToZero(model, namespace string) bool {
	for _, want := range [][2]string{{model, namespace}, {model, ""}, {"", ""}} {
		for _, r := range c.zero {
			if r.model == want[0] && r.namespace == want[1] {
				return r.enabled
			}
		}
	}
	return c.toZero
}
