// Package placement says what pods hold: which accelerator, how many of its cards. The observer of the cluster, the scheduler plugin and the
// doctor ask here, so that what is counted, what is placed and what is checked are the same.
package placement

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// Requests of a pod as the scheduler counts them, init containers and overhead included.
func Requests(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// Cards of a kind that are requested. A pod that holds its cards by a claim of dynamic resource allocation requests none.
func Cards(requests corev1.ResourceList, kind catalogue.Kind) int {
	q := requests[corev1.ResourceName(kind.ResourceName)]
	return int(q.Value())
}

// Fits tells whether requests make up whole accelerators of a kind. Those that name no accelerator's resource at all (a claim of dynamic resource
// allocation, a test) fit every kind.
func Fits(kinds *catalogue.Classifier, requests corev1.ResourceList, kind catalogue.Kind) bool {
	if n := Cards(requests, kind); n > 0 {
		return n%kind.Multiplicity == 0
	}
	return !slices.ContainsFunc(kinds.Kinds(), func(other catalogue.Kind) bool { return Cards(requests, other) > 0 })
}

// Holds is the accelerator that a pod takes on a node which carries the given ones: the one that it is annotated with, unless the node carries
// only others; else, of those that the node carries, the one that its requests make up, the most cards at once first, then by name; else the
// node's first. False where the node carries none that is known and no annotation tells.
func Holds(kinds *catalogue.Classifier, carried []string, pod *corev1.Pod) (catalogue.Kind, bool) {
	told := pod.Annotations[v1alpha1.AcceleratorAnnotation]
	kind, known := kinds.Kind(told)
	switch {
	case known && (len(carried) == 0 || slices.Contains(carried, kind.Name)):
		return kind, true
	case len(carried) == 0:
		return catalogue.Kind{Name: told, Alias: told}, told != ""
	}
	on := make([]catalogue.Kind, len(carried))
	for i, name := range carried {
		on[i], _ = kinds.Kind(name)
	}
	if len(on) == 1 {
		return on[0], true
	}
	requests := Requests(pod)
	fit := slices.DeleteFunc(slices.Clone(on), func(k catalogue.Kind) bool { return !Fits(kinds, requests, k) })
	if len(fit) == 0 {
		return on[0], true
	}
	return slices.MinFunc(fit, LargestFirst), true
}

// LargestFirst orders kinds by the cards that one takes at once, the most first, then by name.
func LargestFirst(a, b catalogue.Kind) int {
	return cmp.Or(cmp.Compare(b.Multiplicity, a.Multiplicity), strings.Compare(a.Name, b.Name))
}
