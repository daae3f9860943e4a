package control_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// closed is a server of constant load on replicas that are as many as the plan says, a minute after it said so, and run by a law that nobody
// knows: half as fast per request and twice as fast per iteration as what is given.
type closed struct {
	rng   *rand.Rand
	state control.State
	ready int
	cycle int
	last  *decided
}

var hidden = queueing.Work{Alpha: 8e-3, Beta: 0.06e-3, Gamma: 5e-8}

func newClosed() *closed { return &closed{rng: rand.New(rand.NewPCG(1, 2)), ready: 1} }

const (
	closedRate = 4.5 // requests per second
	closedIn   = 1000.0
	closedOut  = 200.0
)

// step observes a minute and decides.
func (c *closed) step(t *testing.T, change func(*jsonspec.System)) *decided {
	t.Helper()
	perReplica := closedRate / float64(c.ready)
	running, itl := 1.0, 0.0
	for range 200 { // Little's law
		itl = hidden.IterationTime(queueing.Batch{Decodes: running + 1, DecodeContext: (running + 1) * (closedIn + closedOut/2)}) +
			running/closedOut*(hidden.Beta+hidden.Gamma*closedIn/2)*closedIn
		running = (running + perReplica*closedOut*itl) / 2
	}
	noise := func(sd float64) float64 { return math.Exp(sd * c.rng.NormFloat64()) }
	s := observed(1_000_000+60*int64(c.cycle), c.ready, 1e3*itl*noise(0.02), 0)
	*s.Servers.Spec[0].Observation.Groups[0].Running = running * noise(0.03)
	*s.Servers.Spec[0].Observation.Running = running
	s.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate = 60 * closedRate
	s.Optimizer.Spec.Unlimited = false
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "A", Count: 100}}
	s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 60
	s.Optimizer.Spec.Probing = jsonspec.ProbingAct
	if change != nil {
		change(s)
	}
	c.last = decideOn(t, at(s, 1_000_000+60*int64(c.cycle)), c.state)
	c.state = c.last.State
	c.cycle++
	if a, ok := c.last.Plan.Allocations["s"]; ok && a.NumReplicas > 0 {
		c.ready = a.NumReplicas
	}
	return c.last
}

// unknown is how badly ITL is known at an operating point.
func (c *closed) unknown(t *testing.T, running float64) float64 {
	t.Helper()
	given := jsonspec.Performance{Acc: "A", MaxBatchSize: 64, PerfParms: &jsonspec.PerfParms{Alpha: 12, Beta: 0.04, Gamma: 5e-5}}
	e, err := estimation.Estimators().New(estimation.Default, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.Estimate(given, c.state.Learned["m"]["A"], nil)
	if err != nil {
		t.Fatal(err)
	}
	sd, err := estimation.Uncertainty(out.Performance, estimation.Point{Running: running, InputTokens: closedIn, OutputTokens: closedOut})
	if err != nil {
		t.Fatal(err)
	}
	return sd
}

// A server that always runs at the same point does not show what it can carry. A probe does, and leaves the plan as it was.
func TestProbingShowsWhatOnePointDoesNot(t *testing.T) {
	const limit = 50 // requests run at what a replica is taken to sustain
	run := func(probing string) (c *closed, extra int, reasons []string) {
		c = newClosed()
		for range 40 {
			d := c.step(t, func(s *jsonspec.System) { s.Optimizer.Spec.Probing = probing })
			extra += c.ready - 1
			reasons = append(reasons, d.Plan.Allocations["s"].Reason)
			if probing != jsonspec.ProbingAct && len(d.State.Probing) > 0 {
				t.Errorf("%s: %+v", probing, d.State.Probing)
			}
		}
		return c, extra, reasons
	}
	still, _, _ := run(jsonspec.ProbingSuggest)
	probed, extra, reasons := run(jsonspec.ProbingAct)
	before, after := still.unknown(t, limit), probed.unknown(t, limit)
	if before < 0.15 || after > 0.7*before {
		t.Errorf("ITL of %d running is known to %.3f without a probe and to %.3f after one", limit, before, after)
	}
	if extra != 4 || probed.ready != 1 || probed.last.Plan.Allocations["s"].NumReplicas != 1 {
		t.Errorf("%d replica minutes were spent on probes in 40 minutes, want 4 once; %d replicas in the end", extra, probed.ready)
	}
	if !strings.Contains(reasons[0], "1 of them to probe A") || strings.Contains(reasons[10], "probe") {
		t.Errorf("reasons: during the probe %q, later %q", reasons[0], reasons[10])
	}
	t.Logf("ITL of %d running: known to %.3f without, %.3f with a probe", limit, before, after)
}

// Probes are not begun, or end, where they could do harm.
func TestProbingIsSafe(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*jsonspec.System)
		begins bool
	}{
		{"nothing against it", func(*jsonspec.System) {}, true},
		{"only suggested", func(s *jsonspec.System) { s.Optimizer.Spec.Probing = jsonspec.ProbingSuggest }, false},
		{"no card to spare", func(s *jsonspec.System) { s.Capacity.Count[0].Count = 1 }, false},
		{"a card on a node", func(s *jsonspec.System) {
			s.Capacity.Count, s.Capacity.Nodes = nil, []jsonspec.NodeCapacity{{Name: "a", Type: "A", Free: 1}, {Name: "b", Type: "A", Free: 1}}
		}, true},
		{"cards, but not on one node", func(s *jsonspec.System) {
			s.Models.Spec[0].AccCount = 2
			s.Capacity.Count, s.Capacity.Nodes = nil, []jsonspec.NodeCapacity{{Name: "a", Type: "A", Free: 3}, {Name: "b", Type: "A", Free: 1}}
		}, false},
		{"no more replicas allowed", func(s *jsonspec.System) { s.Servers.Spec[0].MaxNumReplicas = 1 }, false},
		{"targets that the pessimistic view misses", func(s *jsonspec.System) { s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 12 }, false},
	} {
		d := newClosed().step(t, c.change)
		n := d.Plan.Allocations["s"].NumReplicas
		acted := len(d.Probes) == 1 && d.Probes[0].Replicas == 2 && n == 2 && len(d.State.Probing) == 1
		if acted != c.begins || (!c.begins && (len(d.State.Probing) > 0 || strings.Contains(d.Plan.Allocations["s"].Reason, "probe"))) {
			t.Errorf("%s: %d replicas, probes %+v, remembered %+v", c.name, n, d.Probes, d.State.Probing)
		}
		for _, p := range d.Plan.Placement {
			if p.Replicas*p.CardsPerReplica > 3 {
				t.Errorf("%s: placed %+v", c.name, d.Plan.Placement)
			}
		}
	}
	c := newClosed()
	c.step(t, nil)
	full := c.step(t, func(s *jsonspec.System) { s.Capacity.Count[0].Count = 1 })
	if n := full.Plan.Allocations["s"].NumReplicas; n != 1 {
		t.Errorf("%d replicas where the card that was probed with is gone", n)
	}
	if again := c.step(t, nil); again.Plan.Allocations["s"].NumReplicas != 1 {
		t.Error("a probe that ended is begun again before its time")
	}
}

// Of two servers of a pair one is probed at a time, and none again before its time.
func TestProbingTakesTurns(t *testing.T) {
	c := newClosed()
	two := func(s *jsonspec.System) {
		other := s.Servers.Spec[0]
		other.Name = "other"
		s.Servers.Spec = append(s.Servers.Spec, other)
		s.Optimizer.Spec.ProbingCooldownSeconds = 600
	}
	var begun []float64
	for range 25 {
		d := c.step(t, two)
		acting := 0
		for _, p := range d.Probes {
			if p.Replicas > 0 {
				acting++
			}
		}
		if acting > 1 || len(d.State.Probing) > 1 {
			t.Fatalf("%d probes at a time: %+v", acting, d.Probes)
		}
		if l := d.State.Probing; len(l) == 1 && (len(begun) == 0 || begun[len(begun)-1] != l[0].Since) {
			begun = append(begun, l[0].Since)
		}
	}
	for i := 1; i < len(begun); i++ {
		if begun[i]-begun[i-1] < 600 {
			t.Errorf("probes began at %v, want at least 600 s between", begun)
		}
	}
	if len(begun) == 0 {
		t.Error("no probe began")
	}
}
