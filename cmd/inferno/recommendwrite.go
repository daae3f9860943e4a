package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
)

// pattern is the server of the samples that manifests are made like.
const pattern = "chat-premium"

// writeRecommended writes the manifests of a configuration into a directory: what the cluster shares, and what belongs into a namespace. Files that are
// there stay as they are.
func writeRecommended(dir, name string, q *recommend.Question, c *recommend.Configuration) error {
	name = cmp.Or(name, kubernetesName(q.Model))
	shared, own, err := recommendedObjects(name, q, c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for file, objects := range map[string][]any{name + "-cluster.yaml": shared, name + ".yaml": own} {
		text, err := stream(objects)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, file)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return badInput{fmt.Errorf("--write: %s is there already", path)}
		}
		if err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return errors.Join(err, f.Close())
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// unfit is what no name of Kubernetes may have.
var unfit = regexp.MustCompile(`[^a-z0-9]+`)

// kubernetesName of a model, without its publisher: a DNS label.
func kubernetesName(model string) string {
	name := strings.Trim(unfit.ReplaceAllString(strings.ToLower(model[strings.LastIndexByte(model, '/')+1:]), "-"), "-")
	const most = 50 // so that what is made of it is a label, too
	if len(name) > most {
		name = strings.Trim(name[:most], "-")
	}
	return cmp.Or(name, "model")
}

// recommendedObjects are the resources that say a configuration: those of the cluster, and those of a namespace, which the samples' are like.
func recommendedObjects(name string, q *recommend.Question, c *recommend.Configuration) (shared, own []any, err error) {
	system := recommendedSystem(name, q, c)
	resources := specification.ToResources(system, "")
	for i := range resources.Accelerators {
		shared = append(shared, &resources.Accelerators[i])
	}
	for i := range resources.Models {
		shared = append(shared, &resources.Models[i])
	}
	for i := range resources.ServiceClasses {
		shared = append(shared, &resources.ServiceClasses[i])
	}
	for i := range resources.Servers {
		own = append(own, &resources.Servers[i])
	}
	for _, text := range bytes.Split(manifests.Samples(), []byte("\n---\n")) {
		object, err := recommendedLike(text, name, q, c)
		if err != nil {
			return nil, nil, err
		}
		if object != nil {
			own = append(own, object)
		}
	}
	return shared, own, nil
}

// recommendedSystem has one accelerator, model, class and server. The performance stays open: it is physics' to say, and then to be learned.
func recommendedSystem(name string, q *recommend.Question, c *recommend.Configuration) *jsonspec.System {
	s := new(jsonspec.System)
	accelerator, model := kubernetesName(c.Accelerator), kubernetesName(q.Model)
	properties := jsonspec.AcceleratorProperties{Type: c.Accelerator, Cost: c.Price.CentsPerHour}
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: accelerator, AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: properties}}}
	match := map[string]string{"engine": cmp.Or(q.Engine, "vllm")}
	if q.Precision != "" {
		match["precision"] = q.Precision
	}
	s.Models.Spec = []jsonspec.PerformanceEntry{{Name: model, Performance: jsonspec.Performance{Acc: accelerator, AccCount: c.TensorParallel, Match: match}}}
	s.Models.Info = []jsonspec.ModelInfo{{Name: model, ModelProperties: jsonspec.ModelProperties{ServedName: q.Model, Architecture: q.Architecture}}}
	target := jsonspec.ModelTarget{
		Model: model, TTFT: jsonspec.Milliseconds(q.Targets.TTFT), ITL: jsonspec.Milliseconds(q.Targets.ITL), Percentile: q.Targets.Percentile,
	}
	s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: name, ServiceClassSpec: jsonspec.ServiceClassSpec{Priority: 1, ModelTargets: []jsonspec.ModelTarget{target}}}}
	server := jsonspec.ServerEntry{Name: name, Class: name, Model: model, MinNumReplicas: 1}
	server.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	s.Servers.Spec = []jsonspec.ServerEntry{server}
	return s
}

// recommendedLike is an object of the samples made over for a configuration; nil where it is not of the pattern, or no workload, autoscaler, budget or service.
func recommendedLike(text []byte, name string, q *recommend.Question, c *recommend.Configuration) (any, error) {
	var kind struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(text, &kind); err != nil {
		return nil, err
	}
	if kind.Name != pattern {
		return nil, nil
	}
	text = bytes.ReplaceAll(text, []byte(pattern), []byte(name))
	var object metav1.Object
	switch kind.Kind {
	case "Deployment":
		object = new(appsv1.Deployment)
	case "HorizontalPodAutoscaler":
		object = new(autoscalingv2.HorizontalPodAutoscaler)
	case "PodDisruptionBudget":
		object = new(policyv1.PodDisruptionBudget)
	case "Service":
		object = new(corev1.Service)
	default:
		return nil, nil
	}
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		return nil, err
	}
	object.SetNamespace("")
	if d, is := object.(*appsv1.Deployment); is {
		serve(&d.Spec.Template, q, c)
	}
	return object, nil
}

// serve the model by the pods of a template, on so many cards.
func serve(t *corev1.PodTemplateSpec, q *recommend.Question, c *recommend.Configuration) {
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
