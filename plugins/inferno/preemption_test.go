package inferno

import (
	"fmt"
	"maps"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// ranked pods of a server, of a priority.
func ranked(server, revision string, n int, priority int32) []*v1.Pod {
	pods := several(n, revision)
	for i, p := range pods {
		p.Name = fmt.Sprintf("%s-%s-%d", server, revision, i)
		p.UID = types.UID(p.Name)
		p.Labels[v1alpha1.ServerLabel] = server
		p.Spec.Priority = &priority
	}
	return pods
}

// A pod of a class that matters more preempts pods of one that matters less where its plan has a seat for it, and no others; those that ReplicaSets make in
// their place come to the seats that their own plan has elsewhere, or wait for one.
func TestThePreemptedComeBackToASeat(t *testing.T) {
	w := newWorld(t)
	w.addNodes(node("h100-1", "h100", 2), node("a100-1", "a100", 2))
	w.addAccelerators("h100", "a100")
	plan := func(name string, parts ...jsonspec.AllocationPart) {
		s := server(parts...)
		s.Name = name
		w.setServer(s)
	}
	placedOf := func(name string) map[string]int {
		of := map[string]*v1.Pod{}
		for key, p := range w.snapshot() {
			if p.Labels[v1alpha1.ServerLabel] == name {
				of[key] = p
			}
		}
		return placed(of)
	}
	await := func(what, name string, want map[string]int) {
		t.Helper()
		w.await(what, func(map[string]*v1.Pod) bool { return maps.Equal(placedOf(name), want) })
	}
	plan("bulk", part("h100", 2))
	w.addPods(ranked("bulk", "r1", 2, 100)...)
	w.start(secondScheduler)
	await("both of the lower class to be placed", "bulk", map[string]int{"h100": 2})

	// The plan gives one of their cards to the higher class, and them another elsewhere.
	plan("chat", part("h100", 1))
	plan("bulk", part("h100", 1), part("a100", 1))
	w.addPods(ranked("chat", "r1", 2, 1000)...)
	await("one to preempt another, and one beyond its plan to wait", "chat", map[string]int{"h100": 1, "": 1})
	w.addPods(ranked("bulk", "r2", 1, 100)...)
	await("the one that was preempted to be at its other seat", "bulk", map[string]int{"h100": 1, "a100": 1})

	// Without a seat elsewhere it waits, and preempts nobody of its own class.
	plan("bulk", part("a100", 1))
	plan("chat", part("h100", 2))
	await("the other to be preempted", "chat", map[string]int{"h100": 2})
	w.addPods(ranked("bulk", "r3", 1, 100)...)
	await("it to wait", "bulk", map[string]int{"a100": 1, "": 1})
	w.awaitTried()
	plan("bulk", part("a100", 2))
	await("it to be seated", "bulk", map[string]int{"a100": 2})
	await("the higher class to be where it was", "chat", map[string]int{"h100": 2})
}
