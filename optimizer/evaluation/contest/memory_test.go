package contest

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// What is remembered is not played again, also by another process, for as long as the scenario is the same; options of the decision core are
// no part of it.
func TestMemory(t *testing.T) {
	s, err := scenario.Open("../../../test/data/scenarios/short.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f := &policy.Fleet{Scenario: s}
	played := 0
	play := func(m *Memory, what string) *Outcome {
		o, err := m.recall(f, what, func() (*Outcome, error) { played++; return &Outcome{Policy: what, Served: 0.5}, nil })
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	m := NewMemory()
	first := play(m, "a")
	play(m, "b")
	file := filepath.Join(t.TempDir(), "memory", "outcomes.json")
	if err := m.Write(file); err != nil {
		t.Fatal(err)
	}
	m, err = ReadMemory(file)
	if err != nil {
		t.Fatal(err)
	}
	s.System.Optimizer = jsonspec.OptimizerData{}
	if diff := cmp.Diff(first, play(m, "a"), cmpopts.IgnoreUnexported(Outcome{})); diff != "" || played != 2 {
		t.Errorf("played %d times instead of 2: %s", played, diff)
	}
	s.Seed++
	if play(m, "a"); played != 3 {
		t.Error("another scenario was taken for the same")
	}
	if play(nil, "a"); played != 4 {
		t.Error("the nil memory remembers")
	}
	if m, err := ReadMemory(filepath.Join(t.TempDir(), "none")); err != nil || len(m.outcomes) != 0 {
		t.Errorf("a file that is not there: %v, %v", m, err)
	}
}
