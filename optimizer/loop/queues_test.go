package loop

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// That Kueue takes a pod back is said of its Server as such, also when the pod is gone, until all pods are admitted again; pods that wait are said, too.
func TestEvictionsAreSaid(t *testing.T) {
	var e evictions
	admitted, waits, evicted := seatstest.Pod("admitted", "r1"), seatstest.Pod("waits", "r1"), seatstest.Pod("evicted", "r1")
	waits.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/admission"}}
	before := evicted.DeepCopy()
	evicted.Status.Conditions = []corev1.PodCondition{{
		Type: "TerminationTarget", Status: corev1.ConditionTrue, Reason: "WorkloadEvictedDueToPreempted", Message: "Preempted to accommodate a workload (UID: 1)",
	}}
	other := evicted.DeepCopy()
	other.Labels = nil
	condition := func(pods ...*corev1.Pod) metav1.Condition { return e.queueAdmits(seatstest.Chat, pods) }
	hold := func(c metav1.Condition, reason string, words ...string) {
		t.Helper()
		if (c.Status == metav1.ConditionTrue) != (reason == v1alpha1.ReasonQueueAdmits) || c.Reason != reason {
			t.Errorf("%+v, want %s", c, reason)
		}
		for _, w := range words {
			if !strings.Contains(c.Message, w) {
				t.Errorf("%q lacks %q", c.Message, w)
			}
		}
	}
	hold(condition(admitted), v1alpha1.ReasonQueueAdmits)
	hold(condition(admitted, waits), v1alpha1.ReasonQueueHolds, "1 pods wait for Kueue", ": waits")
	seen := e.seen()
	if !seen.Update(kubeevent.UpdateEvent{ObjectOld: before, ObjectNew: evicted}) {
		t.Error("no cycle follows the eviction of a pod")
	}
	if seen.Update(kubeevent.UpdateEvent{ObjectOld: evicted, ObjectNew: evicted}) || seen.Update(kubeevent.UpdateEvent{ObjectOld: before, ObjectNew: before}) || seen.Create(kubeevent.CreateEvent{Object: other}) {
		t.Error("a cycle follows what is no new eviction of a Server's pod")
	}
	hold(condition(admitted, waits), v1alpha1.ReasonQueueEvicted, "no failure", "Preempted to accommodate a workload", ": waits")
	hold(condition(admitted, evicted), v1alpha1.ReasonQueueEvicted, "Preempted to accommodate a workload")
	hold(condition(admitted), v1alpha1.ReasonQueueAdmits)
	seen.Update(kubeevent.UpdateEvent{ObjectOld: before, ObjectNew: evicted})
	hold(condition(admitted), v1alpha1.ReasonQueueEvicted, "Preempted to accommodate a workload") // the pod is gone, and no other is there yet
	hold(condition(admitted), v1alpha1.ReasonQueueAdmits)
	hold(condition(admitted, waits), v1alpha1.ReasonQueueHolds)
}
