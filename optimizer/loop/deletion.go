package loop

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// deletionCostAnnotation tells a ReplicaSet which pods to remove first: those of the lowest cost.
const deletionCostAnnotation = corev1.PodDeletionCost

// overQuotaCost is the cost of a pod that the plan has no place for. Any number below 0, the default, would do.
const overQuotaCost = "-100"

// overQuota are the pods, of one server, that the plan has no place for: on each accelerator those beyond its quota, first those with other
// limits than the plan's, then the youngest. Pods that wait for a node are in nobody's way.
func overQuota(plan []v1alpha1.AllocationPart, pods []*corev1.Pod, acceleratorOf func(*corev1.Pod) string) map[*corev1.Pod]bool {
	quota := planBy(plan)
	oldestFirst := slices.Clone(pods)
	outdated := outdatedPods(plan, pods, acceleratorOf)
	slices.SortFunc(oldestFirst, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(outdated[a], outdated[b]), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	over := map[*corev1.Pod]bool{}
	for _, p := range oldestFirst {
		if p.Spec.NodeName == "" {
			continue
		}
		a := acceleratorOf(p)
		if quota[a] > 0 {
			quota[a]--
		} else {
			over[p] = true
		}
	}
	return over
}

// outdatedPods are 1 for pods that were started with other limits than the plan's on their accelerator.
func outdatedPods(plan []v1alpha1.AllocationPart, pods []*corev1.Pod, acceleratorOf func(*corev1.Pod) string) map[*corev1.Pod]int {
	parts := map[string]v1alpha1.AllocationPart{}
	for _, p := range plan {
		parts[p.Accelerator] = p
	}
	outdated := map[*corev1.Pod]int{}
	for _, p := range pods {
		if differs(observe.StartedWith(p), parts[acceleratorOf(p)]) {
			outdated[p] = 1
		}
	}
	return outdated
}

// deletionCost is the annotation a pod should carry; empty for none.
func deletionCost(over bool) string {
	if over {
		return overQuotaCost
	}
	return ""
}
