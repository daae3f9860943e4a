package loop

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// deletionCostAnnotation tells a ReplicaSet which pods to remove first: those of the lowest cost.
const deletionCostAnnotation = corev1.PodDeletionCost

// overQuotaCost is the cost of a pod that the plan has no place for. Any number below 0, the default, would do.
const overQuotaCost = "-100"

// overQuota are the pods, of one server, that the plan has no place for. Pods that wait for a node are in nobody's way.
func overQuota(plan []v1alpha1.AllocationPart, pods []*corev1.Pod, acceleratorOf func(*corev1.Pod) string) map[*corev1.Pod]bool {
	var bound []*corev1.Pod
	var list []realise.Pod
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			started := observe.StartedWith(p)
			started.Accelerator = acceleratorOf(p)
			bound, list = append(bound, p), append(list, realise.Pod{Name: p.Name, Created: float64(p.CreationTimestamp.Unix()), Started: started})
		}
	}
	over := map[*corev1.Pod]bool{}
	for _, i := range realise.OverQuota(plan, list) {
		over[bound[i]] = true
	}
	return over
}

// deletionCosts are those that pods of one server should have, of the pods that have another; empty for none. A cost that is not ours to remove stays.
func deletionCosts(plan []v1alpha1.AllocationPart, pods []*corev1.Pod, acceleratorOf func(*corev1.Pod) string) map[*corev1.Pod]string {
	over, costs := overQuota(plan, pods, acceleratorOf), map[*corev1.Pod]string{}
	for _, p := range pods {
		cost := ""
		if over[p] {
			cost = overQuotaCost
		}
		if has := p.Annotations[deletionCostAnnotation]; has != cost && (cost != "" || has == overQuotaCost) {
			costs[p] = cost
		}
	}
	return costs
}
