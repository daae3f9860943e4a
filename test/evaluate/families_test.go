package main

import (
	"encoding/json"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

func drawnFrom(t *testing.T, base, half string, number int) *scenario.Scenario {
	t.Helper()
	r := &request{data: "../data/scenarios"}
	s, err := r.open(base)
	if err != nil {
		t.Fatal(err)
	}
	draw(s, half, number)
	return s
}

// A number draws the same scenario each time, another in each half and of each number, from within the ranges that the document names, and one that can be played.
func TestDraws(t *testing.T) {
	for _, base := range bases {
		seen := map[string]bool{}
		given, err := (&request{data: "../data/scenarios"}).open(base)
		if err != nil {
			t.Fatal(err)
		}
		for _, half := range []string{development, judged} {
			for number := range 3 {
				s := drawnFrom(t, base, half, number)
				text, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				again, err := json.Marshal(drawnFrom(t, base, half, number))
				if err != nil {
					t.Fatal(err)
				}
				if string(again) != string(text) || seen[string(text)] {
					t.Errorf("%s %s %d is not itself, or another", base, half, number)
				}
				seen[string(text)] = true
				if _, err := s.Cluster(); err != nil {
					t.Errorf("%s %s %d: %v", base, half, number, err)
				}
				if s.Times.StartUp < 45 || s.Times.StartUp > 240 || s.Duration > longestDraw {
					t.Errorf("%s %s %d starts up in %v s, for %v s", base, half, number, s.Times.StartUp, s.Duration)
				}
				for i, m := range s.System.Models.Spec {
					for name, x := range m.Law.Parameters {
						if ratio := x / given.System.Models.Spec[i].Law.Parameters[name]; ratio < 0.66 || ratio > 1.51 {
							t.Errorf("%s %s %d: %s of %s is %v of what it was", base, half, number, name, m.Name, ratio)
						}
					}
				}
			}
		}
	}
}

func TestPercentiles(t *testing.T) {
	if got := percentiles([]float64{3, 1, 2}, "%.1f"); got != "1.1, 2.0, 2.9" {
		t.Error(got)
	}
}
