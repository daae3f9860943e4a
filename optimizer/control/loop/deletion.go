package loop

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// deletionCostAnnotation tells a ReplicaSet which pods to remove first: those of the lowest cost.
const deletionCostAnnotation = corev1.PodDeletionCost

// overQuotaCost is the cost of a pod that the plan has no place for. Any number below 0, the default, would do.
const overQuotaCost = "-100"

// overQuota are the pods, of one server, that the plan has no place for: on each accelerator those beyond its quota, the youngest first. Pods
// that wait for a node are in nobody's way.
func overQuota(plan []v1alpha1.AllocationPart, pods []*corev1.Pod, acceleratorOf func(*corev1.Pod) string) map[*corev1.Pod]bool {
	quota := planBy(plan)
	oldestFirst := slices.Clone(pods)
	slices.SortFunc(oldestFirst, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
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

// deletionCost is the annotation a pod should carry; empty for none.
func deletionCost(over bool) string {
	if over {
		return overQuotaCost
	}
	return ""
}
