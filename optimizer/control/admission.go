package control

import (
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// admissible is the rate of requests per second that a server can be sent within its targets: what the planned replicas serve, and no more than those do that are
// ready, for what starts serves nobody yet. Missing where all of the load can be sent, or where it is not known. While the replicas of a plan come that is not
// short, only more is refused than those that are ready complete at all; and nothing where none is and the server may have none: there requests are held that
// wake it.
func (b *basis) admissible(w *considered, planned []sizing.Part, short bool) fleet.Maybe {
	within, bound := b.stage.Served(w.sized, planned)
	if ready, told := w.sizing.Ready(w.Seen); told {
		if len(ready) == 0 && !short && w.MinReplicas == 0 {
			return fleet.Maybe{}
		}
		now, atAll := b.stage.Served(w.sized, ready)
		within, bound = lesser(within, now), lesser(bound, atAll)
	}
	rate, known := within.Get()
	if short {
		bound = within
	}
	load := w.sized.Demand.Rate
	if w.Fault == nil && w.Load != nil {
		load = min(load, w.Load.Arrivals)
	}
	if !known || bound.Or(0) >= load {
		return fleet.Maybe{}
	}
	return fleet.Known(rate)
}

// lesser of two; missing where one of them is.
func lesser(a, b fleet.Maybe) fleet.Maybe { return fleet.Measured(min(a.OrNaN(), b.OrNaN())) }

// nothing is what a server can be sent that gets nothing for want of capacity; missing where it gets some, or that is not known.
func nothing(a *fleet.Allocation, v fleet.Verdict) fleet.Maybe {
	if a != nil || v.Reason != v1alpha1.ReasonNoCapacity {
		return fleet.Maybe{}
	}
	return fleet.Known(0)
}

// admitted says for people what can be sent; empty where that is all, or not known.
func admitted(rate fleet.Maybe) string {
	r, known := rate.Get()
	if !known {
		return ""
	}
	return fmt.Sprintf("; %.0f requests/min can be admitted within targets", jsonspec.PerMinute(r))
}
