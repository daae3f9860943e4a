package gates

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

var products = map[string]string{"h100": "NVIDIA-H100-80GB-HBM3", "a100": "NVIDIA-A100-SXM4-80GB", "l40s": "NVIDIA-L40S"}

func kinds() *catalogue.Classifier {
	return catalogue.NewClassifier([]*v1alpha1.Accelerator{
		seatstest.Accelerator("h100", "", 1), seatstest.Accelerator("a100", "", 1), seatstest.Accelerator("l40s", "", 1), seatstest.Accelerator("mi300x", "MI300X", 1),
	})
}

// labelsOf a node, whose name begins with its accelerator.
func labelsOf(node string) map[string]string {
	typ, _, _ := strings.Cut(node, "-")
	return map[string]string{"nvidia.com/gpu.product": products[typ]}
}

func gated(name, revision string) *corev1.Pod {
	p := seatstest.Pod(name, revision)
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}}
	return p
}

// letTo is a pod whose gate was lifted for an accelerator.
func letTo(name, revision, accelerator string) *corev1.Pod {
	p := seatstest.Pod(name, revision)
	p.Annotations = letGo(map[string]string{v1alpha1.AcceleratorAnnotation: accelerator}, 0)
	return p
}

func TestDecide(t *testing.T) {
	part := seatstest.Part
	young := letTo("young", "r1", "h100")
	young.CreationTimestamp = metav1.NewTime(time.Unix(100, 0))
	twice := gated("a", "r1")
	twice.Spec.SchedulingGates = append(twice.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: "example.com/quota"})
	of := seatstest.Member
	amd := gated("b", "r1")
	amd.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"amd.com/gpu": resource.MustParse("1")}
	for name, tt := range map[string]struct {
		server  *v1alpha1.Server
		pods    []*corev1.Pod
		lift    map[string]string // accelerator by pod
		remove  []string
		waiting map[string]string // a part of the reason by pod
	}{
		"a seat for each that the plan has one for, in its proportions": {
			server: seatstest.Server(part("h100", 2), part("a100", 1)), pods: []*corev1.Pod{gated("a", "r1"), gated("b", "r1"), gated("c", "r1"), gated("d", "r1")},
			lift: map[string]string{"a": "h100", "b": "a100", "c": "h100"}, waiting: map[string]string{"d": "all replicas planned for it have their place"},
		},
		"those with a node, or let go, have seats": {
			server: seatstest.Server(part("h100", 3)), pods: []*corev1.Pod{seatstest.On(seatstest.Pod("a", "r1"), "h100-1"), letTo("b", "r1", "h100"), gated("c", "r1"), gated("d", "r1")},
			lift: map[string]string{"c": "h100"}, waiting: map[string]string{"d": "all replicas"},
		},
		"those that leave have none": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{leaving(letTo("a", "r1", "h100")), gated("b", "r1")}, lift: map[string]string{"b": "h100"},
		},
		"a new revision stands in for the old one": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{seatstest.On(seatstest.Pod("a", "r1"), "h100-1"), gated("b", "r2")}, lift: map[string]string{"b": "h100"},
		},
		"pods of another scheduler's, without a gate, are left alone": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{seatstest.Pod("a", "r1"), gated("b", "r1")}, lift: map[string]string{"b": "h100"},
		},
		"other gates do not matter": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{twice}, lift: map[string]string{"a": "h100"},
		},
		"the plan took seats back: the youngest without a node goes": {
			server: seatstest.Server(part("h100", 2), part("a100", 1)),
			pods:   []*corev1.Pod{seatstest.On(seatstest.Pod("a", "r1"), "h100-1"), letTo("b", "r1", "h100"), young, gated("c", "r1")},
			remove: []string{"young"}, lift: map[string]string{"c": "a100"},
		},
		"pods that have a node stay, whatever the plan": {
			server: seatstest.Server(part("a100", 1)), pods: []*corev1.Pod{seatstest.On(letTo("a", "r1", "h100"), "h100-1")},
		},
		"no plan yet": {server: seatstest.UnplannedServer(), pods: []*corev1.Pod{gated("a", "r1"), letTo("b", "r1", "h100")}, waiting: map[string]string{"a": "has no plan yet"}},
		"a group has one seat, and all of it is let go at once": {
			server: seatstest.Server(part("h100", 1), part("a100", 1)),
			pods:   []*corev1.Pod{of(gated("a", "r1"), "g", 2), of(gated("b", "r1"), "h", 3), of(gated("c", "r1"), "g", 2), of(gated("d", "r1"), "h", 3), of(gated("e", "r1"), "h", 3), gated("f", "r1")},
			lift:   map[string]string{"a": "a100", "c": "a100", "b": "h100", "d": "h100", "e": "h100"}, waiting: map[string]string{"f": "all replicas planned for it have their place"},
		},
		"a group waits for all of its pods, and nobody for it": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{of(gated("a", "r1"), "g", 2), gated("b", "r1")},
			lift: map[string]string{"b": "h100"}, waiting: map[string]string{"a": "its replica g has 1 of its 2 pods"},
		},
		"the rest of a group that has its seat, one that came anew among them": {
			server: seatstest.Server(part("a100", 1), part("h100", 1)),
			pods:   []*corev1.Pod{seatstest.On(of(seatstest.Pod("a", "r1"), "g", 3), "h100-1"), of(letTo("b", "r1", "h100"), "g", 3), of(gated("c", "r1"), "g", 3)}, lift: map[string]string{"c": "h100"},
		},
		"a group of which a pod fits no planned accelerator": {
			server: seatstest.Server(part("h100", 1)), pods: []*corev1.Pod{of(gated("a", "r1"), "g", 2), of(amd, "g", 2)},
			waiting: map[string]string{"a": "does not make up", "b": "does not make up"},
		},
		"the seat of a group is taken back whole": {
			server: seatstest.Server(part("h100", 1)),
			pods:   []*corev1.Pod{of(letTo("a", "r1", "h100"), "g", 2), of(letTo("b", "r1", "h100"), "g", 2), of(letTo("c", "r1", "h100"), "h", 2), of(letTo("d", "r1", "h100"), "h", 2)},
			remove: []string{"c", "d"},
		},
		"or not at all, when one has a node": {
			server: seatstest.Server(part("h100", 1)),
			pods:   []*corev1.Pod{of(letTo("a", "r1", "h100"), "g", 2), of(letTo("b", "r1", "h100"), "g", 2), of(letTo("c", "r1", "h100"), "h", 2), seatstest.On(of(letTo("d", "r1", "h100"), "h", 2), "h100-1")},
			remove: []string{"a", "b"},
		},
		"no such Server":   {pods: []*corev1.Pod{gated("a", "r1")}, waiting: map[string]string{"a": "does not exist"}},
		"nothing to place": {server: seatstest.Server(part("h100", 1))},
	} {
		t.Run(name, func(t *testing.T) {
			s := snapshot{key: seatstest.Chat, server: tt.server, kinds: kinds(), labels: labelsOf, pods: tt.pods}
			a := decide(s)
			lifted, waiting := map[string]string{}, map[string]string{}
			for _, l := range a.lift {
				lifted[l.pod.Name] = l.option.Accelerator
			}
			for _, w := range a.waiting {
				waiting[w.pod.Name] = w.reason
				if !strings.Contains(w.reason, tt.waiting[w.pod.Name]) {
					t.Errorf("%s waits because %q, want %q", w.pod.Name, w.reason, tt.waiting[w.pod.Name])
				}
			}
			if diff := gocmp.Diff(tt.lift, lifted); diff != "" && len(tt.lift)+len(lifted) > 0 {
				t.Errorf("lifted (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(slices.Sorted(maps.Keys(tt.waiting)), slices.Sorted(maps.Keys(waiting))); diff != "" {
				t.Errorf("waiting (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.remove, names(a.remove)); diff != "" {
				t.Errorf("removed (-want +got):\n%s", diff)
			}
			slices.Reverse(s.pods)
			if again := decide(s); len(again.lift) != len(a.lift) || slices.ContainsFunc(again.lift, func(l lift) bool { return lifted[l.pod.Name] != l.option.Accelerator }) {
				t.Error("the order in which pods are listed matters")
			}
		})
	}
}

func leaving(p *corev1.Pod) *corev1.Pod {
	now := metav1.Now()
	p.DeletionTimestamp = &now
	return p
}

func names(pods []*corev1.Pod) []string {
	var list []string
	for _, p := range pods {
		list = append(list, p.Name)
	}
	return list
}

// Seats never go over the quota: in random runs in which plans change, pods come, get nodes and go, the scheduler plugin places some of a server's pods by a ledger
// of its own that hears late of what was let go, the cache of the controller is behind, and the controller starts anew. A seat over the quota may be there
// only because the quota fell.
func TestSeatsThroughDisorder(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		c := &disorder{t: t, r: r, pods: map[string]*corev1.Pod{}, cache: map[string]*corev1.Pod{}, plugin: seats.NewLedger(locate), desk: &desk{}, quota: map[string]int{}}
		for range 120 {
			c.step()
			c.check()
		}
		c.settle()
	}
}

// disorder is a cluster with one Server, as the API server has it and as the controller's cache does.
type disorder struct {
	t           *testing.T
	r           *rand.Rand
	serial      int
	server      *v1alpha1.Server
	pods, cache map[string]*corev1.Pod
	plugin      *seats.Ledger
	desk        *desk
	// quota is the most that each accelerator had since it last was within it.
	quota map[string]int
}

func locate(p *corev1.Pod, node string) string {
	k, _ := placement.Holds(kinds(), kinds().Names(labelsOf(node)), p)
	return k.Name
}

func (c *disorder) step() {
	some := func(of func(*corev1.Pod) bool) *corev1.Pod {
		for _, name := range slices.Sorted(maps.Keys(c.pods)) {
			if p := c.pods[name]; of(p) && c.r.IntN(3) == 0 {
				return p
			}
		}
		return nil
	}
	switch c.r.IntN(8) {
	case 0:
		c.server = seatstest.Server(seatstest.Part("h100", c.r.IntN(5)), seatstest.Part("a100", c.r.IntN(5)))
	case 1, 2:
		c.serial++
		name := fmt.Sprintf("p%04d", c.serial)
		p := gated(name, "r1")
		switch c.r.IntN(3) {
		case 0:
			p.Spec.SchedulingGates = nil // for the scheduler plugin
		case 1:
			p = seatstest.Member(p, fmt.Sprintf("g%d", c.serial/3), 2) // the third of a number fills no group, and others come alone
		}
		p.CreationTimestamp = metav1.NewTime(time.Unix(int64(c.serial), 0))
		c.put(p)
	case 3: // a node, by any scheduler
		if p := some(seats.Let); p != nil {
			c.put(seatstest.On(p, p.Annotations[v1alpha1.AcceleratorAnnotation]+"-1"))
		}
	case 4:
		if p := some(func(*corev1.Pod) bool { return true }); p != nil {
			c.remove(p)
		}
	case 5: // the plugin has heard of everything, and places a pod
		if p := some(func(p *corev1.Pod) bool { return p.Spec.NodeName == "" && !seats.Gated(p) && !seats.Let(p) }); p != nil {
			c.schedule(p)
		}
	case 6:
		c.reconcile()
	case 7:
		if c.r.IntN(2) == 0 {
			c.catchUp()
			c.desk = &desk{} // a new leader begins with a cache of its own
		} else if name := slices.Sorted(maps.Keys(c.pods)); len(name) > 0 {
			some := name[c.r.IntN(len(name))]
			c.cache[some] = c.pods[some]
		}
	}
}

func (c *disorder) put(p *corev1.Pod) {
	c.pods[p.Name] = p
	c.plugin.Observe(p)
}

func (c *disorder) remove(p *corev1.Pod) {
	delete(c.pods, p.Name)
	delete(c.cache, p.Name)
	c.plugin.Forget(p.UID)
}

func (c *disorder) catchUp() { c.cache = maps.Clone(c.pods) }

// schedule a pod as the plugin does. What it binds the controller hears of before it looks again: both hold the seats of a Server by what the API server has,
// and a Server whose pods are placed by both at the same instant may have one more for as long as one of them has not heard.
func (c *disorder) schedule(p *corev1.Pod) {
	d := seats.Decide(seats.Situation{
		Key: seatstest.Chat, Server: c.server, Kinds: kinds(), Carried: func(string) bool { return true }, Seated: c.plugin.Seated(seatstest.Chat, seats.RevisionOf(p)), Requests: placement.Requests(p),
	})
	if c.server == nil {
		return
	}
	if o := d.InOrder(); len(o) > 0 && c.plugin.Take(seatstest.Chat, c.server, p, o[0].Accelerator+"-1", o[0]) {
		bound := seatstest.On(p, o[0].Accelerator+"-1")
		c.put(bound)
		c.cache[p.Name] = bound
	}
}

func (c *disorder) reconcile() {
	cached := make([]corev1.Pod, 0, len(c.cache))
	for _, name := range slices.Sorted(maps.Keys(c.cache)) {
		cached = append(cached, *c.cache[name])
	}
	a := decide(snapshot{key: seatstest.Chat, server: c.server, kinds: kinds(), labels: labelsOf, pods: c.desk.latest(cached)})
	for _, l := range a.lift {
		p := c.pods[l.pod.Name].DeepCopy()
		if !seats.Gated(p) {
			c.t.Fatalf("%s is let go twice", p.Name)
		}
		p.Spec.SchedulingGates = nil
		p.Annotations = letGo(l.option.Annotations(), 0)
		c.put(p)
		c.desk.note(p)
	}
	for _, p := range a.remove {
		if now := c.pods[p.Name]; now != nil && now.Spec.NodeName == "" { // by the precondition
			c.remove(now)
		}
	}
}

func (c *disorder) count() map[string]int {
	n, counted := map[string]int{}, map[string]bool{}
	for _, p := range c.pods {
		at := locate(p, p.Spec.NodeName)
		replica := cmp.Or(placement.GroupOf(p).Name, p.Name) + " on " + at
		if (p.Spec.NodeName != "" || seats.Let(p)) && !counted[replica] {
			n[at]++
			counted[replica] = true
		}
	}
	return n
}

func (c *disorder) check() {
	if c.server == nil {
		return
	}
	n := c.count()
	for _, part := range c.server.Status.Desired.Parts {
		quota := part.Replicas
		if n[part.Accelerator] > max(quota, c.quota[part.Accelerator]) {
			c.t.Fatalf("%d seats on %s, the quota is %d, and was %d", n[part.Accelerator], part.Accelerator, quota, c.quota[part.Accelerator])
		}
		c.quota[part.Accelerator] = max(quota, n[part.Accelerator])
	}
}

// settle lets the controller hear everything: then as many pods have seats as the plan has, or as there are, and none without a node has one too many.
func (c *disorder) settle() {
	if c.server == nil {
		return
	}
	for range 3 {
		c.catchUp()
		c.reconcile()
	}
	n, waiting := c.count(), 0
	groups, seated := map[string]int{}, map[string]bool{}
	for _, p := range c.pods {
		groups[placement.GroupOf(p).Name]++
		seated[placement.GroupOf(p).Name] = seated[placement.GroupOf(p).Name] || !seats.Gated(p)
	}
	for _, p := range c.pods {
		switch g := placement.GroupOf(p); {
		case !seats.Gated(p):
		case g.Name != "" && seated[g.Name]:
			c.t.Errorf("%s waits, and another of its group has a seat", p.Name)
		case g.Missing(groups[g.Name]) == "":
			waiting++
		}
	}
	for _, part := range c.server.Status.Desired.Parts {
		if n[part.Accelerator] < part.Replicas && waiting > 0 {
			c.t.Errorf("%d of %d seats on %s are taken, and %d pods wait", n[part.Accelerator], part.Replicas, part.Accelerator, waiting)
		}
	}
}

func TestRequirements(t *testing.T) {
	pool := func(name, typ string, selector map[string]string) *v1alpha1.Accelerator {
		a := seatstest.Accelerator(name, typ, 1)
		a.Spec.NodeSelector = selector
		return a
	}
	classifier := catalogue.NewClassifier([]*v1alpha1.Accelerator{
		pool("h100", "H100", nil), pool("spot", "A100", map[string]string{"pool": "spot"}), pool("reserved", "A100", map[string]string{"pool": "reserved"}),
		pool("karpenter", "L40S", map[string]string{"karpenter.k8s.aws/instance-gpu-name": "l40s"}), pool("mi300x", "MI300X", nil),
	})
	only := catalogue.NewClassifier([]*v1alpha1.Accelerator{
		pool("l40s", "L40S", map[string]string{"gpu": "l40s"}), pool("l4", "L4", map[string]string{"gpu": "l4"}),
	})
	gke := map[string]map[string]string{"n": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}}
	for _, tt := range []struct {
		of    *catalogue.Classifier
		name  string
		nodes map[string]map[string]string
		want  string
	}{
		{classifier, "h100", nil, "nvidia.com/gpu.product In"},
		{classifier, "h100", gke, "cloud.google.com/gke-accelerator In"},
		{classifier, "spot", nil, "pool=spot nvidia.com/gpu.product In"}, // H100 might have the label, too
		{classifier, "mi300x", nil, "amd.com/gpu.product-name In"},
		{only, "l40s", nil, "gpu=l40s"}, // no other has it
	} {
		kind, _ := tt.of.Kind(tt.name)
		var words []string
		for _, r := range placement.Requirements(tt.of, kind, tt.nodes) {
			if len(r.Values) == 1 && kind.NodeSelector[r.Key] == r.Values[0] {
				words = append(words, r.Key+"="+r.Values[0])
			} else {
				words = append(words, fmt.Sprintf("%s %s", r.Key, r.Operator))
			}
		}
		if got := strings.Join(words, " "); got != tt.want {
			t.Errorf("%s needs %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What is put behind the requirements of a pod comes off again, whatever it asked for: other pods of its template may go elsewhere.
func TestRequirementsComeOff(t *testing.T) {
	expressions := func(rng *rand.Rand, key string) (list []corev1.NodeSelectorRequirement) {
		for i := range rng.IntN(3) {
			list = append(list, corev1.NodeSelectorRequirement{Key: fmt.Sprint(key, i), Operator: corev1.NodeSelectorOpExists})
		}
		return list
	}
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := seatstest.Pod("a", "r1")
		if n := rng.IntN(3); n > 0 {
			terms := make([]corev1.NodeSelectorTerm, n)
			for i := range terms {
				terms[i] = corev1.NodeSelectorTerm{MatchExpressions: append(expressions(rng, "own"), corev1.NodeSelectorRequirement{Key: "zone", Operator: corev1.NodeSelectorOpExists})}
			}
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
		}
		more := append(expressions(rng, "more"), corev1.NodeSelectorRequirement{Key: "product", Operator: corev1.NodeSelectorOpIn, Values: []string{"h100"}})
		let := p.DeepCopy()
		let.Annotations = letGo(map[string]string{}, len(more))
		let.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: placement.Required(&p.Spec, more)}}
		placement.Unseat(&let.Spec, let.Annotations)
		required := func(p *corev1.Pod) *corev1.NodeSelector {
			if p.Spec.Affinity == nil {
				return nil
			}
			return p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		}
		if diff := gocmp.Diff(required(p), required(let)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
		placement.Unseat(&p.Spec, p.Annotations) // of a pod that was never gated nothing comes off
	}
}
