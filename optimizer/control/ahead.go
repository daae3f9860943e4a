package control

import (
	"slices"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Ahead is what is remembered of replicas that are needed ahead of time on an accelerator. They are asked for until they are planned, or until no more were
// needed for as long as a node takes to come: a node that is asked for now and then is never ready.
type Ahead struct {
	// Replicas that were needed there, those that were planned among them.
	Replicas int `json:"replicas"`
	// Since when no more were needed, in seconds since 1970.
	Since float64 `json:"since"`
}

// growth is how many times the load that a server is sized for is to be expected when a node asked for now has come; 1 where that is not more. A target on
// tokens per second asks for what it asks for, whatever the load.
func growth(q *question, d *demand.Demand) float64 {
	if q.targets.TPS > 0 || !(d.Later > d.Rate) || d.Rate == 0 {
		return 1
	}
	return d.Later / d.Rate
}

// ahead writes into the parts of a server's plan the replicas beyond theirs that its load will need by the time a node has come that is asked for now, and
// returns what to remember. It looks no further than what the server and its share may have. Of a plan that is held all stays as it is. The first decision
// after a restart stands by what the plan in force asks for.
func (b *basis) ahead(w *considered, parts []fleet.Part, before map[string]Ahead, seconds float64, first bool) map[string]Ahead {
	o, _ := b.got(w)
	if seconds == 0 || w.fault != nil {
		return before
	}
	if first && w.Plan != nil {
		before = inForceAhead(w.Plan, b.snap.Time)
	}
	after := map[string]Ahead{}
	if o != nil {
		needed := o.candidate.Grown(w.growth, w.MinReplicas)
		for i := range parts {
			remembered, known := before[parts[i].Accelerator]
			if now := b.snap.Time; !known || needed[i] >= remembered.Replicas || now-remembered.Since >= seconds {
				remembered = Ahead{needed[i], now}
			}
			if parts[i].Ahead = max(remembered.Replicas-parts[i].Replicas, 0); parts[i].Ahead > 0 {
				after[parts[i].Accelerator] = remembered
			}
		}
		b.allow(w, o, parts)
	}
	if len(after) == 0 {
		return nil
	}
	return after
}

// inForceAhead is what a plan asks for ahead of time, as if it had been needed by now.
func inForceAhead(plan *fleet.Allocation, now float64) map[string]Ahead {
	asked := map[string]Ahead{}
	for _, p := range plan.Parts {
		if p.Ahead > 0 {
			asked[p.Accelerator] = Ahead{p.Replicas + p.Ahead, now}
		}
	}
	return asked
}

// allow of what is needed ahead of time as much as the server may have replicas, and as its share may have cards and may cost beside what others of it are
// given now.
func (b *basis) allow(w *considered, o *option, parts []fleet.Part) {
	left := -1
	if w.MaxReplicas > 0 {
		left = w.MaxReplicas
		for i := range parts {
			left -= parts[i].Replicas
		}
	}
	grown := make([]sizing.Part, len(parts))
	for i := range parts {
		grown[i] = sizing.Part{Sized: o.parts[i].Sized, Replicas: parts[i].Replicas}
	}
	for i := range parts {
		p := &parts[i]
		if left >= 0 {
			p.Ahead = min(p.Ahead, max(left, 0))
		}
		p.Ahead = sort.Search(p.Ahead, func(k int) bool {
			with := slices.Clone(grown)
			with[i].Replicas += k + 1
			return b.spare.forbids(w, &option{candidate: o.candidate, parts: with, cost: sizing.Cost(with)}) != ""
		})
		grown[i].Replicas += p.Ahead
		if left >= 0 {
			left -= p.Ahead
		}
	}
}
