package loop

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/realise"
)

// deletionCostAnnotation tells a ReplicaSet which pods to remove first: those of the lowest cost.
const deletionCostAnnotation = corev1.PodDeletionCost

// overQuotaCost is the cost of a pod that the plan has no place for. Any number below 0, the default, would do.
const overQuotaCost = "-100"

// looks says of a pod what it runs on and was started with, what it would lose, NaN where that is not known, and whether its node goes.
type looks struct {
	started func(*corev1.Pod) jsonspec.ObservedPart
	inHand  func(*corev1.Pod) (requests, warmth float64)
	leaves  func(*corev1.Pod) bool
}

// overQuota are the pods, of one server, that the plan has no place for. Pods that wait for a node are in nobody's way. Of pods that are not measured
// it is not known that they are idle: they are taken to have as much in hand as the mean of the others.
func overQuota(plan []jsonspec.AllocationPart, pods []*corev1.Pod, at looks) map[*corev1.Pod]bool {
	var bound []*corev1.Pod
	var list []realise.Pod
	var requests, warmth mean
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			r := realise.Pod{
				Name: p.Name, Created: float64(p.CreationTimestamp.Unix()), Started: at.started(p), Going: p.Annotations[deletionCostAnnotation] == overQuotaCost,
				Leaving: at.leaves(p),
			}
			r.Requests, r.Warmth = at.inHand(p)
			requests.add(r.Requests)
			warmth.add(r.Warmth)
			bound, list = append(bound, p), append(list, r)
		}
	}
	for i := range list {
		list[i].Requests, list[i].Warmth = requests.unless(list[i].Requests), warmth.unless(list[i].Warmth)
	}
	over := map[*corev1.Pod]bool{}
	for _, i := range realise.OverQuota(plan, list) {
		over[bound[i]] = true
	}
	return over
}

// mean of what is known.
type mean struct{ sum, count float64 }

func (m *mean) add(v float64) {
	if !math.IsNaN(v) {
		m.sum, m.count = m.sum+v, m.count+1
	}
}

// unless v is known, the mean of the others, or 0 where nothing is.
func (m *mean) unless(v float64) float64 {
	switch {
	case !math.IsNaN(v):
		return v
	case m.count == 0:
		return 0
	}
	return m.sum / m.count
}

// deletionCosts are those that pods of one server should have, of the pods that have another; empty for none. A cost that is not ours to remove stays.
func deletionCosts(over map[*corev1.Pod]bool, pods []*corev1.Pod) map[*corev1.Pod]string {
	costs := map[*corev1.Pod]string{}
	for _, p := range pods {
		cost := ""
		if _, _, numbered := ordinal(p); over[p] && !numbered {
			cost = overQuotaCost
		}
		if has := p.Annotations[deletionCostAnnotation]; has != cost && (cost != "" || has == overQuotaCost) {
			costs[p] = cost
		}
	}
	return costs
}

// ordinal is the number of a pod whose workload removes the one with the highest number, whatever a pod costs: of a StatefulSet, or of the group in a
// LeaderWorkerSet; false where the workload numbers none.
func ordinal(p *corev1.Pod) (workload string, number int, numbered bool) {
	digits := ""
	switch owner := metav1.GetControllerOfNoCopy(p); {
	case p.Labels[placement.LWSName] != "":
		workload, digits = "LeaderWorkerSet "+p.Labels[placement.LWSName], p.Labels[placement.LWSGroup]
	case owner != nil && owner.Kind == "StatefulSet":
		workload, digits = "StatefulSet "+owner.Name, p.Name[strings.LastIndex(p.Name, "-")+1:]
	}
	number, err := strconv.Atoi(digits)
	return workload, number, err == nil
}

// wrongOrder says which pods go although others are to go, because their workload removes the highest number first; empty where the right ones go.
func wrongOrder(over map[*corev1.Pod]bool, pods []*corev1.Pod) []string {
	type numbered struct {
		pod    *corev1.Pod
		number int
	}
	lowest, highest := map[string]numbered{}, map[string]numbered{} // of those that are to go, and of those that are to stay
	for _, p := range pods {
		workload, n, is := ordinal(p)
		if !is || p.DeletionTimestamp != nil {
			continue
		}
		if low, known := lowest[workload]; over[p] && (!known || n < low.number) {
			lowest[workload] = numbered{p, n}
		}
		if high, known := highest[workload]; !over[p] && (!known || n > high.number) {
			highest[workload] = numbered{p, n}
		}
	}
	var words []string
	for workload, low := range lowest {
		if high, any := highest[workload]; any && high.number > low.number {
			words = append(words, fmt.Sprintf("%s removes %s before %s", workload, high.pod.Name, low.pod.Name))
		}
	}
	slices.Sort(words)
	return words
}
