package demand

import (
	"math"
	"math/rand/v2"
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
		if got, grown := prompt(&Lengths{InputTokens: 600}, nil, &fleet.Observation{Groups: c.groups}, Clock{Window: 60, Horizon: 150}); got != c.want || grown != 0 {
			t.Errorf("%s: %v, growing to %v, want %v", c.name, got, grown, c.want)
		}
	}
	if got, _ := prompt(&Lengths{InputTokens: 600}, nil, nil, Clock{}); got != 600 {
		t.Errorf("without an observation %v", got)
	}
}

// Prompts that grow by so many tokens a second are sized for as they are when a pod that is made now is ready; those that breathe are not.
func TestPromptsThatGrow(t *testing.T) {
	const slope, window, horizon, begin = 2.0, 60.0, 150.0, 3000.0
	c := Clock{Window: window, Horizon: horizon}
	at := func(seconds float64) float64 { return begin + slope*seconds }
	size := func(now, before, last float64) (mean, grown float64) {
		o := &fleet.Observation{Groups: []fleet.Group{{Replicas: 1, AdmittedTokens: fleet.Known(last), Requests: fleet.Known(600), InputTokensSD: fleet.Known(begin / 2)}}}
		return prompt(&Lengths{Time: 30, InputTokens: now}, &Lengths{InputTokens: before}, o, c)
	}
	// Means over windows are those at their middles.
	mean, before, last := at(30-LengthWindows*window/2), at(-LengthWindows*window/2), at(30-window/2)
	want := at(30-window/2)*1.1 + slope*(window/2+horizon)
	if got, grown := size(mean, before, 1.1*last); got != mean || math.Abs(grown-want) > 1e-6*want {
		t.Errorf("prompts of %v tokens are taken for %v that grow to %v, want %v", last, got, grown, want)
	}
	for _, before := range []float64{mean, mean + 10} {
		if got, grown := size(mean, before, 1.1*mean); got != mean || grown != 0 {
			t.Errorf("from a mean of %v to %v, and lately a tenth more: %v, growing to %v", before, mean, got, grown)
		}
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
		{"requests of another kind, maybe", 12, 0.3, 800, 2800, 2950},
	} {
		now := Lengths{Time: 1030, InputTokens: 1000, OutputTokens: c.tokens}
		if got := lengths(last, now, c.ended, window, server(c.running, c.ended, c.tokens)).OutputTokens; got < c.low || got > c.high {
			t.Errorf("%s: %v output tokens, want %v to %v", c.name, got, c.low, c.high)
		}
	}
}

// Outputs that differ by more than chance are taken when they have differed for as long as a request takes, no sooner: until then those that came together
// may end in the order of their lengths.
func TestOutputsOfAnotherKind(t *testing.T) {
	const window, itl, ended = 60., 0.05, 0.3
	of := func(m *Lengths, now, tokens float64) *Lengths {
		s := &fleet.Server{Load: &fleet.Load{Completions: ended, OutputTokens: tokens}, Runs: &fleet.Allocation{ITL: fleet.Known(itl)}}
		return lengths(m, Lengths{Time: now, InputTokens: 1000, OutputTokens: tokens}, ended, window, s)
	}
	m := &Lengths{Time: 1000, InputTokens: 1000, OutputTokens: 3000}
	var at float64
	for now := 1030.; now < 2000; now += 30 {
		if m = of(m, now, 800); m.OutputTokens == 800 {
			at = now
			break
		}
	}
	if takes := at - 1030; takes < 3000*itl-30 || takes > 3000*itl+30 {
		t.Errorf("taken after %v s, want the %v s that a request takes", takes, 3000*itl)
	}
	m = &Lengths{Time: 1000, InputTokens: 1000, OutputTokens: 3000}
	for now := 1030.; now < 2000; now += 30 {
		tokens := 3000.
		if int(now)%120 < 60 {
			tokens = 800
		}
		if m = of(m, now, tokens); m.OutputTokens < 1500 {
			t.Fatalf("after %v s %v tokens of outputs that are short and long in turn", now-1000, m.OutputTokens)
		}
	}
}

// How lengths spread is averaged over many requests, as their means are: of a few that is chance more than anything.
func TestSpreadOfFewRequests(t *testing.T) {
	const window, mean, each = 60., 3000., 40
	r := rand.New(rand.NewPCG(1, 2))
	var m *Lengths
	least, most, seenLeast, seenMost := math.Inf(1), 0., math.Inf(1), 0.
	for k := range 200 {
		sum, squares := 0., 0.
		for range each {
			x := mean * r.ExpFloat64()
			sum, squares = sum+x/each, squares+x*x/each
		}
		sd := math.Sqrt(squares - sum*sum)
		s := &fleet.Server{Seen: &fleet.Observation{Groups: []fleet.Group{{Replicas: 1, InputTokensSD: fleet.Known(500), OutputTokensSD: fleet.Known(sd)}}}}
		m = lengths(m, Lengths{Time: 30 * float64(k), InputTokens: 1000, OutputTokens: sum}, each/window/LengthWindows, window, s)
		if k > 20 {
			got := m.OutputTokensSD.OrNaN()
			least, most, seenLeast, seenMost = min(least, got), max(most, got), min(seenLeast, sd), max(seenMost, sd)
		}
	}
	if !(most/least < math.Sqrt(seenMost/seenLeast) && least > 0.75*mean && most < 1.3*mean) {
		t.Errorf("from %v to %v tokens, where %v were drawn and %v to %v seen", least, most, mean, seenLeast, seenMost)
	}
	if sd := m.InputTokensSD.OrNaN(); math.Abs(sd-500) > 1e-6 {
		t.Errorf("of prompts that all spread by 500 %v", sd)
	}
}
