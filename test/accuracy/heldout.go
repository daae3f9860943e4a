package main

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/fitting"
)

// heldOutExperience is what is learned from all models but those of one family.
type heldOutExperience struct {
	// Models that it was not learned from.
	Models     []string           `json:"models"`
	Experience fitting.Experience `json:"experience"`
}

// others are the pairs of all families but one.
func others(pairs [][]fitting.Point, one string) [][]fitting.Point {
	var list [][]fitting.Point
	for _, g := range pairs {
		if family(g[0].Group["model"]) != one {
			list = append(list, g)
		}
	}
	return list
}

// families of the pairs, sorted.
func families(pairs [][]fitting.Point) []string {
	var names []string
	for _, g := range pairs {
		names = append(names, family(g[0].Group["model"]))
	}
	sort.Strings(names)
	return slices.Compact(names)
}

// writeHeldOut learns the prior once without each family, and writes what was learned.
func writeHeldOut(name string, pairs [][]fitting.Point) error {
	var all []heldOutExperience
	for _, one := range families(pairs) {
		e, err := fitting.BuiltIn().Learn(others(pairs, one))
		if err != nil {
			return err
		}
		h := heldOutExperience{Experience: e}
		for i := range h.Experience {
			m := &h.Experience[i]
			m.Spread = hundredths(m.Spread)
			for j := range m.Mean {
				m.Mean[j] = hundredths(m.Mean[j])
			}
		}
		for _, g := range pairs {
			if model := g[0].Group["model"]; family(model) == one && !slices.Contains(h.Models, model) {
				h.Models = append(h.Models, model)
			}
		}
		sort.Strings(h.Models)
		all = append(all, h)
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

// hundredths of a number, as the built-in experience has them.
func hundredths(x float64) float64 { return math.Round(100*x) / 100 }
