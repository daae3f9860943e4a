package control

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// served is a server in the steady state on 4 × A with the given attainment.
func served(attainment float64, change func(*v1alpha1.ServerEntry)) *work {
	waiting := 0.2
	e := &v1alpha1.ServerEntry{
		DesiredAlloc: &v1alpha1.Allocation{Accelerator: "A", NumReplicas: 4},
		Observation:  &v1alpha1.Observation{Attainment: &attainment, Waiting: &waiting, Parts: []v1alpha1.ObservedPart{{Accelerator: "A", Ready: 4}}},
	}
	if change != nil {
		change(e)
	}
	return &work{entry: e, asked: asked{targets: sizing.Targets{Percentile: 99}}}
}

func TestTrimFollowsMisses(t *testing.T) {
	var trims map[string]float64
	for range 10 {
		trims = trim(trims, served(0.95, nil), true)
	}
	if got := trims["A"]; got > -0.1 || got < -0.5 {
		t.Errorf("after ten cycles of 5 %% of misses, where 1 %% is allowed, the trim is %v", got)
	}
	down := trims["A"]
	for range 100 {
		trims = trim(trims, served(1, nil), true)
	}
	if got := trims["A"]; got <= down || got > 0 {
		t.Errorf("after a hundred cycles without a miss it went from %v to %v", down, got)
	}
}

// At rest a server may miss half of what its targets allow: the other half is for what changes.
func TestTrimKeepsHalfOfTheAllowance(t *testing.T) {
	for attainment, down := range map[float64]bool{0.996: false, 0.994: true} {
		if got := trim(nil, served(attainment, nil), true)["A"]; (got < 0) != down {
			t.Errorf("with %v of the requests within targets for 99 %% the trim moves by %v", attainment, got)
		}
	}
}

func TestTrimIsBounded(t *testing.T) {
	var low, high map[string]float64
	for range 10000 {
		low, high = trim(low, served(0, nil), true), trim(high, served(1, nil), true)
	}
	if low["A"] != leastTrim || high["A"] != mostTrim {
		t.Errorf("trims of %v and %v, want the bounds", low["A"], high["A"])
	}
}

// What is not the model's doing must not wind up the trim.
func TestTrimDoesNotWindUp(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*v1alpha1.ServerEntry)
		steady bool
	}{
		"load rises":         {nil, false},
		"replicas start":     {func(e *v1alpha1.ServerEntry) { e.Observation.Parts[0].Starting = 1 }, true},
		"fewer than planned": {func(e *v1alpha1.ServerEntry) { e.Observation.Parts[0].Ready = 3 }, true},
		"some are elsewhere": {func(e *v1alpha1.ServerEntry) {
			e.Observation.Parts = append(e.Observation.Parts, v1alpha1.ObservedPart{Accelerator: "B", Ready: 1})
		}, true},
		"a backlog is left":    {func(e *v1alpha1.ServerEntry) { *e.Observation.Waiting = 9 }, true},
		"capacity is short":    {func(e *v1alpha1.ServerEntry) { e.DesiredAlloc.BestEffort = true }, true},
		"nothing was measured": {func(e *v1alpha1.ServerEntry) { e.Observation.Attainment = nil }, true},
		"no plan in force":     {func(e *v1alpha1.ServerEntry) { e.DesiredAlloc = nil }, true},
	} {
		if got := trim(map[string]float64{"A": 0.1}, served(0, c.change), c.steady); got["A"] != 0.1 {
			t.Errorf("%s: the trim moved to %v", name, got["A"])
		}
	}
	targets := served(0, nil)
	targets.asked.targets.Percentile = 0
	if got := trim(nil, targets, true); got != nil {
		t.Errorf("targets for means have no attainment, trim %v", got)
	}
}

func TestTrimScalesTheRate(t *testing.T) {
	c := candidate{trim: -math.Ln2}
	if got := c.trimmed(8); math.Abs(got-4) > 1e-12 {
		t.Errorf("half of 8 is %v", got)
	}
}
