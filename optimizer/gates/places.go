package gates

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// lookAgain is when gates are looked at again that wait for room in a domain.
//
// Tuned: s; guard against replicas that wait for long beside nodes that others left, of which no event tells
const lookAgain = 10 * time.Second

// places in domains, of what nodes have free and nobody was let go to: see snapshot.
func (r *Reconciler) places(ctx context.Context, kinds *catalogue.Classifier) (func(*corev1.Pod, catalogue.Kind, string) map[string]int, error) {
	var nodes corev1.NodeList
	if err := r.Client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pods: %w", err)
	}
	all := make([]*corev1.Pod, len(pods.Items))
	for i := range pods.Items {
		all[i] = &pods.Items[i]
	}
	r.desks.Range(func(_, kept any) bool {
		all = append(all, kept.(*desk).behind()...)
		return true
	})
	free, promised := freeOf(nodes.Items, all)
	return func(pod *corev1.Pod, kind catalogue.Kind, key string) map[string]int {
		places := map[string]int{}
		for i := range nodes.Items {
			n := &nodes.Items[i]
			if value := n.Labels[key]; value != "" && slices.Contains(kinds.Names(n.Labels), kind.Name) {
				places[value] += placement.Places(pod, n, free[n.Name])
			}
		}
		for _, p := range promised {
			if value := placement.Asks(&p.Spec, key); value != "" {
				places[value]--
			}
		}
		return places
	}, nil
}

// freeOf nodes is what their pods leave, by name; promised are pods that were let go and have no node yet. A pod that is given twice is as it was let go.
func freeOf(nodes []corev1.Node, pods []*corev1.Pod) (free map[string]corev1.ResourceList, promised []*corev1.Pod) {
	free = make(map[string]corev1.ResourceList, len(nodes))
	for i := range nodes {
		free[nodes[i].Name] = nodes[i].Status.Allocatable.DeepCopy()
	}
	latest := make(map[types.UID]*corev1.Pod, len(pods))
	for _, p := range pods {
		if old := latest[p.UID]; old == nil || seats.Gated(old) {
			latest[p.UID] = p
		}
	}
	for _, p := range latest {
		has, known := free[p.Spec.NodeName]
		switch {
		case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed:
		case p.Spec.NodeName == "" && seats.Let(p) && !seats.Leaving(p):
			promised = append(promised, p)
		case known:
			for name, n := range placement.Requests(p) {
				left := has[name]
				left.Sub(n)
				has[name] = left
			}
		}
	}
	return free, promised
}
