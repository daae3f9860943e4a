package observe

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// nodePool is written as people write it.
func nodePool(t *testing.T, text string) NodePool {
	t.Helper()
	var p NodePool
	if err := yaml.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

const h100Pool = `
metadata: {name: h100}
spec:
  weight: 10
  limits: {nvidia.com/gpu: 20, nodes: 3}
  template:
    metadata: {labels: {team: llm}}
    spec:
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [h100x1, h100x8]}
      - {key: karpenter.sh/capacity-type, operator: In, values: [spot, on-demand]}
      - {key: topology.kubernetes.io/zone, operator: In, values: [a, b]}
      taints: [{key: gpu, effect: NoSchedule}]
`

// buying are readings of a cluster whose NodePools may buy H100 and L4; who reads them may change what is asked for.
func buying(t *testing.T, pools []string, change func(*Readings)) *Readings {
	return readings(func(r *Readings) {
		r.Resources.Accelerators = []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 100), accelerator("l4", "L4", 1, 10)}
		r.Resources.Optimizer = &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{ElasticFrom: v1alpha1.ElasticFromKarpenter, Karpenter: v1alpha1.KarpenterCapacity{
			Delay: &metav1.Duration{Duration: 90 * time.Second},
			InstanceTypes: []v1alpha1.InstanceType{
				{Name: "h100x1", Type: "H100", Cards: 1}, {Name: "h100x8", Type: "H100", Cards: 8}, {Name: "l4x1", Type: "L4", Cards: 1, Labels: map[string]string{"family": "g6"}},
			},
		}}}
		r.Nodes, r.Pods = nil, nil
		r.Karpenter = &Karpenter{Insufficient: map[string]time.Time{}}
		for _, p := range pools {
			r.Karpenter.NodePools = append(r.Karpenter.NodePools, nodePool(t, p))
		}
		if change != nil {
			change(r)
		}
	})
}

// bought is a node that came from a NodePool.
func bought(name, product string, cards int64, labels map[string]string) corev1.Node {
	return node(name, product, cards, func(n *corev1.Node) {
		for key, value := range labels {
			n.Labels[key] = value
		}
		n.Status.Capacity = n.Status.Allocatable
	})
}

// What NodePools can still buy is elastic capacity, by their requirements, limits and what has come of them.
func TestNodePoolsAreElasticCapacity(t *testing.T) {
	until := metav1.NewTime(now.Add(100 * time.Second))
	for _, c := range []struct {
		name   string
		pools  []string
		change func(*Readings)
		want   []string // name, type, cards × limit, arrived
		faults string
	}{
		{name: "the largest size within the limits", pools: []string{h100Pool}, want: []string{"h100/h100x8 H100 8 × 2, 0 there"}},
		{name: "a limit of nodes", pools: []string{strings.Replace(h100Pool, "nodes: 3", "nodes: 1", 1)}, want: []string{"h100/h100x8 H100 8 × 1, 0 there"}},
		{name: "what is left is for a smaller one", pools: []string{strings.Replace(h100Pool, "gpu: 20", "gpu: 4", 1)}, want: []string{"h100/h100x1 H100 1 × 3, 0 there"}},
		{name: "nothing is left", pools: []string{strings.Replace(h100Pool, "gpu: 20", "gpu: 0", 1)}},
		{name: "no limits", pools: []string{strings.Replace(h100Pool, "limits: {nvidia.com/gpu: 20, nodes: 3}", "limits: {}", 1)}, want: []string{"h100/h100x8 H100 8 × 10000, 0 there"}},
		{
			name: "what has come counts, what is on its way does not", pools: []string{h100Pool},
			change: func(r *Readings) {
				of := map[string]string{nodePoolLabel: "h100"}
				r.Nodes = []corev1.Node{bought("a", h100Product, 8, of), bought("b", h100Product, 8, of), bought("other", h100Product, 8, map[string]string{nodePoolLabel: "other"})}
				r.Nodes[1].Status.Conditions = nil
			},
			want: []string{"h100/h100x8 H100 8 × 2, 1 there"},
		},
		{
			name:  "a limit that two types share is divided",
			pools: []string{strings.NewReplacer("[h100x1, h100x8]", "[h100x1, h100x8, l4x1]", "nodes: 3", "cpu: 1000").Replace(h100Pool)},
			want:  []string{"h100/h100x8 H100 8 × 1, 0 there", "h100/l4x1 L4 1 × 10, 0 there"},
		},
		{
			name:  "requirements on labels that the type has",
			pools: []string{"metadata: {name: cheap}\nspec: {template: {spec: {requirements: [{key: family, operator: In, values: [g6]}]}}}"},
			want:  []string{"cheap/l4x1 L4 1 × 10000, 0 there"},
		},
		{name: "requirements that no type is known to meet", pools: []string{"metadata: {name: cpus}\nspec: {template: {spec: {requirements: [{key: cores, operator: Gt, values: ['8']}]}}}"}},
		{name: "it does not grow by itself", pools: []string{strings.Replace(h100Pool, "weight: 10", "replicas: 2", 1)}},
		{
			name: "it is not ready", pools: []string{h100Pool + "status: {conditions: [{type: Ready, status: 'False', reason: NodeClassNotFound, message: no such class}]}"},
			faults: "NodePool h100 is not ready (NodeClassNotFound: no such class); no plan counts on it",
		},
		{
			name: "who gives the pool by hand knows better", pools: []string{h100Pool},
			change: func(r *Readings) {
				r.Resources.Optimizer.Spec.Elastic = []v1alpha1.ElasticCapacity{{Name: "h100", Type: "H100", Cards: 4, Limit: 5}}
			},
			want: []string{"h100 H100 4 × 5, 0 there"},
		},
		{
			name: "a type that nobody has", pools: []string{h100Pool},
			change: func(r *Readings) { r.Resources.Optimizer.Spec.Karpenter.InstanceTypes[0].Type = "H1OO" },
			want:   []string{"h100/h100x8 H100 8 × 2, 0 there"},
			faults: "spec.karpenter.instanceTypes[h100x1].type: H1OO is not allowed, must be the type of an Accelerator; nothing is counted on it",
		},
		{
			name: "instance types of nodes that are there need no name", pools: []string{h100Pool},
			change: func(r *Readings) {
				r.Resources.Optimizer.Spec.Karpenter.InstanceTypes = nil
				r.Nodes = []corev1.Node{bought("a", h100Product, 1, map[string]string{nodePoolLabel: "h100", corev1.LabelInstanceTypeStable: "h100x1"})}
			},
			want: []string{"h100/h100x1 H100 1 × 3, 1 there"},
		},
		{name: "not asked for", pools: []string{h100Pool}, change: func(r *Readings) { r.Karpenter = nil }},
	} {
		o := Observe(buying(t, c.pools, c.change))
		var got []string
		for _, e := range o.Snapshot.System.Capacity.Elastic {
			got = append(got, fmt.Sprintf("%s %s %d × %d, %d there", e.Name, e.Type, e.Cards, e.Limit, e.Arrived))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if faults := strings.Join(o.ElasticFaults, "\n"); faults != c.faults {
			t.Errorf("%s: faults %q, want %q", c.name, faults, c.faults)
		}
	}

	o := Observe(buying(t, []string{h100Pool}, func(r *Readings) { r.Karpenter.Insufficient["h100"] = now.Add(-80 * time.Second) }))
	if e := o.Snapshot.System.Capacity.Elastic[0]; !e.InsufficientUntil.Equal(&until) || e.DelaySeconds != 90 {
		t.Errorf("without capacity lately: %+v", e)
	}
	o = Observe(buying(t, []string{h100Pool}, func(r *Readings) { r.Karpenter.Insufficient["h100"] = now.Add(-time.Hour) }))
	if e := o.Snapshot.System.Capacity.Elastic[0]; e.InsufficientUntil != nil {
		t.Errorf("without capacity long ago: %+v", e)
	}
}

// Capacity types are pools of their own where Accelerators tell them apart, and pods that cannot be on a NodePool's nodes do not count on them.
func TestNodePoolsByCapacityTypeAndPod(t *testing.T) {
	tolerant := corev1.PodSpec{Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}}
	for _, c := range []struct {
		name string
		spec corev1.PodSpec
		want map[string][]string
	}{
		{"pods that tolerate the taint", tolerant, map[string][]string{"h100/h100x8/on-demand": {"llm/chat on reserved"}, "h100/h100x8/spot": {"llm/chat on spot"}}},
		{"pods that do not", corev1.PodSpec{}, map[string][]string{"h100/h100x8/on-demand": nil, "h100/h100x8/spot": nil}},
	} {
		o := Observe(buying(t, []string{h100Pool}, func(r *Readings) {
			spot, reserved := accelerator("spot", "H100", 1, 100), accelerator("reserved", "H100", 1, 400)
			spot.Spec.NodeSelector, reserved.Spec.NodeSelector = map[string]string{capacityTypeLabel: "spot"}, map[string]string{capacityTypeLabel: "on-demand"}
			r.Resources.Accelerators = []v1alpha1.Accelerator{spot, reserved}
			p := &r.Resources.Models[0].Spec.Performance
			*p = append(*p, (*p)[0])
			(*p)[0].Accelerator, (*p)[1].Accelerator = "spot", "reserved"
			r.Templates = map[Workload]*corev1.PodSpec{{Server: types.NamespacedName{Namespace: "llm", Name: "chat"}}: &c.spec}
		}))
		got := map[string][]string{}
		for _, e := range o.Snapshot.System.Capacity.Elastic {
			got[e.Name] = e.Scopes
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if capacity := o.Snapshot.System.Capacity; len(capacity.Nodes) != 0 {
			t.Errorf("%s: nodes that nobody has bought are counted: %+v", c.name, capacity.Nodes)
		}
	}
}

// However the nodes of a NodePool come, what is there and what can be bought together stay within its limits.
func TestNodePoolsKeepTheirLimits(t *testing.T) {
	pool := strings.NewReplacer("gpu: 20, nodes: 3", "gpu: 40", "[h100x1, h100x8]", "[h100x1, h100x8, l4x1]").Replace(h100Pool)
	var nodes []corev1.Node
	of := map[string]string{nodePoolLabel: "h100"}
	for i, cards := range []int64{8, 1, 8, 1, 1, 8, 8, 1, 4} {
		product := h100Product
		if cards == 1 {
			product = l4Product
		}
		nodes = append(nodes, bought(fmt.Sprint(i), product, cards, of))
		there := 0
		for _, n := range nodes {
			q := n.Status.Capacity["nvidia.com/gpu"]
			there += int(q.Value())
		}
		o := Observe(buying(t, []string{pool}, func(r *Readings) { r.Nodes = slices.Clone(nodes) }))
		most := there
		for _, e := range o.Snapshot.System.Capacity.Elastic {
			most += (e.Limit - e.Arrived) * e.Cards
		}
		if most > 40 {
			t.Errorf("after %d nodes: %d cards can be counted on, the limit is 40", i+1, most)
		}
	}
}
