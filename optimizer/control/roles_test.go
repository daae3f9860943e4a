package control_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// apart is a system of one server of a large model, which two types of cards can serve, each with replicas that do both, and with such for prompts and for
// decodes. Requests are long prompts with short answers.
func apart(change func(s *jsonspec.System, e *jsonspec.ServerEntry)) *jsonspec.System {
	law := func(alpha, beta, gamma float64) *jsonspec.PerfParms {
		return &jsonspec.PerfParms{Alpha: alpha, Beta: beta, Gamma: gamma}
	}
	transfer := &jsonspec.Transfer{Bandwidth: 50, Delay: 2, BytesPerToken: 70000}
	entry := func(acc, variant, role string, cards, pods int, l *jsonspec.PerfParms) jsonspec.PerformanceEntry {
		p := jsonspec.PerformanceEntry{Name: "big", Performance: jsonspec.Performance{Acc: acc, Variant: variant, Role: role, AccCount: cards, PodsPerReplica: pods, MaxBatchSize: 512, PerfParms: l}}
		if role != "" {
			p.Transfer = transfer
		}
		return p
	}
	s := new(jsonspec.System)
	s.Accelerators.Spec = []jsonspec.AcceleratorEntry{
		{Name: "H200", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Type: "H200", Cost: 330}}},
		{Name: "B200", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Type: "B200", Cost: 500}}},
	}
	s.Models.Spec = []jsonspec.PerformanceEntry{
		entry("H200", "", "", 16, 2, law(14, .05, 2e-5)), entry("H200", "prefill-tp8", "prefill", 8, 1, law(14, .09, 4e-5)), entry("H200", "", "decode", 16, 2, law(14, .05, 2e-5)),
		entry("B200", "", "", 8, 1, law(10, .05, 1e-5)), entry("B200", "", "prefill", 4, 1, law(14, .06, 2e-5)), entry("B200", "", "decode", 8, 1, law(10, .05, 1e-5)),
	}
	s.ServiceClasses.Spec = []jsonspec.ServiceClassEntry{{Name: "premium", ServiceClassSpec: jsonspec.ServiceClassSpec{
		Priority: 1, ModelTargets: []jsonspec.ModelTarget{{Model: "big", ITL: 20, TTFT: 2000, Percentile: 90}},
	}}}
	s.Servers.Spec = []jsonspec.ServerEntry{{Name: "chat", Class: "premium", Model: "big", CurrentAlloc: &jsonspec.Allocation{
		Load: &jsonspec.Load{ArrivalRate: 300, AvgInTokens: 8000, AvgOutTokens: 500},
	}}}
	s.Optimizer.Spec.QueueModel = &jsonspec.Plug{Name: "continuous-batching"}
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationPriorityExhaustive
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "H200", Count: 512}, {Type: "B200", Count: 512}}
	change(s, &s.Servers.Spec[0])
	return s
}

// counts of the roles of a plan.
func counts(a jsonspec.Allocation) (prefill, decode int) {
	for _, p := range a.Parts {
		switch p.Role {
		case jsonspec.RolePrefill:
			prefill += p.Replicas
		case jsonspec.RoleDecode:
			decode += p.Replicas
		}
	}
	return prefill, decode
}

// Long prompts with a strict ITL are served apart, for that is cheaper than the cheapest replicas that do both, which are told beside it; chat is not where
// it is not. All four pairs of types are considered.
func TestRolesAreTakenWhereTheyAreCheaper(t *testing.T) {
	s := apart(func(*jsonspec.System, *jsonspec.ServerEntry) {})
	d := decide(t, s, control.State{})
	a := only(t, s, d)
	if p, n := counts(a); p == 0 || n == 0 || !strings.Contains(a.Reason, "B200/prefill + ") {
		t.Errorf("planned %+v", a)
	}
	ways, whole := 0, math.Inf(1)
	for _, c := range d.Candidates {
		switch {
		case len(c.Parts) == 2:
			ways++
		case c.Feasible:
			whole = min(whole, c.Cost)
		}
	}
	if ways != 4 || whole < a.Cost {
		t.Errorf("%d ways apart; the cheapest that does both costs %v, the plan %v", ways, whole, a.Cost)
	}
	small := apart(func(s *jsonspec.System, e *jsonspec.ServerEntry) {
		e.CurrentAlloc.Load = &jsonspec.Load{ArrivalRate: 20, AvgInTokens: 300, AvgOutTokens: 200}
	})
	if a := only(t, small, decide(t, small, control.State{})); len(a.Parts) > 0 {
		t.Errorf("a small load of short prompts needs two roles: %+v", a)
	}
}

// A plan of roles stays while the load does, and its ratio follows when prompts get longer or answers do.
func TestTheRatioFollowsTheLoad(t *testing.T) {
	s := apart(func(*jsonspec.System, *jsonspec.ServerEntry) {})
	first := decide(t, s, control.State{})
	plan := only(t, s, first)
	s.Servers.Spec[0].DesiredAlloc = &plan
	again := decideOn(t, at(s, 1060), first.State)
	if diff := cmp.Diff(plan.Parts, only(t, s, again).Parts); diff != "" {
		t.Errorf("moved without cause:\n%s", diff)
	}
	prompts, tokens := counts(plan)
	ratio := func(in, out float64) float64 {
		s.Servers.Spec[0].DesiredAlloc = nil
		s.Servers.Spec[0].CurrentAlloc.Load = &jsonspec.Load{ArrivalRate: 300, AvgInTokens: in, AvgOutTokens: out}
		p, n := counts(only(t, s, decide(t, s, control.State{})))
		return float64(p) / float64(n)
	}
	if longer, answers := ratio(16000, 500), ratio(8000, 4000); !(longer > float64(prompts)/float64(tokens) && answers < float64(prompts)/float64(tokens)) {
		t.Errorf("%d : %d becomes %v with prompts twice as long, %v with answers eight times", prompts, tokens, longer, answers)
	}
}

// Whatever there is of cards, neither role grows where the other shrinks, none is there without the other, and pods fit on nodes.
func TestScarcityKeepsRolesTogether(t *testing.T) {
	full := apart(func(*jsonspec.System, *jsonspec.ServerEntry) {})
	prompts, tokens := counts(only(t, full, decide(t, full, control.State{})))
	wasPrompts, wasTokens, partial := 0, 0, 0
	for cards := 0; cards <= 4*prompts+8*tokens; cards += 4 {
		s := apart(func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.Models.Spec = s.Models.Spec[4:] // roles on B200 alone
			s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "B200", Count: cards}}
		})
		d := decide(t, s, control.State{})
		sound(t, s, d)
		a, served := d.Plan.Allocations["chat"]
		p, n := counts(a)
		switch {
		case !served && cards >= 12, (p == 0) != (n == 0), p < wasPrompts || n < wasTokens, p > prompts || n > tokens:
			t.Errorf("%d cards: %d + %d after %d + %d, of %d + %d: %+v", cards, p, n, wasPrompts, wasTokens, prompts, tokens, d.Verdicts)
		case served && (p < prompts || n < tokens):
			if r := a.AdmissibleRate; r == nil || !(*r > 0 && *r < 300) {
				t.Errorf("%d cards: %d + %d serve nobody knows what", cards, p, n)
			}
			if partial++; !a.BestEffort || !strings.Contains(a.Reason, "in the ratio of the roles") {
				t.Errorf("%d cards: %+v", cards, a)
			}
		}
		wasPrompts, wasTokens = p, n
	}
	if wasPrompts != prompts || wasTokens != tokens || partial < 2 {
		t.Errorf("with all cards %d + %d of %d + %d; %d in part", wasPrompts, wasTokens, prompts, tokens, partial)
	}
}

// A replica of two pods takes two nodes, and is not there with one.
func TestGroupsTakeWholeNodes(t *testing.T) {
	for nodes, want := range []int{0, 0, 1, 1, 2, 2} {
		s := apart(func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.Models.Spec = s.Models.Spec[:1]
			s.Capacity.Count = nil
			for n := range nodes {
				s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: string(rune('a' + n)), Type: "H200", Free: 8})
			}
			s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: "half", Type: "H200", Free: 7})
		})
		a := decide(t, s, control.State{}).Plan.Allocations["chat"]
		if a.NumReplicas != want {
			t.Errorf("%d nodes hold %d replicas, want %d", nodes, a.NumReplicas, want)
		}
	}
}

// A replica of two pods takes two nodes of one rack: three nodes of a rack hold one, two racks of three two and not three, and those of no rack none. Who gets
// less is told what the racks hold.
func TestGroupsKeepToTheirDomain(t *testing.T) {
	for _, tt := range []struct {
		racks []string
		want  int
		why   string
	}{
		{[]string{"a", "a", "a"}, 1, "2 × 8 of one rack for each replica, of which the largest holds 3 × 8"},
		{[]string{"a", "a", "a", "b", "b", "b"}, 2, ""},
		{[]string{"a", "b", "c", "d"}, 0, "2 × 8 of one rack for each replica, of which the largest holds 1 × 8"},
		{[]string{"", "", "", ""}, 0, "of which the largest holds 0 × 8"},
	} {
		s := apart(func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.Models.Spec = s.Models.Spec[:1]
			s.Models.Spec[0].TopologyKey = "rack"
			s.Capacity.Count = nil
			for n, rack := range tt.racks {
				node := jsonspec.NodeCapacity{Name: string(rune('a' + n)), Type: "H200", Free: 8}
				if rack != "" {
					node.Domains = map[string]string{"rack": rack}
				}
				s.Capacity.Nodes = append(s.Capacity.Nodes, node)
			}
		})
		d := decide(t, s, control.State{})
		a := d.Plan.Allocations["chat"]
		if why := fmt.Sprint(a.Reason, d.Plan.Unserved); a.NumReplicas != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("racks %v hold %d replicas, want %d; %q does not say %q", tt.racks, a.NumReplicas, tt.want, why, tt.why)
		}
		if tt.want > 0 && a.TopologyKey != "rack" {
			t.Errorf("the plan does not say within what its replicas are: %+v", a)
		}
		for _, at := range d.Plan.Placement {
			if at.TopologyKey != "rack" || at.PodsPerReplica != 2 {
				t.Errorf("%+v does not say within what it is", at)
			}
		}
	}
}

// What quality is good enough is the class's to say.
func TestClassesSayWhichPrecisions(t *testing.T) {
	precision := func(name string) map[string]string { return map[string]string{"precision": name} }
	plan := func(allowed ...string) (string, string) {
		s := apart(func(s *jsonspec.System, e *jsonspec.ServerEntry) {
			s.Models.Spec = s.Models.Spec[3:4]
			s.Models.Spec[0].Match = precision("bf16")
			cheap := s.Models.Spec[0]
			cheap.Variant, cheap.AccCount, cheap.Match = "fp4", 4, precision("fp4")
			s.Models.Spec = append(s.Models.Spec, cheap)
			s.ServiceClasses.Spec[0].Precisions = allowed
		})
		d := decide(t, s, control.State{})
		a := d.Plan.Allocations["chat"]
		return a.On(), explain(t, d.core, "chat").Candidates[1].Why
	}
	if on, _ := plan(); on != "B200/fp4" {
		t.Errorf("any precision: on %q", on)
	}
	if on, why := plan("bf16", "fp8"); on != "B200" || !strings.Contains(why, "allows the precisions bf16, fp8, not fp4") {
		t.Errorf("bf16 or fp8: on %q, %q", on, why)
	}
}
