package sizing

import (
	"slices"
	"strings"
)

// Likely sizes a pair alone for a server as if its ITL, by what is not known of it, were at a quantile of what it may be, above 0 and below 1: 0.5 is
// the likeliest, less is faster. Its fault says why it does not meet the targets.
func (st *Stage) Likely(one *Sized, s *Server, quantile float64) *Candidate {
	pair := *one.Pair
	pair.Assumed = "" // it is sized with the quantile, with no confidence beside
	c := &Candidate{Parts: []Part{{&Sized{Pair: &pair, Limits: one.Limits, demand: one.demand}, 0, 1}}, Demand: one.demand}
	if c.Fault = allowed(s, &pair, s.InForce()); c.Fault == nil {
		at := Stage{Model: st.Model, Confidence: quantile}
		at.size(c, s)
	}
	return c
}

// Beside is a part of a candidate with one replica of another pair beside it, which takes its share of the requests by the routing.
func Beside(part Part, other *Sized, routing string) *Candidate {
	c := &Candidate{Parts: []Part{part, {other, 1, 0}}, Demand: part.demand}
	slices.SortFunc(c.Parts, func(a, b Part) int { return strings.Compare(a.Accelerator.Name, b.Accelerator.Name) })
	share(c.Parts, routing)
	return c
}

// RateOn is how many requests per second each replica of one part of a candidate gets; 0 where it has none.
func RateOn(c *Candidate, one *Sized) float64 {
	for _, p := range c.Parts {
		if p.Sized == one && p.Replicas > 0 {
			return p.Share * c.Demand / float64(p.Replicas)
		}
	}
	return 0
}
