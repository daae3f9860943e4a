package specification_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// A model of which nothing is given may run on every accelerator, on the cards that it needs; what is given stays as it is.
func TestAssume(t *testing.T) {
	s := &jsonspec.System{
		Accelerators: jsonspec.AcceleratorData{Spec: []jsonspec.AcceleratorEntry{{Name: "H100"}, {Name: "abacus"}}},
		Models: jsonspec.ModelData{
			Spec: []jsonspec.PerformanceEntry{{Name: "z", Performance: jsonspec.Performance{Acc: "H100", AccCount: 3}}},
			Info: []jsonspec.ModelInfo{{Name: "big", ModelProperties: jsonspec.ModelProperties{ServedName: "meta-llama/Llama-3.1-70B-Instruct"}}, {Name: "z"}},
		},
	}
	specification.Assume(s, fitting.BuiltIn())
	want := []jsonspec.PerformanceEntry{
		{Name: "big", Performance: jsonspec.Performance{Acc: "H100", AccCount: 2}},
		{Name: "big", Performance: jsonspec.Performance{Acc: "abacus", AccCount: 1}},
		{Name: "z", Performance: jsonspec.Performance{Acc: "H100", AccCount: 3}},
	}
	if d := cmp.Diff(want, s.Models.Spec); d != "" {
		t.Error(d)
	}
}
