package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/recommend"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// pattern is the server of the samples that manifests are made like.
const pattern = "chat-premium"

// way to serve a model: replicas that do both, or those of a role.
type way struct {
	role string
	recommend.Role
}

// waysOf what is recommended first: replicas that do both, or prefill and decode apart.
func waysOf(a *recommend.Answer) []way {
	if len(a.Configurations) > 0 && (len(a.Apart) == 0 || !a.Apart[0].Before(&a.Configurations[0])) {
		c := &a.Configurations[0]
		return []way{{"", recommend.Role{
			Accelerator: c.Accelerator, TensorParallel: c.TensorParallel, Nodes: c.Nodes, MaxNumSeqs: c.MaxNumSeqs, MaxNumBatchedTokens: c.MaxNumBatchedTokens, Price: c.Price,
		}}}
	}
	return []way{{jsonspec.RolePrefill, a.Apart[0].Prefill}, {jsonspec.RoleDecode, a.Apart[0].Decode}}
}

// workload that runs it for a server.
func (w *way) workload(server string) string {
	if w.role == "" {
		return server
	}
	return server + "-" + w.role
}

// writeRecommended writes the manifests of what is recommended into a directory: what the cluster shares, and what belongs into a namespace. Files that are
// there stay as they are.
func writeRecommended(dir, name string, q *recommend.Question, ways []way) error {
	name = cmp.Or(name, workload.ResourceName(q.Model))
	shared, own, err := recommendedObjects(name, q, ways)
	if err != nil {
		return err
	}
	return writeManifests(dir, map[string][]any{name + "-cluster.yaml": shared, name + ".yaml": own}, false)
}

// writeManifests writes files below a directory, by their names.
func writeManifests(dir string, files map[string][]any, force bool) error {
	texts := map[string][]byte{}
	for name, objects := range files {
		text, err := stream(objects)
		if err != nil {
			return err
		}
		texts[name] = text
	}
	return writeFiles("write", dir, texts, force)
}

// writeFiles below the directory that a flag names. None is written where one is there already and may not be written over.
func writeFiles(flag, dir string, files map[string][]byte, force bool) error {
	names := slices.Sorted(maps.Keys(files))
	var faults []error
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil && !force {
			faults = append(faults, badInput{fmt.Errorf("--%s: %s is there already", flag, path)})
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// recommendedObjects are the resources that say what is recommended: those of the cluster, and those of a namespace, which the samples' are like. Roles have a workload
// each, and no Service: which of their replicas a request goes to is a router's to say.
func recommendedObjects(name string, q *recommend.Question, ways []way) (shared, own []any, err error) {
	resources, err := specification.ToResources(recommendedSystem(name, q, ways), "")
	if err != nil {
		return nil, nil, err
	}
	for i := range resources.Servers {
		own = append(own, &resources.Servers[i])
	}
	for i := range ways {
		w := &ways[i]
		objects := []metav1.Object{new(appsv1.Deployment), new(autoscalingv2.HorizontalPodAutoscaler), new(policyv1.PodDisruptionBudget)}
		if w.role == "" {
			objects = append(objects, new(corev1.Service))
		}
		for _, object := range objects {
			if err := likeSample(object, w.workload(name)); err != nil {
				return nil, nil, err
			}
			w.complete(object, name, q)
			own = append(own, object)
		}
	}
	return sharedObjects(&resources), own, nil
}

// complete an object that is like a sample's: pods serve the model, and where they have a role it is said of which server.
func (w *way) complete(object metav1.Object, server string, q *recommend.Question) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		t := &o.Spec.Template
		if t.Labels[v1alpha1.ServerLabel] = server; w.role != "" {
			t.Labels[v1alpha1.VariantLabel] = w.role
			engine := &t.Spec.Containers[0]
			engine.Args = append(engine.Args, `--kv-transfer-config={"kv_connector":"NixlConnector","kv_role":"kv_both"}`)
			engine.Env = append(engine.Env, corev1.EnvVar{
				Name: "VLLM_NIXL_SIDE_CHANNEL_HOST", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}},
			})
		}
		serve(t, q, &w.Role)
	case *autoscalingv2.HorizontalPodAutoscaler:
		if w.role != "" {
			o.Spec.Metrics[0].External.Metric.Selector.MatchLabels = map[string]string{"server": server, "variant": w.role}
		}
	}
}

// sharedObjects are the resources that servers of a cluster share.
func sharedObjects(r *specification.Resources) []any {
	var shared []any
	for i := range r.Accelerators {
		shared = append(shared, &r.Accelerators[i])
	}
	for i := range r.Models {
		shared = append(shared, &r.Models[i])
	}
	for i := range r.ServiceClasses {
		shared = append(shared, &r.ServiceClasses[i])
	}
	return shared
}

// recommendedSystem has one model, class and server, on one accelerator or those of two roles. The performance stays open: it is physics' to say, and then to be learned.
func recommendedSystem(name string, q *recommend.Question, ways []way) *jsonspec.System {
	s := new(jsonspec.System)
	model, server := workload.ResourceName(q.Model), jsonspec.ServerEntry{Name: name, Class: name, Model: workload.ResourceName(q.Model), MinNumReplicas: 1}
	match := map[string]string{"engine": cmp.Or(q.Engine, "vllm")}
	if q.Precision != "" {
		match["precision"] = q.Precision
	}
	for i := range ways {
		w := &ways[i]
		accelerator, ref := workload.ResourceName(w.Accelerator), jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: w.workload(name)}
		entry := jsonspec.AcceleratorEntry{Name: accelerator, AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Type: w.Accelerator, Cost: w.Price.CentsPerHour}}}
		if i == 0 || w.Accelerator != ways[0].Accelerator {
			s.Accelerators.Spec = append(s.Accelerators.Spec, entry)
		}
		s.Models.Spec = append(s.Models.Spec, jsonspec.PerformanceEntry{Name: model, Performance: jsonspec.Performance{Acc: accelerator, Role: w.role, AccCount: w.TensorParallel, Match: match}})
		if w.role == "" {
			server.ScaleTargetRef = &ref
			continue
		}
		server.Variants = append(server.Variants, jsonspec.Variant{Name: w.role, ModelVariant: w.role, Accelerators: []string{accelerator}, ScaleTargetRef: ref})
		server.MinNumReplicas = len(ways)
	}
	s.Models.Info = []jsonspec.ModelInfo{{Name: model, ModelProperties: jsonspec.ModelProperties{ServedName: q.Model, Architecture: q.Architecture}}}
	target := jsonspec.ModelTarget{
		Model: model, TTFT: jsonspec.Milliseconds(q.Targets.TTFT), ITL: jsonspec.Milliseconds(q.Targets.ITL), Percentile: q.Targets.Percentile,
	}
	s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: name, ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1, ModelTargets: []jsonspec.ModelTarget{target}}}}
	s.Servers.Spec = []jsonspec.ServerEntry{server}
	return s
}

// likeSample fills in an object as the samples have that of its kind for the pattern, for a server of another name, in no namespace.
func likeSample(object metav1.Object, name string) error {
	want := reflect.TypeOf(object).Elem().Name()
	for _, text := range bytes.Split(manifests.Samples(), []byte("\n---\n")) {
		var kind struct {
			metav1.TypeMeta   `json:",inline"`
			metav1.ObjectMeta `json:"metadata"`
		}
		if err := yaml.Unmarshal(text, &kind); err != nil {
			return err
		}
		if kind.Kind != want || kind.Name != pattern {
			continue
		}
		if err := yaml.UnmarshalStrict(bytes.ReplaceAll(text, []byte(pattern), []byte(name)), object); err != nil {
			return err
		}
		object.SetNamespace("")
		return nil
	}
	return fmt.Errorf("the samples have no %s %s", want, pattern)
}

// serve the model by the pods of a template, on so many cards.
func serve(t *corev1.PodTemplateSpec, q *recommend.Question, c *recommend.Role) {
	t.Annotations[v1alpha1.MaxNumSeqsAnnotation] = strconv.Itoa(c.MaxNumSeqs)
	t.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation] = strconv.Itoa(c.MaxNumBatchedTokens)
	t.Spec.PriorityClassName = ""
	engine := &t.Spec.Containers[0]
	for i, a := range engine.Args {
		if strings.HasPrefix(a, "--model=") {
			engine.Args[i] = "--model=" + q.Model
		}
	}
	engine.Args = append(engine.Args, fmt.Sprintf("--tensor-parallel-size=%d", c.TensorParallel))
	if q.Precision == "fp8" && fitting.PrecisionOf(q.Model) == "" {
		engine.Args = append(engine.Args, "--quantization=fp8")
	}
	entry, _ := catalogue.Lookup(c.Accelerator)
	for _, list := range []corev1.ResourceList{engine.Resources.Requests, engine.Resources.Limits} {
		delete(list, catalogue.NVIDIAResource)
		list[corev1.ResourceName(entry.ResourceName)] = *resource.NewQuantity(int64(c.TensorParallel), resource.DecimalSI)
	}
}

// stream of YAML documents, without what the API server fills in.
func stream(objects []any) ([]byte, error) {
	var all [][]byte
	for _, o := range objects {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return nil, err
		}
		delete(content, "status")
		text, err := yaml.Marshal(content)
		if err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return manifests.Join(all...), nil
}
