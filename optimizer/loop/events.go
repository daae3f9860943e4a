package loop

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// event is what happened to a server that a person should see with kubectl describe.
type event struct{ kind, reason, action, message string }

// eventsOf are the events that the step from one status to the next deserves: changes of the plan, and conditions that began or ceased to
// be bad. A state that lasts is a condition, not an event.
func eventsOf(before, after *v1alpha1.ServerStatus) []event {
	var list []event
	if d := after.Desired; d != nil && (before.Desired == nil || !sameDecision(before.Desired, d)) {
		list = append(list, event{corev1.EventTypeNormal, v1alpha1.ReasonPlanChanged, "Plan",
			fmt.Sprintf("%s → %s: %s", describe(before.Desired), describe(d), d.Reason)})
	}
	for _, t := range []string{
		v1alpha1.ConditionObserved, v1alpha1.ConditionPlanned, v1alpha1.ConditionPodsStart, v1alpha1.ConditionPodsAdmitted, v1alpha1.ConditionQueueAdmits, v1alpha1.ConditionLimitsHold, v1alpha1.ConditionScaleInOrder,
		v1alpha1.ConditionTrafficWeights, v1alpha1.ConditionCapacityAhead,
	} {
		old, now := meta.FindStatusCondition(before.Conditions, t), meta.FindStatusCondition(after.Conditions, t)
		switch {
		case now == nil:
		case now.Status == metav1.ConditionFalse && (old == nil || old.Reason != now.Reason):
			list = append(list, event{corev1.EventTypeWarning, now.Reason, t, now.Message})
		case now.Status == metav1.ConditionTrue && old != nil && old.Status == metav1.ConditionFalse:
			list = append(list, event{corev1.EventTypeNormal, now.Reason, t, now.Message})
		}
	}
	return list
}

// describe a plan in a few words.
func describe(d *v1alpha1.DesiredState) string {
	if d == nil {
		return "no plan"
	}
	words := make([]string, 0, len(d.Parts)+1)
	for _, p := range d.Parts {
		if p.Replicas == 0 && p.Surge > 0 {
			continue
		}
		words = append(words, fmt.Sprintf("%d × %s (batch %d)", p.Replicas, p.Accelerator, p.MaxBatchSize))
	}
	if d.Surge > 0 {
		words = append(words, fmt.Sprintf("surge %d", d.Surge))
	}
	if len(words) == 0 {
		return "0 replicas"
	}
	return strings.Join(words, " + ")
}
