package inferno

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// These tests run kube-scheduler itself, queue and binding cycles included.

// The samples of both roles.
const (
	secondScheduler  = "second-scheduler.yaml"
	defaultScheduler = "default-scheduler.yaml"
)

func several(n int, rev string) []*v1.Pod {
	pods := make([]*v1.Pod, n)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("chat-%s-%04d", rev, i), rev)
	}
	return pods
}

func TestPodsFollowThePlanThroughItsChanges(t *testing.T) {
	t.Run("bound by the plugin", func(t *testing.T) { testPodsFollowThePlan(t) })
	t.Run("bound by the default binder", func(t *testing.T) { testPodsFollowThePlan(t, withoutBind) })
}

func testPodsFollowThePlan(t *testing.T, setups ...setup) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("a100-1", "a100", 8), node("l40s-1", "l40s", 8), node("cpu-1", "", 0))
	w.addAccelerators("h100", "a100", "l40s")
	w.setPlan(jsonspec.AllocationPart{Accelerator: "h100", Replicas: 3, MaxBatchSize: 96, MaxBatchedTokens: 1024}, part("a100", 1))
	w.addPods(several(6, "r1")...)
	w.start(secondScheduler, setups...)

	w.awaitPlaced("the quotas to be filled and the rest to wait", map[string]int{"h100": 3, "a100": 1, "": 2})
	w.awaitTried()
	for _, p := range w.snapshot() {
		want := map[string]string{}
		switch p.Spec.NodeName {
		case "h100-1":
			want = map[string]string{v1alpha1.AcceleratorAnnotation: "h100", v1alpha1.MaxNumSeqsAnnotation: "96", v1alpha1.MaxNumBatchedTokensAnnotation: "1024"}
		case "a100-1":
			want = map[string]string{v1alpha1.AcceleratorAnnotation: "a100"}
		}
		if diff := cmp.Diff(want, p.Annotations, cmpEmptyMaps); diff != "" {
			t.Errorf("annotations of %s on %q (-want +got):\n%s", p.Name, p.Spec.NodeName, diff)
		}
	}

	w.setPlan(part("h100", 3), part("a100", 1), part("l40s", 1))
	w.awaitPlaced("a pod to be woken by the new plan", map[string]int{"h100": 3, "a100": 1, "l40s": 1, "": 1})

	var onA100 string
	w.await("finding the pod on a100", func(pods map[string]*v1.Pod) bool {
		for name, p := range pods {
			if p.Spec.NodeName == "a100-1" {
				onA100 = name
			}
		}
		return onA100 != ""
	})
	w.deletePod(onA100)
	w.awaitPlaced("the last pod to be woken by the free seat", map[string]int{"h100": 3, "a100": 1, "l40s": 1})

	if got := w.metric("inferno_scheduler_placements_total", map[string]string{"outcome": "planned"}); got != 6 {
		t.Errorf("%v planned placements counted, want 6", got)
	}
	wantPatches := 0.0
	if len(setups) > 0 {
		wantPatches = 6
	}
	if got := w.metric("inferno_scheduler_annotate_duration_seconds", nil); got != wantPatches {
		t.Errorf("%v patches of annotations, want %v", got, wantPatches)
	}
	if found := w.events.find(ReasonPlacedWithoutPlan); len(found) > 0 {
		t.Errorf("unexpected events: %v", found)
	}
}

// cmpEmptyMaps makes nil and empty maps equal.
var cmpEmptyMaps = cmp.Transformer("empty", func(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
})

// In place of the default scheduler the plugin places pods of servers by the plan and leaves all others to the rest of the profile.
func TestInPlaceOfTheDefaultScheduler(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("l40s-1", "l40s", 8), node("plain-1", "", 0))
	w.addAccelerators("h100", "l40s")
	w.setPlan(part("h100", 2), part("l40s", 3))
	w.start(defaultScheduler)
	pods := several(6, "r1")
	for _, p := range pods {
		p.Spec.SchedulerName = v1.DefaultSchedulerName
	}
	w.addPods(pods...)
	w.awaitPlaced("the plan, and one that waits", map[string]int{"h100": 2, "l40s": 3, "": 1})
	stranger := pod("stranger", "r1")
	stranger.Labels, stranger.OwnerReferences = nil, nil
	stranger.Spec.SchedulerName, stranger.Spec.Containers[0].Resources = v1.DefaultSchedulerName, v1.ResourceRequirements{}
	w.addPods(stranger)
	w.await("the stranger to be placed", func(pods map[string]*v1.Pod) bool { return pods["stranger"].Spec.NodeName != "" })
	if a := w.snapshot()["stranger"].Annotations; len(a) > 0 {
		t.Errorf("the stranger was annotated with %v", a)
	}
}

// Pods that get their cards by a claim request no resource: they go where the labels of nodes say, and count like all others.
func TestPodsWithoutRequestsFollowThePlan(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("l40s-1", "l40s", 8))
	w.addAccelerators("h100", "l40s")
	w.setPlan(part("h100", 2), part("l40s", 1))
	w.start(secondScheduler)
	pods := several(5, "r1")
	for _, p := range pods {
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{}
	}
	w.addPods(pods...)
	w.awaitPlaced("the plan, and two that wait", map[string]int{"h100": 2, "l40s": 1, "": 2})
	for _, p := range w.snapshot() {
		if p.Spec.NodeName != "" && p.Annotations[v1alpha1.AcceleratorAnnotation] == "" {
			t.Errorf("%s on %s is not annotated", p.Name, p.Spec.NodeName)
		}
	}
}

// What a pod asks of topology holds before how it is packed: with a spread over racks none gets two pods more than another, although packing
// alone would fill one node.
func TestTopologySpreadHolds(t *testing.T) {
	const rack = "topology.kubernetes.io/rack"
	w := newWorld(t)
	for i := range 3 {
		n := node(fmt.Sprintf("h100-%d", i), "h100", 8)
		n.Labels[rack] = fmt.Sprintf("rack-%d", i)
		w.addNodes(n)
	}
	w.addAccelerators("h100")
	w.setPlan(part("h100", 6))
	w.start(secondScheduler)
	pods := several(6, "r1")
	for _, p := range pods {
		p.Spec.TopologySpreadConstraints = []v1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: rack, WhenUnsatisfiable: v1.DoNotSchedule,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.ServerLabel: "chat"}},
		}}
	}
	w.addPods(pods...)
	w.awaitPlaced("all", map[string]int{"h100": 6})
	byNode := map[string]int{}
	for _, p := range w.snapshot() {
		byNode[p.Spec.NodeName]++
	}
	if diff := cmp.Diff(map[string]int{"h100-0": 2, "h100-1": 2, "h100-2": 2}, byNode); diff != "" {
		t.Errorf("pods by node (-want +got):\n%s", diff)
	}
}

func TestRolloutSurgesBesideTheOldRevision(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8))
	w.addAccelerators("h100")
	w.setPlan(part("h100", 3))
	w.addPods(several(3, "old")...)
	w.start(secondScheduler)
	w.awaitPlaced("the old revision to be placed", map[string]int{"h100": 3})
	w.addPods(several(4, "new")...)
	w.awaitPlaced("as much of the new revision as the plan says", map[string]int{"h100": 6, "": 1})
}

func TestAnotherWorkloadSharesTheQuota(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8))
	w.addAccelerators("h100")
	w.setPlan(part("h100", 3))
	w.addPods(several(2, "r1")...)
	w.start(secondScheduler)
	w.awaitPlaced("the first workload to be placed", map[string]int{"h100": 2})
	others := several(2, "r2")
	for _, p := range others {
		p.OwnerReferences[0].Name = "other-r2"
	}
	w.addPods(others...)
	w.awaitPlaced("one seat to be left for the other workload", map[string]int{"h100": 3, "": 1})
}

func TestRestartRecounts(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("a100-1", "a100", 8))
	w.addAccelerators("h100", "a100")
	w.setPlan(part("h100", 2), part("a100", 1))
	w.addPods(several(2, "r1")...)
	stop := w.start(secondScheduler)
	w.awaitPlaced("the first pods", map[string]int{"h100": 1, "a100": 1})
	stop()
	more := several(4, "r1")[2:]
	w.addPods(more...)
	w.start(secondScheduler)
	w.awaitPlaced("only what the plan has left", map[string]int{"h100": 2, "a100": 1, "": 1})
}

func TestNodeOfThePlannedTypeAppears(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("a100-1", "a100", 8))
	w.addAccelerators("h100", "a100")
	w.setPlan(part("h100", 2))
	w.addPods(several(2, "r1")...)
	w.start(secondScheduler)
	w.awaitTried()
	unlabelled := node("h100-1", "", 8)
	w.addNodes(unlabelled)
	w.nodeSource.Modify(node("h100-1", "h100", 8))
	w.awaitPlaced("the pods to go to the new node", map[string]int{"h100": 2})
}

func TestAcceleratorIsDescribedLater(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8))
	w.setPlan(part("h100", 2))
	w.addPods(several(2, "r1")...)
	w.start(secondScheduler)
	w.awaitTried()
	w.addAccelerators("h100")
	w.awaitPlaced("the pods to be woken", map[string]int{"h100": 2})
}

func TestPodsWithoutAPlanAreNeverStuck(t *testing.T) {
	model := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: "llama"}}
	model.Spec.Performance = []v1alpha1.Performance{{Accelerator: "a100"}}
	for _, tt := range []struct {
		name         string
		accelerators []string
		server       bool
		model        bool
		want         map[string]int
	}{
		{"no server: wherever an accelerator is described", []string{"h100"}, false, true, map[string]int{"h100": 2}},
		{"never planned: what the model has data for", []string{"h100", "a100"}, true, true, map[string]int{"a100": 2}},
		{"never planned, and no model either", []string{"h100"}, true, false, map[string]int{"h100": 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.addNodes(node("h100-1", "h100", 8), node("a100-1", "a100", 8))
			w.addAccelerators(tt.accelerators...)
			if tt.server {
				w.serverSource.Add(unplannedServer())
			}
			if tt.model {
				w.modelSource.Add(model)
			}
			w.addPods(several(2, "r1")...)
			w.start(secondScheduler)
			w.awaitPlaced("a place for every pod", tt.want)
			w.await("an event for each pod", func(map[string]*v1.Pod) bool { return len(w.events.find(ReasonPlacedWithoutPlan)) == 2 })
		})
	}

	t.Run("nothing described at all", func(t *testing.T) {
		w := newWorld(t)
		w.addNodes(node("h100-1", "h100", 8))
		w.addPods(several(1, "r1")...)
		w.start(secondScheduler)
		w.awaitPlaced("the pod to be placed as if the plugin were not there", map[string]int{"h100": 1})
		w.await("an event", func(map[string]*v1.Pod) bool { return len(w.events.find(ReasonPlacedWithoutPlan)) == 1 })
	})
}

// Nobody takes cards by being new: pods of a Server that was never planned wait for its plan while others are planned, and not for ever.
func TestNewServersWaitForTheirPlan(t *testing.T) {
	other := func(confirmed time.Time) *v1alpha1.Server {
		s := server(part("h100", 1))
		s.Name, s.Status.Desired.ConfirmedAt, s.Status.Desired.StaleAfterSeconds = "other", metav1.NewTime(confirmed), 3600
		return s
	}
	begin := func(t *testing.T, confirmed time.Time, args string) *world {
		w := newWorld(t)
		w.addNodes(node("h100-1", "h100", 8), node("l40s-1", "l40s", 8))
		w.addAccelerators("h100", "l40s")
		w.serverSource.Add(other(confirmed))
		w.serverSource.Add(unplannedServer())
		w.addPods(several(2, "r1")...)
		w.start(secondScheduler, withArgs(args))
		return w
	}
	t.Run("until it has one", func(t *testing.T) {
		w := begin(t, time.Now(), `{}`)
		w.awaitTried()
		w.setPlan(part("l40s", 2))
		w.awaitPlaced("the pods to go where the plan says", map[string]int{"l40s": 2})
		if e := w.events.find(ReasonPlacedWithoutPlan); len(e) > 0 {
			t.Errorf("placed without a plan: %v", e)
		}
	})
	t.Run("for a while", func(t *testing.T) {
		w := begin(t, time.Now(), `{"fallbackAfter":"1s"}`)
		w.await("a place for every pod", func(map[string]*v1.Pod) bool { return len(w.events.find(ReasonPlacedWithoutPlan)) == 2 })
	})
	t.Run("not where nobody plans", func(t *testing.T) {
		w := begin(t, time.Now().Add(-2*time.Hour), `{"fallbackAfter":"1h"}`)
		w.await("a place for every pod", func(map[string]*v1.Pod) bool { return len(w.events.find(ReasonPlacedWithoutPlan)) == 2 })
	})
}

func TestFallbackAfterWaiting(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 1), node("l40s-1", "l40s", 8), node("a100-1", "a100", 8))
	w.addAccelerators("h100", "l40s", "a100")
	model := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: "llama"}}
	model.Spec.Performance = []v1alpha1.Performance{{Accelerator: "h100"}, {Accelerator: "l40s"}}
	w.modelSource.Add(model)
	w.setPlan(part("h100", 2)) // and only one card of it is there
	w.addPods(several(2, "r1")...)
	w.start(secondScheduler, withArgs(`{"fallback":"AnyFeasible","fallbackAfter":"1s"}`))
	w.awaitPlaced("the pod without room to go where its model fits", map[string]int{"h100": 1, "l40s": 1})
	w.await("an event", func(map[string]*v1.Pod) bool { return len(w.events.find(ReasonPlacedBeyondPlan)) == 1 })
	if e := w.events.find(ReasonPlacedBeyondPlan)[0]; !strings.Contains(e, "Placed on l40s: waited too long for the plan") {
		t.Errorf("the event does not say what happened: %s", e)
	}
	if got := w.metric("inferno_scheduler_placements_total", map[string]string{"outcome": "fallback", "accelerator": "l40s"}); got != 1 {
		t.Errorf("%v placements by fallback counted, want 1", got)
	}
}

func TestForeignPodsAreLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("cpu-1", "", 0))
	w.addAccelerators("h100")
	foreign := pod("web", "r1")
	delete(foreign.Labels, v1alpha1.ServerLabel)
	foreign.Spec.Containers[0].Resources = v1.ResourceRequirements{}
	foreign.Spec.NodeSelector = map[string]string{v1.LabelHostname: "cpu-1"}
	w.addPods(foreign)
	w.start(secondScheduler)
	w.awaitPlaced("the pod to go where it asked for", map[string]int{"cpu": 1})
	if a := w.snapshot()["web"].Annotations; len(a) > 0 {
		t.Errorf("a pod that is not ours was annotated: %v", a)
	}
}

func TestPacking(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("h100-2", "h100", 8), node("h100-3", "h100", 8))
	w.addAccelerators("h100")
	w.setPlan(part("h100", 9))
	w.addPods(several(9, "r1")...)
	w.start(secondScheduler)
	w.awaitPlaced("all pods", map[string]int{"h100": 9})
	on := map[string]int{}
	for _, p := range w.snapshot() {
		on[p.Spec.NodeName]++
	}
	if diff := cmp.Diff(map[string]int{"h100-1": 8, "h100-2": 1}, on); diff != "" {
		t.Errorf("pods by node (-want +got):\n%s", diff)
	}
}

// overshoot watches that no accelerator ever has more bound pods than the plan says, whatever happens meanwhile.
func (w *world) watchOvershoot(quota map[string]int) {
	w.onBound = func(bound *v1.Pod) {
		count := map[string]int{}
		for name, p := range w.pods {
			if name != bound.Name {
				typ, _, _ := strings.Cut(p.Spec.NodeName, "-")
				count[typ]++
			}
		}
		typ, _, _ := strings.Cut(bound.Spec.NodeName, "-")
		if count[typ]+1 > quota[typ] {
			w.t.Errorf("%s is pod number %d on %s, planned are %d", bound.Name, count[typ]+1, typ, quota[typ])
		}
	}
}

func TestBurstNeverOvershoots(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		for _, typ := range []string{"h100", "a100", "l40s"} {
			w.addNodes(node(fmt.Sprintf("%s-%02d", typ, i), typ, 8))
		}
	}
	w.addAccelerators("h100", "a100", "l40s")
	w.setPlan(part("h100", 200), part("a100", 150), part("l40s", 7))
	w.watchOvershoot(map[string]int{"h100": 200, "a100": 150, "l40s": 7})
	w.start(secondScheduler)
	w.addPods(several(1000, "r1")...)
	w.awaitPlaced("exactly the plan", map[string]int{"h100": 200, "a100": 150, "l40s": 7, "": 643})
	w.awaitHeld(643)
}

// awaitHeld waits until so many pods are told that they have no seat. None of them may have been tried.
func (w *world) awaitHeld(n int) {
	w.t.Helper()
	w.await(fmt.Sprintf("%d pods to be told that they have no seat", n), func(pods map[string]*v1.Pod) bool {
		told := 0
		for _, p := range pods {
			for _, c := range p.Status.Conditions {
				if c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Reason == v1alpha1.ReasonNoSeat {
					told++
				}
			}
		}
		return told == n && len(w.events.find(v1alpha1.ReasonNoSeat)) >= n
	})
	if tried := w.events.find("FailedScheduling"); len(tried) > 0 {
		w.t.Errorf("%d attempts failed, such as: %s", len(tried), tried[0])
	}
	if got := w.metric("inferno_scheduler_held_pods", nil); got != float64(n) {
		w.t.Errorf("%v pods are held by the metric, want %d", got, n)
	}
}

// Pods that the plan has no seat for are not tried, so that nobody buys nodes for them. They are told why, once.
func TestPodsWithoutASeatAreHeld(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("a100-1", "a100", 8))
	w.addAccelerators("h100", "a100")
	w.setPlan(part("h100", 2), part("a100", 1))
	w.start(defaultScheduler, withArgs(`{}`))
	pods := several(10, "r1")
	for _, p := range pods {
		p.Spec.SchedulerName = v1.DefaultSchedulerName
	}
	w.addPods(pods...)
	w.awaitPlaced("the plan", map[string]int{"h100": 2, "a100": 1, "": 7})
	w.awaitHeld(7)
	for _, e := range w.events.find(v1alpha1.ReasonNoSeat) {
		if !strings.Contains(e, "all replicas planned for it have their place (") && !strings.Contains(e, "have waited longer") {
			t.Errorf("the event does not say why: %s", e)
		}
	}
	w.setPlan(part("h100", 3), part("a100", 3))
	w.awaitPlaced("the new plan", map[string]int{"h100": 3, "a100": 3, "": 4})
	w.awaitHeld(4)
	w.deletePod("chat-r1-0009") // one that waits
	w.deletePod("chat-r1-0000") // one that has a seat
	w.awaitPlaced("the next in turn", map[string]int{"h100": 3, "a100": 3, "": 2})
	w.awaitHeld(2)
	if got := w.metric("inferno_scheduler_rejections_total", nil); got != 0 {
		t.Errorf("%v attempts were rejected, want none", got)
	}
	again := map[string]int{}
	for _, e := range w.events.find(v1alpha1.ReasonNoSeat) {
		name, _, _ := strings.Cut(e, " ")
		if again[name]++; again[name] > 3 { // the reason may have changed with the plan
			t.Errorf("%s was told %d times", name, again[name])
		}
	}
}

// As many pods are tried as the plan has room for, although no node is there: a node autoscaler buys for those and no more. When one of them goes it is
// the turn of the next.
func TestTheNextInTurnIsTried(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("a100-1", "a100", 8))
	w.addAccelerators("h100", "a100")
	w.setPlan(part("h100", 2))
	w.start(secondScheduler)
	w.addPods(several(5, "r1")...)
	tried := func(names ...string) func(map[string]*v1.Pod) bool {
		return func(pods map[string]*v1.Pod) bool {
			var unschedulable []string
			for name, p := range pods {
				for _, c := range p.Status.Conditions {
					if c.Type == v1.PodScheduled && c.Reason == v1.PodReasonUnschedulable {
						unschedulable = append(unschedulable, name)
					}
				}
			}
			slices.Sort(unschedulable)
			return slices.Equal(unschedulable, names)
		}
	}
	w.awaitTried()
	w.await("the first two to be tried", tried("chat-r1-0000", "chat-r1-0001"))
	w.deletePod("chat-r1-0000")
	w.await("the third to be tried", tried("chat-r1-0001", "chat-r1-0002"))
	w.addNodes(node("h100-1", "h100", 8))
	w.awaitPlaced("both", map[string]int{"h100": 2, "": 2})
}

// A pod of one variant that could take what another waits for is in its way until it has taken something else.
func TestVariantsWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 8), node("a100-1", "a100", 8))
	w.addAccelerators("h100", "a100")
	s := server(part("h100", 1), part("a100", 3))
	s.Spec.Variants = []jsonspec.Variant{{Name: "any", Accelerators: []string{"h100", "a100"}}, {Name: "large", Accelerators: []string{"h100"}}}
	w.setServer(s)
	w.start(secondScheduler)
	first, second := pod("any", "r1"), pod("large", "r1")
	first.Labels[v1alpha1.VariantLabel], second.Labels[v1alpha1.VariantLabel] = "any", "large"
	w.addPods(first, second)
	w.awaitPlaced("both", map[string]int{"h100": 1, "a100": 1})
}

// disorderRuns is few for every day and a hundred in make bench.
var disorderRuns = flag.Uint64("disorder-runs", 8, "random runs of the test that quotas hold through concurrent binds, failures of nodes and restarts")

// inDisorder runs a test beside itself, each time by other random numbers, which many may draw at once.
func inDisorder(t *testing.T, stream uint64, test func(t *testing.T, intn func(int) int)) {
	for seed := range *disorderRuns {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, stream))
			var mu sync.Mutex
			test(t, func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			})
		})
	}
}

// badDays of the API server, on which it refuses one binding of so many, until good days come.
func (w *world) badDays(intn func(int) int, oneOf int) (goodDays func()) {
	w.failBinding = func(*v1.Pod) error {
		if intn(oneOf) == 0 {
			return errors.New("the API server has a bad day")
		}
		return nil
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failBinding = nil
	}
}

func TestQuotaHoldsThroughDisorder(t *testing.T) {
	inDisorder(t, 7, func(t *testing.T, intn func(int) int) {
		quota := map[string]int{"h100": 5 + intn(10), "a100": 1 + intn(10)}
		w := newWorld(t)
		w.addNodes(node("h100-1", "h100", 8), node("h100-2", "h100", 8), node("a100-1", "a100", 4), node("a100-2", "a100", 8))
		w.addAccelerators("h100", "a100")
		w.setPlan(part("h100", quota["h100"]), part("a100", quota["a100"]))
		w.watchOvershoot(quota)
		goodDays := w.badDays(intn, 4)
		stop := w.start(secondScheduler)
		next := 0
		for range 40 {
			switch intn(8) {
			case 0, 1, 2, 3:
				n := 1 + intn(8)
				for range n {
					w.addPods(pod(fmt.Sprintf("chat-%04d", next), "r1"))
					next++
				}
			case 4, 5:
				w.deletePod(fmt.Sprintf("chat-%04d", intn(next+1)))
			case 6:
				w.nodeSource.Delete(node("h100-2", "h100", 8))
				time.Sleep(time.Millisecond)
				w.addNodes(node("h100-2", "h100", 8))
			case 7:
				stop()
				stop = w.start(secondScheduler)
			}
			time.Sleep(time.Duration(intn(5)) * time.Millisecond)
		}
		goodDays()
		w.addPods(several(30, "r1")...)
		w.await("the plan to be filled in the end", func(pods map[string]*v1.Pod) bool {
			got := placed(pods)
			return got["h100"] == quota["h100"] && got["a100"] == quota["a100"]
		})
	})
}
