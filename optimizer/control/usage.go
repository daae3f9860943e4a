package control

import (
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Usage is what a server gave, cost and drew when it was observed. What is missing is not known, which is not zero.
type Usage struct {
	// Requests that were completed and OutputTokens of them, per second.
	Requests, OutputTokens fleet.Maybe
	// Attainment is the share of requests within both targets, 0 to 1.
	Attainment fleet.Maybe
	// Cost of its pods in cents per hour, of those that start too: they hold their cards.
	Cost fleet.Maybe
	// Power that its pods draw, in watts, by the power curves of their accelerators.
	Power fleet.Maybe
}

// Usage of a server, and whether the decision knows it.
func (d *Decision) Usage(server string) (Usage, bool) {
	i, known := d.basis.index[server]
	if !known {
		return Usage{}, false
	}
	w := &d.basis.servers[i]
	var u Usage
	if l := w.Load; l != nil && w.Fault == nil {
		u.Requests = fleet.Known(l.Completions)
		if l.Completions == 0 || l.OutputTokens > 0 {
			u.OutputTokens = fleet.Known(l.Completions * l.OutputTokens)
		}
		if w.Seen != nil {
			u.Attainment = w.Seen.Attainment
		}
	}
	if w.Seen != nil {
		u.Cost = costOf(w.Server, d.basis.pairs)
		u.Power = w.power(u.Requests)
	}
	return u, true
}

// costOf the pods that a server has on nodes, in cents per hour; missing where one of them is on an accelerator of which no price is known for its model.
func costOf(s *fleet.Server, known pairs) fleet.Maybe {
	sum := 0.0
	for _, p := range s.Seen.Pods {
		n := p.Ready + p.Starting
		if p.Accelerator == "" || n == 0 {
			continue
		}
		pair := known.of(s.Model, s.Namespace, p.Accelerator)
		if pair == nil {
			return fleet.Maybe{}
		}
		sum += float64(n) * pair.Cost()
	}
	return fleet.Known(sum)
}

// power that the pods of a server draw, in watts, where it completes λ requests per second: ready ones do the same share of what they can, those that start
// nothing,
//
//	u = λ / Σ ready · saturation,  W = Σ accelerators · (ready · watts(u) + starting · watts(0)).
//
// Missing where the load, a curve or the saturation of an accelerator is not known, and of servers whose prompts and decodes run apart.
func (w *considered) power(requests fleet.Maybe) fleet.Maybe {
	rate, known := requests.Get()
	if !known {
		return fleet.Maybe{}
	}
	on := map[string]*sizing.Sized{}
	for _, c := range w.sizing.Candidates {
		if c.Apart() {
			return fleet.Maybe{}
		}
		for _, p := range c.Parts {
			on[p.Accelerator.Name] = p.Sized
		}
	}
	most := 0.0
	for _, p := range w.Seen.Pods {
		if p.Accelerator == "" || p.Ready+p.Starting == 0 {
			continue
		}
		s := on[p.Accelerator]
		if s == nil || s.Accelerator.Power == (jsonspec.PowerCurve{}) {
			return fleet.Maybe{}
		}
		if used := s.Utilisation(1); used > 0 {
			most += float64(p.Ready) / used
		}
	}
	if most == 0 && rate > 0 {
		return fleet.Maybe{}
	}
	watts, use := 0.0, 0.0
	if rate > 0 {
		use = rate / most
	}
	for _, p := range w.Seen.Pods {
		if s := on[p.Accelerator]; s != nil {
			each := float64(s.Performance.Accelerators())
			watts += each * (float64(p.Ready)*fleet.Watts(s.Accelerator.Power, use) + float64(p.Starting)*fleet.Watts(s.Accelerator.Power, 0))
		}
	}
	return fleet.Known(watts)
}
