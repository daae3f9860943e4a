package adoption

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

const model = "--model=Qwen/Qwen3-8B"

// serving is a workload of the class premium whose engine has these arguments.
func serving(args ...string) *Workload {
	one := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	return &Workload{Kind: "Deployment", Namespace: "llm", Name: "chat", UID: "u", Class: "premium", Template: &corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "vllm", Image: "vllm/vllm-openai:v0.11.0", Args: args, Resources: corev1.ResourceRequirements{Limits: one}}},
	}}}
}

// installed is a cluster in which nobody wrote anything: the classes of an installation, and nodes of these products.
func installed(products ...string) *World {
	o := &World{Prices: catalogue.BuiltInPrices(), Metrics: External, Optimizers: make([]v1alpha1.Optimizer, 1)}
	for _, name := range []string{"premium", "bulk"} {
		o.Classes = append(o.Classes, v1alpha1.ServiceClass{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	for _, p := range products {
		o.Nodes = append(o.Nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"nvidia.com/gpu.product": p}}})
	}
	return o
}

func decided(t *testing.T, w *Workload, o *World) *Wanted {
	t.Helper()
	wanted, err := Decide(w, o)
	if err != nil || wanted == nil {
		t.Fatalf("%v (%v)", wanted, err)
	}
	return wanted
}

// follow is the world once what was wanted is there.
func (o *World) follow(wanted *Wanted) *World {
	next := *o
	next.Accelerators = append(slices.Clone(o.Accelerators), wanted.Accelerators...)
	if wanted.Model != nil {
		next.Models = append(slices.DeleteFunc(slices.Clone(o.Models), func(m v1alpha1.Model) bool { return m.Name == wanted.Model.Name }), *wanted.Model)
	}
	next.Servers = append(slices.DeleteFunc(slices.Clone(o.Servers), func(s v1alpha1.Server) bool { return s.Name == wanted.Server.Name }), *wanted.Server)
	return &next
}

// Of a Deployment of vLLM, a label and nodes all is made that a plan needs, and each thing that nobody gave is said.
func TestALabelIsEnough(t *testing.T) {
	wanted := decided(t, serving(model, "--max-num-seqs=64"), installed("NVIDIA-H100-80GB-HBM3", "NVIDIA-L40S", "NVIDIA-L40S", "NVIDIA-A30"))
	s := wanted.Server.Spec
	if s.Model != "qwen3-8b" || s.ServiceClass != "premium" || s.MaxBatchSize != 64 || *s.ScaleTargetRef != (jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "chat"}) {
		t.Errorf("the Server is %+v", s)
	}
	if !Made(wanted.Server, "Deployment") || Made(wanted.Server, "StatefulSet") || wanted.Server.OwnerReferences[0].UID != "u" {
		t.Errorf("the Server is of %+v", wanted.Server.ObjectMeta)
	}
	var names []string
	for _, a := range wanted.Accelerators {
		names = append(names, a.Name)
		if price, _ := catalogue.BuiltInPrices().Find(a.Spec.Type); a.Spec.CostPerHour.Float() != price.CentsPerHour {
			t.Errorf("%s costs %v", a.Name, a.Spec.CostPerHour)
		}
	}
	if want := []string{"h100", "l40s"}; !slices.Equal(names, want) {
		t.Errorf("accelerators %v, want %v", names, want)
	}
	m := wanted.Model.Spec
	if m.ServedName != "Qwen/Qwen3-8B" || len(m.Performance) != 2 || m.Performance[1].Accelerator != "l40s" || m.Performance[1].AcceleratorsPerReplica != 1 || m.Performance[1].Match["precision"] != "bf16" {
		t.Errorf("the Model is %+v", m)
	}
	assumed := wanted.Conditions[1]
	for _, want := range []string{
		"Model qwen3-8b is made of container \"vllm\", --model", "weights in bf16", "tokens of an iteration", "Accelerator l40s, costPerHour: 154.84 ¢/h: Nebius", "2026-11",
		"nodes with A30 are left out, of which no list price is known",
	} {
		if assumed.Type != v1alpha1.ConditionAssumed || assumed.Status != metav1.ConditionTrue || !strings.Contains(assumed.Message, want) {
			t.Errorf("%+v does not say %q", assumed, want)
		}
	}
	if strings.Contains(assumed.Message, "requests of a batch") {
		t.Errorf("%s says that what was given is assumed", assumed.Message)
	}
}

// Nodes whose instance type is listed have its price, not that of any cloud.
func TestPricesByInstanceType(t *testing.T) {
	o := installed("NVIDIA-H100-80GB-HBM3", "NVIDIA-L40S")
	o.Nodes[0].Labels[corev1.LabelInstanceTypeStable] = "p5.48xlarge"
	made := decided(t, serving(model), o).Accelerators
	if got := made[0].Spec.CostPerHour.Float(); got != 688 || !strings.Contains(made[0].Annotations[v1alpha1.AssumedAnnotation], "p5.48xlarge us-east-1 by 8") {
		t.Errorf("an H100 of a p5.48xlarge costs %v: %s", got, made[0].Annotations[v1alpha1.AssumedAnnotation])
	}
	o.Nodes[0].Name, o.NodeCosts = "n", map[string]float64{"n": 800}
	o.Nodes[0].Status.Capacity = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("2")}
	if got := decided(t, serving(model), o).Accelerators[0].Spec.CostPerHour.Float(); got != 400 {
		t.Errorf("one of two cards of a node that costs 800 costs %v", got)
	}
	if price, _ := catalogue.BuiltInPrices().Find("L40S"); made[1].Spec.CostPerHour.Float() != price.CentsPerHour {
		t.Errorf("an L40S of a node that says no instance type costs %v", made[1].Spec.CostPerHour)
	}
}

// What is decided is decided again when it is there, and adds nothing.
func TestDecidingAgainChangesNothing(t *testing.T) {
	w, o := serving(model), installed("NVIDIA-H100-80GB-HBM3")
	first := decided(t, w, o)
	o = o.follow(first)
	again := decided(t, w, o)
	if len(again.Accelerators) != 0 || !equality.Semantic.DeepEqual(first.Model, again.Model) || !equality.Semantic.DeepEqual(first.Server, again.Server) {
		t.Errorf("%+v\nwas\n%+v", again, first)
	}
	o.Nodes = append(o.Nodes, installed("NVIDIA-L40S").Nodes...)
	if more := decided(t, w, o); len(more.Accelerators) != 1 || len(more.Model.Spec.Performance) != 2 || more.Model.Name != first.Model.Name {
		t.Errorf("with nodes of another type it is %+v", more)
	}
}

// What people wrote is used, and none of it is made anew or changed.
func TestWhatPeopleWroteIsUsed(t *testing.T) {
	o := installed("NVIDIA-H100-80GB-HBM3")
	o.Accelerators = []v1alpha1.Accelerator{{ObjectMeta: metav1.ObjectMeta{Name: "ours"}, Spec: v1alpha1.AcceleratorSpec{Type: "H100", CostPerHour: v1alpha1.DecimalOf(200)}}}
	o.Models = []v1alpha1.Model{{ObjectMeta: metav1.ObjectMeta{Name: "qwen"}, Spec: v1alpha1.ModelSpec{ServedName: "Qwen/Qwen3-8B", Performance: []v1alpha1.Performance{{Accelerator: "ours"}}}}}
	wanted := decided(t, serving(model, "--max-num-seqs=64", "--max-num-batched-tokens=2048", "--dtype=bfloat16"), o)
	if len(wanted.Accelerators) != 0 || wanted.Model != nil || wanted.Server.Spec.Model != "qwen" {
		t.Errorf("%+v", wanted)
	}
	if c := wanted.Conditions[1]; c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonAllGiven {
		t.Errorf("%+v", c)
	}
	two := serving(model)
	two.Template.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"] = resource.MustParse("2")
	if other := decided(t, two, o); other.Model == nil || other.Model.Name != "qwen3-8b" || other.Model.Spec.Performance[0].AcceleratorsPerReplica != 2 {
		t.Errorf("a replica of two cards is %+v", other.Model)
	}
	for name, s := range map[string]v1alpha1.ServerSpec{
		"theirs":   {ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{Kind: "Deployment", Name: "chat"}}},
		"variants": {ServerBinding: jsonspec.ServerBinding{Variants: []jsonspec.Variant{{ScaleTargetRef: jsonspec.ScaleTargetRef{Kind: "Deployment", Name: "chat"}}}}},
	} {
		o.Servers = []v1alpha1.Server{{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: s}}
		if wanted, err := Decide(serving(model), o); wanted != nil || err != nil {
			t.Errorf("beside a Server that somebody wrote: %+v (%v)", wanted, err)
		}
	}
}

// Models that are served in another precision, on other numbers of cards or by another engine are others, whatever their name.
func TestModelsAreToldApart(t *testing.T) {
	o := installed("NVIDIA-H100-80GB-HBM3")
	names := map[string]bool{}
	for i, args := range [][]string{{model}, {model, "--quantization=fp8"}, {model, "--tensor-parallel-size=2"}, {model}} {
		w := serving(args...)
		w.Name += string(rune('a' + i))
		if i == 2 {
			w.Template.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"] = resource.MustParse("2")
		}
		wanted := decided(t, w, o)
		names[wanted.Server.Spec.Model] = true
		o = o.follow(wanted)
	}
	if want := []string{"qwen3-8b", "qwen3-8b-bf16-x2", "qwen3-8b-fp8-x1"}; !slices.Equal(slices.Sorted(maps.Keys(names)), want) {
		t.Errorf("models %v, want %v", names, want)
	}
	named := decided(t, serving(model, "--served-model-name=chat"), installed("NVIDIA-H100-80GB-HBM3"))
	if m := named.Model.Spec; m.ServedName != "chat" || m.Architecture == nil {
		t.Errorf("a model that is shown under another name is %+v", m)
	}
}

// A workload that cannot be planned is told all that is wrong, and nothing is made of it.
func TestBadWorkloads(t *testing.T) {
	twice := serving(model)
	twice.Template.Spec.Containers = append(twice.Template.Spec.Containers, *twice.Template.Spec.Containers[0].DeepCopy())
	twice.Template.Spec.Containers[1].Name = "other"
	bare := serving()
	bare.Template.Spec.Containers[0].Resources.Limits = nil
	web := serving()
	web.Class, web.Template.Spec.Containers[0].Image = "gold", "nginx"
	dotted := serving(model)
	dotted.Name = "chat.v2"
	empty := serving(model)
	empty.Template = nil
	taken := installed("NVIDIA-L40S")
	taken.Servers = []v1alpha1.Server{{ObjectMeta: metav1.ObjectMeta{Name: "chat"}}}
	for name, c := range map[string]struct {
		w    *Workload
		o    *World
		want []string
	}{
		"no engine, no class":     {web, installed("NVIDIA-L40S"), []string{"serves no LLM that is known", `metadata.labels[inferno.platform.ai/class]: "gold" is not allowed, must be a ServiceClass: bulk, premium`}},
		"no classes":              {serving(model), &World{}, []string{"there is no ServiceClass"}},
		"no model, no cards":      {bare, installed("NVIDIA-L40S"), []string{"neither an argument nor a variable names it", "requests no resource of cards"}},
		"two containers":          {twice, installed("NVIDIA-L40S"), []string{"containers vllm and other both serve"}},
		"no nodes":                {serving(model), installed("NVIDIA-X1"), []string{"there is no node, and no Accelerator", "nvidia.com/gpu.product"}},
		"a name that is no label": {dotted, installed("NVIDIA-L40S"), []string{`metadata.name: "chat.v2" is not allowed`}},
		"no template":             {empty, installed("NVIDIA-L40S"), []string{"there are no containers"}},
		"another's Server":        {serving(model), taken, []string{"there is a Server chat already, of something else"}},
	} {
		wanted, err := Decide(c.w, c.o)
		for _, want := range c.want {
			if wanted != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v (%v), want that it says %q", name, wanted, err, want)
			}
		}
	}
}

// An autoscaler is made when the load is known, beside no other, within what the Server allows; what keeps it from being made is said.
func TestAutoscalers(t *testing.T) {
	w, o := serving(model), installed("NVIDIA-H100-80GB-HBM3")
	o = o.follow(decided(t, w, o))
	made := time.Unix(1_700_000_000, 0)
	s := &o.Servers[0]
	s.CreationTimestamp = metav1.NewTime(made)
	check := func(what, reason string, is bool) *autoscalingv2.HorizontalPodAutoscaler {
		t.Helper()
		wanted := decided(t, w, o)
		if c := wanted.Conditions[0]; c.Type != v1alpha1.ConditionAdopted || c.Reason != reason || (wanted.Autoscaler != nil) != is {
			t.Errorf("%s: autoscaler %v, condition %+v", what, wanted.Autoscaler, c)
		}
		return wanted.Autoscaler
	}
	check("nothing is measured", v1alpha1.ReasonLoadNotMeasured, false)
	s.Status.Desired = &v1alpha1.DesiredState{Replicas: 1}
	check("a plan without load", v1alpha1.ReasonLoadNotMeasured, false)
	s.Status.Load = &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(made.Add(settled - time.Second))}
	check("a load of some pods", v1alpha1.ReasonLoadNotMeasured, false)
	s.Status.Load.ObservedAt = metav1.NewTime(made.Add(settled))
	s.Spec.MinReplicas, s.Spec.MaxReplicas = new(2), new(7)
	h := check("a load", v1alpha1.ReasonAdopted, true)
	if *h.Spec.MinReplicas != 2 || h.Spec.MaxReplicas != 7 || h.Spec.ScaleTargetRef.Name != "chat" || !follows(h) || h.Spec.Metrics[0].External == nil {
		t.Errorf("it is %+v", h.Spec)
	}
	s.Status.Load = nil
	o.Autoscalers = []autoscalingv2.HorizontalPodAutoscaler{*h}
	check("one that is there stays", v1alpha1.ReasonAdopted, true)
	o.Metrics = Custom
	if h := check("custom metrics", v1alpha1.ReasonAdopted, true); h.Spec.Metrics[0].Object == nil || !follows(h) {
		t.Errorf("by custom metrics it is %+v", h.Spec)
	}
	o.Metrics = None
	check("no metrics", v1alpha1.ReasonNoMetricsAPI, false)
	theirs := h.DeepCopy()
	theirs.Name, theirs.Labels = "theirs", nil
	o.Autoscalers = []autoscalingv2.HorizontalPodAutoscaler{*theirs}
	check("theirs follows the plan", v1alpha1.ReasonAdopted, false)
	o.Autoscalers[0].Spec.Metrics = nil
	check("theirs does not", v1alpha1.ReasonScaledByOthers, false)
	o.Autoscalers[0].Name, o.Autoscalers[0].Spec.ScaleTargetRef.Name = "chat", "other"
	check("theirs has the name", v1alpha1.ReasonScaledByOthers, false)
}

// A pod is a workload's if it was made by it, whatever else it says.
func TestOwns(t *testing.T) {
	pod := func(kind, name, hash string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"pod-template-hash": hash}}}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: new(true)}}
		return p
	}
	for _, c := range []struct {
		kind string
		pod  *corev1.Pod
		want bool
	}{
		{"Deployment", pod("ReplicaSet", "chat-5d9", "5d9"), true}, {"Deployment", pod("ReplicaSet", "chat-b-5d9", "5d9"), false}, {"Deployment", pod("ReplicaSet", "chat-", ""), false},
		{"Deployment", pod("StatefulSet", "chat", ""), false}, {"StatefulSet", pod("StatefulSet", "chat", ""), true}, {"StatefulSet", pod("StatefulSet", "chat-2", ""), false},
		{"Deployment", &corev1.Pod{}, false},
	} {
		if got := Owns(c.kind, "chat", c.pod); got != c.want {
			t.Errorf("%s chat owns %+v: %v", c.kind, c.pod.ObjectMeta, got)
		}
	}
}

// A field that somebody else wrote is taken out by its path, and no other.
func TestRemove(t *testing.T) {
	content := func() map[string]any {
		return map[string]any{
			"metadata": map[string]any{"labels": map[string]any{ManagedByLabel: ManagedBy, "app": "chat"}},
			"spec":     map[string]any{"model": "m", "modelOf": "n", "performance": []any{map[string]any{"accelerator": "h100"}}},
		}
	}
	for path, want := range map[string]bool{
		".spec.model": true, ".metadata.labels." + ManagedByLabel: true, `.spec.performance[accelerator="h100"].match`: true, ".spec.mod": false, ".spec.absent": false, "": false,
	} {
		c := content()
		if got := remove(c, path); got != want || want == equality.Semantic.DeepEqual(c, content()) {
			t.Errorf("%q: removed is %v, left is %v", path, got, c)
		}
	}
}
