package placement

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Domains of nodes that have room for all pods of a group of so many, by the places that the nodes of each have for one: those first that leave the fewest places
// which no such group could use, then the smallest, then by name.
func Domains(places map[string]int, size int) []string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(places)), func(name string) bool { return places[name] < size })
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(places[a]%size-places[b]%size, places[a]-places[b], strings.Compare(a, b))
	})
	return names
}

// Places that a node with so much free has for pods like one, by what the pod asks of nodes and requests: none where its selector, affinity or tolerations keep
// it from there. These are the predicates of the scheduler's plugins NodeAffinity, TaintToleration and NodeResourcesFit; what it decides by other pods,
// volumes, ports or claims is left to it.
func Places(pod *corev1.Pod, node *corev1.Node, free corev1.ResourceList) int {
	if node.Spec.Unschedulable || node.DeletionTimestamp != nil {
		return 0
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !ok {
		return 0
	}
	for i := range node.Spec.Taints {
		if taint := &node.Spec.Taints[i]; taint.Effect != corev1.TaintEffectPreferNoSchedule && !slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool { return tolerates(&t, taint) }) {
			return 0
		}
	}
	places := math.MaxInt32
	for name, asks := range Requests(pod) {
		if asks.Sign() > 0 {
			has := free[name]
			places = min(places, int(max(has.AsApproximateFloat64(), 0)/asks.AsApproximateFloat64()))
		}
	}
	return places
}

// tolerates says whether a toleration lets pods be where a taint is. One that compares numbers is taken for one that does not.
func tolerates(t *corev1.Toleration, taint *corev1.Taint) bool {
	return (t.Effect == "" || t.Effect == taint.Effect) && (t.Key == "" || t.Key == taint.Key) &&
		(t.Operator == corev1.TolerationOpExists || (t.Operator == "" || t.Operator == corev1.TolerationOpEqual) && t.Value == taint.Value)
}
