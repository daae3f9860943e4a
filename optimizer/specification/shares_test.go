package specification_test

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Namespaces are of shares by name or by label, of one each, and all that is wrong with shares is said at once.
func TestSharesOfNamespaces(t *testing.T) {
	cards := func(kind string, n int) []jsonspec.ShareCards {
		return []jsonspec.ShareCards{{Type: kind, Guaranteed: n}}
	}
	r := specification.Resources{
		Optimizer: &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{Shares: []v1alpha1.Share{
			{Name: "a", Cards: cards("H100", 6), Namespaces: []string{"a"}, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}},
			{Name: "b", Cards: cards("H100", 5), Namespaces: []string{"b", "both"}, NamespaceSelector: &metav1.LabelSelector{}},
		}}},
		Namespaces: map[string]map[string]string{"a": nil, "also": {"team": "a"}, "b": nil, "both": {"team": "a"}, "none": nil},
		Shares:     []v1alpha1.Share{{Name: "queue", Cards: cards("abacus", 1), Namespaces: []string{"none"}}},
		Cohorts:    []jsonspec.Cohort{{Name: "all", Shares: []string{"a", "b", "nobody"}, Cards: []jsonspec.CohortCards{{Type: "H100", Most: 10}, {Type: "slide rule"}}}},
	}
	for namespace := range r.Namespaces {
		r.Servers = append(r.Servers, v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: namespace}})
	}
	s, _ := specification.FromResources(r)
	want := map[string]string{"a/s": "a", "also/s": "a", "b/s": "b", "both/s": "a", "none/s": "queue"}
	for _, e := range s.Servers.Spec {
		if e.Share != want[e.Name] {
			t.Errorf("%s is of share %q, want %q", e.Name, e.Share, want[e.Name])
		}
	}
	faults := strings.Join(specification.ShareFaults(&r, map[string]int{"H100": 8}), "\n")
	for _, want := range []string{
		`spec.cohorts[all].shares: "nobody" is not the name of a share`, "spec.cohorts[all].cards[H100].most: 10 is below the 11 that its shares are guaranteed",
		"spec.cohorts[all].cards[slide rule]: no accelerator is of this type, known are H100",
		"spec.shares[b].namespaceSelector: empty is not allowed", "spec.shares[queue].cards[abacus]: no accelerator is of this type, known are H100",
		"spec.shares[*].cards[H100].guaranteed: 11 in all is above the 8 that there are", "namespace both is of a and b, one is allowed; it counts for a",
	} {
		if !strings.Contains(faults, want) {
			t.Errorf("nothing says %q:\n%s", want, faults)
		}
	}
}

// A cap on power needs the power of what it bounds.
func TestPowerCapsNeedPower(t *testing.T) {
	watts := v1alpha1.DecimalOf(2000)
	r := specification.Resources{
		Accelerators: []v1alpha1.Accelerator{{ObjectMeta: metav1.ObjectMeta{Name: "H100"}, Spec: v1alpha1.AcceleratorSpec{Power: &v1alpha1.Power{}}}, {ObjectMeta: metav1.ObjectMeta{Name: "L4"}}},
		Optimizer:    &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{Shares: []v1alpha1.Share{{Name: "a", PowerCap: &watts}, {Name: "b"}}}},
	}
	faults := specification.ShareFaults(&r, nil)
	if want := []string{"spec.shares[a].powerCap: Accelerator L4 has no spec.power; nothing of the share is put on it"}; !slices.Equal(faults, want) {
		t.Errorf("%q, want %q", faults, want)
	}
	s, _ := specification.FromResources(r)
	if got := s.Optimizer.Spec.Shares[0].PowerCap; got == nil || *got != 2000 {
		t.Errorf("the cap is %v, want 2000", got)
	}
	system := jsonspec.System{
		Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "A"}, {Name: "B"}, {Name: "C"}}},
		Models:       jsonspec.ModelData{Spec: []jsonspec.PerformanceEntry{{Name: "m", Performance: jsonspec.Performance{Acc: "A"}}, {Name: "m", Performance: jsonspec.Performance{Acc: "B"}}, {Name: "other", Performance: jsonspec.Performance{Acc: "C"}}}},
		Servers:      jsonspec.ServerData{Spec: []jsonspec.ServerEntry{{Name: "s", Model: "m", Share: "a"}}},
	}
	system.Accelerators.Spec[0].Power.Full = 300
	least := -1.0
	system.Optimizer.Spec.Shares = []jsonspec.ShareBounds{{Name: "a", PowerCap: &least}}
	_, err := specification.Validate(&system)
	for _, want := range []string{"optimizer.shares[a].powerCap: -1 is not allowed", "optimizer.shares[a].powerCap: accelerators[B].power.full is 0, must be above 0"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q: %v", want, err)
		}
	}
	if err != nil && (strings.Contains(err.Error(), "accelerators[A].power.full") || strings.Contains(err.Error(), "accelerators[C].power.full")) {
		t.Errorf("accelerators that have a power, or that no server of the share can use, are faults: %v", err)
	}
}
