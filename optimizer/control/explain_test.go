package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// tight is the small system with too little of everything and no best effort.
func tight(t *testing.T) *jsonspec.System {
	s := load(t, "small")
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "G2", Count: 40}, {Type: "A100", Count: 60}, {Type: "L4", Count: 300}}
	return s
}

func explain(t *testing.T, d *core, server string) *jsonspec.Explanation {
	t.Helper()
	e, err := d.Explain(server)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What an unserved server is said to lack serves it, beside all others, when it is added.
func TestWhatUnservedServersLack(t *testing.T) {
	for _, nodes := range []bool{false, true} {
		s := scarce(t, .25)
		if nodes {
			for _, c := range s.Capacity.Count {
				for k := range c.Count / 4 {
					s.Capacity.Nodes = append(s.Capacity.Nodes, jsonspec.NodeCapacity{Name: fmt.Sprintf("%s-%d", c.Type, k), Type: c.Type, Free: 4})
				}
			}
			s.Capacity.Count = nil
		}
		before := decide(t, s, control.State{})
		if len(before.Plan.Unserved) == 0 {
			t.Fatal("all are served")
		}
		for _, u := range before.Plan.Unserved {
			if len(u.Lacks) == 0 {
				t.Fatalf("%s: %s, but lacks nothing", u.Server, u.Reason)
			}
			for _, l := range u.Lacks {
				more := *s
				more.Capacity.Count, more.Capacity.Nodes = slices.Clone(s.Capacity.Count), slices.Clone(s.Capacity.Nodes)
				for kind, n := range l.Cards {
					for i := range more.Capacity.Count {
						if more.Capacity.Count[i].Type == kind {
							more.Capacity.Count[i].Count += n
						}
					}
					if nodes {
						more.Capacity.Nodes = append(more.Capacity.Nodes, jsonspec.NodeCapacity{Name: "more", Type: kind, Free: n})
					}
				}
				if after := decide(t, &more, control.State{}); len(after.Plan.Unserved) >= len(before.Plan.Unserved) {
					t.Errorf("nodes %t: %s with %v more on %s: still %d unserved", nodes, u.Server, l.Cards, l.Accelerator, len(after.Plan.Unserved))
				}
			}
		}
	}
}

func TestExplainTellsEveryCandidate(t *testing.T) {
	s := tight(t)
	d := decide(t, s, control.State{})
	for _, entry := range s.Servers.Spec {
		e := explain(t, d.core, entry.Name)
		if e.Summary != d.Verdicts[entry.Name].Message {
			t.Errorf("%s: summary %q", entry.Name, e.Summary)
		}
		// Six accelerators each: that the plan's is marked, once, and every other has a reason.
		chosen, last := 0, 0.0
		for _, c := range e.Candidates {
			if c.Why == "" {
				t.Errorf("%s on %s: no reason", entry.Name, c.Accelerator)
			}
			if c.Chosen {
				chosen++
				if a := d.Plan.Allocations[entry.Name]; a.Accelerator != c.Accelerator || a.NumReplicas != c.Replicas {
					t.Errorf("%s: %+v is marked, the plan is %+v", entry.Name, c, a)
				}
			}
			if c.Feasible {
				if worth := c.Value + c.Scarcity; worth < last {
					t.Errorf("%s: %s is out of order", entry.Name, c.Accelerator)
				} else {
					last = worth
				}
			}
		}
		if want := len(e.Candidates) == 6 && (chosen == 1) == d.Verdicts[entry.Name].Planned; !want {
			t.Errorf("%s: %d candidates, %d chosen, verdict %+v", entry.Name, len(e.Candidates), chosen, d.Verdicts[entry.Name])
		}
	}
}

// servedBy counts the servers whose targets are met, by priority.
func servedBy(s *jsonspec.System, d *decided) []int {
	n := make([]int, 101)
	for _, e := range s.Servers.Spec {
		for _, c := range s.ServiceClasses.Spec {
			if c.Name == e.Class && d.Verdicts[e.Name].Planned {
				n[c.Priority]++
			}
		}
	}
	return n
}

// What an explanation says is lacking is enough: with it, more servers are served, in the order of priorities.
func TestWhatIsLackingServes(t *testing.T) {
	s := tight(t)
	d := decide(t, s, control.State{})
	if len(d.Plan.Unserved) < 3 {
		t.Fatalf("%d unserved: the test says little", len(d.Plan.Unserved))
	}
	before := servedBy(s, d)
	for _, u := range d.Plan.Unserved {
		for _, c := range explain(t, d.core, u.Server).Candidates {
			if !c.Feasible {
				continue
			}
			if len(c.Lacks) == 0 {
				t.Errorf("%s on %s: lacks nothing, yet it is not served", u.Server, c.Accelerator)
			}
			more := s.DeepCopy()
			for kind, n := range c.Lacks {
				more.Capacity.Count = append(more.Capacity.Count, jsonspec.AcceleratorCount{Type: kind, Count: n})
			}
			if after := servedBy(more, decide(t, more, control.State{})); slices.Compare(after, before) <= 0 {
				t.Errorf("%s: %v more serve nobody more", u.Server, c.Lacks)
			}
		}
	}
}

// Servers that never came to the solver are explained too.
func TestExplainHeldAndUnknown(t *testing.T) {
	s := one(t, func(s *jsonspec.System, e *jsonspec.ServerEntry) { s.ServiceClasses.Spec[0].ModelTargets[0].ITL = 0.5 })
	d := decide(t, s, control.State{})
	e := explain(t, d.core, s.Servers.Spec[0].Name)
	if len(e.Candidates) != 6 || !strings.Contains(e.Candidates[0].Why, "ITL: target 0.5 ms") {
		t.Errorf("%+v", e)
	}
	if _, err := d.Explain("nobody"); err == nil || !strings.Contains(err.Error(), `server "nobody" does not exist, known are `+s.Servers.Spec[0].Name) {
		t.Errorf("unknown server: %v", err)
	}
	if _, err := new(control.Decision).Explain("nobody"); err == nil {
		t.Error("a decision that was read knows no server")
	}
}

// Scarce types have prices, plenty has none, and the bound comes with them.
func TestPrices(t *testing.T) {
	s := load(t, "small")
	if p := decide(t, s, control.State{}).Plan.Solver.Prices; p["G2"] < 0 {
		t.Errorf("prices %v", p)
	}
	for i := range s.Capacity.Count {
		if s.Capacity.Count[i].Type == "G2" {
			s.Capacity.Count[i].Count = 100
		}
	}
	d := decide(t, s, control.State{})
	if p := d.Plan.Solver.Prices; !(p["G2"] > 0) || p["AIU2"] != 0 {
		t.Errorf("prices %v: G2 is scarce, AIU2 is not", p)
	}
}
