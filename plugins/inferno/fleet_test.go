package inferno

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

func TestFleet(t *testing.T) {
	f := newFleet()
	h100 := map[string]seats.Option{"h100": {}}
	both := map[string]seats.Option{"h100": {}, "a100": {}}
	carrying := func(options map[string]seats.Option, limit int) []string {
		names, few := f.carrying(options, limit)
		if !few {
			return []string{"too many"}
		}
		return sets.List(names)
	}
	f.setNode(node("h100-1", "h100", 8))
	if f.carried("h100") {
		t.Error("a node carries an accelerator that nobody describes")
	}
	f.setAccelerators([]*v1alpha1.Accelerator{accelerator("h100", "", 1), accelerator("a100", "", 1)})
	if !f.carried("h100") || f.carried("a100") {
		t.Error("nodes are not classified anew when accelerators change")
	}
	if !f.setNode(node("a100-1", "a100", 8)) || f.setNode(node("a100-1", "a100", 4)) {
		t.Error("a node's change is reported if and only if it carries something else")
	}
	f.setNode(node("h100-2", "h100", 8))
	before, _ := f.carrying(h100, 9)
	if diff := cmp.Diff([]string{"h100-1", "h100-2"}, sets.List(before)); diff != "" {
		t.Errorf("carrying h100 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a100-1", "h100-1", "h100-2"}, carrying(both, 3)); diff != "" {
		t.Errorf("carrying both (-want +got):\n%s", diff)
	}
	if got := carrying(both, 2); got[0] != "too many" {
		t.Errorf("more than the limit, but got %v", got)
	}
	f.setNode(node("h100-1", "", 8))
	f.deleteNode("h100-2")
	f.deleteNode("h100-2")
	f.deleteNode("never-seen")
	if before.Len() != 2 {
		t.Error("a set that was handed out changed")
	}
	if got := carrying(h100, 9); len(got) > 0 || f.carried("h100") {
		t.Errorf("still carrying h100: %v", got)
	}
}
