package realise_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

func TestAheadIsOfTheParts(t *testing.T) {
	plan := &v1alpha1.DesiredState{Replicas: 5, Surge: 2, Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: 3, Ahead: 2}, {Accelerator: "a100", Surge: 2}}}
	if got := realise.Ahead(plan); len(got) != 1 || got[0].Accelerator != "h100" || got[0].Ahead != 2 {
		t.Errorf("asked for is %+v", got)
	}
	if got := append(realise.Ahead(nil), realise.Ahead(&v1alpha1.DesiredState{Replicas: 3, Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: 3}}})...); got != nil {
		t.Errorf("at rest %+v is asked for", got)
	}
}

// A pod in an autoscaler's mind can be where a pod of the template can be once it is let go, takes what that takes, and knows no secret of it.
func TestShapeIsThatOfAPodThatIsLetGo(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	more := []corev1.NodeSelectorRequirement{{Key: "nvidia.com/gpu.product", Operator: corev1.NodeSelectorOpIn, Values: []string{"NVIDIA-H100"}}}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		some := func() bool { return rng.IntN(2) == 0 }
		secret := "sk-" + fmt.Sprint(rng.Uint64())
		container := corev1.Container{
			Name: "engine", Image: "vllm", Command: []string{"serve", secret}, Args: []string{secret}, Env: []corev1.EnvVar{{Name: "TOKEN", Value: secret}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(fmt.Sprint(1 + rng.IntN(8)))}},
			Ports:     []corev1.ContainerPort{{ContainerPort: 8000}},
		}
		loader := corev1.Container{Name: "loader", Image: "loader", RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("2")}}}
		template := &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "chat"}, Annotations: map[string]string{"note": secret}}}
		template.Spec = corev1.PodSpec{Containers: []corev1.Container{container}, SchedulerName: "inferno-scheduler"}
		if some() {
			template.Spec.InitContainers = []corev1.Container{loader}
		}
		if some() {
			template.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}}
		}
		if some() {
			template.Spec.Tolerations = []corev1.Toleration{{Key: "nvidia.com/gpu", Operator: corev1.TolerationOpExists}}
		}
		if some() {
			template.Spec.NodeSelector = map[string]string{"zone": "a"}
		}
		if some() {
			template.Spec.Volumes = []corev1.Volume{
				{Name: "token", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}},
				{Name: "models", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "models"}}},
			}
		}
		if some() {
			own := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpExists}}}
			template.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{own, own}}}}
		}
		before := template.DeepCopy()
		shape := realise.Shape(template, more)
		if diff := cmp.Diff(before, template); diff != "" {
			t.Fatalf("the template was changed: %s", diff)
		}
		pod := func(s *corev1.PodTemplateSpec) *corev1.Pod {
			return &corev1.Pod{ObjectMeta: s.ObjectMeta, Spec: s.Spec}
		}
		if diff := cmp.Diff(placement.Requests(pod(template)), placement.Requests(pod(&shape))); diff != "" {
			t.Errorf("seed %d: it requests other things: %s", seed, diff)
		}
		if diff := cmp.Diff([]any{template.Labels, template.Spec.NodeSelector, template.Spec.Tolerations, template.Spec.SchedulerName},
			[]any{shape.Labels, shape.Spec.NodeSelector, shape.Spec.Tolerations, shape.Spec.SchedulerName}); diff != "" {
			t.Errorf("seed %d: it can be elsewhere: %s", seed, diff)
		}
		if diff := cmp.Diff(placement.Required(&template.Spec, more), shape.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution); diff != "" {
			t.Errorf("seed %d: it asks of nodes: %s", seed, diff)
		}
		if len(shape.Spec.SchedulingGates) > 0 {
			t.Errorf("seed %d: it is gated", seed)
		}
		if len(shape.Spec.Volumes) > 1 || len(template.Spec.Volumes) > 0 && shape.Spec.Volumes[0].Name != "models" {
			t.Errorf("seed %d: its volumes are %v", seed, shape.Spec.Volumes)
		}
		if strings.Contains(fmt.Sprintf("%+v", shape), secret) {
			t.Errorf("seed %d: it tells %s", seed, secret)
		}
	}
}
