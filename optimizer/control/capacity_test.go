package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// nodesOf are so many nodes of a type with so many free cards each.
func nodesOf(kind string, nodes, free int) []jsonspec.NodeCapacity {
	var list []jsonspec.NodeCapacity
	for i := range nodes {
		list = append(list, jsonspec.NodeCapacity{Name: fmt.Sprintf("%s-%d", strings.ToLower(kind), i), Type: kind, Free: free})
	}
	return list
}

// placed checks that the placement fits on the nodes and on what is bought, and that it holds all that the plan gives on types with nodes.
func placed(t *testing.T, s *jsonspec.System, d *decided) {
	t.Helper()
	left, onNodes := map[[2]string]int{}, map[string]bool{}
	for _, n := range s.Capacity.Nodes {
		left[[2]string{n.Name, n.Type}] = n.Free
		onNodes[n.Type] = true
	}
	for _, b := range d.Plan.Bought {
		for k := range b.Count {
			left[[2]string{fmt.Sprintf("%s/%d", b.Pool, k), b.Type}] = b.Cards / b.Count
		}
	}
	cards := map[string]int{}
	for _, p := range d.Plan.Placement {
		key := [2]string{p.Node, p.Type}
		if _, known := left[key]; !known {
			t.Errorf("placed on an unknown node: %+v", p)
		}
		if left[key] -= p.Replicas * p.CardsPerReplica; left[key] < 0 {
			t.Errorf("node %s holds %d cards too many", p.Node, -left[key])
		}
		cards[p.Type] += p.Replicas * p.CardsPerReplica
	}
	for _, c := range d.Candidates {
		a, planned := d.Plan.Allocations[c.Server]
		if planned && len(a.Parts) == 0 && a.Accelerator == c.Accelerator && len(c.Parts) == 0 && onNodes[c.Type] && !strings.HasPrefix(a.Reason, "held: ") {
			cards[c.Type] -= a.NumReplicas * c.Units / c.NumReplicas
		}
	}
	for kind, n := range cards {
		if n != 0 && onNodes[kind] {
			t.Errorf("%s: placement and plan differ by %d cards", kind, n)
		}
	}
}

// What is left on nodes that hold no replica is no capacity; the count of a type with nodes does not matter.
func TestFragmentsAreNotCapacity(t *testing.T) {
	ask := func(free int) *decided {
		// llama_70b takes four cards of A100 a replica.
		s := load(t, "small")
		s.Servers.Spec = slices.DeleteFunc(s.Servers.Spec, func(e jsonspec.ServerEntry) bool { return e.Name != "Premium-llama_70b" })
		s.Capacity = jsonspec.CapacityData{Count: []jsonspec.AcceleratorCount{{Type: "A100", Count: 1000}}, Nodes: nodesOf("A100", 40, free)}
		d := decide(t, s, control.State{})
		placed(t, s, d)
		return d
	}
	if d := ask(4); len(d.Plan.Unserved) > 0 || len(d.Plan.Placement) == 0 {
		t.Errorf("40 nodes of 4: %+v", d.Plan)
	}
	d := ask(3)
	if len(d.Plan.Allocations) > 0 || len(d.Plan.Unserved) != 1 || !strings.Contains(d.Plan.Unserved[0].Reason, "on nodes with too few each") {
		t.Errorf("40 nodes of 3: %+v", d.Plan)
	}
	for _, c := range explain(t, d.core, "Premium-llama_70b").Candidates {
		if c.Feasible && c.Lacks["A100"] < c.Cards["A100"] && c.Cards["A100"] > 0 {
			t.Errorf("%s lacks %v of %v, though no node holds a replica", c.Accelerator, c.Lacks, c.Cards)
		}
	}
}

func TestPlacementOnMixedNodes(t *testing.T) {
	for _, size := range []int{1, 3, 4, 8} {
		for _, heterogeneous := range []bool{false, true} {
			s := load(t, "small")
			s.Optimizer.Spec.Heterogeneous = heterogeneous
			s.Capacity.Nodes = append(nodesOf("A100", 200/size, size), nodesOf("G2", 150/size, size)...)
			// A node with two types counts for each.
			s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: "both", Type: "A100", Free: 8}, jsonspec.NodeCapacity{Name: "both", Type: "G2", Free: 8})
			d := decide(t, s, control.State{})
			if !heterogeneous {
				placed(t, s, d)
			}
			if len(d.Plan.Placement) == 0 {
				t.Errorf("nodes of %d: nothing is placed", size)
			}
		}
	}
}

// What a held plan uses is reserved on nodes.
func TestHeldPlansKeepTheirNodes(t *testing.T) {
	s := load(t, "small")
	s.Servers.Spec = s.Servers.Spec[:2]
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	s.Servers.Spec[1].CurrentAlloc = nil
	s.Servers.Spec[1].DesiredAlloc = &jsonspec.Allocation{Accelerator: "4xA100", NumReplicas: 2, Cost: 320}
	s.Capacity = jsonspec.CapacityData{Nodes: append(nodesOf("A100", 2, 4), jsonspec.NodeCapacity{Name: "z", Type: "A100", Free: 1})}
	d := decide(t, s, control.State{})
	placed(t, s, d)
	if a, ok := d.Plan.Allocations[s.Servers.Spec[0].Name]; ok && a.NumReplicas > 1 {
		t.Errorf("%+v uses cards that the held plan has", a)
	}
}

// Cards are bought where they serve, not from pools that take too long, and cost what they cost.
func TestElasticCapacity(t *testing.T) {
	s := one(t, func(s *jsonspec.System, _ *jsonspec.ServerEntry) {
		s.Capacity = jsonspec.CapacityData{Elastic: []jsonspec.ElasticCapacity{
			{Name: "fast", Type: "A100", Cards: 2, Limit: 5, Price: 7, DelaySeconds: 60},
			{Name: "slow", Type: "G2", Cards: 2, Limit: 5, Price: 1, DelaySeconds: 3600},
		}}
	})
	server := s.Servers.Spec[0].Name
	d := decide(t, s, control.State{})
	// Three replicas of one G2 each: two purchases.
	want := []jsonspec.Purchase{{Pool: "slow", Type: "G2", Count: 2, Cards: 4, Cost: 2, DelaySeconds: 3600}}
	if diff := cmp.Diff(want, d.Plan.Bought, cmpopts.IgnoreFields(jsonspec.Purchase{}, "Since", "Deadline")); diff != "" {
		t.Error(diff)
	}
	if a := d.Plan.Allocations[server]; d.Plan.TotalCost != a.Cost+2 {
		t.Errorf("total cost %v of %+v and purchases for 2", d.Plan.TotalCost, a)
	}
	s.Optimizer.Spec.MaxDelaySeconds = 600
	if d := decide(t, s, control.State{}); len(d.Plan.Bought) != 1 || d.Plan.Bought[0].Pool != "fast" || d.Plan.Allocations[server].Accelerator != "A100" {
		t.Errorf("within ten minutes: %+v", d.Plan)
	}
	s.Optimizer.Spec.MaxDelaySeconds = 30
	if d := decide(t, s, control.State{}); len(d.Plan.Bought) != 0 || d.Verdicts[server].Reason != v1alpha1.ReasonNoCapacity {
		t.Errorf("within half a minute: %+v", d.Plan)
	}
	// Bought nodes hold whole replicas.
	s.Optimizer.Spec.MaxDelaySeconds = 0
	s.Capacity.Nodes = nodesOf("G2", 1, 1)
	d = decide(t, s, control.State{})
	placed(t, s, d)
	if len(d.Plan.Bought) != 1 || d.Plan.Bought[0].Count != 1 || len(d.Plan.Placement) < 2 {
		t.Errorf("one card there, two to buy: %+v", d.Plan)
	}
	explain(t, d.core, server)
}
