package sizing

import (
	"cmp"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const (
	// defaultMaxBatch is vLLM's default for max-num-seqs, taken where nothing says what the memory holds.
	//
	// Tuned: requests; derived from vLLM, whose default it is; at half: no difference; at twice: no difference
	defaultMaxBatch = 256
	// batchTolerance is how far the max batch size in force may be from the one that memory holds before it changes: lengths of requests are
	// estimates, and running pods keep what they were started with.
	//
	// Tuned: share; measured by the scenario azure-hour with a tenth of its cache, 99.95 % at 2997 ¢/h; at half: 99.89 % at 11 % more cost, with 28
	// changes after 15; at twice: 99.91 % at 4 % less
	batchTolerance = 0.25
	// overcommit is by how much the batch may exceed what the cache holds of requests of their mean length. An engine admits what fits, and what is
	// preempted now and then is computed again in a part of a second; but lengths are estimates, replicas keep the batch they were started with, and
	// one that is too small leaves the cache empty while requests wait.
	//
	// Tuned: 1; measured by the scenario azure-hour with a tenth of its cache, 99.95 % at 2997 ¢/h; at half: 99.91 % at 4 % more cost; at twice: no
	// difference, for the engine admits what fits
	overcommit = 2
)

// limits of the engine on one accelerator: the token budget that the server fixes, or the given one, or the engines' default where that is 0; the
// batch that the server asks for, or the one that memory holds for requests of this length, unless the one in force is close to it.
func limits(s *Server, p *Pair, budget int) queueing.Limits {
	perf, d := &p.Performance, &s.Demand
	l := queueing.Limits{MaxBatch: s.MaxBatchSize, MaxQueue: s.MaxQueueSize, KVTokens: perf.KVTokens}
	l.MaxBatchedTokens = cmp.Or(s.MaxBatchedTokens, budget, queueing.DefaultMaxBatchedTokens)
	switch {
	case l.MaxBatch > 0:
	case perf.MaxBatchSize > 0 && perf.AtTokens > 0 && d.OutputTokens > 0:
		l.MaxBatch = max(int(float64(perf.MaxBatchSize*perf.AtTokens)/d.OutputTokens), 1)
	case perf.MaxBatchSize > 0:
		l.MaxBatch = perf.MaxBatchSize
	default:
		l.MaxBatch = defaultMaxBatch
	}
	if s.MaxBatchSize == 0 {
		if l.KVTokens > 0 && d.OutputTokens > 0 {
			room := overcommit * float64(l.KVTokens) / (d.InputTokens + d.OutputTokens)
			l.MaxBatch = min(l.MaxBatch, max(int(room), 1))
		}
		if last := s.Plan.Part(p.Accelerator.Name); last != nil && math.Abs(float64(last.MaxBatch-l.MaxBatch)) <= batchTolerance*float64(l.MaxBatch) {
			l.MaxBatch = last.MaxBatch
		}
	}
	// Every running sequence decodes one token an iteration: engines refuse a batch above the token budget.
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return l
}

// startedWith is the limits that most ready replicas of a server on an accelerator were started with, of equally many the smaller; false
// where no replica says any. An engine keeps them for its life: they are what a replica can do, whatever is wished for.
func startedWith(o *fleet.Observation, accelerator string) (fleet.Limits, bool) {
	if o == nil {
		return fleet.Limits{}, false
	}
	var told []fleet.Pods
	for _, p := range o.Pods {
		if p.Accelerator == accelerator && p.Ready > 0 && p.Limits != (fleet.Limits{}) {
			told = append(told, p)
		}
	}
	if len(told) == 0 {
		return fleet.Limits{}, false
	}
	return slices.MinFunc(told, func(a, b fleet.Pods) int {
		return cmp.Or(cmp.Compare(b.Ready, a.Ready), cmp.Compare(a.MaxBatch, b.MaxBatch), cmp.Compare(a.MaxBatchedTokens, b.MaxBatchedTokens))
	}).Limits, true
}

// running are the limits under which the running replicas on an accelerator go on; false where they are those wanted. What the server fixes
// is not a matter of gain: it is wanted whatever runs.
func running(s *Server, accelerator string, wanted queueing.Limits) (queueing.Limits, bool) {
	with, ok := startedWith(s.Seen, accelerator)
	if !ok {
		return wanted, false
	}
	l := wanted
	if with.MaxBatch > 0 && s.MaxBatchSize == 0 {
		l.MaxBatch = with.MaxBatch
	}
	if with.MaxBatchedTokens > 0 && s.MaxBatchedTokens == 0 {
		l.MaxBatchedTokens = with.MaxBatchedTokens
	}
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return l, l != wanted
}

// decided says whether the plan in force has these limits on an accelerator. What is being changed is changed to the end: the gain was there
// when it was decided, and going back would be a change too.
func decided(s *Server, accelerator string, l queueing.Limits) bool {
	p := s.Plan.Part(accelerator)
	return p != nil && p.Limits == fleet.Limits{MaxBatch: l.MaxBatch, MaxBatchedTokens: l.MaxBatchedTokens}
}

// keepRunning replaces a candidate by one with the limits of the replicas that run, unless starting them anew with the wanted limits pays
// back: it must save more than the restarts cost, by the price of change; without such a price, more than nothing. A batch beyond what the
// memory holds is sized as what it holds: an engine runs no more at a time.
//
// New limits reach running replicas only where there are cards for others that start beside them. So where a decided change is not there yet and
// requests wait, the candidate has as many replicas as those that run need with what they have: sized for limits that they may never get they are
// too few.
func (st *Stage) keepRunning(c *Candidate, s *Server) *Candidate {
	wanted := c.Parts[0]
	limits, differ := running(s, wanted.Accelerator.Name, wanted.Limits)
	if !differ {
		return c
	}
	one := &Sized{Pair: wanted.Pair, Limits: limits, Trim: wanted.Trim, demand: wanted.demand, late: wanted.late}
	one.Limits.MaxBatch = min(limits.MaxBatch, wanted.Limits.MaxBatch)
	kept := &Candidate{Parts: []Part{{one, 0, 1}}, Demand: c.Demand}
	if st.size(kept, s); kept.Fault != nil && (c.Fault == nil || !kept.Capped) {
		return c
	}
	one.Limits = limits
	if decided(s, wanted.Accelerator.Name, wanted.Limits) {
		if more := kept.Replicas() - c.Replicas(); c.Fault == nil && more > 0 && s.Demand.Drain > 0 {
			c.Parts[0].Replicas, c.Renewing = kept.Replicas(), more
		}
		return c
	}
	if c.Fault == nil && Cost(kept.Parts) > Cost(c.Parts)+fleet.StartPrice(st.Change, c.Replicas(), wanted.Cost()) {
		return c
	}
	return kept
}
