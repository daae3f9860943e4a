package loop

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// startUp is how long pods of servers take from their creation until they are ready, in seconds: the median of those that are, or what the
// Optimizer says where it says so; 0 where nothing tells.
func startUp(o *v1alpha1.Optimizer, pods []corev1.Pod) float64 {
	if c := o.Spec.Change; c != nil && c.StartupSeconds > 0 {
		return c.StartupSeconds
	}
	var taken []float64
	for i := range pods {
		p := &pods[i]
		if p.Labels[v1alpha1.ServerLabel] == "" {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				// A pod that was not ready for a while in between says nothing about starting.
				if s := c.LastTransitionTime.Sub(p.CreationTimestamp.Time).Seconds(); s >= 0 && s <= longestStartUp {
					taken = append(taken, s)
				}
			}
		}
	}
	if len(taken) == 0 {
		return 0
	}
	slices.Sort(taken)
	return taken[(len(taken)-1)/2]
}

// longestStartUp that is believed, in seconds.
const longestStartUp = 3600
