package realise

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Roles come together, and decodes go after prefills.
func TestRolesChangeInOrder(t *testing.T) {
	apart := func(prefills, decodes int) []jsonspec.AllocationPart {
		return []jsonspec.AllocationPart{
			{Accelerator: "T", Variant: "p", Role: jsonspec.RolePrefill, Replicas: prefills}, {Accelerator: "T", Variant: "d", Role: jsonspec.RoleDecode, Replicas: decodes},
		}
	}
	pods := func(variant string, ready, starting int) jsonspec.ObservedPart {
		return jsonspec.ObservedPart{Accelerator: "T", Variant: variant, Ready: ready, Starting: starting}
	}
	for _, tt := range []struct {
		name    string
		plan    []jsonspec.AllocationPart
		current []jsonspec.ObservedPart
		now     []int // by part
	}{
		{"from nothing both at once", apart(2, 4), nil, []int{2, 4}},
		{"at rest", apart(2, 4), []jsonspec.ObservedPart{pods("p", 2, 0), pods("d", 4, 0)}, []int{2, 4}},
		{"more of both, at once", apart(4, 8), []jsonspec.ObservedPart{pods("p", 2, 0), pods("d", 4, 0)}, []int{4, 8}},
		{"fewer of both: prefills first", apart(1, 2), []jsonspec.ObservedPart{pods("p", 2, 0), pods("d", 4, 0)}, []int{1, 4}},
		{"then decodes", apart(1, 2), []jsonspec.ObservedPart{pods("p", 1, 0), pods("d", 4, 0)}, []int{1, 2}},
		{"fewer decodes alone", apart(2, 2), []jsonspec.ObservedPart{pods("p", 2, 0), pods("d", 4, 0)}, []int{2, 2}},
		{"fewer prefills, more decodes", apart(1, 5), []jsonspec.ObservedPart{pods("p", 2, 0), pods("d", 4, 0)}, []int{2, 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			surge, _ := roomy(9).surges("s", tt.plan, tt.current)
			inOrder(tt.plan, tt.current, surge)
			parts, _ := withSurge(tt.plan, surge, tt.current)
			var now []int
			for i := range parts {
				now = append(now, parts[i].Now())
			}
			if diff := cmp.Diff(tt.now, now); diff != "" {
				t.Errorf("of %+v: %s", parts, diff)
			}
		})
	}
}

// What is left is kept by what it ran, until all of what is planned is ready.
func TestRolesAreASurgeOfTheirOwn(t *testing.T) {
	plan := []jsonspec.AllocationPart{{Accelerator: "T", Replicas: 3}}
	current := []jsonspec.ObservedPart{{Accelerator: "T", Ready: 1, Starting: 2}, {Accelerator: "T", Variant: "p", Ready: 2}, {Accelerator: "T", Variant: "d", Ready: 4}}
	got, total := surged(roomy(9), plan, current)
	want := []jsonspec.AllocationPart{{Accelerator: "T", Replicas: 3}, {Accelerator: "T", Variant: "d", Surge: 4}, {Accelerator: "T", Variant: "p", Surge: 2}}
	if diff := cmp.Diff(want, got); diff != "" || total != 6 {
		t.Errorf("%d: %s", total, diff)
	}
}
