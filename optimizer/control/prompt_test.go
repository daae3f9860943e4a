package control

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Prompts of another kind are sized for at once, and chance is not taken for them.
func TestPromptsOfTheLastWindow(t *testing.T) {
	group := func(tokens, requests, sd float64) v1alpha1.ObservedGroup {
		return v1alpha1.ObservedGroup{Replicas: 1, AdmittedTokens: &tokens, Requests: &requests, InputTokensSD: &sd}
	}
	for _, c := range []struct {
		name   string
		groups []v1alpha1.ObservedGroup
		want   float64
	}{
		{"nothing measured", nil, 600},
		{"the same", []v1alpha1.ObservedGroup{group(620, 400, 600)}, 600},
		{"twice as long", []v1alpha1.ObservedGroup{group(1200, 400, 600)}, 1200},
		{"half as long", []v1alpha1.ObservedGroup{group(300, 400, 600)}, 300},
		{"of all groups, by their requests", []v1alpha1.ObservedGroup{group(900, 300, 600), group(1300, 100, 600)}, 1000},
		{"by chance, so few", []v1alpha1.ObservedGroup{group(1200, 4, 600)}, 600},
		{"certain, but hardly longer", []v1alpha1.ObservedGroup{group(660, 1e6, 600)}, 600},
		{"none admitted", []v1alpha1.ObservedGroup{group(0, 0, 600)}, 600},
	} {
		if got := prompt(600, &v1alpha1.Observation{Groups: c.groups}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := prompt(600, nil); got != 600 {
		t.Errorf("without an observation %v", got)
	}
}
