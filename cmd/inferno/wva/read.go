// Package wva reads what llm-d's workload-variant-autoscaler (WVA) is told by, in every form from v0.0.1 to v0.5.1, and says it in resources of inferno.
package wva

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Names in WVA.
const (
	Group   = "llmd.ai"
	Version = "v1alpha1"
	Kind    = "VariantAutoscaling"
	// AcceleratorLabel of a VariantAutoscaling names the accelerator of its pods.
	AcceleratorLabel = "inference.optimization/acceleratorName"
	// anyModel is the model of a target that is for all others.
	anyModel = "default/default"
	// defaultCost of a replica.
	//
	// Exact: the default of spec.variantCost in WVA's definition.
	defaultCost = 10.0
	// metric that WVA's autoscalers follow.
	metric = "wva_desired_replicas"
)

// ConfigMaps of WVA by the end of their names: charts put the name of the release before it.
var configMaps = []struct {
	suffix string
	read   func(*input, *fields)
}{
	{"accelerator-unit-costs", (*input).costs}, {"service-classes-config", (*input).serviceClasses},
	{"saturation-scaling-config", (*input).saturation}, {"capacity-scaling-config", (*input).saturation},
	{"model-scale-to-zero-config", (*input).scaleToZero}, {"variantautoscaling-config", (*input).settings},
}

// IsConfigMap tells whether a ConfigMap of this name is WVA's.
func IsConfigMap(name string) bool { return configMapOf(name) != nil }

func configMapOf(name string) func(*input, *fields) {
	for _, c := range configMaps {
		if strings.HasSuffix(name, c.suffix) {
			return c.read
		}
	}
	return nil
}

// variant is a VariantAutoscaling.
type variant struct {
	fields                                *fields // to say more of it
	namespace, name, model, accelerator   string
	targetVersion, targetKind, targetName string
	classMap, classKey                    string
	cost                                  float64 // of a replica, in no unit
	profiles                              []profile
}

// profile is how fast a model runs on an accelerator, as up to v0.4.
type profile struct {
	fields                    *fields
	accelerator               string
	count, maxBatch           int
	alpha, beta, gamma, delta float64 // ms
	fitted                    bool
}

// class of the ConfigMap of service classes.
type class struct {
	fields    *fields
	configMap string
	key, name string
	resource  string // its name as a ServiceClass
	priority  int
	targets   []target
}

// target of a class for a model, in ms; 0 where there is none.
type target struct {
	fields    *fields
	model     string
	itl, ttft float64
}

// unitCost of an accelerator, in cents per hour.
type unitCost struct {
	fields              *fields
	accelerator, device string
	cost                float64
}

// zeroRule says whether models go to zero: all without a model.
type zeroRule struct {
	model, namespace string
	enabled          bool
}

// input is what was understood.
type input struct {
	report
	acceleratorLabel string
	variants         []variant
	costsOf          []unitCost
	classes          []class
	zero             []zeroRule
	toZero           bool // WVA_SCALE_TO_ZERO
}

// object is a manifest with the fields that all have.
type object struct {
	kind, version, namespace, name string
	*fields
}

// read a stream of YAML or JSON documents, in which lists may be.
func read(r io.Reader, acceleratorLabel string) *input {
	in := &input{acceleratorLabel: acceleratorLabel}
	documents := yamlstream.NewYAMLReader(bufio.NewReader(r))
	for i := 1; ; i++ {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return in
		}
		where := fmt.Sprintf("document %d", i)
		if err != nil {
			in.faults = append(in.faults, where+": "+err.Error())
			return in
		}
		if values, ok := in.decode(where, text); ok {
			in.object(in.fields(where, "", values))
		}
	}
}

// decode YAML strictly: no key twice. Documents of nothing but comments are none.
func (in *input) decode(where string, text []byte) (map[string]any, bool) {
	var v any
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		in.faults = append(in.faults, where+": "+strings.Join(strings.Fields(err.Error()), " "))
		return nil, false
	}
	values, is := v.(map[string]any)
	if !is && v != nil {
		in.faults = append(in.faults, fmt.Sprintf("%s: %s is not allowed, must be an object", where, shown(v)))
	}
	return values, is
}

func (in *input) object(f *fields) {
	o := object{kind: f.required("kind"), version: f.required("apiVersion"), fields: f}
	if o.kind == "" || o.version == "" {
		return
	}
	if strings.HasSuffix(o.kind, "List") {
		for _, item := range f.list("items") {
			in.object(in.fields(f.object+": "+item.path, "", item.values))
		}
		return
	}
	meta := f.child("metadata")
	if meta == nil {
		f.fault("metadata", "is missing, must be an object")
		return
	}
	o.name, o.namespace = meta.required("name"), cmp.Or(meta.text("namespace"), "default")
	f.object = fmt.Sprintf("%s %s/%s", o.kind, o.namespace, o.name)
	switch group, version, _ := strings.Cut(o.version, "/"); {
	case o.kind == Kind && group == Group && version != Version:
		f.wrong("apiVersion", Group+"/"+Version)
	case o.kind == Kind && group == Group:
		in.variantAutoscaling(o, meta)
	case o.kind == "ConfigMap" && o.version == "v1" && IsConfigMap(o.name):
		if data := f.child("data"); data != nil {
			configMapOf(o.name)(in, data)
		}
	case strings.Contains(fmt.Sprint(f.values), metric):
		f.note("spec", "follows %s: must follow inferno_desired_replicas, with the label server, and variant where the Server has variants", metric)
	default:
		in.notes = append(in.notes, f.object+": passed over, is none of WVA's")
	}
}

func (in *input) variantAutoscaling(o object, meta *fields) {
	v := variant{fields: o.fields, namespace: o.namespace, name: o.name}
	if labels := meta.child("labels"); labels != nil {
		v.accelerator = labels.text(in.acceleratorLabel)
		if labels.text("wva.llmd.ai/controller-instance") != "" {
			labels.note("wva.llmd.ai/controller-instance", "no counterpart: one optimizer plans all Servers of a cluster")
		}
	}
	spec := o.child("spec")
	if spec == nil {
		o.fault("spec", "is missing, must be an object")
		return
	}
	v.model = spec.required("modelID")
	v.cost = defaultCost
	if cost, given := spec.number("variantCost"); given {
		v.cost = cost
	}
	in.scaleTarget(&v, spec)
	if ref := spec.child("sloClassRef"); ref != nil {
		v.classMap, v.classKey = ref.required("name"), ref.required("key")
		ref.rest(unknown)
	}
	if p := spec.child("modelProfile"); p != nil {
		for _, a := range p.list("accelerators") {
			v.profiles = append(v.profiles, readProfile(a))
		}
		p.rest(unknown)
	}
	spec.rest(unknown)
	in.variants = append(in.variants, v)
}

// unknown is what is said of fields that no known version of WVA has.
const unknown = "is of no version of WVA that is known here (to v0.5.1): not converted"

// scaleTarget of a variant: up to v0.4 the Deployment of the same name.
func (in *input) scaleTarget(v *variant, spec *fields) {
	ref := spec.child("scaleTargetRef")
	if ref == nil {
		v.targetVersion, v.targetKind, v.targetName = "apps/v1", "Deployment", v.name
		return
	}
	v.targetVersion, v.targetKind, v.targetName = ref.text("apiVersion"), ref.required("kind"), ref.required("name")
	if v.targetVersion == "" {
		v.targetVersion = "apps/v1"
		if v.targetKind != "" && v.targetKind != "Deployment" && v.targetKind != "StatefulSet" {
			ref.fault("apiVersion", "is missing, must be that of the kind %s", v.targetKind)
		}
	}
	ref.rest(unknown)
}

func readProfile(f *fields) profile {
	p := profile{fields: f, accelerator: f.required("acc"), count: f.whole("accCount", 1, 1024), maxBatch: f.whole("maxBatchSize", 1, 65536)}
	if parms := f.child("perfParms"); parms != nil {
		p.fitted = true
		for _, stage := range []struct {
			key, a, b string
			x, y      *float64
		}{{"decodeParms", "alpha", "beta", &p.alpha, &p.beta}, {"prefillParms", "gamma", "delta", &p.gamma, &p.delta}} {
			s := parms.child(stage.key)
			if s == nil {
				s = parms.report.fields(parms.object, parms.at(stage.key), nil)
			}
			*stage.x, *stage.y = s.parameter(stage.a), s.parameter(stage.b)
			s.rest(unknown)
		}
		parms.rest(unknown)
	}
	f.rest(unknown)
	return p
}

// parameter of a law, which must be there.
func (f *fields) parameter(key string) float64 {
	if _, given := f.get(key); !given {
		f.fault(key, "is missing, must be a number of at least 0")
	}
	x, _ := f.number(key)
	return x
}

// entries of a ConfigMap, each a document of YAML or JSON.
func (in *input) entries(data *fields) map[string]*fields {
	all := map[string]*fields{}
	for _, key := range slices.Sorted(maps.Keys(data.values)) {
		at := fmt.Sprintf("data[%q]", key)
		if values, ok := in.decode(data.object+": "+at, []byte(data.document(key))); ok {
			all[key] = in.fields(data.object, at, values)
		}
	}
	return all
}

func (in *input) costs(data *fields) {
	entries := in.entries(data)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		f := entries[key]
		c := unitCost{fields: f, accelerator: key, device: f.text("device"), cost: f.parameter("cost")}
		f.rest("has no counterpart")
		in.costsOf = append(in.costsOf, c)
	}
}

func (in *input) serviceClasses(data *fields) {
	entries := in.entries(data)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		f := entries[key]
		c := class{fields: f, configMap: data.object, key: key, name: f.required("name"), priority: f.whole("priority", 1, 1<<31-1)}
		for _, t := range f.list("data") {
			e := target{fields: t, model: t.required("model")}
			e.itl, e.ttft = t.latency("slo-tpot"), t.latency("slo-ttft")
			t.rest("has no counterpart")
			c.targets = append(c.targets, e)
		}
		f.rest("has no counterpart")
		in.classes = append(in.classes, c)
	}
}

// saturation has thresholds of use: inferno sizes by latency targets instead.
func (in *input) saturation(data *fields) {
	entries := in.entries(data)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		f := entries[key]
		f.get("model_id")
		f.get("namespace")
		if v, given := f.get("enableLimiter"); given {
			f.note("enableLimiter", "%s needs no counterpart: plans are always within the capacity that is there", shown(v))
		}
		f.rest("has no counterpart: replicas follow from the latency targets of the class, not from thresholds of use")
	}
}

func (in *input) scaleToZero(data *fields) {
	entries := in.entries(data)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		f := entries[key]
		rule := zeroRule{model: f.text("model_id"), namespace: f.text("namespace")}
		if key != "default" && rule.model == "" {
			f.fault("model_id", "is missing, must be a string in every entry but default")
		}
		if v, given := f.get("enable_scale_to_zero"); given {
			enabled, is := v.(bool)
			if !is {
				f.wrong("enable_scale_to_zero", "true or false")
			}
			rule.enabled = enabled
			in.zero = append(in.zero, rule)
		}
		f.rest("has no counterpart: how long a server is kept without load follows from what a start costs")
	}
}

// settings of WVA's controller.
func (in *input) settings(data *fields) {
	if v := data.text("WVA_SCALE_TO_ZERO"); v != "" {
		in.toZero = strings.EqualFold(v, "true")
	}
	for _, known := range [][2]string{{"GLOBAL_OPT_INTERVAL", "spec.interval of the Optimizer"}, {"PROMETHEUS_BASE_URL", "the chart's value prometheus.url"}} {
		if v, given := data.get(known[0]); given {
			data.note(known[0], "%s is not converted: set %s", shown(v), known[1])
		}
	}
	data.rest("has no counterpart")
}
