package control

import (
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Difference is what changes from one plan to another, where changes say what was asked differently.
func Difference(changes []string, before, after *jsonspec.Solution) *jsonspec.PlanDifference {
	d := &jsonspec.PlanDifference{
		Changes: changes, TotalCost: after.TotalCost, CostChange: after.TotalCost - before.TotalCost, Solver: after.Solver,
		Served: without(before.Unserved, after.Unserved), Lost: without(after.Unserved, before.Unserved), Changed: []jsonspec.AllocationChange{},
	}
	all := maps.Clone(before.Allocations)
	maps.Copy(all, after.Allocations)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, had := before.Allocations[name]
		now, has := after.Allocations[name]
		if had && has && sameAllocation(&old, &now) {
			continue
		}
		c := jsonspec.AllocationChange{Server: name}
		if had {
			c.Before = &old
		}
		if has {
			c.After = &now
		}
		d.Changed = append(d.Changed, c)
	}
	return d
}

// without lists the servers of a that are not in b, in the order of a.
func without(a, b []jsonspec.Unserved) []string {
	in := make(map[string]bool, len(b))
	for _, u := range b {
		in[u.Server] = true
	}
	rest := []string{}
	for _, u := range a {
		if !in[u.Server] {
			rest = append(rest, u.Server)
		}
	}
	return rest
}

// sameAllocation says whether two allocations ask for the same pods; what they cost and are predicted to do may differ.
func sameAllocation(a, b *jsonspec.Allocation) bool {
	return a.Accelerator == b.Accelerator && a.NumReplicas == b.NumReplicas && a.MaxBatch == b.MaxBatch && a.MaxBatchedTokens == b.MaxBatchedTokens &&
		a.BestEffort == b.BestEffort && slices.EqualFunc(a.Parts, b.Parts, func(x, y jsonspec.AllocationPart) bool {
		x.Share, y.Share, x.Ahead, y.Ahead = 0, 0, 0, 0
		return x == y
	})
}
