package sizing

import (
	"maps"
	"math"

	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Budget is a token budget that was chosen for a server on an accelerator, and what for.
type Budget struct {
	// Tokens per iteration.
	Tokens int `json:"tokens"`
	// Time of the choice, seconds since the Unix epoch.
	Time float64 `json:"time"`
	// InputTokens and OutputTokens per request then.
	InputTokens  float64 `json:"inputTokens"`
	OutputTokens float64 `json:"outputTokens"`
}

const (
	// budgetLife is how long a choice stands, in seconds: what is learned of the pair may ask for another.
	//
	// Tuned: s; measured by the scenarios ramp, short and flash-crowd; at half: no difference in attainment, 7 % less cost of ramp; at twice: 99.8 %
	// of short, no difference elsewhere but 6 % less cost of flash-crowd
	budgetLife = 900
	// budgetDrift is the ratio by which the lengths of requests may change before it is made again.
	//
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd, at half and twice the distance from 1; at half: 99.7 % of short at 5 % less
	// cost; at twice: 1 % less cost of ramp
	budgetDrift = 1.5
	// budgetGain is the share of the rate that another budget must gain: pods are started anew for it.
	//
	// Tuned: share; measured by the scenarios ramp, short and flash-crowd; at half: 2 % less cost of flash-crowd; at twice: 2 % more cost of ramp and
	// 6 % less of flash-crowd
	budgetGain = 0.1
)

// budgets of a server by accelerator: those in memory where they still stand, chosen anew where not. None where the server fixes its budget or
// the queueing model does not see what a budget does, and none of replicas that only decode: each of their sequences takes one token of an iteration, whatever the
// budget.
func (st *Stage) budgets(s *Server, before map[string]Budget, now float64) map[string]Budget {
	if !st.Model.SeesBudget() || s.MaxBatchedTokens > 0 || s.Demand.None() {
		return before
	}
	next := maps.Clone(before)
	for _, p := range s.Pairs {
		name := p.Accelerator.Name
		old, model, targets := next[name], st.Model, s.Targets
		if p.Performance.Role != "" {
			model, targets = promptsOf(s, p)
		}
		if p.Fault == nil && model != nil && !old.stands(now, &s.Demand) {
			if next == nil {
				next = map[string]Budget{}
			}
			next[name] = Budget{chooseBudget(s, p, model, targets, old.Tokens), now, s.Demand.InputTokens, s.Demand.OutputTokens}
		}
	}
	return next
}

func (b Budget) stands(now float64, d *demand.Demand) bool {
	alike := func(x, y float64) bool { return x > 0 && y > 0 && math.Abs(math.Log(x/y)) <= math.Log(budgetDrift) }
	return b.Tokens > 0 && now >= b.Time && now-b.Time < budgetLife && alike(b.InputTokens, d.InputTokens) && alike(b.OutputTokens, d.OutputTokens)
}

// chooseBudget is the budget with the highest rate within the targets, or the one there was where that gains too little. Where no budget meets
// the targets it is the engines' default.
func chooseBudget(s *Server, p *Pair, model queueing.Model, targets Targets, last int) int {
	l, r := limits(s, p, 0), s.Demand.Requests(s.Demand.Replicas)
	sizer := Sizer{Model: model}
	best, err := sizer.Choose(p.Law, r, l, targets, Free{Budget: true})
	if err != nil {
		return queueing.DefaultMaxBatchedTokens
	}
	if last > 0 {
		kept := l
		kept.MaxBatchedTokens = last
		kept.MaxBatch = min(kept.MaxBatch, last)
		if rate, _, err := sizer.Rate(p.Law, r, kept, targets); err == nil && best.Rate <= rate*(1+budgetGain) {
			return last
		}
	}
	return best.Limits.MaxBatchedTokens
}

// ampleDecodes are replicas that decode for one that computes prompts, as many as keep up with any budget of its.
//
// Tuned: replicas; guard against decodes that decide over the budget of prompts: a prompt takes as long as hundreds of tokens
const ampleDecodes = 64

// prompts is the queueing model of a replica that computes prompts, and hands them to others that keep up.
type prompts struct{ queueing.Split }

// Replica implements [queueing.Model].
func (m prompts) Replica(law queueing.Law, requests queueing.Requests, limits queueing.Limits) (queueing.Replica, error) {
	s := m.Split
	s.Prefill.Law, s.Prefill.Limits = law, limits
	return s.Replica(requests)
}

// SeesBudget implements [queueing.Model].
func (prompts) SeesBudget() bool { return true }

// promptsOf a pair that computes prompts: the model of its replicas, beside the first pair that can decode for it, and the targets that they have a part in. Nil where
// it does not compute prompts, nobody decodes for it, or no target is for first tokens.
func promptsOf(s *Server, p *Pair) (queueing.Model, Targets) {
	t := s.Targets
	t.ITL, t.TPS = 0, 0
	for _, pair := range pairsOfRoles(s.Pairs) {
		if pair[0] == p && pair[1].Fault == nil && t.TTFT > 0 {
			r := &roles{prefill: &Sized{Pair: p, Limits: limits(s, p, 0)}, decode: &Sized{Pair: pair[1], Limits: limits(s, pair[1], 0)}}
			r.under(p.Law, pair[1].Law, s.Routing)
			r.split.Prefill.Count, r.split.Decode.Count = 1, ampleDecodes
			return prompts{r.split}, t
		}
	}
	return nil, t
}
