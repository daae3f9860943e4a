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

// deletionCost is the annotation a pod should carry; empty for none.
func deletionCost(over bool) string {
	if over {
		return overQuotaCost
	}
	return ""
}
