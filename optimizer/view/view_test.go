package view_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/view"
)

// decided is a sample system as a cycle, its stages and its decision.
func decided(t *testing.T, change func(*jsonspec.System)) (*view.Cycle, *control.Stages, *control.Decision) {
	t.Helper()
	s, err := specification.Load("../../test/data/systems/small")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := &specification.Snapshot{Time: metav1.NewMicroTime(time.Unix(1_700_000_000, 0)), HorizonSeconds: 90, System: *s}
	d, err := stages.Decide(context.Background(), snapshot.Core(), control.State{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &view.Cycle{ID: "one", Snapshot: snapshot, Decision: specification.Report(s, &d.Decision)}, stages, d
}

// scarce is a quarter of the cards.
func scarce(s *jsonspec.System) {
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count /= 4
	}
}

// Sums of a fleet are those of its servers, and nodes hold what the plan has.
func TestFleetAddsUp(t *testing.T) {
	for name, change := range map[string]func(*jsonspec.System){"enough": nil, "scarce": scarce} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := decided(t, change)
			f := view.NewFleet(c)
			replicas, needy := 0, 0
			for _, r := range f.Servers {
				replicas += r.Replicas
				if r.State == view.StateUnserved || r.State == view.StateBestEffort {
					needy++
				}
			}
			held := 0
			for _, n := range f.Nodes {
				cards := 0
				for _, h := range n.Held {
					held += h.Replicas
					cards += h.Cards
				}
				if cards > n.Cards {
					t.Errorf("%s %s holds %d of %d cards", n.Type, n.Name, cards, n.Cards)
				}
			}
			if replicas != f.Replicas || held != replicas || needy != f.Unserved || needy != len(c.Decision.Plan.Unserved) || len(f.Servers) != f.Summary.Servers {
				t.Errorf("%d replicas, %d on nodes, %d in sum; %d needy, %d in sum, %d in the plan", replicas, held, f.Replicas, needy, f.Unserved, len(c.Decision.Plan.Unserved))
			}
		})
	}
}

// Tokens within targets, and what a million cost, are of the servers of which they are known.
func TestWhatServersGive(t *testing.T) {
	attained := 0.75
	c, _, _ := decided(t, func(s *jsonspec.System) {
		for i, throughput := range []float64{60, 120, 0} { // requests per minute; of the third and the others none is known
			e := &s.Servers.Spec[i]
			e.CurrentAlloc.Load.Throughput, e.CurrentAlloc.Load.AvgOutTokens = throughput, 100
			e.Observation = &jsonspec.Observation{}
		}
		s.Servers.Spec[0].Observation.Attainment = &attained
	})
	f := view.NewFleet(c)
	cost, known := 0.0, 0
	for i := range f.Servers {
		if r := &f.Servers[i]; r.Tokens != nil {
			cost += r.Cost
			known++
		}
	}
	if known != 2 || f.GoodTokens == nil || *f.GoodTokens != 75 {
		t.Errorf("of %d servers the tokens are known, %v within targets; want 2, and 75", known, f.GoodTokens)
	}
	if want := cost / 3600 / 300 * 1e6; f.MillionTokens == nil || math.Abs(*f.MillionTokens/want-1) > 1e-12 {
		t.Errorf("a million tokens cost %v, want %v", f.MillionTokens, want)
	}
	if c, _, _ = decided(t, nil); view.NewFleet(c).GoodTokens != nil || view.NewFleet(c).MillionTokens != nil {
		t.Error("known is what was not measured")
	}
}

// Servers that need attention come first.
func TestWhoNeedsAttentionComesFirst(t *testing.T) {
	c, _, _ := decided(t, scarce)
	fine := false
	for _, r := range view.NewFleet(c).Servers {
		fine = fine || r.State == view.StateFine
		if fine && (r.State == view.StateUnserved || r.State == view.StateBestEffort) {
			t.Errorf("%s is %s and comes after one that is fine", r.Name, r.State)
		}
	}
}

// A missing measurement, a missed target and a zero are three states.
func TestStates(t *testing.T) {
	number := func(x float64) *float64 { return &x }
	base := func(e *jsonspec.ServerEntry) {
		e.CurrentAlloc = &jsonspec.Allocation{TTFTAverage: 1, ITLAverage: 1, Load: &jsonspec.Load{ArrivalRate: 60, AvgInTokens: 100, AvgOutTokens: 100}}
	}
	for name, test := range map[string]struct {
		change  func(*jsonspec.ServerEntry)
		verdict fleet.Verdict
		want    string
	}{
		"no load is known":    {func(e *jsonspec.ServerEntry) { e.CurrentAlloc.Load = nil }, fleet.Verdict{Planned: true}, view.StateUnobserved},
		"no load comes":       {func(e *jsonspec.ServerEntry) { e.CurrentAlloc.Load.ArrivalRate = 0 }, fleet.Verdict{Planned: true}, view.StateFine},
		"Prometheus is away":  {func(e *jsonspec.ServerEntry) { e.Observation = &jsonspec.Observation{Fault: "PrometheusUnreachable"} }, fleet.Verdict{Reason: "PrometheusUnreachable"}, view.StateUnobserved},
		"the mean is above":   {func(e *jsonspec.ServerEntry) { e.CurrentAlloc.TTFTAverage = 1e6 }, fleet.Verdict{Planned: true}, view.StateMissing},
		"no capacity":         {nil, fleet.Verdict{Reason: v1alpha1.ReasonNoCapacity}, view.StateUnserved},
		"a part of it":        {nil, fleet.Verdict{Reason: v1alpha1.ReasonBestEffort}, view.StateBestEffort},
		"pods are on the way": {func(e *jsonspec.ServerEntry) { e.Observation = &jsonspec.Observation{} }, fleet.Verdict{Planned: true}, view.StateChanging},
		"latencies are none":  {func(e *jsonspec.ServerEntry) { e.CurrentAlloc.TTFTAverage, e.CurrentAlloc.ITLAverage = 0, 0 }, fleet.Verdict{Planned: true}, view.StateFine},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := decided(t, func(s *jsonspec.System) {
				s.Servers.Spec = s.Servers.Spec[:1]
				e := &s.Servers.Spec[0]
				base(e)
				if test.change != nil {
					test.change(e)
				}
			})
			c.Decision.Verdicts[c.Snapshot.System.Servers.Spec[0].Name] = test.verdict
			if got := view.NewFleet(c).Servers[0]; got.State != test.want {
				t.Errorf("is %q because %q, want %q", got.State, got.Why, test.want)
			}
		})
	}
	c, _, _ := decided(t, func(s *jsonspec.System) {
		s.Servers.Spec = s.Servers.Spec[:1]
		base(&s.Servers.Spec[0])
		for i := range s.ServiceClasses.Spec {
			for k := range s.ServiceClasses.Spec[i].ModelTargets {
				s.ServiceClasses.Spec[i].ModelTargets[k].Percentile = 99
			}
		}
	})
	c.Decision.Verdicts[c.Snapshot.System.Servers.Spec[0].Name] = fleet.Verdict{Planned: true}
	c.Snapshot.System.Servers.Spec[0].Observation = &jsonspec.Observation{Attainment: number(0.97)}
	if got := view.NewFleet(c).Servers[0]; got.State != view.StateMissing || !strings.Contains(got.Why, "97.0 %") {
		t.Errorf("97 %% within targets for 99 %% is %q because %q", got.State, got.Why)
	}
}

// Who may see one namespace sees its servers, and of others cards in sum alone: no name of theirs is in what they get.
func TestOnlyOwnNamespaces(t *testing.T) {
	c, stages, d := decided(t, func(s *jsonspec.System) {
		for i := range s.Servers.Spec {
			e := &s.Servers.Spec[i]
			e.Namespace = []string{"mine", "theirs"}[i%2]
			e.Name = e.Namespace + "/" + e.Name
		}
		scarce(s)
	})
	own := c.Only(func(namespace string) bool { return namespace == "mine" })
	f, supply, all := view.NewFleet(own), view.NewSupply(own, c), view.NewSupply(c, c)
	if len(f.Servers) == 0 || len(f.Servers) == len(c.Snapshot.System.Servers.Spec) {
		t.Fatalf("%d servers of %d", len(f.Servers), len(c.Snapshot.System.Servers.Spec))
	}
	for _, r := range f.Servers {
		if r.Namespace != "mine" {
			t.Errorf("server %s of namespace %s", r.Name, r.Namespace)
		}
	}
	for i, kind := range supply.Types {
		if kind.Used != all.Types[i].Used || kind.Cards != all.Types[i].Cards {
			t.Errorf("%s: %d of %d cards, want %d of %d", kind.Type, kind.Used, kind.Cards, all.Types[i].Used, all.Types[i].Cards)
		}
		for _, h := range kind.Holders {
			if !strings.HasPrefix(h.Server, "mine/") {
				t.Errorf("holder %s", h.Server)
			}
		}
	}
	for _, u := range own.Decision.Plan.Unserved {
		if !strings.HasPrefix(u.Server, "mine/") {
			t.Errorf("unserved %s", u.Server)
		}
	}
	for _, e := range c.Snapshot.System.Servers.Spec {
		if _, err := view.NewServer(own, e.Name, nil, stages, d, nil); (err == nil) != (e.Namespace == "mine") {
			t.Errorf("server %s: %v", e.Name, err)
		}
	}
}

// The point under the plan lies on the curve, within the targets, and the curve rises.
func TestCurvesOfServers(t *testing.T) {
	c, stages, d := decided(t, nil)
	curves := 0
	for _, e := range c.Snapshot.System.Servers.Spec {
		s, err := view.NewServer(c, e.Name, nil, stages, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, curve := range s.Curves {
			curves++
			if curve.Rate != nil && *curve.Rate > curve.Saturation {
				t.Errorf("%s on %s gets %v of %v requests per minute", e.Name, curve.Accelerator, *curve.Rate, curve.Saturation)
			}
			for i := 1; i < len(curve.Points); i++ {
				if p, q := curve.Points[i-1], curve.Points[i]; *q.TTFT < *p.TTFT*0.999 {
					t.Errorf("%s on %s: TTFT falls from %v to %v ms", e.Name, curve.Accelerator, *p.TTFT, *q.TTFT)
				}
			}
		}
		if s.Explanation == nil {
			t.Errorf("%s is not explained: %s", e.Name, s.Unexplained)
		}
	}
	if curves == 0 {
		t.Error("no curve at all")
	}
}
