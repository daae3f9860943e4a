package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/recommend"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

func asked(args ...string) []string {
	return append([]string{"meta-llama/Llama-3.1-70B-Instruct", "--rate", "5", "--input", "1000", "--output", "200", "--ttft", "1s", "--itl", "40ms"}, args...)
}

func TestRecommendTable(t *testing.T) {
	out, err := runAlone(t, newRecommendCommand(), asked()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"REPLICAS", "× H100", "TTFT P90 ms", "assumed: the engine is not said", "prices: on-demand list prices"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if len([]rune(line)) > 121 {
			t.Errorf("wider than 120 columns: %s", line)
		}
	}
}

// Configurations with roles are in the same order, each role with its replicas, and of two types where these are named.
func TestRecommendRoles(t *testing.T) {
	args := []string{"meta-llama/Llama-3.1-70B-Instruct", "--rate", "20", "--input", "8000", "--output", "300", "--ttft", "3s", "--itl", "20ms", "--accelerators", "H100,B200"}
	out, err := runAlone(t, newRecommendCommand(), args...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out, "\n")
	if !strings.Contains(lines[1], " prefill ") || !strings.HasPrefix(lines[2], "+ ") || !strings.Contains(lines[2], " decode ") || !strings.Contains(out, "assumed: between roles a card has 50 GB/s") {
		t.Errorf("roles do not come first, though they are cheapest:\n%s", out)
	}
	if out, err = runAlone(t, newRecommendCommand(), append(args, "-o", "json")...); err != nil {
		t.Fatal(err)
	}
	var a recommend.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	if len(a.Apart) < 3 || a.Apart[0].CostPerHour >= a.Configurations[0].CostPerHour || a.Apart[0].Prefill.Replicas <= a.Apart[0].Decode.Replicas {
		t.Errorf("%+v", a.Apart)
	}
}

// What is given wins over what is listed, whatever the order of the flags.
func TestRecommendPrices(t *testing.T) {
	prices := file(t, "prices.csv", "type,cents_per_hour,source\nL40S,1,ours\nH100,2,ours\n")
	out, err := runAlone(t, newRecommendCommand(), asked("--prices", prices, "--price", "H100=3", "-o", "json", "--accelerators", "H100,L40S")...)
	if err != nil {
		t.Fatal(err)
	}
	var a recommend.Answer
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Configurations {
		if want := map[string]float64{"H100": 3, "L40S": 1}[c.Accelerator]; c.Price.CentsPerHour != want {
			t.Errorf("a card costs %v, want %g", c.Price, want)
		}
	}
}

func TestRecommendFaults(t *testing.T) {
	_, err := runAlone(t, newRecommendCommand(), "x", "--rate=-1", "--price", "X=3", "--format", "csv", "--engine", "tgi", "--prices", "absent", "--architecture", file(t, "config.json", "{}"), "--write", "y")
	for _, want := range []string{"--rate: -1", `--price: type: "X" is not known, known are A10`, "--format", `--engine: "tgi"`, "--prices: open absent", "--architecture: model", "--write", "--input: 0", "--ttft, itl"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
	if _, err := runAlone(t, newRecommendCommand()); err == nil || !strings.Contains(err.Error(), "MODEL: is missing") {
		t.Errorf("without a model: %v", err)
	}
}

// The manifests fit the schemas that are installed, name no namespace, and say what was recommended: the pods would serve the model on the cards.
func TestRecommendWritesManifests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	args := asked("--engine", "vllm", "--precision", "fp8", "--accelerators", "MI300X", "--write", dir, "--name", "chat", "-o", "json")
	out, err := runAlone(t, newRecommendCommand(), args...)
	if err != nil {
		t.Fatal(err)
	}
	var answer recommend.Answer
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	best := answer.Configurations[0]
	if _, err := runAlone(t, newRecommendCommand(), args...); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("files were written over: %v", err)
	}
	schemas := definitions(t)
	var kinds []string
	for _, name := range []string{"chat-cluster.yaml", "chat.yaml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "---\n") {
			var content map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &content); err != nil {
				t.Fatal(err)
			}
			kind, _ := content["kind"].(string)
			kinds = append(kinds, kind)
			if strings.Contains(document, "namespace:") {
				t.Errorf("%s names a namespace", kind)
			}
			fits(t, schemas, content)
			if kind == "Deployment" {
				serves(t, document, &best)
			}
		}
	}
	slices.Sort(kinds)
	want := []string{"Accelerator", "Deployment", "HorizontalPodAutoscaler", "Model", "PodDisruptionBudget", "Server", "Service", "ServiceClass"}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds are %v, want %v", kinds, want)
	}
}

// Of roles that come first there is a workload and an autoscaler each, of one Server, whose Model has both.
func TestRecommendWritesManifestsOfRoles(t *testing.T) {
	dir := t.TempDir()
	_, err := runAlone(t, newRecommendCommand(), "meta-llama/Llama-3.1-70B-Instruct", "--rate", "20", "--input", "8000", "--output", "300", "--ttft", "3s", "--itl", "20ms", "--accelerators", "H100,B200",
		"--engine", "vllm", "--write", dir, "--name", "chat")
	if err != nil {
		t.Fatal(err)
	}
	schemas := definitions(t)
	follows, made := map[string]map[string]string{}, map[string]string{}
	var server v1alpha1.Server
	var model v1alpha1.Model
	for _, name := range []string{"chat-cluster.yaml", "chat.yaml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(text), "---\n") {
			var content map[string]any
			if err := yaml.UnmarshalStrict([]byte(document), &content); err != nil {
				t.Fatal(err)
			}
			fits(t, schemas, content)
			into := map[string]any{"Server": &server, "Model": &model, "Deployment": new(appsv1.Deployment), "HorizontalPodAutoscaler": new(autoscalingv2.HorizontalPodAutoscaler)}[content["kind"].(string)]
			if into == nil {
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(document), into); err != nil {
				t.Fatal(err)
			}
			switch o := into.(type) {
			case *appsv1.Deployment:
				if w, err := workload.Read(&o.Spec.Template); err != nil || o.Spec.Template.Labels[v1alpha1.ServerLabel] != "chat" || w.Cards.Value != w.Tensor.Value || len(w.Doubts) > 0 {
					t.Errorf("the pods of %s serve %+v: %v", o.Name, w, err)
				}
				made[o.Name] = o.Spec.Template.Labels[v1alpha1.VariantLabel]
			case *autoscalingv2.HorizontalPodAutoscaler:
				follows[o.Spec.ScaleTargetRef.Name] = o.Spec.Metrics[0].External.Metric.Selector.MatchLabels
			}
		}
	}
	var roles []string
	for _, p := range model.Spec.Performance {
		roles = append(roles, p.Role)
	}
	if !slices.Equal(roles, []string{"prefill", "decode"}) || len(server.Spec.Variants) != 2 || server.Spec.ScaleTargetRef != nil {
		t.Errorf("the Model has roles %v, the Server is %+v", roles, server.Spec)
	}
	for _, v := range server.Spec.Variants {
		on := v.ScaleTargetRef.Name
		if made[on] != v.Name || follows[on]["server"] != "chat" || follows[on]["variant"] != v.Name {
			t.Errorf("variant %s: %s has pods of %q and an autoscaler that follows %v", v.Name, on, made[on], follows[on])
		}
	}
}

// serves says whether the pods of a Deployment, read as those of any cluster are, serve a configuration.
func serves(t *testing.T, document string, c *recommend.Configuration) {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(document), &d); err != nil {
		t.Fatal(err)
	}
	w, err := workload.Read(&d.Spec.Template)
	if err != nil {
		t.Fatal(err)
	}
	if w.Model.Value != "meta-llama/Llama-3.1-70B-Instruct" || w.Tensor.Value != c.TensorParallel || w.Cards.Value != c.TensorParallel || w.Resource.Value != "amd.com/gpu" || w.Precision.Value != "fp8" ||
		w.MaxNumSeqs.Value != c.MaxNumSeqs || w.MaxNumBatchedTokens.Value != c.MaxNumBatchedTokens || len(w.Doubts) > 0 {
		t.Errorf("the pods serve %+v, recommended is %+v", w, c)
	}
	if d.Spec.Template.Labels[v1alpha1.ServerLabel] != "chat" || d.Spec.Template.Spec.PriorityClassName != "" || d.Spec.Replicas != nil {
		t.Errorf("the Deployment is not the Server's: %+v", d.Spec.Template.ObjectMeta)
	}
	if _, has := d.Spec.Template.Spec.Containers[0].Resources.Limits[corev1.ResourceName("nvidia.com/gpu")]; has {
		t.Error("the pods ask for two kinds of cards")
	}
}

// fits says where an object of a custom resource does not fit the schema that is installed.
func fits(t *testing.T, schemas map[string]validation.SchemaValidator, content map[string]any) {
	t.Helper()
	kind, _ := content["kind"].(string)
	if validator := schemas[kind]; validator != nil {
		if errs := validation.ValidateCustomResource(nil, content, validator); len(errs) > 0 {
			t.Errorf("%s: %v", kind, errs.ToAggregate())
		}
	}
}

// definitions are validators of the custom resources by kind.
func definitions(t *testing.T) map[string]validation.SchemaValidator {
	t.Helper()
	all := map[string]validation.SchemaValidator{}
	for document := range strings.SplitSeq(string(manifests.CRDs()), "\n---\n") {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(document), &definition); err != nil {
			t.Fatal(err)
		}
		var schema apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(definition.Spec.Versions[0].Schema.OpenAPIV3Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(&schema)
		if err != nil {
			t.Fatal(err)
		}
		all[definition.Spec.Names.Kind] = validator
	}
	return all
}

// What spans nodes is shown as such, and no manifests are made of it.
func TestRecommendOverNodes(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, status := execute(t, "recommend", "deepseek-ai/DeepSeek-R1", "--rate", "5", "--input", "2000", "--output", "500", "--ttft", "5s", "--itl", "100ms", "--precision", "fp8",
		"--accelerators", "H100", "--write", dir)
	if status == 0 || !strings.Contains(stdout, "16 × H100 (2 nodes)") || !strings.Contains(stderr, "--write: no manifests are written of replicas over 2 nodes") {
		t.Errorf("status %d\n%s\n%s", status, stdout, stderr)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("%v was written, %v", files, err)
	}
}
