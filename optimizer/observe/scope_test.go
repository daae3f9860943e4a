package observe

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
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

// Where a mix of replicas may run out of something else before cards, what each takes of it is told of the node; where every mix finds enough nothing is, and
// servers that ask the same have one scope.
func TestPortionsOfNodes(t *testing.T) {
	for _, c := range []struct {
		name string
		cpu  map[string]string // of a pod of two cards, by server
		want map[string][]float64
	}{
		{"plenty for any mix", map[string]string{"chat": "16", "other": "8"}, nil},
		{"all ask too much: fewer cards are free", map[string]string{"chat": "32", "other": "32"}, nil},
		{"one asks much", map[string]string{"chat": "32", "other": "8"}, map[string][]float64{"llm/chat on h100": {0.5}, "llm/other on h100": {0.125}}},
		{"who asks the same shares a scope", map[string]string{"chat": "32", "other": "8", "third": "8"}, map[string][]float64{"llm/chat on h100": {0.5}, "llm/other on h100": {0.125}}},
	} {
		for pods := 1; pods <= 2; pods++ { // a pod of a replica of two takes what a replica of one does
			o := Observe(readings(func(r *Readings) {
				p := &r.Resources.Models[0].Spec.Performance[0]
				p.AcceleratorsPerReplica, p.PodsPerReplica = 2*pods, pods
				r.Nodes = []corev1.Node{node("a", h100Product, 8, nil)}
				r.Nodes[0].Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("64")
				r.Pods, r.Templates = nil, map[Workload]*corev1.PodSpec{}
				first := r.Resources.Servers[0]
				r.Resources.Servers = nil
				for _, name := range slices.Sorted(maps.Keys(c.cpu)) {
					s := first.DeepCopy()
					s.Name = name
					r.Resources.Servers = append(r.Resources.Servers, *s)
					r.Templates[Workload{Server: types.NamespacedName{Namespace: "llm", Name: name}}] = &corev1.PodSpec{Containers: []corev1.Container{{
						Resources: corev1.ResourceRequirements{Requests: resources("nvidia.com/gpu=2 cpu=" + c.cpu[name])},
					}}}
				}
			}))
			if diff := cmp.Diff(c.want, o.Snapshot.System.Capacity.Nodes[0].Portions); diff != "" {
				t.Errorf("%s: %s", c.name, diff)
			}
			if len(o.Barred) > 0 {
				t.Errorf("%s: barred %v", c.name, o.Barred)
			}
		}
	}
}

// Nodes say in which domains they are of labels that a model's replicas of several pods ask for, and of no others.
func TestDomainsOfNodes(t *testing.T) {
	for pods, want := range map[int]map[string]string{1: nil, 2: {"rack": "r7"}} {
		o := Observe(readings(func(r *Readings) {
			p := &r.Resources.Models[0].Spec.Performance[0]
			p.AcceleratorsPerReplica, p.PodsPerReplica, p.TopologyKey = 8*pods, pods, "rack"
			r.Nodes = []corev1.Node{node("a", h100Product, 8, nil), node("b", h100Product, 8, nil)}
			r.Nodes[0].Labels["rack"], r.Nodes[0].Labels["zone"] = "r7", "z"
		}))
		nodes := o.Snapshot.System.Capacity.Nodes
		if diff := cmp.Diff([]map[string]string{want, nil}, []map[string]string{nodes[0].Domains, nodes[1].Domains}); diff != "" {
			t.Errorf("replicas of %d pods: %s", pods, diff)
		}
	}
}

// Where the pods of a server are is told by what their nodes have in common; of those on a node that takes no pods, or that is gone, nothing is.
func TestScopesOfPods(t *testing.T) {
	cordoned := func(n *corev1.Node) { n.Spec.Unschedulable = true }
	const spot, reserved = "llm/chat on h100", "llm/other on h100"
	for _, c := range []struct {
		name string
		on   []string
		want map[string][]string
	}{
		{"one node", []string{"both"}, map[string][]string{"h100": {spot, reserved}}},
		{"what they share", []string{"both", "spot", "both"}, map[string][]string{"h100": {spot}}},
		{"nothing", []string{"spot", "reserved"}, map[string][]string{"h100": {}}},
		{"a cordoned node", []string{"both", "cordoned", "both"}, map[string][]string{}},
		{"a node that is gone", []string{"both", "gone"}, map[string][]string{}},
		{"none yet", []string{""}, map[string][]string{}},
	} {
		o := Observe(readings(func(r *Readings) {
			label := func(keys ...string) func(*corev1.Node) {
				return func(n *corev1.Node) {
					for _, key := range keys {
						n.Labels[key] = "yes"
					}
				}
			}
			r.Nodes = []corev1.Node{
				node("both", h100Product, 8, label("spot", "reserved")), node("spot", h100Product, 8, label("spot")), node("reserved", h100Product, 8, label("reserved")),
				node("cordoned", h100Product, 8, cordoned),
			}
			other := r.Resources.Servers[0].DeepCopy()
			other.Name = "other"
			r.Resources.Servers = append(r.Resources.Servers, *other)
			selects := func(key string, p corev1.Pod) corev1.Pod {
				p.Spec.NodeSelector = map[string]string{key: "yes"}
				return p
			}
			r.Pods = []corev1.Pod{selects("reserved", pod("other-1", "", 1, map[string]string{v1alpha1.ServerLabel: "other"}, nil))}
			for i, at := range c.on {
				r.Pods = append(r.Pods, selects("spot", pod(fmt.Sprintf("chat-%d", i), at, 1, ours, placedBy("h100"))))
			}
		}))
		i := slices.IndexFunc(o.Snapshot.System.Servers.Spec, func(e jsonspec.ServerEntry) bool { return e.Name == "llm/chat" })
		if diff := cmp.Diff(c.want, o.Snapshot.System.Servers.Spec[i].Observation.Scopes); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Pools of one product are Accelerators of their own, by the labels of their nodes, each with its capacity; a server can use those of each alone.
func TestPoolsOfOneProduct(t *testing.T) {
	o := Observe(readings(func(r *Readings) {
		spot, reserved := accelerator("spot", "H100", 1, 100), accelerator("reserved", "H100", 1, 400)
		spot.Spec.NodeSelector, reserved.Spec.NodeSelector = map[string]string{"pool": "spot"}, map[string]string{"pool": "reserved"}
		r.Resources.Accelerators = []v1alpha1.Accelerator{spot, reserved}
		p := &r.Resources.Models[0].Spec.Performance
		*p = append(*p, (*p)[0])
		(*p)[0].Accelerator, (*p)[1].Accelerator = "spot", "reserved"
		r.Nodes = []corev1.Node{node("a", h100Product, 8, in("spot")), node("b", h100Product, 4, in("reserved")), node("c", h100Product, 2, nil)}
		r.Pods = []corev1.Pod{pod("chat-1", "a", 2, ours, nil)}
		r.Resources.Optimizer = &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{Elastic: []v1alpha1.ElasticCapacity{
			{Name: "more-spot", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "spot"}},
			{Name: "other", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "other"}},
			{Name: "yet-to-come", Type: "H100", Cards: 8, Limit: 2, NodeSelector: map[string]string{"pool": "reserved", "zone": "new"}},
		}}}
	}))
	want := []jsonspec.NodeCapacity{
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
