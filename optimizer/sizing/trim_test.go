package sizing

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// served is a server in the steady state on 4 × A with the given attainment.
func served(attainment float64, change func(*Server)) *Server {
	s := &Server{
		Server: &fleet.Server{
			Plan: &fleet.Allocation{Parts: []fleet.Part{{Accelerator: "A", Replicas: 4}}},
			Seen: &fleet.Observation{Attainment: fleet.Known(attainment), Waiting: fleet.Known(0.2), Pods: []fleet.Pods{{Accelerator: "A", Ready: 4}}},
		},
		Targets: Targets{Percentile: 99}, Demand: demand.Demand{Steady: true},
	}
	if change != nil {
		change(s)
	}
	return s
}

func TestTrimFollowsMisses(t *testing.T) {
	var trims map[string]float64
	for range 10 {
		trims = trim(trims, served(0.95, nil))
	}
	if got := trims["A"]; got > -0.1 || got < -0.5 {
		t.Errorf("after ten cycles of 5 %% of misses, where 1 %% is allowed, the trim is %v", got)
	}
	down := trims["A"]
	for range 100 {
		trims = trim(trims, served(1, nil))
	}
	if got := trims["A"]; got <= down || got > 0 {
		t.Errorf("after a hundred cycles without a miss it went from %v to %v", down, got)
	}
}

// At rest a server may miss half of what its targets allow: the other half is for what changes.
func TestTrimKeepsHalfOfTheAllowance(t *testing.T) {
	for attainment, down := range map[float64]bool{0.996: false, 0.994: true} {
		if got := trim(nil, served(attainment, nil))["A"]; (got < 0) != down {
			t.Errorf("with %v of the requests within targets for 99 %% the trim moves by %v", attainment, got)
		}
	}
}

func TestTrimIsBounded(t *testing.T) {
	var low, high map[string]float64
	for range 10000 {
		low, high = trim(low, served(0, nil)), trim(high, served(1, nil))
	}
	if low["A"] != leastTrim || high["A"] != mostTrim {
		t.Errorf("trims of %v and %v, want the bounds", low["A"], high["A"])
	}
}

// What is not the model's doing must not wind up the trim.
func TestTrimDoesNotWindUp(t *testing.T) {
	for name, change := range map[string]func(*Server){
		"load rises":           func(s *Server) { s.Demand.Steady = false },
		"replicas start":       func(s *Server) { s.Seen.Pods[0].Starting = 1 },
		"fewer than planned":   func(s *Server) { s.Seen.Pods[0].Ready = 3 },
		"some are elsewhere":   func(s *Server) { s.Seen.Pods = append(s.Seen.Pods, fleet.Pods{Accelerator: "B", Ready: 1}) },
		"a backlog is left":    func(s *Server) { s.Seen.Waiting = fleet.Known(9) },
		"capacity is short":    func(s *Server) { s.Plan.BestEffort = true },
		"nothing was measured": func(s *Server) { s.Seen.Attainment = fleet.Maybe{} },
		"no plan in force":     func(s *Server) { s.Plan = nil },
	} {
		if got := trim(map[string]float64{"A": 0.1}, served(0, change)); got["A"] != 0.1 {
			t.Errorf("%s: the trim moved to %v", name, got["A"])
		}
	}
	targets := served(0, nil)
	targets.Targets.Percentile = 0
	if got := trim(nil, targets); got != nil {
		t.Errorf("targets for means have no attainment, trim %v", got)
	}
}

func TestTrimScalesTheRate(t *testing.T) {
	c := Sized{Trim: -math.Ln2}
	if got := c.trimmed(8); math.Abs(got-4) > 1e-12 {
		t.Errorf("half of 8 is %v", got)
	}
}
