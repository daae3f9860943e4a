package control

import (
	"maps"
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
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
	budgetLife = 900
	// budgetDrift is the ratio by which the lengths of requests may change before it is made again.
	budgetDrift = 1.5
	// budgetGain is the share of the rate that another budget must gain: pods are started anew for it.
	budgetGain = 0.1
)

// budgets of a server by accelerator: those in memory where they still stand, chosen anew where not. None where the server fixes its budget or
// the queueing model does not see what a budget does.
func (st *Stages) budgets(w *work, now float64) map[string]Budget {
	model, ok := st.Model.(queueing.Budgeted)
	if !ok || w.entry.MaxBatchedTokens > 0 || w.demand.rate == 0 || w.demand.out == 0 {
		return w.memory.Budgets
	}
	next := maps.Clone(w.memory.Budgets)
	for _, p := range w.asked.pairs {
		if p.fault != nil {
			continue
		}
		old := next[p.perf.Acc]
		if old.stands(now, w.demand) {
			continue
		}
		if next == nil {
			next = map[string]Budget{}
		}
		next[p.perf.Acc] = Budget{Tokens: chooseBudget(model, w, p, old.Tokens), Time: now, InputTokens: w.demand.in, OutputTokens: w.demand.out}
	}
	return next
}

func (b Budget) stands(now float64, d demand) bool {
	alike := func(x, y float64) bool { return x > 0 && y > 0 && math.Abs(math.Log(x/y)) <= math.Log(budgetDrift) }
	return b.Tokens > 0 && now >= b.Time && now-b.Time < budgetLife && alike(b.InputTokens, d.in) && alike(b.OutputTokens, d.out)
}

// chooseBudget is the budget with the highest rate within the targets, or the one there was where that gains too little. Where no budget meets
// the targets it is the engines' default.
func chooseBudget(model queueing.Model, w *work, p *pair, last int) int {
	l := limits(w.entry, p, w.demand, 0)
	best, err := sizing.Choose(model, p.law, requests(w.demand, w.demand.replicas), l, w.asked.targets, sizing.Free{Budget: true})
	if err != nil {
		return queueing.DefaultMaxBatchedTokens
	}
	if last > 0 {
		kept := l
		kept.MaxBatchedTokens = last
		kept.MaxBatch = min(kept.MaxBatch, last)
		if rate, _, err := sizing.RatePerReplica(model, p.law, requests(w.demand, w.demand.replicas), kept, w.asked.targets); err == nil && best.Rate <= rate*(1+budgetGain) {
			return last
		}
	}
	return best.Limits.MaxBatchedTokens
}
