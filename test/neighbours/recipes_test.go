package neighbours

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscaling "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/cmd/inferno/wva"
	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// pages of the recipes, each with its manifests in a folder of its name.
const pages = "../../docs/recipes"

// outlines are what recipes use of definitions that are in no Go module, of Dynamo, of DisaggregatedSets and of WVA.
var outlines = flag.String("definitions", "../data/neighbours", "directory of definitions that no Go module has: of Dynamo, of DisaggregatedSets, of WVA")

// released are neighbours by the Go module that has their definitions, in the version and with the sum of their release: what is downloaded is what was released.
var released = []struct {
	module, sum string
	definitions []string
}{
	{"github.com/argoproj/argo-rollouts@v1.9.1", "h1:+oZciUkeJYVb1vPMOhat4JQlk525j/aT2yizEkVkjLs=", []string{"manifests/crds/rollout-crd.yaml"}},
	{"github.com/kedacore/keda/v2@v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
		[]string{"config/crd/bases/keda.sh_scaledobjects.yaml", "config/crd/bases/keda.sh_clustertriggerauthentications.yaml"}},
	{"github.com/kserve/kserve@v0.20.0", "h1:Bs7HxmGV4KFqqptDcWseKv+mwD4YOYHJWcuVgPG2Gug=", []string{"config/crd/full/llmisvc/serving.kserve.io_llminferenceservices.yaml"}},
	{"github.com/ray-project/kuberay/ray-operator@v1.6.0", "h1:1hs7Di2U/vm09ot7MIU8jUqEo7gHDc4gkbv1eFvqCsQ=", []string{"config/crd/bases/ray.io_rayservices.yaml"}},
	{"github.com/vllm-project/aibrix@v0.7.0", "h1:STyqtVZQTAP9ptnVuo+zUEla6u94P6TpPU7gPDf2ef8=", []string{"config/crd/orchestration/orchestration.aibrix.ai_stormservices.yaml"}},
	{"sigs.k8s.io/gateway-api@v1.5.0", "h1:duoo14Ky/fJXpjpmyMISE2RTBGnfCg8zICfTYLTnBJA=", []string{"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"}},
	{"sigs.k8s.io/lws@v0.9.0", "h1:DcJCgxjjoGOx//QHZkeKpyiblxYq70aCRZNYSfykWyI=", []string{"config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml"}},
	{"sigs.k8s.io/gateway-api-inference-extension@v1.6.0", "h1:cjtwMJYcTnLXBYE5ffR1/hHhn7U1aIFfe2RITYmOXVA=", []string{"config/crd/bases/inference.networking.k8s.io_inferencepools.yaml"}},
}

const namespaces = `apiVersion: v1
kind: Namespace
metadata: {name: llm}
---
apiVersion: v1
kind: Namespace
metadata: {name: workload-variant-autoscaler-system}
`

// download a module, and say where it is.
func download(t *testing.T, module, sum string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	var found struct{ Dir, Sum, Error string }
	if e := json.Unmarshal(out, &found); err != nil || e != nil {
		t.Fatalf("%s: %v", module, errors.Join(err, e, errors.New(found.Error)))
	}
	if found.Sum != sum {
		t.Fatalf("%s has the sum %s, want %s", module, found.Sum, sum)
	}
	return found.Dir
}

// definition of a file without its descriptions, by which some are larger than an API server takes.
func definition(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(text, &content); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	withoutDescriptions(content)
	if text, err = json.Marshal(content); err != nil {
		t.Fatal(err)
	}
	return append(text, '\n')
}

// withoutDescriptions of schemas; a property that is called so is an object, and stays.
func withoutDescriptions(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, is := v["description"].(string); is {
			delete(v, "description")
		}
		for _, below := range v {
			withoutDescriptions(below)
		}
	case []any:
		for _, below := range v {
			withoutDescriptions(below)
		}
	}
}

// recipe is a page with the objects of its manifests, by file.
type recipe struct {
	name  string
	files map[string][]*unstructured.Unstructured
}

// values are no manifests: what the chart of production-stack is given, which makes a ScaledObject of spec.keda of each model.
const values = "values.yaml"

// scaledObjects that the chart makes of values: keda without enabled, for the Deployment that it names after release and model.
func scaledObjects(t *testing.T, file string, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var given struct {
		ServingEngineSpec struct {
			ModelSpec []struct {
				Name string
				KEDA map[string]any `json:"keda"`
			}
		}
	}
	if err := yaml.Unmarshal(text, &given); err != nil || len(given.ServingEngineSpec.ModelSpec) == 0 {
		t.Fatalf("%s has no models: %v", file, err)
	}
	var all []*unstructured.Unstructured
	for _, m := range given.ServingEngineSpec.ModelSpec {
		if m.KEDA["enabled"] != true {
			t.Errorf("%s: keda of %s is not enabled, so that the chart writes replicas", file, m.Name)
		}
		delete(m.KEDA, "enabled")
		m.KEDA["scaleTargetRef"] = map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "stack-" + m.Name + "-deployment-vllm"}
		all = append(all, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": map[string]any{"name": m.Name, "namespace": "llm"}, "spec": m.KEDA,
		}})
	}
	return all
}

// converted is a folder whose manifests are what a command reads: it writes what is tested.
const converted = "coming-from-wva"

func recipes(t *testing.T) []recipe {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pages, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recipe
	for _, page := range found {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if name == "README" {
			continue
		}
		r := recipe{name: name, files: map[string][]*unstructured.Unstructured{}}
		files, err := filepath.Glob(filepath.Join(pages, name, "*.yaml"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s has no manifests: %v", page, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(file) == values {
				r.files[file] = scaledObjects(t, file, text)
				continue
			}
			r.files[file] = decode(t, file, text)
		}
		all = append(all, r)
	}
	return all
}

func decode(t *testing.T, file string, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, document := range strings.Split(string(text), "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(document), &o.Object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
	return all
}

// A real API server with the definitions of the neighbours accepts every manifest of the recipes, all of its fields among them, and what their Servers and
// autoscalers refer to can be scaled.
func TestRecipesAreAccepted(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	definitions := [][]byte{manifests.CRDs(), []byte(namespaces)}
	for _, n := range released {
		dir := download(t, n.module, n.sum)
		for _, file := range n.definitions {
			definitions = append(definitions, definition(t, filepath.Join(dir, file)))
		}
	}
	files, err := filepath.Glob(filepath.Join(*outlines, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("-definitions: %s has no definitions: %v", *outlines, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		definitions = append(definitions, text)
	}
	if err := plane.Apply(t.Context(), manifests.Join(definitions...)); err != nil {
		t.Fatal(err)
	}
	kubectl, err := plane.Kubectl(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	known, err := discovery.NewDiscoveryClientForConfig(plane.Config())
	if err != nil {
		t.Fatal(err)
	}
	accepted := func(t *testing.T, objects []*unstructured.Unstructured) {
		t.Helper()
		var stream bytes.Buffer
		for _, o := range objects {
			text, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&stream, "---\n%s\n", text)
		}
		cmd := exec.CommandContext(t.Context(), kubectl, "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-")
		cmd.Env, cmd.Stdin = append(os.Environ(), "KUBECONFIG="+plane.AdminKubeconfig()), &stream
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	for _, r := range recipes(t) {
		for file, objects := range r.files {
			t.Run(r.name+"/"+filepath.Base(file), func(t *testing.T) {
				accepted(t, objects)
				if r.name == converted {
					accepted(t, convert(t, file))
					return
				}
				for _, target := range targets(t, objects) {
					if !scalable(t, known, target[0], target[1]) {
						t.Errorf("a %s of %s cannot be scaled", target[1], target[0])
					}
				}
			})
		}
	}
}

// convert what WVA is told, as the page says.
func convert(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r, err := wva.Convert(f, wva.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	add := func(o any) {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	for _, o := range r.Accelerators {
		add(o)
	}
	for _, o := range r.Models {
		add(o)
	}
	for _, o := range r.ServiceClasses {
		add(o)
	}
	for _, o := range r.Servers {
		add(o)
	}
	objects := decode(t, file, manifests.Join(all...))
	for _, o := range objects {
		delete(o.Object, "status")
	}
	return objects
}

// targets are the kinds that Servers, autoscalers and ScaledObjects refer to, by their API.
func targets(t *testing.T, objects []*unstructured.Unstructured) [][2]string {
	t.Helper()
	var all [][2]string
	for _, o := range objects {
		target, found, err := unstructured.NestedStringMap(o.Object, "spec", "scaleTargetRef")
		if err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		if found {
			all = append(all, [2]string{target["apiVersion"], target["kind"]})
		}
		if o.GetKind() == "Server" {
			for _, v := range typed[v1alpha1.Server](t, o).Spec.Variants {
				all = append(all, [2]string{v.ScaleTargetRef.APIVersion, v.ScaleTargetRef.Kind})
			}
		}
	}
	return all
}

// typed is an object as its type has it.
func typed[T any](t *testing.T, o *unstructured.Unstructured) *T {
	t.Helper()
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true); err != nil {
		t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	return into
}

// scalable says whether the API server has a scale subresource of a kind.
func scalable(t *testing.T, d discovery.DiscoveryInterface, version, kind string) bool {
	t.Helper()
	list, err := d.ServerResourcesForGroupVersion(version)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list.APIResources {
		if r.Kind == kind && !strings.Contains(r.Name, "/") {
			return slices.ContainsFunc(list.APIResources, func(s metav1.APIResource) bool { return s.Name == r.Name+"/scale" })
		}
	}
	return false
}

// What refers to a Server finds it in the same file: labels of pods, autoscalers and triggers; and each page shows its files.
func TestRecipesHoldTogether(t *testing.T) {
	for _, r := range recipes(t) {
		page, err := os.ReadFile(filepath.Join(pages, r.name+".md"))
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(pages, r.name, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if !bytes.Contains(page, []byte("("+r.name+"/"+filepath.Base(file)+")")) {
				t.Errorf("%s.md does not lead to %s", r.name, file)
			}
		}
		if r.name == converted {
			continue
		}
		for file, objects := range r.files {
			servers := map[string]bool{}
			var named []string
			for _, o := range objects {
				if o.GetKind() == "Server" {
					servers[o.GetName()] = true
				}
				named = append(named, servesNamed(o.Object)...)
			}
			for _, name := range named {
				if !servers[name] && filepath.Base(file) != values {
					t.Errorf("%s: refers to Server %q, which is not in it", file, name)
				}
			}
		}
	}
}

// servesNamed are the names of Servers that are said anywhere in an object.
func servesNamed(v any) []string {
	var names []string
	switch v := v.(type) {
	case map[string]any:
		for key, below := range v {
			if name, is := below.(string); is && (key == v1alpha1.ServerLabel || key == "server") {
				names = append(names, name)
			}
			if reference, is := below.(map[string]any); is && key == "describedObject" {
				names = append(names, fmt.Sprint(reference["name"]))
			}
			names = append(names, servesNamed(below)...)
		}
	case []any:
		for _, below := range v {
			names = append(names, servesNamed(below)...)
		}
	}
	return names
}

// scaled is what an autoscaler scales, with the labels of its pods as its controller writes them, and the size of its groups.
type scaled struct {
	kind, name string
	pods       []map[string]string
	size       int64
}

// made of an object by its controller, as far as pods are concerned: what the sources that optimizer/placement/roles.go names do.
func made(t *testing.T, o *unstructured.Unstructured) []scaled {
	t.Helper()
	at := func(object map[string]any, path ...string) map[string]any {
		m, _, err := unstructured.NestedMap(object, path...)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	labels := func(object map[string]any, path []string, role ...string) map[string]string {
		m, _, err := unstructured.NestedStringMap(object, path...)
		if err != nil {
			t.Fatal(err)
		}
		if m == nil {
			m = map[string]string{}
		}
		for i := 0; i+1 < len(role); i += 2 {
			m[role[i]] = role[i+1]
		}
		return m
	}
	groups := func(spec map[string]any, role ...string) (pods []map[string]string, size int64) {
		for _, template := range []string{"leaderTemplate", "workerTemplate"} {
			if at(spec, "leaderWorkerTemplate", template) != nil {
				pods = append(pods, labels(spec, []string{"leaderWorkerTemplate", template, "metadata", "labels"}, role...))
			}
		}
		n, _, _ := unstructured.NestedFloat64(spec, "leaderWorkerTemplate", "size")
		return pods, int64(n)
	}
	const llmd, dynamo = "llm-d.ai/role", "nvidia.com/dynamo-"
	var all []scaled
	switch o.GetKind() {
	case "Deployment":
		all = append(all, scaled{"Deployment", o.GetName(), []map[string]string{labels(o.Object, []string{"spec", "template", "metadata", "labels"})}, 1})
	case "LeaderWorkerSet":
		pods, size := groups(at(o.Object, "spec"))
		all = append(all, scaled{o.GetKind(), o.GetName(), pods, size})
	case "LLMInferenceService":
		decode, prefill := []string{"spec", "labels"}, []string{"spec", "prefill", "labels"}
		all = append(all, scaled{"Deployment", o.GetName() + "-kserve", []map[string]string{labels(o.Object, decode, llmd, "decode")}, 1},
			scaled{"Deployment", o.GetName() + "-kserve-prefill", []map[string]string{labels(o.Object, prefill, llmd, "prefill")}, 1})
	case "DisaggregatedSet":
		roles, _, _ := unstructured.NestedSlice(o.Object, "spec", "roles")
		for _, r := range roles {
			role := r.(map[string]any)
			if name := role["name"].(string); at(role, "scaling")["mode"] == "External" {
				pods, size := groups(at(role, "spec"), "disaggregatedset.x-k8s.io/role", name)
				all = append(all, scaled{"DisaggregatedSetRoleScaler", o.GetName() + "-" + name, pods, size})
			}
		}
	case "DynamoGraphDeployment":
		for name, s := range at(o.Object, "spec", "services") {
			service := s.(map[string]any)
			if sub, _ := service["subComponentType"].(string); at(service, "scalingAdapter")["enabled"] == true {
				all = append(all, scaled{"DynamoGraphDeploymentScalingAdapter", strings.ToLower(o.GetName() + "-" + name), []map[string]string{
					labels(service, []string{"extraPodMetadata", "labels"}, dynamo+"component-type", service["componentType"].(string), dynamo+"sub-component-type", sub),
				}, 1})
			}
		}
	}
	return all
}

// followed is what an autoscaler scales, and the labels of the metric that it follows.
func followed(t *testing.T, o *unstructured.Unstructured) (kind, name string, labels map[string]string) {
	t.Helper()
	target, _, _ := unstructured.NestedStringMap(o.Object, "spec", "scaleTargetRef")
	switch o.GetKind() {
	case "HorizontalPodAutoscaler":
		metrics := typed[autoscaling.HorizontalPodAutoscaler](t, o).Spec.Metrics
		if len(metrics) != 1 || metrics[0].External == nil || metrics[0].External.Metric.Name != "inferno_desired_replicas" {
			t.Fatalf("%s follows %v", o.GetName(), metrics)
		}
		labels = metrics[0].External.Metric.Selector.MatchLabels
	case "ScaledObject":
		triggers, _, _ := unstructured.NestedSlice(o.Object, "spec", "triggers")
		if len(triggers) != 1 {
			t.Fatalf("%s has %d triggers", o.GetName(), len(triggers))
		}
		labels, _, _ = unstructured.NestedStringMap(triggers[0].(map[string]any), "metadata")
		delete(labels, "scalerAddress")
	}
	return target["kind"], target["name"], labels
}

// Roles are whole: what a variant of a Server scales is there, its pods are that variant's by the labels that they will have, an autoscaler follows it and no other, and
// the Model of the page runs it on its accelerators with as many pods.
func TestRolesOfRecipes(t *testing.T) {
	var roles recipe
	models := map[string]*v1alpha1.Model{}
	for _, r := range recipes(t) {
		if r.name == "roles" {
			roles = r
		}
	}
	for _, objects := range roles.files {
		for _, o := range objects {
			if o.GetKind() == "Model" {
				models[o.GetName()] = typed[v1alpha1.Model](t, o)
			}
		}
	}
	checked := 0
	for file, objects := range roles.files {
		targets, followers := map[string]scaled{}, map[string][]map[string]string{}
		for _, o := range objects {
			for _, s := range made(t, o) {
				targets[s.kind+"/"+s.name] = s
			}
			if kind, name, labels := followed(t, o); labels != nil {
				followers[kind+"/"+name] = append(followers[kind+"/"+name], labels)
			}
		}
		for _, o := range objects {
			if o.GetKind() != "Server" {
				continue
			}
			s := typed[v1alpha1.Server](t, o)
			model := models[s.Spec.Model]
			if model == nil {
				t.Errorf("%s: there is no Model %s", file, s.Spec.Model)
				continue
			}
			for _, v := range s.Spec.Variants {
				checked++
				at := fmt.Sprintf("%s: variant %s", file, v.Name)
				key := v.ScaleTargetRef.Kind + "/" + v.ScaleTargetRef.Name
				target, there := targets[key]
				if !there || len(target.pods) == 0 {
					t.Errorf("%s: nothing makes %s", at, key)
				}
				for _, labels := range target.pods {
					pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
					if means := s.Spec.Meant(placement.VariantOf(pod)); labels[v1alpha1.ServerLabel] != s.Name || means == nil || means.Name != v.Name {
						t.Errorf("%s: pods of %s are labelled %v", at, key, labels)
					}
				}
				want := []map[string]string{{"server": s.Name, "variant": v.Name}}
				if diff := cmp.Diff(want, followers[key]); diff != "" {
					t.Errorf("%s: autoscalers of %s (-want +got)\n%s", at, key, diff)
				}
				for _, a := range v.Accelerators {
					if !slices.ContainsFunc(model.Spec.Performance, func(p v1alpha1.Performance) bool {
						return p.Accelerator == a && p.Role == v.ModelVariant && int64(max(p.PodsPerReplica, 1)) == target.size
					}) {
						t.Errorf("%s: Model %s has no %s of %d pods on %s", at, s.Spec.Model, v.ModelVariant, target.size, a)
					}
				}
			}
		}
	}
	if checked < 2*5 {
		t.Errorf("%d variants were checked", checked)
	}
}
