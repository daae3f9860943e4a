package sizing

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Served is what replicas serve, in requests per second, so many as each of the parts has: within the targets, and, beside what waits, at all. With n their
// number, and rᵢ(n) what one of a part sustains with its share of what is irregular among so many, trim included,
//
//	atAll = Σ nᵢ · fullᵢ − drain    within = min(Σ nᵢ · rᵢ(n), atAll)
//
// or, with round robin, n · min rᵢ(n). Roles serve what both do together. No replicas serve nothing. Missing where it is not known of one of the parts, or
// where no rate meets the targets there: less load would not help.
func (st *Stage) Served(s *Server, parts []Part) (within, atAll fleet.Maybe) {
	if len(parts) == 2 && parts[0].roles != nil {
		return parts[0].roles.served(s, parts[0].Replicas, parts[1].Replicas)
	}
	total, sum, slowest, full := Count(parts), 0.0, math.Inf(1), 0.0
	for _, p := range parts {
		if p.Replicas == 0 {
			continue
		}
		if !(p.Rate > 0) || p.replica == nil {
			return fleet.Maybe{}, fleet.Maybe{}
		}
		d := s.Demand
		if p.even {
			d.Bursts = 0
		}
		rate, _, _, err := st.sustained(p.Sized, s.Targets, d.Requests(total))
		if err != nil {
			return fleet.Maybe{}, fleet.Maybe{}
		}
		rate = min(p.trimmed(rate), p.Rate) // which is that of as many as are needed
		n := float64(p.Replicas)
		sum, slowest, full = sum+n*rate, min(slowest, rate), full+n*p.trimmed(p.replica.MaxRate())
	}
	if s.Routing == jsonspec.RoutingRoundRobin && total > 0 {
		sum = float64(total) * slowest
	}
	full = max(full-s.Demand.Drain, 0)
	return fleet.Measured(min(sum, full)), fleet.Measured(full)
}

// Ready are parts that have the replicas of a server that are ready, as they were sized: on each accelerator those of its candidate. False where nobody says what
// is ready, or one runs where nothing was sized.
func (z *Sizing) Ready(o *fleet.Observation) ([]Part, bool) {
	if o == nil {
		return nil, false
	}
	var parts []Part
	count := 0
	for _, c := range z.Candidates {
		if c.Apart() && o.ReadyOn(c.Parts[0].Accelerator.Name)+o.ReadyOn(c.Parts[1].Accelerator.Name) == o.Ready() && o.Ready() > 0 {
			parts = slices.Clone(c.Parts)
			for i := range parts {
				parts[i].Replicas = o.ReadyOn(parts[i].Accelerator.Name)
			}
			return parts, true
		}
		if len(c.Parts) != 1 {
			continue
		}
		if n := o.ReadyOn(c.ID()); n > 0 {
			parts = append(parts, Part{Sized: c.Parts[0].Sized, Replicas: n})
			count += n
		}
	}
	return parts, count == o.Ready()
}
