package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// tainted nodes, or labelled ones.
func tainted(key string) func(*corev1.Node) {
	return func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: key, Effect: corev1.TaintEffectNoSchedule}}
	}
}

func in(pool string) func(*corev1.Node) { return func(n *corev1.Node) { n.Labels["pool"] = pool } }

// What a server's pods can use is a scope of the nodes, and what keeps them from the others is said; a server that can use all has none.
func TestScopesOfServers(t *testing.T) {
	nodes := []corev1.Node{
		node("a", h100Product, 8, nil), node("b", h100Product, 8, tainted("training")), node("c", h100Product, 8, in("spot")),
		node("d", h100Product, 8, func(n *corev1.Node) { n.Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("4") }),
	}
	for i := range nodes[:3] {
		nodes[i].Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("96")
	}
	wants := func(change func(*corev1.PodSpec)) func(*Readings) {
		return func(r *Readings) {
			r.Nodes = nodes
			for i := range r.Pods {
				change(&r.Pods[i].Spec)
			}
		}
	}
	tolerates := corev1.Toleration{Operator: corev1.TolerationOpExists}
	cpu := func(n string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Tolerations = []corev1.Toleration{tolerates}
			s.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse(n)
		}
	}
	const scope = "llm/chat on h100"
	for _, c := range []struct {
		name   string
		change func(*Readings)
		of     []string // nodes of the scope; nil for all
		barred string
		free   [4]int
	}{
		{"anything goes", wants(func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{tolerates} }), nil, "", [4]int{8, 8, 8, 8}},
		{"a taint", wants(func(*corev1.PodSpec) {}), []string{"a", "c", "d"}, "1 of 4 nodes are not for its pods: taint training:NoSchedule (1)", [4]int{8, 8, 8, 8}},
		{"a selector", wants(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"pool": "spot"} }), []string{"c"},
			"3 of 4 nodes are not for its pods: node selector or affinity (3)", [4]int{8, 8, 8, 8}},
		{"none is left", wants(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"pool": "no such"} }), []string{},
			"4 of 4 nodes are not for its pods: node selector or affinity (4)", [4]int{8, 8, 8, 8}},
		{"too little of something else", wants(cpu("5")), []string{"a", "b", "c"}, "1 of 4 nodes are not for its pods: too little cpu (1)", [4]int{8, 8, 8, 8}},
		// Two cards and two processors for each pod: a node with four processors holds two of them, beside no others.
		{"less of something else than of cards", wants(cpu("2")), nil, "", [4]int{8, 8, 8, 4}},
		{"no pod, but a template", func(r *Readings) {
			wants(func(*corev1.PodSpec) {})(r)
			r.Pods = nil
			r.Templates = map[Workload]*corev1.PodSpec{{Server: types.NamespacedName{Namespace: "llm", Name: "chat"}}: {NodeSelector: map[string]string{"pool": "spot"}}}
		}, []string{"c"}, "3 of 4 nodes are not for its pods: node selector or affinity (3)", [4]int{8, 8, 8, 8}},
		{"neither", func(r *Readings) {
			wants(func(*corev1.PodSpec) {})(r)
			r.Pods = nil
		}, nil, "", [4]int{8, 8, 8, 8}},
	} {
		o := Observe(readings(c.change))
		var of []string
		var free [4]int
		for i, n := range o.Snapshot.System.Capacity.Nodes {
			if free[i] = n.Free; len(n.Scopes) > 0 {
				of = append(of, n.Name)
				if diff := cmp.Diff([]string{scope}, n.Scopes); diff != "" {
					t.Errorf("%s: %s", c.name, diff)
				}
			}
		}
		if c.of != nil && of == nil {
			of = []string{}
		}
		if diff := cmp.Diff(c.of, of); diff != "" || free != c.free {
			t.Errorf("%s: %v are free, want %v; nodes of the scope: %s", c.name, free, c.free, diff)
		}
		want := map[string]string{}
		if c.of != nil {
			want["h100"] = scope
		}
		if got := o.Snapshot.System.Servers.Spec[0].Scopes; len(got) != len(want) || got["h100"] != want["h100"] {
			t.Errorf("%s: scopes %v, want %v", c.name, got, want)
		}
		if got := o.Barred["llm/chat"]["h100"]; got != c.barred {
			t.Errorf("%s: barred by %q, want %q", c.name, got, c.barred)
		}
	}
}

// Pools of one product are Accelerators of their own, by the labels of their nodes, each with its capacity; a server can use those of each alone.
func TestPoolsOfOneProduct(t *testing.T) {
	o := Observe(readings(func(r *Readings) {
		spot, reserved := accelerator("spot", "H100", 1, 100), accelerator("reserved", "H100", 1, 400)
		spot.Spec.NodeSelector, reserved.Spec.NodeSelector = map[string]string{"pool": "spot"}, map[string]string{"pool": "reserved"}
		r.Resources.Accelerators = []v1alpha1.Accelerator{spot, reserved}
		p := &r.Resources.Models[0].Spec.PerfData
		*p = append(*p, (*p)[0])
		(*p)[0].Acc, (*p)[1].Acc = "spot", "reserved"
		r.Nodes = []corev1.Node{node("a", h100Product, 8, in("spot")), node("b", h100Product, 4, in("reserved")), node("c", h100Product, 2, nil)}
		r.Pods = []corev1.Pod{pod("chat-1", "a", 2, ours, nil)}
		r.Resources.Optimizer = &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{Elastic: []v1alpha1.ElasticCapacity{
			{Name: "more-spot", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "spot"}},
			{Name: "other", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "other"}},
			{Name: "yet-to-come", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "reserved", "zone": "new"}},
		}}}
	}))
	want := []v1alpha1.NodeCapacity{
		{Name: "a", Type: "H100", Free: 8, Scopes: []string{"llm/chat on spot"}}, {Name: "b", Type: "H100", Free: 4, Scopes: []string{"llm/chat on reserved"}},
	}
	if diff := cmp.Diff(want, o.Snapshot.System.Capacity.Nodes); diff != "" {
		t.Error(diff)
	}
	var pools [][]string
	for _, e := range o.Snapshot.System.Capacity.Elastic {
		pools = append(pools, e.Scopes)
	}
	if diff := cmp.Diff([][]string{{"llm/chat on spot"}, nil, {"llm/chat on reserved"}}, pools); diff != "" {
		t.Error(diff)
	}
	for name, cards := range map[string]int{"spot": 8, "reserved": 4, "unheard of": 0} {
		if got := o.CapacityOf(name); got.Capacity != cards {
			t.Errorf("%s: %+v, want %d cards", name, got, cards)
		}
	}
	if st := o.Statuses["llm/chat"]; st.Placement != "spot:1" {
		t.Errorf("the pod is on %q", st.Placement)
	}
}
