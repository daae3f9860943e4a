package specification_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// A model of which nothing is given may run on every accelerator, on the cards that it needs; what is given stays as it is.
func TestAssume(t *testing.T) {
	s := &v1alpha1.System{
		Accelerators: v1alpha1.AcceleratorData{Spec: []v1alpha1.AcceleratorEntry{{Name: "H100"}, {Name: "abacus"}}},
		Models: v1alpha1.ModelData{
			Spec: []v1alpha1.PerformanceEntry{{Name: "z", Performance: v1alpha1.Performance{Acc: "H100", AccCount: 3}}},
			Info: []v1alpha1.ModelInfo{{Name: "big", ModelProperties: v1alpha1.ModelProperties{ServedName: "meta-llama/Llama-3.1-70B-Instruct"}}, {Name: "z"}},
		},
	}
	specification.Assume(s, fitting.BuiltIn())
	want := []v1alpha1.PerformanceEntry{
		{Name: "big", Performance: v1alpha1.Performance{Acc: "H100", AccCount: 2}},
		{Name: "big", Performance: v1alpha1.Performance{Acc: "abacus", AccCount: 1}},
		{Name: "z", Performance: v1alpha1.Performance{Acc: "H100", AccCount: 3}},
	}
	if d := cmp.Diff(want, s.Models.Spec); d != "" {
		t.Error(d)
	}
}
