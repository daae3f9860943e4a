package control

import (
	"cmp"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

const (
	// rememberedStarts are those that a mean is over: a newer image or a colder cache is known after as many.
	//
	// Tuned: starts; guard against a mean that nothing moves any more
	rememberedStarts = 16
	// priorStarts is how many starts of a pair the starts of others are worth.
	//
	// Tuned: starts; guard against a pair that one odd start is believed of
	priorStarts = 1
	// oddStart is how many times the mean a start is taken for at most: a pod that waited for a node, or was not ready for a while, says little.
	//
	// Tuned: 1; guard against pods that waited for something else
	oddStart = 2
)

// withStarts takes the starts into what is remembered of a pair that it has not seen yet; it changes nothing that others hold.
func withStarts(learned *v1alpha1.PairMemory, acc string, starts []fleet.Start) *v1alpha1.PairMemory {
	var m v1alpha1.StartUpMemory
	if learned != nil && learned.StartUp != nil {
		m = *learned.StartUp
	}
	last, before := m.ReadyAt.Unix(), m.Count
	for _, s := range starts {
		if m.Count > 0 && int64(s.ReadyAt) <= last {
			continue
		}
		taken := s.Taken
		if m.Count > 0 {
			taken = min(taken, oddStart*m.Seconds)
		}
		m.Count++
		m.Seconds += (taken - m.Seconds) / float64(m.Count)
		m.Count = min(m.Count, rememberedStarts)
		if at := metav1.NewTime(time.Unix(int64(s.ReadyAt), 0)); m.ReadyAt.Before(&at) {
			m.ReadyAt = at
		}
	}
	if m.Count == before && m.ReadyAt.Unix() == last {
		return learned
	}
	next := &v1alpha1.PairMemory{Acc: acc}
	if learned != nil {
		next = learned.DeepCopy()
	}
	next.StartUp = &m
	return next
}

// starting is how long replicas take to start, in seconds: what is said for all, or what each pair showed, drawn towards what others of its namespace
// did, or, where there are none, all of the cluster.
type starting struct {
	// said says that all is what was said for all.
	said bool
	all  float64
	// of namespaces, over all that they run.
	namespaces map[string]v1alpha1.StartUpMemory
}

func startingOf(snap *fleet.Snapshot, learned map[string]map[string]*v1alpha1.PairMemory) starting {
	c := snap.Policy.Change
	s := starting{said: c != nil && c.StartupSeconds > 0, all: snap.StartUp, namespaces: map[string]v1alpha1.StartUpMemory{}}
	for _, model := range slices.Sorted(maps.Keys(learned)) {
		for _, key := range slices.Sorted(maps.Keys(learned[model])) {
			if p := learned[model][key]; p.StartUp != nil && p.StartUp.Count > 0 {
				m := s.namespaces[p.Namespace]
				m.Count += p.StartUp.Count
				m.Seconds += (p.StartUp.Seconds - m.Seconds) * float64(p.StartUp.Count) / float64(m.Count)
				s.namespaces[p.Namespace] = m
			}
		}
	}
	return s
}

// of a pair; 0 where nothing tells.
func (s *starting) of(namespace string, learned *v1alpha1.PairMemory) float64 {
	prior := cmp.Or(s.namespaces[namespace].Seconds, s.all)
	switch {
	case s.said:
		return s.all
	case learned == nil || learned.StartUp == nil || learned.StartUp.Count == 0:
		return prior
	case prior == 0:
		return learned.StartUp.Seconds
	}
	n := float64(learned.StartUp.Count)
	return prior + (learned.StartUp.Seconds-prior)*n/(n+priorStarts)
}

// startUp of a server, in seconds: the longest of what is in force, or, where nothing is, of what it may start on; 0 where nothing tells.
func (q *question) startUp() float64 {
	longest, there := 0.0, 0.0
	inForce := q.InForce()
	for _, p := range q.pairs {
		longest = max(longest, p.StartUp)
		if inForce[p.Accelerator.Name] > 0 {
			there = max(there, p.StartUp)
		}
	}
	return cmp.Or(there, longest)
}
