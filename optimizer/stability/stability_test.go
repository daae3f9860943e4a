package stability_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// on is a candidate of so many replicas at 10 cents each.
func on(accelerator string, replicas int) solver.Candidate {
	cost := 10 * float64(replicas)
	return solver.Candidate{Accelerator: accelerator, Type: accelerator, Replicas: replicas, UnitsPerReplica: 1, Cost: cost, Value: cost}
}

// cheapest is the option a solver with capacity to spare takes.
func cheapest(options []stability.Option) stability.Option {
	best := options[0]
	for _, o := range options {
		if o.Value < best.Value {
			best = o
		}
	}
	return best
}

// follow runs a server through needs, one every period seconds, and returns the replicas of each step.
func follow(d stability.Damping, period float64, needs []int) []int {
	var got []int
	current := stability.Current{}
	memory := stability.Memory{}
	for i, need := range needs {
		var options []stability.Option
		options, memory = d.Shape(float64(i)*period, current, []solver.Candidate{on("A", need)}, memory)
		best := cheapest(options)
		current = stability.Current{Accelerator: best.Accelerator, Replicas: best.Replicas}
		got = append(got, best.Replicas)
	}
	return got
}

func TestScalesOutAtOnceAndInAfterTheHoldDown(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 30}
	for _, c := range []struct {
		name        string
		needs, want []int
	}{
		{"out at once", []int{1, 5, 9}, []int{1, 5, 9}},
		{"in after the hold-down", []int{5, 2, 2, 2, 2, 2}, []int{5, 5, 5, 5, 2, 2}},
		{"a dip shorter than the hold-down is not followed", []int{5, 2, 5, 2, 5, 5}, []int{5, 5, 5, 5, 5, 5}},
		{"in to the largest need of the period", []int{9, 3, 6, 3, 3, 3, 3}, []int{9, 9, 9, 9, 6, 3, 3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, follow(d, 10, c.needs)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWithoutHoldDownFollowsTheNeed(t *testing.T) {
	needs := []int{5, 2, 7, 1}
	if diff := cmp.Diff(needs, follow(stability.Damping{}, 10, needs)); diff != "" {
		t.Error(diff)
	}
}

func TestChangesAcceleratorOnlyForTheMinimalGain(t *testing.T) {
	d := stability.Damping{MinimalGain: 0.2}
	for _, c := range []struct {
		other int
		want  string
	}{{9, "A"}, {8, "A"}, {7, "B"}} {
		options, _ := d.Shape(0, stability.Current{Accelerator: "A", Replicas: 10}, []solver.Candidate{on("A", 10), on("B", c.other)}, stability.Memory{})
		// Equal values go by name, as in every solver.
		if got := cheapest(options).Accelerator; got != c.want {
			t.Errorf("B costs %d %% of A: got %s, want %s", 10*c.other, got, c.want)
		}
	}
}

// After a restart nothing is remembered: the plan in force is held as if it had just been needed.
func TestRestartHoldsThePlanInForce(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 30}
	options, memory := d.Shape(100, stability.Current{Accelerator: "A", Replicas: 6}, []solver.Candidate{on("A", 2)}, stability.Memory{})
	best := cheapest(options)
	if best.Replicas != 6 || !strings.Contains(best.Note, "2 needed, 6 held") {
		t.Errorf("got %d replicas, note %q; want 6 held", best.Replicas, best.Note)
	}
	options, _ = d.Shape(131, stability.Current{Accelerator: "A", Replicas: 6}, []solver.Candidate{on("A", 2)}, memory)
	if best := cheapest(options); best.Replicas != 2 {
		t.Errorf("after the hold-down: %d replicas, want 2", best.Replicas)
	}
}

// What is held can be taken back when capacity is needed elsewhere: the plain candidate stays an option.
func TestHeldReplicasRemainAvailable(t *testing.T) {
	options, _ := stability.DefaultDamping().Shape(0, stability.Current{Accelerator: "A", Replicas: 6}, []solver.Candidate{on("A", 2)}, stability.Memory{})
	plain, held := options[0], options[1]
	if plain.Replicas != 2 || held.Replicas != 6 || !(held.Value < plain.Value) || held.Cost != 60 {
		t.Errorf("options %+v", options)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	d := stability.Damping{ScaleInHoldDown: 100}
	m := stability.Memory{}
	for i := range 10000 {
		need := 1 + i%7
		_, m = d.Shape(float64(i), stability.Current{Accelerator: "A", Replicas: 7}, []solver.Candidate{on("A", need)}, m)
		if len(m.Needs) > 101 {
			t.Fatalf("%d needs are remembered", len(m.Needs))
		}
	}
}

func TestOptionsSayEveryFault(t *testing.T) {
	err := stability.Damping{ScaleInHoldDown: math.NaN(), MinimalGain: 2}.Validate()
	for _, want := range []string{"scaleInHoldDownSeconds: NaN", "minimalGain: 2 is not allowed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Every registered stabiliser keeps every candidate as an option, never invents a cheaper one, and does not change its input.
func TestConformance(t *testing.T) {
	for _, name := range stability.Stabilisers().Names() {
		s, err := stability.Stabilisers().New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		candidates := []solver.Candidate{on("A", 3), on("B", 2), on("C", 7)}
		before := append([]solver.Candidate(nil), candidates...)
		for _, current := range []stability.Current{{}, {Accelerator: "A", Replicas: 9}, {Accelerator: "gone", Replicas: 1}} {
			options, _ := s.Shape(50, current, candidates, stability.Memory{})
			again, _ := s.Shape(50, current, candidates, stability.Memory{})
			if diff := cmp.Diff(options, again); diff != "" {
				t.Errorf("%s: a second call differs: %s", name, diff)
			}
			seen := map[int]bool{}
			for _, o := range options {
				if o.Of < 0 || o.Of >= len(candidates) || o.Accelerator != candidates[o.Of].Accelerator || o.Replicas < candidates[o.Of].Replicas {
					t.Errorf("%s: option %+v is not made from its candidate", name, o)
				}
				seen[o.Of] = true
			}
			if len(seen) != len(candidates) {
				t.Errorf("%s: %d of %d candidates are left", name, len(seen), len(candidates))
			}
			if diff := cmp.Diff(before, candidates); diff != "" {
				t.Errorf("%s changed its input: %s", name, diff)
			}
		}
	}
}
