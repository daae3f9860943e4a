package observe

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Sightings remember where the pods of servers were last seen.
type Sightings map[types.NamespacedName]sighting

type sighting struct {
	of Workload
	at time.Time
}

// Departed notes which pods there are, and returns those, with what made them, that were there less than a window ago and are no more, or go.
func (s *Sightings) Departed(r *Readings) map[types.NamespacedName]Workload {
	if *s == nil {
		*s = Sightings{}
	}
	for i := range r.Pods {
		p := &r.Pods[i]
		if server, named := serverOf(p); named && p.DeletionTimestamp == nil {
			(*s)[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = sighting{Workload{server, placement.VariantOf(p)}, r.Now}
		}
	}
	gone := map[types.NamespacedName]Workload{}
	for pod, seen := range *s {
		switch {
		case r.Now.Sub(seen.at) > r.Window:
			delete(*s, pod)
		case seen.at.Before(r.Now):
			gone[pod] = seen.of
		}
	}
	return gone
}

// StartUp is how long pods of servers take from their creation until they are ready, in seconds: the median of those that are, or what the
// Optimizer says where it says so; 0 where nothing tells.
func StartUp(o *v1alpha1.Optimizer, pods []corev1.Pod) float64 {
	if c := o.Spec.Change; c != nil && specification.InSeconds(c.StartupTime) > 0 {
		return c.StartupTime.Seconds()
	}
	var taken []float64
	for i := range pods {
		p := &pods[i]
		if s, known := startUpOf(p); known && p.Labels[v1alpha1.ServerLabel] != "" {
			taken = append(taken, s)
		}
	}
	if len(taken) == 0 {
		return 0
	}
	slices.Sort(taken)
	return taken[(len(taken)-1)/2]
}

// startUpOf a pod that is ready, in seconds. One that was not ready for a while in between says nothing about starting.
func startUpOf(p *corev1.Pod) (float64, bool) {
	since, ready := readySince(p)
	s := since.Sub(p.CreationTimestamp.Time).Seconds()
	return s, ready && s >= 0 && s <= longestStartUp
}

// startsKept is for how long the start of a pod is told of: a cycle that fails loses none.
// Tuned: time; guard against a reading that grows with every pod
const startsKept = 15 * time.Minute

// starts of the pods of a server that became ready of late, in the order of accelerators, then times.
func (r *Readings) starts(v *view, pods []*corev1.Pod) []jsonspec.ObservedStart {
	var list []jsonspec.ObservedStart
	for _, p := range pods {
		since, _ := readySince(p)
		taken, known := startUpOf(p)
		if accelerator := v.accelerator(p); known && accelerator != "" && r.Now.Sub(since) <= startsKept {
			list = append(list, jsonspec.ObservedStart{Accelerator: accelerator, Variant: v.variant(p), ReadyAt: metav1.NewTime(since), Seconds: taken})
		}
	}
	slices.SortFunc(list, func(a, b jsonspec.ObservedStart) int {
		return cmp.Or(strings.Compare(a.Accelerator, b.Accelerator), strings.Compare(a.Variant, b.Variant), a.ReadyAt.Compare(b.ReadyAt.Time), cmp.Compare(a.Seconds, b.Seconds))
	})
	return list
}

// longestStartUp that is believed, in seconds.
//
// Tuned: s; guard against pods that waited for something else
const longestStartUp = 3600
