package specification

import (
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fitting"
)

// Assume adds entries for models that have none, in the order of models and accelerators: each may run on whatever there is, on as few cards as hold
// it. How fast it is stays open: that is for physics to say, when it is decided.
func Assume(s *jsonspec.System, k fitting.Knowledge) {
	given := map[string]bool{}
	for i := range s.Models.Spec {
		given[s.Models.Spec[i].Name] = true
	}
	for _, m := range s.Models.Info {
		if given[m.Name] {
			continue
		}
		for _, a := range s.Accelerators.Spec {
			s.Models.Spec = append(s.Models.Spec, jsonspec.PerformanceEntry{Name: m.Name, Performance: jsonspec.Performance{
				Acc: a.Name, AccCount: k.CardsFor(m.Name, m.ModelProperties, a.Name, a.AcceleratorProperties),
			}})
		}
	}
	slices.SortStableFunc(s.Models.Spec, func(a, b jsonspec.PerformanceEntry) int { return strings.Compare(a.Name, b.Name) })
}
