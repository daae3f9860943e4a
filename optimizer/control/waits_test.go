package control_test

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// A server for which there was no capacity runs nothing, so that nobody measures it: it is planned for the load it last had when there is some
// again. One that was scaled to zero for want of load is not.
func TestServersWithoutCapacityReturn(t *testing.T) {
	at := func(cycle int, cards int, rate float64, last *decided) *jsonspec.System {
		s := observed(1000+60*int64(cycle), 2, 22, 0)
		s.Optimizer.Spec.Unlimited = false
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: cards}}
		e := &s.Servers.Spec[0]
		e.CurrentAlloc.Load.ArrivalRate, e.CurrentAlloc.Load.Throughput = rate, rate
		if last != nil {
			a := last.Plan.Allocations["s"]
			e.DesiredAlloc = &a
			if a.NumReplicas == 0 {
				e.CurrentAlloc.Load = nil
				e.Observation.Fault, e.Observation.Detail, e.Observation.Parts, e.Observation.Groups = v1alpha1.ReasonNoMetrics, "there is no ready pod to measure", nil, nil
			}
		}
		return s
	}
	for _, c := range []struct {
		name           string
		cards          []int
		rate           float64
		before, during int
		after          func(before, n int) bool
	}{
		{"capacity comes back", []int{20, 20, 0, 0, 0, 20}, 3000, 1, 0, func(before, n int) bool { return n == before }},
		{"no load", []int{20, 20, 20, 20, 20, 20}, 0, 0, 0, func(_, n int) bool { return n == 0 }},
	} {
		var d *decided
		var state control.State
		var replicas []int
		for i, cards := range c.cards {
			d = decide(t, at(i, cards, c.rate, d), state)
			state = d.State
			replicas = append(replicas, d.Plan.Allocations["s"].NumReplicas)
		}
		if (replicas[1] > 0) != (c.before > 0) || replicas[4] != c.during || !c.after(replicas[1], replicas[5]) {
			t.Errorf("%s: %v replicas", c.name, replicas)
		}
	}
}

// A load that was seen while requests piled up may need more than there ever is: a server that waits with it starts small now and then, is measured, and
// gets what it needs. One that cannot have even that goes on to wait with all of its need.
func TestALoadThatIsRecalledIsDoubted(t *testing.T) {
	const load = 600 // of 3000 a minute that were seen last
	last := control.ServerState{Waits: true, Doubted: 1000, Demand: demand.Memory{
		Lengths: &demand.Lengths{InputTokens: 1000, OutputTokens: 200, Time: 1000}, Recent: []forecast.Sample{{Time: 1000, Rate: 500}},
	}}
	for _, c := range []struct {
		cards    int
		recovers bool
	}{{5, true}, {0, false}} {
		state := control.State{Servers: map[string]control.ServerState{"s": last}}
		a := jsonspec.Allocation{Accelerator: "A"}
		first := -1
		var d *decided
		for i := range 30 {
			seconds := 1060 + 60*int64(i)
			s := observed(seconds, a.NumReplicas, 22, 0)
			s.Optimizer.Spec.Unlimited, s.Capacity.Count = false, []jsonspec.AcceleratorCount{{Type: "A", Count: c.cards}}
			e := &s.Servers.Spec[0]
			e.DesiredAlloc = &a
			e.CurrentAlloc.Load.ArrivalRate, e.CurrentAlloc.Load.Throughput = load, load
			if a.NumReplicas == 0 {
				e.CurrentAlloc.Load = nil
				e.Observation.Fault, e.Observation.Detail, e.Observation.Parts, e.Observation.Groups = v1alpha1.ReasonNoMetrics, "there is no ready pod to measure", nil, nil
			}
			d = decideOn(t, at(s, seconds), state)
			a, state = d.Plan.Allocations["s"], d.State
			if a.NumReplicas > 0 && first < 0 {
				first = i
			}
		}
		if recovers := a.NumReplicas > 0 && d.Verdicts["s"].Planned; recovers != c.recovers || recovers && first != 9 {
			t.Errorf("with %d cards: %d replicas in the end, the first in minute %d, %+v", c.cards, a.NumReplicas, first, d.Verdicts["s"])
		}
		if !c.recovers && !(state.Servers["s"].Waits && len(state.Servers["s"].Demand.Recent) > 0) {
			t.Errorf("with %d cards: %+v", c.cards, state.Servers["s"])
		}
	}
}

// Requests that wait need replicas to be served in time, not as many as if they had yet to meet their targets.
func TestWhatWaitsIsServedInTime(t *testing.T) {
	need := func(rate, waiting float64) int {
		s := observed(1000, 10, 22, waiting)
		s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = rate
		s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 16 // far from what a full batch reaches
		return decide(t, s, control.State{}).Plan.Allocations["s"].NumReplicas
	}
	const rate, waiting = 3000.0, 200.0 // 10 replicas × 199 in a minute are twice as many requests
	idle, busy := need(rate, 0), need(rate, waiting)
	if as := need(rate+10*(waiting-1), 0); !(busy >= idle && busy < as) {
		t.Errorf("%d replicas where nothing waits, %d where much does, %d for as many requests more a minute", idle, busy, as)
	}
	if little, much := need(60, 0), need(60, waiting); much <= little {
		t.Errorf("%d replicas for hardly any load, %d with much that waits", little, much)
	}
}

// Bursts need more replicas than Poisson arrivals, replicas that take turns fewer than those that get requests by chance.
func TestBurstsAndTurnsAreSizedFor(t *testing.T) {
	need := func(bursts float64, routing string) int {
		s := observed(1000, 2, 22, 0)
		s.Servers.Spec[0].Routing = routing
		s.ServiceClasses.Spec[0].ModelTargets[0].Percentile = 99
		s.ServiceClasses.Spec[0].ModelTargets[0].TTFT = 150
		s.Optimizer.Spec.QueueModel = &jsonspec.Plug{Name: "continuous-batching"}
		return decide(t, s, control.State{Servers: map[string]control.ServerState{"s": {Demand: demand.Memory{Bursts: bursts}}}}).Plan.Allocations["s"].NumReplicas
	}
	chance, bursts, turns := need(0, ""), need(25, ""), need(0, jsonspec.RoutingLeastRequest)
	if !(bursts > chance && chance > turns && turns > 0) {
		t.Errorf("%d replicas for Poisson arrivals, %d for bursts, %d that take turns", chance, bursts, turns)
	}
	if both := need(25, jsonspec.RoutingRoundRobin); !(both >= turns && both < bursts) {
		t.Errorf("%d replicas that take turns for bursts, %d for Poisson arrivals, %d by chance", both, turns, bursts)
	}
}

// A server that stays with less than its need where it moved to lately is not said to meet its targets.
func TestStayingShortIsBestEffort(t *testing.T) {
	s := observed(1000, 6, 22, 0)
	s.Optimizer.Spec.Stability = nil
	s.Optimizer.Spec.Unlimited = false
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 6}}
	s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = 6000
	s.Servers.Spec[0].DesiredAlloc = &jsonspec.Allocation{Accelerator: "A", NumReplicas: 6, MaxBatch: 64}
	memory := stability.Memory{Accelerator: "A", Moved: 990, Needs: []stability.Need{{Time: 990, Replicas: 6}}}
	d := decide(t, s, control.State{Servers: map[string]control.ServerState{"s": {Stability: memory}}})
	if a, v := d.Plan.Allocations["s"], d.Verdicts["s"]; a.NumReplicas != 6 || !a.BestEffort || v.Planned || v.Reason != v1alpha1.ReasonBestEffort || !strings.Contains(v.Message, "6 kept") || len(d.Plan.Unserved) != 1 {
		t.Errorf("%d replicas, best effort %v, verdict %+v, unserved %+v", a.NumReplicas, a.BestEffort, v, d.Plan.Unserved)
	}
}

// A server that never ran, for want of capacity, was never measured: it starts small once there is some. One that may be at zero waits for its gateway.
func TestAServerThatNeverRanStarts(t *testing.T) {
	for _, least := range []int{0, 1} {
		s := observed(1000, 2, 22, 0)
		s.Optimizer.Spec.Unlimited = false
		s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 20}}
		e := &s.Servers.Spec[0]
		e.MinNumReplicas, e.CurrentAlloc, e.DesiredAlloc = least, nil, &jsonspec.Allocation{}
		e.Observation = &jsonspec.Observation{Time: e.Observation.Time, Fault: v1alpha1.ReasonNoMetrics, Detail: "there is no ready pod to measure"}
		if n := decide(t, s, control.State{}).Plan.Allocations["s"].NumReplicas; n != least {
			t.Errorf("at least %d: %d replicas", least, n)
		}
	}
}
