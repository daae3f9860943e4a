package demand

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Prompts of another kind are sized for at once, and chance is not taken for them.
func TestPromptsOfTheLastWindow(t *testing.T) {
	group := func(tokens, requests, sd float64) fleet.Group {
		return fleet.Group{Replicas: 1, AdmittedTokens: fleet.Known(tokens), Requests: fleet.Known(requests), InputTokensSD: fleet.Known(sd)}
	}
	for _, c := range []struct {
		name   string
		groups []fleet.Group
		want   float64
	}{
		{"nothing measured", nil, 600},
		{"the same", []fleet.Group{group(620, 400, 600)}, 600},
		{"twice as long", []fleet.Group{group(1200, 400, 600)}, 1200},
		{"half as long", []fleet.Group{group(300, 400, 600)}, 300},
		{"of all groups, by their requests", []fleet.Group{group(900, 300, 600), group(1300, 100, 600)}, 1000},
		{"by chance, so few", []fleet.Group{group(1200, 4, 600)}, 600},
		{"certain, but hardly longer", []fleet.Group{group(660, 1e6, 600)}, 600},
		{"none admitted", []fleet.Group{group(0, 0, 600)}, 600},
	} {
		if got := prompt(600, &fleet.Observation{Groups: c.groups}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := prompt(600, nil); got != 600 {
		t.Errorf("without an observation %v", got)
	}
}

// Lengths of few requests are averaged over many, those of many are taken as they are, and so is what differs by more than chance.
func TestLengthsOfFewRequests(t *testing.T) {
	const window = 60.
	last := &Lengths{Time: 1000, InputTokens: 1000, OutputTokens: 500}
	seen := Lengths{Time: 1030, InputTokens: 1200, OutputTokens: 450}
	for _, c := range []struct {
		name      string
		last      *Lengths
		completed float64 // per second
		seen      Lengths
		in, out   [2]float64
	}{
		{"nothing before", nil, 0.1, seen, [2]float64{1200, 1200}, [2]float64{450, 450}},
		{"many", last, 10, seen, [2]float64{1200, 1200}, [2]float64{450, 450}},
		{"nobody says how many", last, 0, seen, [2]float64{1200, 1200}, [2]float64{450, 450}},
		{"few", last, 0.1, seen, [2]float64{1001, 1010}, [2]float64{497, 499.9}},
		{"few, and quite different", last, 0.1, Lengths{Time: 1030, InputTokens: 100, OutputTokens: 800}, [2]float64{100, 100}, [2]float64{500, 520}},
		{"long ago", &Lengths{Time: 1030 - 3600, InputTokens: 1000, OutputTokens: 500}, 0.1, seen, [2]float64{1200, 1200}, [2]float64{450, 450}},
		{"the clock went back", &Lengths{Time: 2000, InputTokens: 1000, OutputTokens: 500}, 0.1, seen, [2]float64{1200, 1200}, [2]float64{450, 450}},
	} {
		got := lengths(c.last, c.seen, c.completed, window, new(fleet.Server))
		if got.InputTokens < c.in[0] || got.InputTokens > c.in[1] || got.OutputTokens < c.out[0] || got.OutputTokens > c.out[1] || got.Time != c.seen.Time {
			t.Errorf("%s: %+v, want %v and %v", c.name, *got, c.in, c.out)
		}
	}
}

// After many requests came together those that end first are the short ones: their lengths are not those of the others.
func TestLengthsWhileManyRunThatCameTogether(t *testing.T) {
	const window, itl, mean, pods = 60., 0.05, 3000., 4
	server := func(running, ended, tokens float64) *fleet.Server {
		return &fleet.Server{
			Load: &fleet.Load{Completions: ended, OutputTokens: tokens}, Runs: &fleet.Allocation{ITL: fleet.Known(itl)},
			Seen: &fleet.Observation{Running: fleet.Known(running / pods), Pods: []fleet.Pods{{Accelerator: "A", Ready: pods}}},
		}
	}
	last := &Lengths{Time: 1000, InputTokens: 1000, OutputTokens: mean}
	for _, c := range []struct {
		name                   string
		running, ended, tokens float64
		low, high              float64
	}{
		{"as many end as come", 45, 0.3, mean, 2900, 3100},
		{"the first end, the short ones", 45, 0.05, 800, 2900, 3000},
		{"requests of another kind", 12, 0.3, 800, 800, 800},
	} {
		now := Lengths{Time: 1030, InputTokens: 1000, OutputTokens: c.tokens}
		if got := lengths(last, now, c.ended, window, server(c.running, c.ended, c.tokens)).OutputTokens; got < c.low || got > c.high {
			t.Errorf("%s: %v output tokens, want %v to %v", c.name, got, c.low, c.high)
		}
	}
}
