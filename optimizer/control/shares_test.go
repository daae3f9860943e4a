package control_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// asks is a server that needs so many H100, of a share and a class with a priority.
type asks struct {
	name, share     string
	priority, cards int
}

// teams is a system of ten H100 whose servers are of the shares a, b and c: six are guaranteed to a, two to b, which may have nine, and two to c.
func teams(servers ...asks) *jsonspec.System {
	s := chat(1500)
	class, server := s.ServiceClasses.Spec[0], s.Servers.Spec[0]
	s.ServiceClasses.Spec, s.Servers.Spec = nil, nil
	for p := 1; p <= 3; p++ {
		c := class
		c.Name, c.Priority = fmt.Sprint("c", p), p
		s.ServiceClasses.Spec = append(s.ServiceClasses.Spec, c)
	}
	for _, x := range servers {
		e := server
		e.Name, e.Share, e.Class, e.MinNumReplicas, e.MaxNumReplicas = x.name, x.share, fmt.Sprint("c", x.priority), x.cards, x.cards
		e.CurrentAlloc = &jsonspec.Allocation{Load: &jsonspec.Load{ArrivalRate: 10, AvgInTokens: 1500, AvgOutTokens: 300}}
		s.Servers.Spec = append(s.Servers.Spec, e)
	}
	nine := 9
	h100 := func(guaranteed int, most *int) []jsonspec.ShareCards {
		return []jsonspec.ShareCards{{Type: "H100", Guaranteed: guaranteed, Most: most}}
	}
	s.Optimizer.Spec.Unlimited = false
	s.Optimizer.Spec.Shares = []jsonspec.ShareBounds{{Name: "a", Cards: h100(6, nil)}, {Name: "b", Cards: h100(2, &nine)}, {Name: "c", Cards: h100(2, nil)}}
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "H100", Count: 10}}
	return s
}

// replicas of the servers in a plan.
func replicas(d *decided) string {
	var words []string
	for _, name := range []string{"a", "b1", "b2", "c"} {
		words = append(words, fmt.Sprintf("%s %d", name, d.Plan.Allocations[name].NumReplicas))
	}
	return strings.Join(words, ", ")
}

// B borrows what A does not need, and A takes it back from B's lowest priority, though A's own is lower.
func TestSharesAreLentAndTakenBack(t *testing.T) {
	for _, c := range []struct {
		a    int
		want string
		lent int
	}{
		{1, "a 1, b1 4, b2 3, c 2", 5},
		{2, "a 2, b1 4, b2 0, c 2", 4},
		{6, "a 6, b1 0, b2 0, c 2", 0},
	} {
		s := teams(asks{"a", "a", 3, c.a}, asks{"b1", "b", 1, 4}, asks{"b2", "b", 2, 3}, asks{"c", "c", 3, 2})
		d := decide(t, s, control.State{})
		if got := replicas(d); got != c.want {
			t.Errorf("where a needs %d the plan is %s, want %s", c.a, got, c.want)
		}
		a := d.Plan.Shares[0].Cards[0]
		if a.Guaranteed != 6 || a.Used != c.a || a.Due != c.a || a.Lent != c.lent {
			t.Errorf("where a needs %d its share is %+v", c.a, a)
		}
	}
}

// A server that its share's bound keeps from cards is told so, and what would lift it: no number of cards would.
func TestSharesExplain(t *testing.T) {
	s := teams(asks{"a", "a", 3, 0}, asks{"b1", "b", 1, 8}, asks{"b2", "b", 2, 2}, asks{"c", "c", 3, 1})
	s.Capacity.Count[0].Count = 20
	d := decide(t, s, control.State{})
	if v := d.Verdicts["b2"]; v.Planned || !strings.Contains(v.Message, "needs 2 × H100, 1 left of the 9 that share b may have") {
		t.Errorf("the verdict is %+v", v)
	}
	e, err := d.Explain("b2")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Candidates[0]; got.Lacks != nil || got.Share != "share b: 9 × H100 at most, where it would be 10" {
		t.Errorf("explained as %+v", got)
	}
	for _, u := range d.Plan.Unserved {
		if u.Server == "b2" && u.Lacks != nil {
			t.Errorf("cards are said to serve it: %+v", u.Lacks)
		}
	}
	// Where others are due what is left, as many cards more would do.
	d = decide(t, teams(asks{"a", "a", 3, 6}, asks{"b1", "b", 1, 6}), control.State{})
	if len(d.Plan.Unserved) != 1 || len(d.Plan.Unserved[0].Lacks) != 1 || d.Plan.Unserved[0].Lacks[0].Cards["H100"] != 2 {
		t.Errorf("two cards more would serve b1, said is %+v", d.Plan.Unserved)
	}
}

// A plan that is held takes what it has out of the bounds of its share.
func TestHeldPlansCountForShares(t *testing.T) {
	s := teams(asks{"a", "a", 3, 1}, asks{"b1", "b", 1, 5}, asks{"b2", "b", 2, 4}, asks{"c", "c", 3, 1})
	s.Capacity.Count[0].Count = 30
	held := &s.Servers.Spec[1]
	held.CurrentAlloc, held.DesiredAlloc = nil, &jsonspec.Allocation{Accelerator: "H100", NumReplicas: 6}
	d := decide(t, s, control.State{})
	if got := replicas(d); got != "a 1, b1 6, b2 0, c 1" {
		t.Errorf("the plan is %s: with six of nine held, b may have three more, not four", got)
	}
	if b := d.Plan.Shares[1].Cards[0]; b.Used != 6 {
		t.Errorf("the share is said to use %+v", b)
	}
}

// A cohort bounds what its shares have together, and says so: b may not have what a is due, nor what the cohort may not have though it is there.
func TestCohortsBindTogether(t *testing.T) {
	for _, c := range []struct {
		a, most int
		want    string
	}{
		{1, 10, "a 1, b1 4, b2 3, c 2"},
		{1, 8, "a 1, b1 4, b2 3, c 2"},
		{1, 7, "a 1, b1 4, b2 0, c 2"},
		{3, 7, "a 3, b1 4, b2 0, c 2"},
		{4, 7, "a 4, b1 0, b2 3, c 2"},
	} {
		s := teams(asks{"a", "a", 3, c.a}, asks{"b1", "b", 1, 4}, asks{"b2", "b", 2, 3}, asks{"c", "c", 2, 2})
		s.Optimizer.Spec.Cohorts = []jsonspec.Cohort{{Name: "ab", Shares: []string{"a", "b"}, Cards: []jsonspec.CohortCards{{Type: "H100", Most: c.most}}}}
		d := decide(t, s, control.State{})
		if got := replicas(d); got != c.want {
			t.Errorf("a asks for %d, the cohort may have %d: %s, want %s", c.a, c.most, got, c.want)
		}
		if strings.Contains(c.want, "b2 0") {
			if v := d.Verdicts["b2"]; v.Planned || !strings.Contains(v.Message, fmt.Sprintf("of the %d that cohort ab may have", c.most)) {
				t.Errorf("nothing says that the cohort bounds b2: %+v", v)
			}
			for _, u := range d.Plan.Unserved {
				if u.Server == "b2" && u.Lacks != nil {
					t.Errorf("cards are said to serve it: %+v", u.Lacks)
				}
			}
		}
	}
}

// A cap on the power of a share holds for what its plans draw at full, those that are held included, and says what it leaves.
func TestSharesCapPower(t *testing.T) {
	const full = 700
	capped := func(watts float64, change func(*jsonspec.System)) *decided {
		s := teams(asks{"a", "a", 3, 1}, asks{"b1", "b", 1, 2}, asks{"b2", "b", 2, 2}, asks{"c", "c", 3, 1})
		s.Accelerators.Spec[0].Power = jsonspec.PowerCurve{Idle: 80, Full: full, MidPower: 500, MidUtil: 0.5}
		s.Optimizer.Spec.Shares[1].PowerCap = &watts
		change(s)
		return decide(t, s, control.State{})
	}
	none := func(*jsonspec.System) {}
	for _, c := range []struct {
		watts  float64
		want   string
		power  float64
		change func(*jsonspec.System)
	}{
		{4 * full, "a 1, b1 2, b2 2, c 1", 4 * full, none},
		{4*full - 1, "a 1, b1 2, b2 0, c 1", 2 * full, none},
		{2 * full, "a 1, b1 2, b2 0, c 1", 2 * full, none},
		{0, "a 1, b1 0, b2 0, c 1", 0, none},
		// What a plan holds that nobody can observe counts.
		{4 * full, "a 1, b1 3, b2 0, c 1", 3 * full, func(s *jsonspec.System) {
			e := &s.Servers.Spec[1]
			e.DesiredAlloc = &jsonspec.Allocation{Accelerator: "H100", NumReplicas: 3}
			e.Class = "unknown"
		}},
	} {
		d := capped(c.watts, c.change)
		if got := replicas(d); got != c.want {
			t.Errorf("within %v W the plan is %s, want %s", c.watts, got, c.want)
		}
		share := d.Plan.Shares[1]
		if share.Power == nil || *share.Power != c.power || share.PowerCap == nil || *share.PowerCap != c.watts {
			t.Errorf("within %v W share b is %+v, want %v W", c.watts, share, c.power)
		}
		if a := d.Plan.Shares[0]; a.Power != nil || a.PowerCap != nil {
			t.Errorf("share a has no cap, and is %+v", a)
		}
	}
	if v := capped(3*full, none).Verdicts["b2"]; v.Planned || !strings.Contains(v.Message, "needs 1400 × W, 700 left of the 2100 that share b may draw") {
		t.Errorf("the verdict is %+v", v)
	}
	e, err := capped(2*full, none).Explain("b2")
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Candidates[0].Share; got != "share b: 1400 W at most, where it would be 2800.00" {
		t.Errorf("explained as %q", got)
	}
	blind := capped(4*full, func(s *jsonspec.System) { s.Accelerators.Spec[0].Power = jsonspec.PowerCurve{} })
	if v := blind.Verdicts["b1"]; v.Planned || !strings.Contains(v.Message, "share b has a powerCap, and the power of H100 is not known") {
		t.Errorf("the verdict without a known power is %+v", v)
	}
	if got := replicas(blind); got != "a 1, b1 0, b2 0, c 1" {
		t.Errorf("without a known power the plan is %s", got)
	}
}
