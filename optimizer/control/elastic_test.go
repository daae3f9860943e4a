package control_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// rented is a system of one server whose cards are all to be bought: G2 is cheaper and late, A100 dearer.
func rented(t *testing.T) *jsonspec.System {
	return one(t, func(s *jsonspec.System, _ *jsonspec.ServerEntry) {
		s.Capacity = jsonspec.CapacityData{Elastic: []jsonspec.ElasticCapacity{
			{Name: "cloud-a100", Type: "A100", Cards: 2, Limit: 8, Price: 500, DelaySeconds: 60, DeadlineSeconds: 1000},
			{Name: "cloud-g2", Type: "G2", Cards: 2, Limit: 8, Price: 1, DelaySeconds: 100, DeadlineSeconds: 300},
		}}
	})
}

func decideAfter(t *testing.T, s *jsonspec.System, state control.State, seconds int64) *decided {
	t.Helper()
	return decideOn(t, at(s, 1000+seconds), state)
}

// What does not come by its deadline is taken back, with a reason, and is counted on again after as long.
func TestElasticCapacityIsTakenBack(t *testing.T) {
	s := rented(t)
	first := decideAfter(t, s, control.State{}, 0)
	if len(first.Plan.Bought) != 1 || first.Plan.Bought[0].Pool != "cloud-g2" || first.Plan.Bought[0].Deadline.Unix() != 1300 {
		t.Fatalf("bought %+v, want from cloud-g2 until 1300", first.Plan.Bought)
	}
	waiting := decideAfter(t, s, first.State, 299)
	if diff := cmp.Diff(first.Plan.Bought, waiting.Plan.Bought); diff != "" {
		t.Errorf("while waiting: %s", diff)
	}
	late := decideAfter(t, s, waiting.State, 300)
	if len(late.Plan.TakenBack) != 1 || late.Plan.TakenBack[0].Cards != first.Plan.Bought[0].Cards || !strings.Contains(late.Plan.TakenBack[0].Reason, "of pool cloud-g2 did not come within 300 s") {
		t.Fatalf("taken back %+v", late.Plan.TakenBack)
	}
	if len(late.Plan.Bought) != 1 || late.Plan.Bought[0].Pool != "cloud-a100" {
		t.Errorf("without cloud-g2: bought %+v", late.Plan.Bought)
	}
	if again := decideAfter(t, s, late.State, 600); len(again.Plan.TakenBack) != 0 || again.Plan.Bought[0].Pool != "cloud-g2" || again.Plan.Bought[0].Since.Unix() != 1600 {
		t.Errorf("after as long again: %+v", again.Plan)
	}

	s.Capacity.Elastic = s.Capacity.Elastic[1:]
	alone := decideAfter(t, s, waiting.State, 300)
	name := s.Servers.Spec[0].Name
	if v := alone.Verdicts[name]; v.Reason != v1alpha1.ReasonNoCapacity || !strings.Contains(v.Message, "did not come within 300 s") {
		t.Errorf("with nothing else to count on: %+v", v)
	}
	if u := alone.Plan.Unserved; len(u) != 1 || !strings.Contains(u[0].Reason, "did not come") {
		t.Errorf("unserved %+v", u)
	}
}

// What has come is there, and is no longer waited for.
func TestElasticCapacityArrives(t *testing.T) {
	s := rented(t)
	first := decideAfter(t, s, control.State{}, 0)
	cards := first.Plan.Bought[0].Cards
	s.Capacity.Elastic[1].Arrived = first.Plan.Bought[0].Count
	s.Capacity.Count = []jsonspec.AcceleratorCount{{Type: "G2", Count: cards}}
	there := decideAfter(t, s, first.State, 200)
	if len(there.Plan.Bought) != 0 || len(there.Plan.TakenBack) != 0 || len(there.Plan.Unserved) != 0 {
		t.Errorf("all has come: %+v", there.Plan)
	}
	if later := decideAfter(t, s, there.State, 5000); len(later.Plan.TakenBack) != 0 || len(later.Plan.Unserved) != 0 {
		t.Errorf("much later: %+v", later.Plan)
	}
	// What arrived counts against the limit.
	s.Capacity.Elastic[1].Limit, s.Capacity.Count = s.Capacity.Elastic[1].Arrived, nil
	if none := decideAfter(t, s, there.State, 5000); len(none.Plan.Bought) != 1 || none.Plan.Bought[0].Pool != "cloud-a100" {
		t.Errorf("at the limit: %+v", none.Plan.Bought)
	}
}

// A restart neither waits anew nor counts on what was taken back.
func TestPoolsOfAReport(t *testing.T) {
	s := rented(t)
	first := decideAfter(t, s, control.State{}, 0)
	restarted := control.State{Pools: control.PoolsOf(&v1alpha1.CycleReport{Bought: first.Plan.Bought})}
	late := decideAfter(t, s, restarted, 300)
	if len(late.Plan.TakenBack) != 1 {
		t.Fatalf("taken back %+v after a restart", late.Plan.TakenBack)
	}
	restarted.Pools = control.PoolsOf(&v1alpha1.CycleReport{Bought: late.Plan.Bought, TakenBack: late.Plan.TakenBack})
	if next := decideAfter(t, s, restarted, 400); len(next.Plan.TakenBack) != 1 || next.Plan.Bought[0].Pool == "cloud-g2" {
		t.Errorf("after another restart: %+v", next.Plan)
	}
}

// Pools in several zones: capacity of a place is a type of its own, and a server takes what is cheapest where there is some.
func TestZones(t *testing.T) {
	s := rented(t)
	var near, far jsonspec.AcceleratorEntry
	for _, a := range s.Accelerators.Spec {
		if a.Name == "G2" {
			near, far = a, a
		}
	}
	near.Name, near.Type, far.Name, far.Type = "G2@a", "G2@zone-a", "G2@b", "G2@zone-b"
	near.Cost *= 1.1
	s.Accelerators.Spec = append(s.Accelerators.Spec, near, far)
	for _, p := range s.Models.Spec {
		if p.Acc == "G2" {
			for _, name := range []string{near.Name, far.Name} {
				q := p
				q.Acc = name
				s.Models.Spec = append(s.Models.Spec, q)
			}
		}
	}
	s.Capacity = jsonspec.CapacityData{Count: []jsonspec.AcceleratorCount{{Type: "G2@zone-a", Count: 100}, {Type: "G2@zone-b", Count: 100}}}
	if a := only(t, s, decide(t, s, control.State{})); a.Accelerator != "G2@b" {
		t.Errorf("both zones have cards: %+v, want the cheaper G2@b", a)
	}
	s.Capacity.Count[1].Count = 1
	if a := only(t, s, decide(t, s, control.State{})); a.Accelerator != "G2@a" {
		t.Errorf("zone b is full: %+v, want G2@a", a)
	}
}

// Where there is no capacity to buy, plans move to the next pool at once and come back when the time is over; a restart knows as much.
func TestInsufficientCapacityMovesThePlan(t *testing.T) {
	s := rented(t)
	first := decideAfter(t, s, control.State{}, 0)
	until := metav1.Unix(1000+200, 0)
	s.Capacity.Elastic[1].InsufficientUntil = &until
	without := decideAfter(t, s, first.State, 20)
	if len(without.Plan.Bought) != 1 || without.Plan.Bought[0].Pool != "cloud-a100" {
		t.Errorf("bought %+v, want from cloud-a100", without.Plan.Bought)
	}
	if taken := without.Plan.TakenBack; len(taken) != 1 || taken[0].Pool != "cloud-g2" || taken[0].Count != first.Plan.Bought[0].Count || !taken[0].Until.Equal(&until) || !strings.Contains(taken[0].Reason, "there is no capacity") {
		t.Errorf("taken back %+v", taken)
	}
	restarted := without.State
	restarted.Pools = control.PoolsOf(&v1alpha1.CycleReport{Bought: without.Plan.Bought, TakenBack: without.Plan.TakenBack})
	for name, state := range map[string]control.State{"as it was": without.State, "after a restart": restarted} {
		if next := decideAfter(t, s, state, 199); len(next.Plan.Bought) != 1 || next.Plan.Bought[0].Pool != "cloud-a100" {
			t.Errorf("%s, before the time is over: bought %+v", name, next.Plan.Bought)
		}
		if next := decideAfter(t, s, state, 200); len(next.Plan.TakenBack) != 0 || len(next.Plan.Bought) != 1 || next.Plan.Bought[0].Pool != "cloud-g2" {
			t.Errorf("%s, when the time is over: bought %+v, taken back %+v", name, next.Plan.Bought, next.Plan.TakenBack)
		}
	}
}

// A pool without a limit is no burden to the solver: more is not counted on than servers can use.
func TestPoolsWithoutALimit(t *testing.T) {
	s := rented(t)
	limited := decideAfter(t, s, control.State{}, 0)
	s.Capacity.Elastic[1].Limit = 10_000
	if diff := cmp.Diff(limited.Plan.Bought, decideAfter(t, s, control.State{}, 0).Plan.Bought); diff != "" {
		t.Error(diff)
	}
}
