package solver_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
)

// What is there is given in the ratio of the roles, whatever the policy: never one role alone, and never more of one where there is less of the other.
func TestScarcityKeepsTheRatio(t *testing.T) {
	roles := solver.Candidate{ID: "P+D", Ratio: true, Cost: 22, Value: 22, Parts: []solver.Part{
		{Accelerator: "A/prefill", Type: "A", Replicas: 10, UnitsPerReplica: 1, Cost: 2}, {Accelerator: "A/decode", Type: "A", Replicas: 1, UnitsPerReplica: 8, Cost: 2}}}
	for _, policy := range []string{jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationPriorityRoundRobin, jsonspec.SaturationRoundRobin} {
		for cards := range 20 {
			p := &solver.Problem{Capacity: map[string]int{"A": cards}, SaturationPolicy: policy, Servers: []solver.Server{{Name: "s", Priority: 1, Candidates: []solver.Candidate{roles}}}}
			s, err := exact(t).Solve(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := conformance.Check(p, s); err != nil {
				t.Fatal(err)
			}
			want := 0
			if cards >= 9 {
				want = min(1+cards-8, 11)
			}
			if got := s.Choices[0]; got.Replicas != want || got.BestEffort != (want > 0 && want < 11) {
				t.Errorf("%s: %d cards: %+v, want %d replicas", policy, cards, got, want)
			}
		}
	}
}

// A replica of several pods has all of them or is not there, each pod on a node that holds it.
func TestReplicasOfSeveralPods(t *testing.T) {
	node := func(name string, free int) solver.Node { return solver.Node{Name: name, Type: "A", Free: free} }
	big := solver.Candidate{ID: "A", Cost: 8, Value: 8, Parts: []solver.Part{{Accelerator: "A", Type: "A", Replicas: 2, UnitsPerReplica: 16, Pods: 2}}}
	for _, tt := range []struct {
		name  string
		nodes []solver.Node
		want  int
	}{
		{"four whole nodes", []solver.Node{node("a", 8), node("b", 8), node("c", 8), node("d", 8)}, 2},
		{"a node is missing", []solver.Node{node("a", 8), node("b", 8), node("c", 8), node("d", 7)}, 1},
		{"half a replica", []solver.Node{node("a", 8), node("b", 7), node("c", 7)}, 0},
		{"enough cards, on no whole node", []solver.Node{node("a", 7), node("b", 7), node("c", 7), node("d", 7), node("e", 7)}, 0},
		{"two pods on a node", []solver.Node{node("a", 16), node("b", 8), node("c", 8)}, 2},
	} {
		for _, policy := range []string{jsonspec.SaturationPriorityExhaustive, jsonspec.SaturationRoundRobin} {
			p := &solver.Problem{Nodes: tt.nodes, SaturationPolicy: policy, Servers: []solver.Server{{Name: "s", Priority: 1, Candidates: []solver.Candidate{big}}}}
			s, err := exact(t).Solve(context.Background(), p)
			if err != nil {
				t.Fatal(err)
			}
			if err := conformance.Check(p, s); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			pods := 0
			for _, x := range s.Placement {
				pods += x.Replicas
			}
			if got := s.Choices[0]; got.Replicas != tt.want || pods != 2*tt.want {
				t.Errorf("%s, %s: %+v, %d pods placed, want %d replicas", tt.name, policy, got, pods, tt.want)
			}
		}
	}
}

// Bundles that may be had in part, and replicas of several pods, cost little more to plan than single parts: the same bound is proven.
func TestRolesOfAFleetAreProven(t *testing.T) {
	p := instances.FleetOfRoles(1, 300, 6, .6, true)
	s, err := exact(t).Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := conformance.Check(p, s); err != nil {
		t.Fatal(err)
	}
	if math.IsNaN(s.Gap) || s.Gap > 1e-3 {
		t.Errorf("gap %v", s.Gap)
	}
}

// BenchmarkRoles is the time that a fleet takes whose servers choose among bundles of roles, as a multiple of that of one of as many ways of single parts.
func BenchmarkRoles(b *testing.B) {
	apart, single := instances.FleetOfRoles(1, 5000, 6, .6, true), instances.FleetOfRoles(1, 5000, 6, .6, false)
	var took [2]time.Duration
	for b.Loop() {
		for i, p := range []*solver.Problem{apart, single} {
			start := time.Now()
			s := run(b, "auto", "", p)
			took[i] += time.Since(start)
			b.ReportMetric(s.Gap, []string{"gap", "gap-single"}[i])
		}
	}
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "x-single")
	b.ReportMetric(took[0].Seconds()/float64(b.N), "s-roles")
}
