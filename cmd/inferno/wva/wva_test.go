package wva

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// ofThePage reads an example of the page that says how to come from WVA.
func ofThePage(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../docs/recipes/coming-from-wva", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func convert(t *testing.T, text []byte) *Result {
	t.Helper()
	r, err := Convert(bytes.NewReader(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// says fails unless some line has all of the words.
func says(t *testing.T, lines []string, words ...string) {
	t.Helper()
	if !slices.ContainsFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
	}) {
		t.Errorf("no line says %q:\n%s", words, strings.Join(lines, "\n"))
	}
}

// Up to v0.4 the performance, the class and the costs are given, and all of it is kept.
func TestOldForm(t *testing.T) {
	r := convert(t, ofThePage(t, "v0.4.yaml"))
	if len(r.Accelerators) != 2 || len(r.Models) != 1 || len(r.ServiceClasses) != 2 || len(r.Servers) != 1 {
		t.Fatalf("%d accelerators, %d models, %d classes, %d servers", len(r.Accelerators), len(r.Models), len(r.ServiceClasses), len(r.Servers))
	}
	a := r.Accelerators[0]
	if a.Name != "a100" || a.Spec.Type != "A100" || a.Spec.CostPerHour.Float() != 220 || !slices.Equal(a.Spec.ProductNames, []string{"NVIDIA-A100-SXM4-80GB"}) {
		t.Errorf("accelerator %+v", a)
	}
	m := r.Models[0]
	want := []v1alpha1.Performance{{
		Accelerator: "a100", AcceleratorsPerReplica: 1, MaxBatchSize: 64, Linear: &v1alpha1.LinearLaw{
			Decode:  v1alpha1.DecodeLaw{Alpha: v1alpha1.DecimalOf(20.58), Beta: v1alpha1.DecimalOf(0.41)},
			Prefill: v1alpha1.PrefillLaw{Gamma: v1alpha1.DecimalOf(5.2), Delta: v1alpha1.DecimalOf(0.1)},
		},
	}, {Accelerator: "l40s", AcceleratorsPerReplica: 2, MaxBatchSize: 32}}
	if m.Spec.ServedName != "meta-llama/Llama-3.1-8B-Instruct" || !reflect.DeepEqual(m.Spec.Performance, want) {
		t.Errorf("model %+v", m)
	}
	// WVA's priority 1 counts most, as our 100 does.
	freemium, premium := r.ServiceClasses[0], r.ServiceClasses[1]
	if freemium.Name != "freemium" || freemium.Spec.Priority != 91 || premium.Spec.Priority != 100 {
		t.Errorf("classes %+v, %+v", freemium, premium)
	}
	if own := premium.Spec.TargetFor(m.Name); own.ITL.Duration != 30*time.Millisecond || own.TTFT.Duration != 400*time.Millisecond {
		t.Errorf("target %+v", own)
	}
	if all := premium.Spec.TargetFor("another"); all == nil || all.ITL.Duration != 24*time.Millisecond {
		t.Errorf("default/default is %+v", all)
	}
	s := r.Servers[0]
	target := &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "chat"}
	if s.Namespace != "llm" || s.Name != "chat" || s.Spec.Model != m.Name || s.Spec.ServiceClass != "premium" || *s.Spec.MinReplicas != 1 || !reflect.DeepEqual(s.Spec.ScaleTargetRef, target) {
		t.Errorf("server %+v", s)
	}
	for _, field := range []string{"kvCacheThreshold", "queueLengthThreshold", "kvSpareTrigger", "queueSpareTrigger"} {
		says(t, r.Notes, "ConfigMap workload-variant-autoscaler-system/capacity-scaling-config", `data["default"].`+field, "no counterpart")
	}
}

// From v0.5 on variants of a model in a namespace are one Server with a variant each, and prices follow from what replicas cost.
func TestNewForm(t *testing.T) {
	r := convert(t, ofThePage(t, "v0.5.yaml"))
	if len(r.Servers) != 2 {
		t.Fatalf("%d servers", len(r.Servers))
	}
	small, large := r.Servers[0], r.Servers[1]
	if small.Name != "small" {
		small, large = large, small
	}
	if small.Spec.ScaleTargetRef.Name != "small" || *small.Spec.MinReplicas != 0 || *large.Spec.MinReplicas != 1 {
		t.Errorf("server %+v", small)
	}
	want := []jsonspec.Variant{
		{Name: "llama-70b-a100", Accelerators: []string{"a100"}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "llama-70b-a100-decode"}},
		{Name: "llama-70b-h100", Accelerators: []string{"h100"}, ScaleTargetRef: jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "llama-70b-h100-decode"}},
	}
	if large.Spec.ScaleTargetRef != nil || !reflect.DeepEqual(large.Spec.Variants, want) {
		t.Errorf("server %+v", large)
	}
	if len(r.Accelerators) != 2 || r.Accelerators[0].Spec.CostPerHour.Float() != 40 || r.Accelerators[1].Spec.CostPerHour.Float() != 80 {
		t.Errorf("accelerators %+v", r.Accelerators)
	}
	says(t, r.Notes, "VariantAutoscaling llm/llama-70b-h100", "spec.variantCost", "80", "no unit")
	says(t, r.Notes, "wva-saturation-scaling-config", "enableLimiter", "true", "capacity")
	says(t, r.Notes, "wva-model-scale-to-zero-config", "retention_period", "no counterpart")
	says(t, r.Notes, "wva-variantautoscaling-config", "GLOBAL_OPT_INTERVAL", "60s", "spec.interval of the Optimizer")
	says(t, r.Notes, "wva-variantautoscaling-config", "PROMETHEUS_BEARER_TOKEN", "no counterpart")
	says(t, r.Notes, "HorizontalPodAutoscaler llm/llama-70b-h100", "inferno_desired_replicas")
	if all := strings.Join(r.Notes, "\n"); strings.Contains(all, "secret") {
		t.Errorf("it shows what may be a secret:\n%s", all)
	}
	pods := Labelled{Namespace: "llm", Kind: "Deployment", Name: "llama-70b-a100-decode", Labels: map[string]string{v1alpha1.ServerLabel: large.Name, v1alpha1.VariantLabel: "llama-70b-a100"}}
	if !slices.ContainsFunc(r.Pods, func(p Labelled) bool { return reflect.DeepEqual(p, pods) }) {
		t.Errorf("pods %+v", r.Pods)
	}
}

// Every fault is said at once, with the object, the field, the value and what is allowed.
func TestFaults(t *testing.T) {
	_, err := Convert(strings.NewReader(`
apiVersion: llmd.ai/v1alpha1
kind: VariantAutoscaling
metadata: {name: a, namespace: llm}
spec:
  scaleTargetRef: {kind: Rollout}
  variantCost: cheap
  modelProfile: {accelerators: [{acc: "", accCount: 0, maxBatchSize: 1.5, perfParms: {decodeParms: {alpha: -1}}}, none]}
---
apiVersion: llmd.ai/v2
kind: VariantAutoscaling
metadata: {name: b}
---
- a list
---
a: 1
a: 2
---
apiVersion: v1
kind: ConfigMap
metadata: {name: wva-service-classes-config}
data:
  x: "{name: X, priority: 0, data: [{slo-tpot: -3, slo-ttft: 1e12}]}"
  z: "not: [closed"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: wva-model-scale-to-zero-config}
data: {other: "enable_scale_to_zero: maybe"}
`), Options{})
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range [][]string{
		{"VariantAutoscaling llm/a", "spec.modelID: is missing"}, {"VariantAutoscaling llm/a", "spec.scaleTargetRef.name: is missing"},
		{"spec.scaleTargetRef.apiVersion: is missing, must be that of the kind Rollout"}, {`spec.variantCost: "cheap" is not allowed, must be a number of at least 0`},
		{"spec.modelProfile.accelerators[0].acc: is missing"}, {"accelerators[0].accCount: 0 is not allowed, must be a whole number from 1 to 1024"},
		{"accelerators[0].maxBatchSize: 1.5 is not allowed"}, {"decodeParms.alpha: -1 is not allowed, must be a number of at least 0"}, {"decodeParms.beta: is missing"},
		{"prefillParms.gamma: is missing"}, {`accelerators[1]: "none" is not allowed, must be an object`},
		{"VariantAutoscaling default/b", `apiVersion: "llmd.ai/v2" is not allowed, must be llmd.ai/v1alpha1`}, {"document 3"}, {"document 4", `"a" already set`},
		{`ConfigMap default/wva-service-classes-config: data["x"].priority: 0 is not allowed`}, {`data["x"].data[0].model: is missing`}, {`data["x"].data[0].slo-tpot: -3 is not allowed`},
		{`data["x"].data[0].slo-ttft: 1e+12 is not allowed, must be 0, or a number of ms`}, {`data["z"]`}, {`data["other"].enable_scale_to_zero: "maybe" is not allowed, must be true or false`},
		{`data["other"].model_id: is missing`},
	} {
		says(t, lines, want...)
	}
}

// What resources can say in one way only is refused where the input says it in two, and what is not said is asked for.
func TestContradictions(t *testing.T) {
	variant := func(name, model, more string) string {
		return "---\napiVersion: llmd.ai/v1alpha1\nkind: VariantAutoscaling\nmetadata: {namespace: llm, name: " + name + "}\nspec: {modelID: " + model + more + "}\n"
	}
	classes := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: service-classes-config, namespace: wva}\ndata:\n  p: '{name: P, priority: 1, data: [{model: m}]}'\n  q: '{name: Q, priority: 2, data: [{model: k}]}'\n"
	for _, c := range []struct{ text, want string }{
		{variant("a", "m", ""), `VariantAutoscaling llm/a: spec.modelID: "m" has no latency target in any class of the input`},
		{classes + variant("a", "m", "") + variant("b", "m", ""), "VariantAutoscaling llm/b: metadata.labels[inference.optimization/acceleratorName]: is missing"},
		{classes + variant("a", "m", ", sloClassRef: {name: service-classes-config, key: z}"), "must be p of ConfigMap wva/service-classes-config, q of ConfigMap wva/service-classes-config"},
		{classes + variant("a", "m", "") + variant("a", "m", ""), `metadata.name: "a" is there twice`},
		{classes + variant("a", "m", ", sloClassRef: {name: service-classes-config, key: p}") + variant("b", "m", ", sloClassRef: {name: service-classes-config, key: q}"), "a Server has one"},
		{classes + variant("a", "x/m", "") + variant("b", "y/m", "") + variant("c", "x-y/m", "") + variant("d", "x/y-m", ""), "rename one of them"},
		{strings.ReplaceAll(classes, "Q", "p"), `data["q"].name: "p" is p in Kubernetes, as another class is`},
	} {
		if _, err := Convert(strings.NewReader(c.text), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v does not say %q", err, c.want)
		}
	}
	r, err := Convert(strings.NewReader(variant("a", "m", "")), Options{Class: "mine"})
	if err != nil || r.Servers[0].Spec.ServiceClass != "mine" {
		t.Errorf("%v, %+v", err, r)
	}
}

// Whatever is read, there is a result that refers only to what is in it, or there are faults.
func FuzzConvert(f *testing.F) {
	f.Add(ofThePage(f, "v0.4.yaml"))
	f.Add(ofThePage(f, "v0.5.yaml"))
	f.Add([]byte("kind: List\napiVersion: v1\nitems: [{kind: ConfigMap, apiVersion: v1, metadata: {name: accelerator-unit-costs}, data: {A: '{cost: 1}', a: '{cost: 2}'}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Convert(bytes.NewReader(text), Options{Class: "any"})
		if (r == nil) != (err != nil) {
			t.Fatalf("result %v with error %v", r, err)
		}
		if err != nil {
			return
		}
		known := map[string]bool{"ServiceClass any": true}
		for _, a := range r.Accelerators {
			known["Accelerator "+a.Name] = true
		}
		for _, m := range r.Models {
			known["Model "+m.Name] = true
		}
		for _, c := range r.ServiceClasses {
			known["ServiceClass "+c.Name] = true
		}
		for _, s := range r.Servers {
			refers := []string{"Model " + s.Spec.Model, "ServiceClass " + s.Spec.ServiceClass}
			for _, v := range s.Spec.Variants {
				for _, a := range v.Accelerators {
					refers = append(refers, "Accelerator "+a)
				}
			}
			for _, name := range refers {
				if !known[name] {
					t.Errorf("Server %s/%s refers to %s, which is not there", s.Namespace, s.Name, name)
				}
			}
			if (s.Spec.ScaleTargetRef == nil) == (len(s.Spec.Variants) == 0) {
				t.Errorf("Server %s/%s has neither or both of scaleTargetRef and variants", s.Namespace, s.Name)
			}
		}
	})
}
