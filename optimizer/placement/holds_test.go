package placement

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

func accelerator(name, typ string, multiplicity int) *v1alpha1.Accelerator {
	return &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AcceleratorSpec{
		Type: typ, Cards: multiplicity,
	}}
}

func requesting(resourceName, n string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceName(resourceName): resource.MustParse(n)}}}
}

// One answer for everybody: the accelerator that a pod holds on its node, and how many cards of it.
func TestHolds(t *testing.T) {
	aliased := accelerator("h200-0a1b2c3d", "H200", 1)
	aliased.Annotations = map[string]string{v1alpha1.NameAnnotation: "H200"}
	kinds := catalogue.NewClassifier([]*v1alpha1.Accelerator{
		accelerator("2xa100", "A100", 2), accelerator("4xa100", "A100", 4), accelerator("a100", "A100", 1), accelerator("h100", "H100", 1), accelerator("mi300x", "MI300X", 1),
		accelerator("slice", "A100-MIG-1g.5gb", 1), aliased,
	})
	always := corev1.ContainerRestartPolicyAlways
	gpus := func(n string) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{requesting(catalogue.NVIDIAResource, n)}}
	}
	a100s := []string{"2xa100", "4xa100", "a100"}
	for _, c := range []struct {
		name    string
		spec    corev1.PodSpec
		told    string
		carried []string
		want    string
		cards   int
	}{
		{"a node with one accelerator", gpus("1"), "", []string{"h100"}, "h100", 1},
		{"whatever is asked for", gpus("3"), "", []string{"h100"}, "h100", 3},
		{"one card", gpus("1"), "", a100s, "a100", 1},
		{"as many cards as one takes", gpus("4"), "", a100s, "4xa100", 4},
		{"a multiple: the most cards at once", gpus("8"), "", a100s, "4xa100", 8},
		{"a multiple of fewer", gpus("6"), "", a100s, "2xa100", 6},
		{"a number that only single cards make up", gpus("3"), "", a100s, "a100", 3},
		{"a number that none makes up", gpus("3"), "", a100s[:2], "2xa100", 3},
		{"told by the plugin", gpus("4"), "a100", a100s, "a100", 4},
		{"told by the name in the specification", gpus("1"), "H200", []string{"h100", "h200-0a1b2c3d"}, "h200-0a1b2c3d", 1},
		{"an annotation does not outweigh what the node is", gpus("1"), "h100", a100s, "a100", 1},
		{"nor does one that no Accelerator answers to", gpus("1"), "unheard-of", a100s, "a100", 1},
		{"a node that lost its labels", gpus("1"), "h100", nil, "h100", 1},
		{"told what nobody describes any more", gpus("1"), "unheard-of", nil, "unheard-of", 0},
		{"a node that nobody describes", gpus("1"), "", nil, "", 0},
		{"another resource", corev1.PodSpec{Containers: []corev1.Container{requesting("nvidia.com/mig-1g.5gb", "1")}}, "", []string{"a100", "slice"}, "slice", 1},
		{"a claim: nothing is requested", corev1.PodSpec{}, "", a100s, "4xa100", 0},
		{"containers add up", corev1.PodSpec{Containers: []corev1.Container{requesting(catalogue.NVIDIAResource, "1"), requesting(catalogue.NVIDIAResource, "1")}}, "", a100s, "2xa100", 2},
		{"an init container runs before", corev1.PodSpec{
			InitContainers: []corev1.Container{requesting(catalogue.NVIDIAResource, "4")}, Containers: []corev1.Container{requesting(catalogue.NVIDIAResource, "1")},
		}, "", a100s, "4xa100", 4},
		{"a sidecar runs beside", corev1.PodSpec{
			InitContainers: []corev1.Container{{Resources: requesting(catalogue.NVIDIAResource, "1").Resources, RestartPolicy: &always}},
			Containers:     []corev1.Container{requesting(catalogue.NVIDIAResource, "1")},
		}, "", a100s, "2xa100", 2},
	} {
		pod := &corev1.Pod{Spec: c.spec}
		if c.told != "" {
			pod.Annotations = map[string]string{v1alpha1.AcceleratorAnnotation: c.told}
		}
		kind, ok := Holds(kinds, c.carried, pod)
		cards := Cards(Requests(pod), kind)
		if kind.Name != c.want || ok != (c.want != "") || cards != c.cards {
			t.Errorf("%s: %q (%v) with %d cards, want %q with %d", c.name, kind.Name, ok, cards, c.want, c.cards)
		}
	}
}
