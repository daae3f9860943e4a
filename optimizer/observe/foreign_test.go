package observe

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// placedBy the scheduler plugin.
func placedBy(accelerator string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AcceleratorAnnotation: accelerator} }
}

// Every card that a bound pod holds and no plan counts is gone, and who holds it is said.
func TestUncountedPods(t *testing.T) {
	onH100 := &v1alpha1.DesiredState{Replicas: 2, Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: 2}, {Accelerator: "l4", Surge: 3}}}
	typo := map[string]string{v1alpha1.ServerLabel: "caht"}
	born := func(minutes int) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.CreationTimestamp = metav1.NewTime(now.Add(time.Duration(minutes) * time.Minute))
		}
	}
	const stray = `a scheduler that does not follow the plan ("") put them where it has no replicas; see docs/scheduler.md`
	for _, c := range []struct {
		name string
		plan *v1alpha1.DesiredState
		pods []corev1.Pod
		free [2]int // of eight H100 and eight L4
		want []Uncounted
	}{
		{"replicas", onH100, []corev1.Pod{pod("a", "h", 2, ours, placedBy("h100")), pod("b", "h", 2, ours, nil)}, [2]int{8, 8}, nil},
		{"a label that names no Server", onH100, []corev1.Pod{pod("a", "h", 3, typo, nil), pod("b", "l", 2, typo, placedBy("l4"))}, [2]int{5, 6},
			[]Uncounted{{types.NamespacedName{Namespace: "llm", Name: "caht"}, "there is no such Server", 2, 5}}},
		{"the Server of another namespace", onH100, []corev1.Pod{pod("a", "h", 3, ours, func(p *corev1.Pod) { p.Namespace = "other" })}, [2]int{5, 8},
			[]Uncounted{{types.NamespacedName{Namespace: "other", Name: "chat"}, "there is no such Server", 1, 3}}},
		{"no label", onH100, []corev1.Pod{pod("a", "h", 3, nil, nil)}, [2]int{5, 8}, nil},
		{"one that waits, one that is done", onH100, []corev1.Pod{
			pod("a", "", 3, typo, nil), pod("b", "h", 3, typo, func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		}, [2]int{8, 8}, nil},
		{"no performance data", onH100, []corev1.Pod{pod("a", "m", 3, ours, placedBy("mi300x"))}, [2]int{8, 8},
			[]Uncounted{{types.NamespacedName{Namespace: "llm", Name: "chat"}, "its Model has no performance data for mi300x, where they run", 1, 3}}},
		{"moved away from, by the plugin", onH100, []corev1.Pod{pod("a", "l", 3, ours, placedBy("l4"))}, [2]int{8, 8}, nil},
		{"moved away from, by another scheduler", onH100, []corev1.Pod{pod("a", "l", 3, ours, nil)}, [2]int{8, 5},
			[]Uncounted{{types.NamespacedName{Namespace: "llm", Name: "chat"}, stray, 1, 3}}},
		{"more than planned, by another scheduler: the youngest", onH100, []corev1.Pod{
			pod("a", "h", 1, ours, placedBy("h100")), pod("b", "h", 3, ours, born(-1)), pod("c", "h", 2, ours, born(-2)),
		}, [2]int{5, 8}, []Uncounted{{types.NamespacedName{Namespace: "llm", Name: "chat"}, stray, 1, 3}}},
		{"a variant's, by another scheduler", onH100, []corev1.Pod{
			pod("a", "l", 3, map[string]string{v1alpha1.ServerLabel: "chat", v1alpha1.VariantLabel: "small"}, nil),
		}, [2]int{8, 8}, nil},
		{"not planned yet", nil, []corev1.Pod{pod("a", "l", 3, ours, nil)}, [2]int{8, 8}, nil},
	} {
		v := newView(&Cluster{
			Servers:      chat(c.plan, "h100", "l4"),
			Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1), accelerator("l4", "L4", 1, 1), accelerator("mi300x", "MI300X", 1, 1)},
			Nodes: []corev1.Node{node("h", h100Product, 8, nil), node("l", l4Product, 8, nil), node("m", "", 0, func(n *corev1.Node) {
				n.Labels = map[string]string{"amd.com/gpu.product-name": "AMD-Instinct-MI300X-OAM"}
			})},
			Pods: c.pods,
		})
		if got := [2]int{v.capacity()["H100"].Available, v.capacity()["L4"].Available}; got != c.free {
			t.Errorf("%s: %v are free, want %v", c.name, got, c.free)
		}
		if diff := cmp.Diff(c.want, v.uncountedPods(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// Pods that will not become ready by themselves are told from those that start.
func TestFailingPods(t *testing.T) {
	waits := func(reason string, restarts int32) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			placedBy("h100")(p)
			p.Status.Conditions[0].Status = corev1.ConditionFalse
			s := corev1.ContainerStatus{RestartCount: restarts}
			if reason != "" {
				s.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: "at length"}
			}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{s}
		}
	}
	o := Observe(readings(func(r *Readings) {
		r.Pods = []corev1.Pod{
			pod("starts", "a", 1, ours, waits("ContainerCreating", 0)), pod("pulls", "a", 1, ours, waits("ImagePullBackOff", 0)), pod("crashes", "a", 1, ours, waits("CrashLoopBackOff", 1)),
			pod("crashed", "a", 1, ours, waits("", 3)), pod("once", "a", 1, ours, waits("", 1)), pod("unbound", "", 1, ours, waits("ErrImagePull", 0)), pod("ready", "a", 1, ours, placedBy("h100")),
		}
	}))
	want := []jsonspec.ObservedPart{{Starting: 1}, {Accelerator: "h100", Ready: 1, Starting: 5, Failing: 3}}
	if diff := cmp.Diff(want, o.Statuses["llm/chat"].Current); diff != "" {
		t.Error(diff)
	}
	if got := o.Failing["llm/chat"]; got != "h100: 2 × CrashLoopBackOff, h100: 1 × ImagePullBackOff" {
		t.Errorf("failing: %s", got)
	}
}

// What claims hold for pods whose Server is gone is not there either.
func TestUncountedClaims(t *testing.T) {
	v := newView(&Cluster{
		Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1)},
		Nodes:        []corev1.Node{node("a", "", 0, func(n *corev1.Node) { n.Labels, n.Status.Allocatable = nil, nil })},
		Pods:         []corev1.Pod{pod("orphan", "a", 0, ours, func(p *corev1.Pod) { p.UID = "1" })},
		Slices:       []resourcev1.ResourceSlice{slice("a", "NVIDIA H100 80GB HBM3", "0", "1", "2", "3")},
		Claims:       []resourcev1.ResourceClaim{claim("a", "0", "1"), claim("a", "1", "1")},
	})
	want := []Uncounted{{types.NamespacedName{Namespace: "llm", Name: "chat"}, "there is no such Server", 1, 2}}
	if diff := cmp.Diff(want, v.uncountedPods()); diff != "" || v.capacity()["H100"].Available != 2 {
		t.Errorf("%d free, %s", v.capacity()["H100"].Available, diff)
	}
}

// Of whatever pods there are on a node, its free cards and those that the pods hold which no replica of a plan is make up the node; a server is said to run
// on no more than the others hold.
func TestEveryCardIsCountedOnce(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		const cards = 64
		plan := &v1alpha1.DesiredState{Parts: []jsonspec.AllocationPart{{Accelerator: "h100", Replicas: rng.IntN(4)}}}
		var pods []corev1.Pod
		held := 0
		for i := range rng.IntN(12) {
			labels := []map[string]string{nil, ours, ours, {v1alpha1.ServerLabel: "gone"}}[rng.IntN(4)]
			p := pod(fmt.Sprint(i), "h", 1+rng.Int64N(4), labels, nil)
			if rng.IntN(2) == 0 {
				placedBy("h100")(&p)
			}
			n := p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"]
			held += int(n.Value())
			pods = append(pods, p)
		}
		v := newView(&Cluster{
			Servers: chat(plan, "h100"), Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1)}, Nodes: []corev1.Node{node("h", h100Product, cards, nil)}, Pods: pods,
		})
		replicas, counted := 0, 0
		for _, part := range v.parts(v.podsByServer()[types.NamespacedName{Namespace: "llm", Name: "chat"}]) {
			replicas += part.Ready + part.Starting
		}
		for p := range v.counted {
			counted += v.cardsOf(p)
		}
		if free := v.free(newScopes(v, nil, nil))[0].Free; free != cards-held+counted || len(v.counted) != replicas {
			t.Fatalf("%d of %d cards are free beside %d that are held, %d of them by %d replicas of which %d are seen", free, cards, held, counted, len(v.counted), replicas)
		}
	}
}
