package control

import (
	"cmp"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// startedWith is the limits that most ready replicas of a server on an accelerator were started with, of equally many the smaller; false
// where no replica says any. An engine keeps them for its life: they are what a replica can do, whatever is wished for.
func startedWith(s *v1alpha1.ServerEntry, accelerator string) (v1alpha1.ObservedPart, bool) {
	if s.Observation == nil {
		return v1alpha1.ObservedPart{}, false
	}
	var told []v1alpha1.ObservedPart
	for _, p := range s.Observation.Parts {
		if p.Accelerator == accelerator && p.Ready > 0 && (p.MaxBatchSize > 0 || p.MaxBatchedTokens > 0) {
			told = append(told, p)
		}
	}
	if len(told) == 0 {
		return v1alpha1.ObservedPart{}, false
	}
	return slices.MinFunc(told, func(a, b v1alpha1.ObservedPart) int {
		return cmp.Or(cmp.Compare(b.Ready, a.Ready), cmp.Compare(a.MaxBatchSize, b.MaxBatchSize), cmp.Compare(a.MaxBatchedTokens, b.MaxBatchedTokens))
	}), true
}

// inForce are the limits under which the running replicas on an accelerator go on; false where they are those wanted. What the server fixes
// is not a matter of gain: it is wanted whatever runs.
func inForce(s *v1alpha1.ServerEntry, accelerator string, wanted queueing.Limits) (queueing.Limits, bool) {
	running, ok := startedWith(s, accelerator)
	if !ok {
		return wanted, false
	}
	l := wanted
	if running.MaxBatchSize > 0 && s.MaxBatchSize == 0 {
		l.MaxBatch = running.MaxBatchSize
	}
	if running.MaxBatchedTokens > 0 && s.MaxBatchedTokens == 0 {
		l.MaxBatchedTokens = running.MaxBatchedTokens
	}
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return l, l != wanted
}

// decided says whether the plan in force has these limits on an accelerator. What is being changed is changed to the end: the gain was there
// when it was decided, and going back would be a change too.
func decided(s *v1alpha1.ServerEntry, accelerator string, l queueing.Limits) bool {
	d := s.DesiredAlloc
	if d == nil {
		return false
	}
	for _, p := range d.Parts {
		if p.Accelerator == accelerator {
			return p.MaxBatchSize == l.MaxBatch && p.MaxBatchedTokens == l.MaxBatchedTokens
		}
	}
	return d.Accelerator == accelerator && d.MaxBatch == l.MaxBatch && d.MaxBatchedTokens == l.MaxBatchedTokens
}

// keepRunning replaces a candidate by one with the limits of the replicas that run, unless starting them anew with the wanted limits pays
// back: it must save more than the restarts cost, by the price of change; without such a price, more than nothing. A batch beyond what the
// memory holds is sized as what it holds: an engine runs no more at a time.
func (st *Stages) keepRunning(c *candidate, s *v1alpha1.ServerEntry, a asked, d demand, change *solver.Change) {
	limits, differ := inForce(s, c.ID, c.limits)
	if !differ || decided(s, c.ID, c.limits) {
		return
	}
	kept := newCandidate(c.pair, limits)
	kept.demand, kept.late, kept.trim = c.demand, c.late, c.trim
	kept.limits.MaxBatch = min(limits.MaxBatch, c.limits.MaxBatch)
	if kept.fault = st.size(kept, s, a.targets, d); kept.fault != nil && (c.fault == nil || !kept.capped) {
		return
	}
	kept.limits = limits
	price := 0.0
	if change != nil {
		price = change.Price(c.ID, 0, c.Parts[0], c.Cost)
	}
	if c.fault == nil && kept.Cost > c.Cost+price {
		return
	}
	*c = *kept
}
