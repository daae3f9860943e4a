package sizing

import (
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Likely sizes a pair alone for a server as if its ITL, by what is not known of it, were at a quantile of what it may be, above 0 and below 1: 0.5 is
// the likeliest, less is faster. Its fault says why it does not meet the targets.
func (st *Stage) Likely(one *Sized, s *Server, quantile float64) *Candidate {
	plain := Stage{Model: st.Model, Change: st.Change}
	sized := func(law queueing.Law) *Candidate {
		pair := *one.Pair
		pair.Law, pair.Assumed = law, ""
		c := &Candidate{Parts: []Part{{&Sized{Pair: &pair, Limits: one.Limits, demand: s.Targets.Demand(s.Demand.Rate, s.Demand.OutputTokens)}, 0, 1}}}
		c.Demand = c.Parts[0].demand
		if c.Fault = allowed(s, &pair, s.InForce()); c.Fault == nil {
			plain.size(c, s)
		}
		return c
	}
	law, err := queueing.NewLaw(one.Performance)
	if err != nil {
		return &Candidate{Parts: []Part{{one, 0, 1}}, Fault: err}
	}
	c := sized(law)
	if c.Fault != nil || quantile == 0.5 {
		return c
	}
	there, known := c.Parts[0].Means(c.Parts[0].Rate)
	if !known || !(there.InService > 0) {
		return c
	}
	at := estimation.Point{Running: there.InService, InputTokens: s.Demand.InputTokens, OutputTokens: s.Demand.OutputTokens}
	perf, err := estimation.Cautious(one.Performance, at, quantile)
	if err == nil {
		law, err = queueing.NewLaw(perf)
	}
	if err != nil {
		c.Fault = err
		return c
	}
	return sized(law)
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
