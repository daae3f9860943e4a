package control_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

func TestDifference(t *testing.T) {
	on := func(accelerator string, n int, cost float64) jsonspec.Allocation {
		return jsonspec.Allocation{Accelerator: accelerator, NumReplicas: n, Cost: cost}
	}
	before := &jsonspec.Solution{
		TotalCost:   30,
		Allocations: map[string]jsonspec.Allocation{"gone": on("A", 1, 10), "moved": on("A", 1, 10), "same": on("A", 1, 10)},
		Unserved:    []jsonspec.Unserved{{Server: "new"}, {Server: "never"}},
	}
	after := &jsonspec.Solution{
		TotalCost:   45,
		Allocations: map[string]jsonspec.Allocation{"moved": on("B", 2, 20), "new": on("A", 1, 10), "same": on("A", 1, 15)},
		Unserved:    []jsonspec.Unserved{{Server: "gone"}, {Server: "never"}},
	}
	a, b, c, d := on("A", 1, 10), on("A", 1, 10), on("B", 2, 20), on("A", 1, 10)
	want := &jsonspec.PlanDifference{
		Changes: []string{"x"}, TotalCost: 45, CostChange: 15, Served: []string{"new"}, Lost: []string{"gone"},
		Changed: []jsonspec.AllocationChange{{Server: "gone", Before: &a}, {Server: "moved", Before: &b, After: &c}, {Server: "new", After: &d}},
	}
	if diff := cmp.Diff(want, control.Difference([]string{"x"}, before, after)); diff != "" {
		t.Error(diff)
	}
	if same := control.Difference(nil, before, before); len(same.Changed)+len(same.Served)+len(same.Lost) != 0 || same.CostChange != 0 {
		t.Errorf("a plan differs from itself: %+v", same)
	}
}
