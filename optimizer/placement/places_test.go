package placement

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// A node has as many places for a pod as what it has least of allows, and none where it is not for it.
func TestPlaces(t *testing.T) {
	list := func(cpu, cards string) corev1.ResourceList {
		return corev1.ResourceList{"cpu": resource.MustParse(cpu), "nvidia.com/gpu": resource.MustParse(cards)}
	}
	for name, tt := range map[string]struct {
		change func(p *corev1.Pod, n *corev1.Node)
		want   int
	}{
		"cards":      {func(*corev1.Pod, *corev1.Node) {}, 2},
		"processors": {func(p *corev1.Pod, _ *corev1.Node) { p.Spec.Containers[0].Resources.Requests = list("40", "4") }, 1},
		"a resource it has not": {func(p *corev1.Pod, _ *corev1.Node) {
			p.Spec.Containers[0].Resources.Requests["x/y"] = resource.MustParse("1")
		}, 0},
		"a taint": {func(_ *corev1.Pod, n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "a", Value: "b", Effect: "NoSchedule"}}
		}, 0},
		"a taint that is a wish": {func(_ *corev1.Pod, n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "a", Effect: "PreferNoSchedule"}}
		}, 2},
		"a taint it tolerates": {func(p *corev1.Pod, n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: "a", Value: "b", Effect: "NoSchedule"}, {Key: "c", Effect: "NoExecute"}}
			p.Spec.Tolerations = []corev1.Toleration{{Key: "a", Value: "b"}, {Key: "c", Operator: corev1.TolerationOpExists, Effect: "NoExecute"}}
		}, 2},
		"a taint of another value": {func(p *corev1.Pod, n *corev1.Node) {
			n.Spec.Taints, p.Spec.Tolerations = []corev1.Taint{{Key: "a", Value: "b", Effect: "NoSchedule"}}, []corev1.Toleration{{Key: "a", Value: "c"}}
		}, 0},
		"cordoned": {func(_ *corev1.Pod, n *corev1.Node) { n.Spec.Unschedulable = true }, 0},
		"selected": {func(p *corev1.Pod, n *corev1.Node) {
			p.Spec.NodeSelector, n.Labels = map[string]string{"zone": "z"}, map[string]string{"zone": "z"}
		}, 2},
		"not selected": {func(p *corev1.Pod, _ *corev1.Node) { p.Spec.NodeSelector = map[string]string{"zone": "z"} }, 0},
	} {
		pod, node := &corev1.Pod{}, &corev1.Node{}
		pod.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list("8", "4")}}}
		if tt.change(pod, node); Places(pod, node, list("64", "8")) != tt.want {
			t.Errorf("%s: %d places, want %d", name, Places(pod, node, list("64", "8")), tt.want)
		}
	}
}
