package control

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// A server whose pods differ only in the limits they were started with teaches about its accelerator; one on two accelerators is a mixture.
func TestWhoTeaches(t *testing.T) {
	part := func(accelerator string, ready, batch int) v1alpha1.ObservedPart {
		return v1alpha1.ObservedPart{Accelerator: accelerator, Ready: ready, MaxBatchSize: batch}
	}
	for _, c := range []struct {
		name    string
		parts   []v1alpha1.ObservedPart
		teaches bool
	}{
		{"nothing ready", []v1alpha1.ObservedPart{{Accelerator: "A", Starting: 2}}, false},
		{"one accelerator", []v1alpha1.ObservedPart{part("A", 2, 8)}, true},
		{"one accelerator, several limits", []v1alpha1.ObservedPart{part("A", 2, 8), part("A", 1, 16)}, true},
		{"others only start", []v1alpha1.ObservedPart{part("A", 2, 8), part("B", 0, 8)}, true},
		{"two accelerators", []v1alpha1.ObservedPart{part("A", 2, 8), part("B", 1, 8)}, false},
	} {
		s := v1alpha1.System{Servers: v1alpha1.ServerData{Spec: []v1alpha1.ServerEntry{{
			Name: "s", Model: "m", Observation: &v1alpha1.Observation{Parts: c.parts},
			CurrentAlloc: &v1alpha1.Allocation{Accelerator: "A", NumReplicas: 3, ITLAverage: 20, Load: &v1alpha1.Load{ArrivalRate: 60, AvgInTokens: 1, AvgOutTokens: 1}},
		}}}}
		if got := len(observations(&Snapshot{System: s})[[2]string{"m", "A"}]) == 1; got != c.teaches {
			t.Errorf("%s: teaches %t, want %t", c.name, got, c.teaches)
		}
	}
}
