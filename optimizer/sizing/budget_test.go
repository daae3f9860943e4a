package sizing

import (
	"errors"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Replicas that compute prompts run with the budget with which each serves most within the target of first tokens. Those that decode have none of their own, nor has
// who has nobody to decode.
func TestBudgetsOfRoles(t *testing.T) {
	law := queueing.Roofline{Overhead: 5e-3, Weights: 6.6e-3, Compute: 3.5e-5, Attention: 1e-10, KV: 2e-8, Sequence: 2e-5, Prefill: 1e-3}
	pair := func(name, role string) *Pair {
		return &Pair{
			Accelerator: &fleet.Accelerator{Name: name, Base: "A", Cost: 1, Cards: 1}, Law: law,
			Performance: jsonspec.Performance{Acc: name, Role: role, MaxBatchSize: 256, KVTokens: 600000},
		}
	}
	prefill, decode := pair("A/prefill", jsonspec.RolePrefill), pair("A/decode", jsonspec.RoleDecode)
	st := &Stage{Model: queueing.ContinuousBatching{}}
	other := 0
	for _, c := range []struct{ input, ttft float64 }{{500, 0.5}, {2000, 0.5}, {2000, 5}, {8000, 2}} {
		s := &Server{
			Server: &fleet.Server{}, Targets: Targets{TTFT: c.ttft, ITL: 0.05, Percentile: 99}, Pairs: []*Pair{prefill, decode},
			Demand: demand.Demand{Rate: 10, InputTokens: c.input, OutputTokens: 200, InputTokensSD: c.input / 2, OutputTokensSD: 100},
		}
		got := st.budgets(s, nil, 1000)
		if _, has := got["A/decode"]; has || len(got) != 1 {
			t.Fatalf("%v", got)
		}
		model, targets := promptsOf(s, prefill)
		sizer := Sizer{Model: model}
		at := func(budget int) float64 {
			rate, _, err := sizer.Rate(law, s.Demand.Requests(0), limits(s, prefill, budget), targets)
			if err != nil && !errors.As(err, new(*Infeasible)) {
				t.Fatal(err)
			}
			return rate
		}
		chosen := got["A/prefill"].Tokens
		best := 0.0
		for budget := leastBudget; budget <= queueing.DefaultMaxBatchedTokens; budget *= 2 {
			best = math.Max(best, at(budget))
		}
		if at(chosen) < 0.995*best {
			t.Errorf("prompts of %v tokens within %v s: a budget of %d serves %v/s, the best %v/s", c.input, c.ttft, chosen, at(chosen), best)
		}
		if at(chosen) > 1.1*at(queueing.DefaultMaxBatchedTokens) {
			other++
		}
		if m := st.budgets(s, got, 1000+budgetLife/2); m["A/prefill"] != got["A/prefill"] {
			t.Errorf("chosen anew: %v after %v", m, got)
		}
		list := st.apart(s, &Memory{Budgets: got}, nil)
		if l := list[0].Parts[0].Limits; l.MaxBatchedTokens != chosen {
			t.Errorf("a plan with a budget of %d, chosen was %d", l.MaxBatchedTokens, chosen)
		}
	}
	if other == 0 {
		t.Error("no case in which another budget than the engines' default pays")
	}
	s := &Server{Server: &fleet.Server{}, Targets: Targets{TTFT: 1}, Pairs: []*Pair{prefill}, Demand: demand.Demand{Rate: 1, InputTokens: 1000, OutputTokens: 100}}
	if got := st.budgets(s, nil, 0); len(got) > 0 {
		t.Errorf("who has nobody to decode: %v", got)
	}
}
