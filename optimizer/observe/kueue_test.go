package observe_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
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
	h100 := v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "h100"}, Spec: v1alpha1.AcceleratorSpec{Type: "H100"}}
	got, cohorts, faults := k.Shares([]v1alpha1.Accelerator{h100}, []corev1.Node{node}, nil)
	number := func(n int) *int { return &n }
	share := func(name string, cards jsonspec.ShareCards, namespaces ...string) v1alpha1.Share {
		cards.Type = "H100"
		return v1alpha1.Share{Name: name, Cards: []jsonspec.ShareCards{cards}, Namespaces: namespaces}
	}
	want := []v1alpha1.Share{
		share("alone", jsonspec.ShareCards{Guaranteed: 1, Kept: 1, Most: number(1)}, "c"),
		share("team-a", jsonspec.ShareCards{Guaranteed: 8, Kept: 3, Most: number(10)}, "a-prod", "a-test"),
		share("team-b", jsonspec.ShareCards{Guaranteed: 2, Most: number(10)}, "b"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	bound := []jsonspec.Cohort{{Name: "all", Shares: []string{"team-a", "team-b"}, Cards: []jsonspec.CohortCards{{Type: "H100", Most: 10}}}}
	if diff := cmp.Diff(bound, cohorts); diff != "" {
		t.Error(diff)
	}
	if len(faults) != 1 || !strings.Contains(faults[0], "ClusterQueue alone: nvidia.com/gpu of flavor nowhere: the labels of its nodes are of 0 types of card") {
		t.Errorf("faults %q", faults)
	}
}

// tree of cohorts: the company has four cards that are nobody's, research borrows two at most and lends three, products neither; labs is of research.
const tree = `
cohorts:
- metadata: {name: company}
  spec: {resourceGroups: [{flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 4}]}]}]}
- metadata: {name: research}
  spec:
    parentName: company
    resourceGroups: [{flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 0, borrowingLimit: 2, lendingLimit: 3}]}]}]
- metadata: {name: labs}
  spec: {parent: research}
- metadata: {name: loop-a}
  spec: {parentName: loop-b}
- metadata: {name: loop-b}
  spec: {parentName: loop-a}
clusterQueues:
- metadata: {name: vision}
  spec: {cohortName: labs, resourceGroups: [{flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 6}]}]}]}
- metadata: {name: speech}
  spec: {cohortName: labs, resourceGroups: [{flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 2, lendingLimit: 1}]}]}]}
- metadata: {name: search}
  spec:
    cohortName: company
    resourceGroups:
    - flavors:
      - {name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 8, borrowingLimit: 1}]}
      - {name: h100-spot, resources: [{name: nvidia.com/gpu, nominalQuota: 2, borrowingLimit: 3, lendingLimit: 0}]}
- metadata: {name: training} # no LocalQueue leads to it: what it has is lent
  spec: {cohortName: company, resourceGroups: [{flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 16}]}]}]}
localQueues:
- {metadata: {name: q, namespace: vision}, spec: {clusterQueue: vision}}
- {metadata: {name: q, namespace: speech}, spec: {clusterQueue: speech}}
- {metadata: {name: q, namespace: search}, spec: {clusterQueue: search}}
resourceFlavors:
- {metadata: {name: h100}, spec: {nodeLabels: {pool: big}}}
- {metadata: {name: h100-spot}, spec: {nodeLabels: {pool: spot}}}
`

// Of cohorts within cohorts each is a bound: of all that is below a root, of what one within may borrow besides, and for others of what it does not lend. A type
// that a queue has no quota of is not for it.
func TestCohortsWithinCohorts(t *testing.T) {
	var k observe.Kueue
	if err := yaml.Unmarshal([]byte(tree), &k); err != nil {
		t.Fatal(err)
	}
	var nodes []corev1.Node
	for _, pool := range []string{"big", "spot"} {
		nodes = append(nodes, corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: pool, Labels: map[string]string{"pool": pool, "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}}})
	}
	accelerator := func(name, kind string) v1alpha1.Accelerator {
		return v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AcceleratorSpec{Type: kind}}
	}
	got, cohorts, faults := k.Shares([]v1alpha1.Accelerator{accelerator("h100", "H100"), accelerator("l40s", "L40S")}, nodes, nil)
	share := func(name string, guaranteed, kept, most int) v1alpha1.Share {
		return v1alpha1.Share{Namespaces: []string{name}, Name: name, Cards: []jsonspec.ShareCards{
			{Type: "H100", Guaranteed: guaranteed, Kept: kept, Most: &most}, {Type: "L40S", Most: new(int)},
		}}
	}
	want := []v1alpha1.Share{share("search", 10, 2, 14), share("speech", 2, 1, 38), share("vision", 6, 0, 38)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	cohort := func(name string, most int, shares ...string) jsonspec.Cohort {
		return jsonspec.Cohort{Name: name, Shares: shares, Cards: []jsonspec.CohortCards{{Type: "H100", Most: most}, {Type: "L40S"}}}
	}
	bounds := []jsonspec.Cohort{
		cohort("company", 38, "search", "speech", "vision"),
		{Name: "research", Shares: []string{"speech", "vision"}, Cards: []jsonspec.CohortCards{{Type: "H100", Most: 10}}},
		{Name: "company without research", Shares: []string{"search"}, Cards: []jsonspec.CohortCards{{Type: "H100", Most: 33}}},
	}
	if diff := cmp.Diff(bounds, cohorts); diff != "" {
		t.Error(diff)
	}
	if len(faults) != 1 || !strings.Contains(faults[0], "Cohort loop-b: spec.parentName: loop-a is below it, it must not be") {
		t.Errorf("faults %q", faults)
	}
}

// What others have of a quota is not there for plans, unless it gives way to pods of Servers; what these have themselves is.
func TestWhatOthersHaveOfAQuota(t *testing.T) {
	const admitted = `
clusterQueues:
- metadata: {name: gpus}
  spec:
    preemption: {withinClusterQueue: %s}
    cohortName: all
    resourceGroups:
    - flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 8}]}]
  status: {reservingWorkloads: 3}
- metadata: {name: batch}
  spec:
    cohortName: all
    resourceGroups:
    - flavors: [{name: h100, resources: [{name: nvidia.com/gpu, nominalQuota: 4}]}]
localQueues:
- {metadata: {name: serving, namespace: llm}, spec: {clusterQueue: gpus}}
resourceFlavors:
- {metadata: {name: h100}, spec: {nodeLabels: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}}}
workloads:
- metadata: {name: ours, namespace: llm, ownerReferences: [{apiVersion: v1, kind: Pod, name: chat-1, uid: "1"}]}
  spec: {queueName: serving, priority: 10}
  status: &one
    admission: {clusterQueue: gpus, podSetAssignments: [{flavors: {nvidia.com/gpu: h100, cpu: h100}, resourceUsage: {nvidia.com/gpu: "1", cpu: "9"}}]}
- {metadata: {name: group, namespace: llm}, spec: {queueName: serving}, status: *one}
- {metadata: {name: lower, namespace: llm}, spec: {priority: 9}, status: *one}
- {metadata: {name: equal, namespace: llm}, spec: {priority: 10}, status: *one}
- {metadata: {name: waits, namespace: llm}, spec: {priority: 99}}
- {metadata: {name: finished, namespace: llm}, spec: {priority: 99}, status: {<<: *one, conditions: [{type: Finished, status: "True"}]}}
- metadata: {name: borrows, namespace: train}
  status: {admission: {clusterQueue: batch, podSetAssignments: [{flavors: {nvidia.com/gpu: h100}, resourceUsage: {nvidia.com/gpu: "6"}}]}}
`
	pods := []corev1.Pod{
		{ObjectMeta: metav1.ObjectMeta{Name: "chat-1", Namespace: "llm", UID: "1", Labels: map[string]string{v1alpha1.ServerLabel: "chat", "kueue.x-k8s.io/managed": "true"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "chat-2", Namespace: "llm", UID: "2", Labels: map[string]string{v1alpha1.ServerLabel: "chat", "kueue.x-k8s.io/managed": "true", "kueue.x-k8s.io/prebuilt-workload-name": "group"}}},
	}
	h100 := v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: "h100"}, Spec: v1alpha1.AcceleratorSpec{Type: "H100"}}
	for policy, want := range map[string]int{"LowerPriority": 7, "Never": 6, "": 6} {
		var k observe.Kueue
		if err := yaml.Unmarshal(fmt.Appendf(nil, admitted, policy), &k); err != nil {
			t.Fatal(err)
		}
		if !k.HasOthers(pods) {
			t.Errorf("%s: three workloads have some of the quota, two are ours, and there are no others", policy)
		}
		shares, cohorts, faults := k.Shares([]v1alpha1.Accelerator{h100}, nil, pods)
		if len(shares) != 1 || len(shares[0].Cards) != 1 || shares[0].Cards[0].Guaranteed != want || *shares[0].Cards[0].Most != want || len(faults) > 0 {
			t.Errorf("%s: the shares are %+v (%v), want %d", policy, shares, faults, want)
		}
		if len(cohorts) != 1 || cohorts[0].Cards[0].Most != want {
			t.Errorf("%s: the cohorts are %+v, want %d: nothing of batch's own quota is left, and what it borrows is given back", policy, cohorts, want)
		}
		k.ClusterQueues[0].Status.ReservingWorkloads = 2
		if k.HasOthers(pods) {
			t.Errorf("%s: there are others than our two", policy)
		}
	}
}
