package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// teller has node autoscalers told of one Server, on a real API server.
type teller struct {
	t *testing.T
	*Reconciler
	optimizer *v1alpha1.Optimizer
	server    *v1alpha1.Server
	readings  *observe.Readings
	// writes of the last cycle, and what is refused from now on.
	writes []string
	refuse error
}

// tell of the replicas that are needed ahead of time on h100, and returns what is said of the Server, and of the Optimizer.
func (x *teller) tell(ahead int) (server, optimizer string) {
	x.t.Helper()
	x.writes = nil
	next := x.server.Status.DeepCopy()
	next.Desired = &v1alpha1.DesiredState{Replicas: 3, Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: 3, Ahead: ahead}}}
	c := &cycle{Reconciler: x.Reconciler, optimizer: x.optimizer, report: v1alpha1.CycleReport{Time: now}}
	c.readRooms(x.t.Context(), x.readings)
	c.makeRoom(x.t.Context(), x.server, next)
	c.sayRooms()
	for _, condition := range c.conditions {
		meta.SetStatusCondition(&x.optimizer.Status.Conditions, condition)
	}
	x.server.Status = *next
	said := func(list []metav1.Condition) string {
		condition := meta.FindStatusCondition(list, v1alpha1.ConditionCapacityAhead)
		if condition == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", condition.Status, condition.Reason, condition.Message)
	}
	return said(next.Conditions), said(x.optimizer.Status.Conditions)
}

// says checks what is said of the Server, and how many writes it took.
func (x *teller) says(ahead int, want string, writes int) {
	x.t.Helper()
	got, _ := x.tell(ahead)
	if !strings.HasPrefix(got, want) || want == "" && got != "" {
		x.t.Errorf("with %d ahead the condition is %q, want %q", ahead, got, want)
	}
	if len(x.writes) != writes {
		x.t.Errorf("with %d ahead these were written: %v, want %d", ahead, x.writes, writes)
	}
}

var bufferVersion = schema.GroupVersionKind{Group: "autoscaling.x-k8s.io", Version: "v1beta1", Kind: "CapacityBuffer"}

// buffer and its template; false where there is none.
func (x *teller) buffer() (*unstructured.Unstructured, *corev1.PodTemplate, bool) {
	x.t.Helper()
	key := client.ObjectKey{Namespace: "llm", Name: x.server.Name + "-ahead-h100"}
	b, template := &unstructured.Unstructured{}, &corev1.PodTemplate{}
	b.SetGroupVersionKind(bufferVersion)
	err := errors.Join(x.Client.Get(x.t.Context(), key, b), x.Client.Get(x.t.Context(), key, template))
	if err != nil && client.IgnoreNotFound(x.Client.Get(x.t.Context(), key, b)) != nil {
		x.t.Fatal(err)
	}
	return b, template, err == nil
}

// autoscaler says a condition of the buffer.
func (x *teller) autoscaler(kind, status, reason, message string) {
	x.t.Helper()
	b, _, _ := x.buffer()
	patch, _ := json.Marshal(map[string]any{"status": map[string]any{"conditions": []map[string]any{
		{"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"},
	}}})
	if err := x.Client.Status().Patch(x.t.Context(), b, client.RawPatch(types.MergePatchType, patch)); err != nil {
		x.t.Fatal(err)
	}
}

// newTeller on a real API server, with a Server whose pods, of a Deployment, have a gate, a toleration and a secret.
func newTeller(t *testing.T) (*teller, func(text []byte)) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	s, plane := realStage(t)
	x := &teller{t: t, Reconciler: s.Reconciler, optimizer: &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{CapacityAhead: v1alpha1.CapacityAheadBuffer}}}
	note := func(o runtime.Object, verb string) error {
		kind, _, _ := unstructured.NestedString(o.(*unstructured.Unstructured).Object, "kind")
		x.writes = append(x.writes, verb+" "+kind)
		return x.refuse
	}
	x.Client = interceptor.NewClient(s.client.(client.WithWatch), interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			text, _ := json.Marshal(o)
			u := &unstructured.Unstructured{}
			_ = json.Unmarshal(text, &u.Object)
			if err := note(u, "apply"); err != nil {
				return err
			}
			return c.Apply(ctx, o, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, options ...client.DeleteOption) error {
			if err := note(o, "delete"); err != nil {
				return err
			}
			return c.Delete(ctx, o, options...)
		},
	})
	x.Direct, x.QueryTimeout = x.Client, time.Minute
	x.server = &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "rising"}, Spec: v1alpha1.ServerSpec{ServiceClass: "c", Model: "m"}}
	x.server.Spec.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "rising"}
	labels := map[string]string{"app": "rising"}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "rising"}, Spec: appsv1.DeploymentSpec{
		Replicas: new(int32), Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}},
			Tolerations:     []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "engine", Image: "engine", Env: []corev1.EnvVar{{Name: "TOKEN", Value: "secret"}},
				Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("2")}},
			}},
		}},
	}}
	for _, o := range []client.Object{x.server, deployment} {
		if err := s.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	x.readings = &observe.Readings{}
	x.readings.Resources.Accelerators = []v1alpha1.Accelerator{{ObjectMeta: metav1.ObjectMeta{Name: "h100"}, Spec: v1alpha1.AcceleratorSpec{Type: "H100"}}}
	return x, func(text []byte) {
		t.Helper()
		if err := plane.Apply(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}

// Node autoscalers are told of what is needed ahead of time, by a buffer that the API server accepts, of pods as they are once they are let go; they are told once, and
// what they say of it is said of the Server.
func TestNodeAutoscalersAreTold(t *testing.T) {
	x, apply := newTeller(t)
	if server, optimizer := x.tell(2); server != "" || !strings.HasPrefix(optimizer, "False BuffersUnread: spec.capacityAhead: CapacityBuffer: the API server knows no CapacityBuffers") || x.writes != nil {
		t.Errorf("without the resource it is said: %q, %q; written: %v", server, optimizer, x.writes)
	}
	definition, err := os.ReadFile("../../test/data/cluster-autoscaler/capacitybuffers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(definition)
	for ahead, want := range map[time.Duration]string{0: "capacityAhead needs lookAhead: what a node takes to come", 10 * time.Minute: ""} {
		o := &v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: v1alpha1.OptimizerSpec{CapacityAhead: v1alpha1.CapacityAheadBuffer}}
		o.Spec.Interval.Duration = defaultInterval
		if ahead > 0 {
			o.Spec.LookAhead = &metav1.Duration{Duration: ahead}
		}
		if err := x.Client.Create(t.Context(), o, client.DryRunAll); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", ahead, err, want)
		}
	}
	x.says(0, "", 0)
	x.says(2, "Unknown RoomAwaited: no node autoscaler has said that it makes room: 2 × h100", 2)
	x.says(2, "Unknown RoomAwaited", 0)

	b, template, there := x.buffer()
	if !there {
		t.Fatal("there is no buffer")
	}
	replicas, _, _ := unstructured.NestedInt64(b.Object, "spec", "replicas")
	ref, _, _ := unstructured.NestedString(b.Object, "spec", "podTemplateRef", "name")
	if replicas != 2 || ref != template.Name || len(b.GetOwnerReferences()) != 1 || b.GetOwnerReferences()[0].UID != x.server.UID {
		t.Errorf("the buffer is %v", b.Object)
	}
	spec := &template.Template.Spec
	gpus := spec.Containers[0].Resources.Limits["nvidia.com/gpu"]
	term := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0]
	if len(spec.SchedulingGates) > 0 || len(spec.Tolerations) != 1 || gpus.Value() != 2 || term.Key != "nvidia.com/gpu.product" || spec.Containers[0].Env != nil {
		t.Errorf("the pods are %+v", spec)
	}

	for _, tt := range []struct{ kind, status, want string }{
		{bufferReady, "False", "False RoomRefused: the node autoscaler makes no room: 2 × h100: words (Why)"},
		{bufferLimited, "True", "False RoomLimited: quotas leave less room than is needed ahead of time: 2 × h100: words (Why)"},
		{bufferProvisioned, "False", "False RoomRefused: the node autoscaler makes no room: 2 × h100: words (Why)"},
		{bufferProvisioned, "True", "True RoomKept: the node autoscaler makes room ahead of time: 2 × h100"},
	} {
		x.autoscaler(tt.kind, tt.status, "Why", "words")
		x.says(2, tt.want, 0)
	}
	x.says(5, "True RoomKept", 1)
	patch := func(o client.Object, kind types.PatchType, text string) {
		t.Helper()
		if err := x.Client.Patch(t.Context(), o, client.RawPatch(kind, []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "rising"}}
	patch(deployment, types.JSONPatchType, `[{"op": "remove", "path": "/spec/template/spec/tolerations"}]`)
	x.says(5, "True RoomKept", 1)
	if _, template, _ := x.buffer(); len(template.Template.Spec.Tolerations) > 0 {
		t.Errorf("the pods still tolerate %v", template.Template.Spec.Tolerations)
	}
	b, _, _ = x.buffer()
	patch(b, types.MergePatchType, `{"spec": {"replicas": 50}}`)
	x.says(5, "True RoomKept", 1)
	x.says(5, "True RoomKept", 0)

	// What cannot be done is said, and done once it can be.
	x.refuse = apierrors.NewForbidden(schema.GroupResource{}, "rising", errors.New("not today"))
	x.says(3, "False Refused: node autoscalers are not told of all that is needed ahead of time: 3 × h100", 1)
	x.says(0, "False Refused: node autoscalers are not told of all that is needed ahead of time: CapacityBuffer rising-ahead-h100 cannot be taken back", 2)
	x.refuse = nil
	x.says(0, "", 2)
	if _, _, there := x.buffer(); there {
		t.Error("the buffer is still there")
	}

	// A dry run writes nothing, and takes nothing back.
	x.says(1, "Unknown RoomAwaited", 2)
	x.optimizer.Spec.Mode = v1alpha1.ModeDryRun
	x.says(0, "Unknown RoomAwaited", 0)
	x.optimizer.Spec.Mode = v1alpha1.ModeActive
	x.says(1, "Unknown RoomAwaited", 0)

	// When it is no longer asked for, all is taken back, after a failure too; then it is nobody's business.
	x.optimizer.Spec.CapacityAhead = ""
	x.refuse = errors.New("not today")
	if _, optimizer := x.tell(1); !strings.HasPrefix(optimizer, "True AutoscalersTold") {
		t.Errorf("what is left is said: %q", optimizer)
	}
	x.refuse = nil
	if server, optimizer := x.tell(1); server != "" || optimizer != "" || len(x.writes) != 2 {
		t.Errorf("it is said: %q, %q; written: %v", server, optimizer, x.writes)
	}
	if x.says(1, "", 0); x.readings == nil {
		t.Fatal()
	}
}

// What is another's stays as it is, and pods that are not known are told of to nobody.
func TestNodeAutoscalersAreNotToldByOthersObjects(t *testing.T) {
	x, apply := newTeller(t)
	definition, err := os.ReadFile("../../test/data/cluster-autoscaler/capacitybuffers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(definition)
	const others = `
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata: {namespace: llm, name: rising-ahead-h100, labels: {inferno.platform.ai/server: rising}}
spec: {replicas: 7, podTemplateRef: {name: theirs}}
`
	apply([]byte(others))
	x.says(2, "False Refused: node autoscalers are not told of all that is needed ahead of time: 2 × h100: there is another CapacityBuffer llm/rising-ahead-h100: it stays as it is", 1)
	x.says(0, "", 1) // its own template
	b := &unstructured.Unstructured{}
	b.SetGroupVersionKind(bufferVersion)
	if err := x.Client.Get(t.Context(), client.ObjectKey{Namespace: "llm", Name: "rising-ahead-h100"}, b); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := unstructured.NestedInt64(b.Object, "spec", "replicas"); n != 7 {
		t.Errorf("another's buffer has %d replicas", n)
	}
	for kind, want := range map[string]string{
		"StatefulSet":      "False Refused: node autoscalers are not told of all that is needed ahead of time: 2 × h100: the pods are not known: ",
		"LeaderWorkerSet":  "False Refused: node autoscalers are not told of all that is needed ahead of time: 2 × h100: the pods of a LeaderWorkerSet are not known, those of a Deployment or a StatefulSet are",
		"":                 "False Refused: node autoscalers are not told of all that is needed ahead of time: 2 × h100: spec.scaleTargetRef names no workload whose pods could be told of",
		"of nobody's type": "False Refused: node autoscalers are not told of all that is needed ahead of time: there is no Accelerator h100",
	} {
		switch kind {
		case "":
			x.server.Spec.ScaleTargetRef = nil
		case "of nobody's type":
			accelerators := x.readings.Resources.Accelerators
			x.readings.Resources.Accelerators = nil
			x.says(2, want, 0)
			x.readings.Resources.Accelerators = accelerators
			continue
		default:
			x.server.Spec.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: kind, Name: "other"}
		}
		x.says(2, want, 0)
	}
}

// Names of buffers are names, and of one server and accelerator each.
func TestRoomNames(t *testing.T) {
	long := strings.Repeat("a", 250)
	seen := map[string]bool{}
	for _, server := range []string{"a", long, long + "b", long[:240] + ".b"} {
		for _, accelerator := range []string{"h100", long} {
			name := roomName(server, accelerator)
			if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 || seen[name] {
				t.Errorf("%s: %v", name, faults)
			}
			seen[name] = true
		}
	}
}
