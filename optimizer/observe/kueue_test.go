package observe_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// queues as Kueue's resources are written.
const queues = `
clusterQueues:
- metadata: {name: team-a}
  spec:
    cohortName: all
    resourceGroups:
    - coveredResources: [nvidia.com/gpu, cpu]
      flavors:
      - name: h100
        resources:
        - {name: nvidia.com/gpu, nominalQuota: 8, borrowingLimit: 4, lendingLimit: 5}
        - {name: cpu, nominalQuota: 100}
- metadata: {name: team-b}
  spec:
    cohort: all
    resourceGroups:
    - flavors:
      - name: h100
        resources: [{name: nvidia.com/gpu, nominalQuota: "2"}]
- metadata: {name: alone}
  spec:
    resourceGroups:
    - flavors:
      - name: h100
        resources: [{name: nvidia.com/gpu, nominalQuota: 1}]
      - name: nowhere
        resources: [{name: nvidia.com/gpu, nominalQuota: 1}]
- metadata: {name: nobodys}
  spec: {}
localQueues:
- metadata: {name: main, namespace: a-prod}
  spec: {clusterQueue: team-a}
- metadata: {name: more, namespace: a-test}
  spec: {clusterQueue: team-a}
- metadata: {name: main, namespace: b}
  spec: {clusterQueue: team-b}
- metadata: {name: main, namespace: c}
  spec: {clusterQueue: alone}
resourceFlavors:
- metadata: {name: h100}
  spec: {nodeLabels: {pool: big}}
- metadata: {name: nowhere}
  spec: {nodeLabels: {pool: moon}}
`

// ClusterQueues are shares of the namespaces of their LocalQueues: nominal quotas are guaranteed, and a cohort bounds what is borrowed and lent.
func TestKueueIsReadAsShares(t *testing.T) {
	var k observe.Kueue
	if err := yaml.Unmarshal([]byte(queues), &k); err != nil {
		t.Fatal(err)
	}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"pool": "big", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}}
	h100 := v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "h100"}, Spec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Type: "H100"}}}
	got, faults := k.Shares([]v1alpha1.Accelerator{h100}, []corev1.Node{node})
	number := func(n int) *int { return &n }
	share := func(name string, cards v1alpha1.ShareCards, namespaces ...string) v1alpha1.Share {
		cards.Type = "H100"
		return v1alpha1.Share{ShareBounds: v1alpha1.ShareBounds{Name: name, Cards: []v1alpha1.ShareCards{cards}}, Namespaces: namespaces}
	}
	want := []v1alpha1.Share{
		share("alone", v1alpha1.ShareCards{Guaranteed: 1, Kept: 1, Most: number(1)}, "c"),
		share("team-a", v1alpha1.ShareCards{Guaranteed: 8, Kept: 3, Most: number(10)}, "a-prod", "a-test"),
		share("team-b", v1alpha1.ShareCards{Guaranteed: 2, Most: number(10)}, "b"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(faults) != 1 || !strings.Contains(faults[0], "ClusterQueue alone: nvidia.com/gpu of flavor nowhere: the labels of its nodes are of 0 types of card") {
		t.Errorf("faults %q", faults)
	}
}
