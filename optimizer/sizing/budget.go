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
// the queueing model does not see what a budget does.
func (st *Stage) budgets(s *Server, before map[string]Budget, now float64) map[string]Budget {
	if !st.Model.SeesBudget() || s.MaxBatchedTokens > 0 || s.Demand.None() {
		return before
	}
	next := maps.Clone(before)
	for _, p := range s.Pairs {
		name := p.Accelerator.Name
		if old := next[name]; p.Fault == nil && p.Performance.Role == "" && !old.stands(now, &s.Demand) {
			if next == nil {
				next = map[string]Budget{}
			}
			next[name] = Budget{st.chooseBudget(s, p, old.Tokens), now, s.Demand.InputTokens, s.Demand.OutputTokens}
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
func (st *Stage) chooseBudget(s *Server, p *Pair, last int) int {
	l, r := limits(s, p, 0), s.Demand.Requests(s.Demand.Replicas)
	best, err := Choose(st.Model, p.Law, r, l, s.Targets, Free{Budget: true})
	if err != nil {
		return queueing.DefaultMaxBatchedTokens
	}
	if last > 0 {
		kept := l
		kept.MaxBatchedTokens = last
		kept.MaxBatch = min(kept.MaxBatch, last)
		if rate, _, err := st.highest(p.Law, r, kept, s.Targets); err == nil && best.Rate <= rate*(1+budgetGain) {
			return last
		}
	}
	return best.Limits.MaxBatchedTokens
}
