package control

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// question is what one server asks, with all names resolved.
type question struct {
	*fleet.Server
	pairs   []*sizing.Pair
	class   *fleet.Class
	targets sizing.Targets
}

// priority of a server whose class is known.
func (q *question) priority() int {
	if q.class == nil {
		return 0
	}
	return q.class.Priority
}

// ask resolves the names of all servers. What cannot be resolved is a fault, in the second result by index.
func ask(snap *fleet.Snapshot, known pairs) ([]question, []*fleet.Fault) {
	classes := map[string]*fleet.Class{}
	for i := range snap.Classes {
		classes[snap.Classes[i].Name] = &snap.Classes[i]
	}
	questions, faults := make([]question, len(snap.Servers)), make([]*fleet.Fault, len(snap.Servers))
	for i := range snap.Servers {
		questions[i].Server = &snap.Servers[i]
		faults[i] = questions[i].resolve(known, classes)
	}
	return questions, faults
}

// resolve the names of the server. The fault says what is missing.
func (q *question) resolve(known pairs, classes map[string]*fleet.Class) *fleet.Fault {
	if q.Refused != "" {
		return &fleet.Fault{Reason: v1alpha1.ReasonClassNotAllowed, Message: q.Refused}
	}
	byNamespace, ok := known[q.Model]
	if !ok {
		return &fleet.Fault{Reason: v1alpha1.ReasonUnknownModel, Message: fmt.Sprintf("model %q does not exist, known are %s", q.Model, names(known))}
	}
	list, class := byNamespace[q.Namespace], classes[q.Class]
	if class == nil {
		return &fleet.Fault{Reason: v1alpha1.ReasonUnknownServiceClass, Message: fmt.Sprintf("service class %q does not exist, known are %s", q.Class, names(classes))}
	}
	targets, ok := class.Targets[q.Model]
	if !ok {
		return &fleet.Fault{Reason: v1alpha1.ReasonNoTarget, Message: fmt.Sprintf("service class %q has no targets for model %q, only for %s", q.Class, q.Model, names(class.Targets))}
	}
	if len(list) == 0 {
		return &fleet.Fault{Reason: v1alpha1.ReasonInfeasible, Message: fmt.Sprintf("model %q has no performance data for any accelerator", q.Model)}
	}
	if class.Fault != nil {
		return &fleet.Fault{Reason: v1alpha1.ReasonInvalidSpec, Message: fmt.Sprintf("service class %q: %v", q.Class, class.Fault)}
	}
	q.pairs, q.class, q.targets = list, class, sizing.Targets(targets)
	return nil
}

// names lists the keys of a map for a message, the first ten of them.
func names[V any](m map[string]V) string {
	if len(m) == 0 {
		return "none"
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	const most = 10
	if len(keys) > most {
		return strings.Join(keys[:most], ", ") + fmt.Sprintf(" and %d more", len(keys)-most)
	}
	return strings.Join(keys, ", ")
}

// doubtAfter is how long a server waits for capacity with the load that it last had before it starts small once, to be measured: what was seen of it
// while its replicas went may be more than ever comes again.
//
// Tuned: s; measured by TestALoadThatIsRecalledIsDoubted; at half: no difference there, one replica twice as often for a server that cannot have its
// need; at twice: it returns ten minutes later
const doubtAfter = 600

// demand of the server, and what to remember. A server whose load is not known has none, with the reason, unless it has no plan yet, and starts
// small, as does one that never ran, or waits for capacity with a load that it had, or one whose pods all fail, for which nothing can be measured before it
// runs elsewhere.
func (st *Stages) demand(q *question, m ServerState, p *policy, c demand.Clock) (demand.Demand, demand.Memory, *fleet.Fault) {
	if q.Fault != nil {
		d, recalled := demand.Recalled(q.Server, m.Demand)
		switch {
		case q.Plan == nil:
			return demand.Demand{Unknown: true}, m.Demand, nil
		case q.Fault.Reason == v1alpha1.ReasonNoMetrics && q.Plan.Replicas() == 0 && m.Waits && recalled:
			if m.Doubted > 0 && c.Now-m.Doubted >= doubtAfter {
				d = demand.Demand{Unknown: true}
			}
			return d, m.Demand, nil
		case q.Fault.Reason == v1alpha1.ReasonNoMetrics && q.Plan.Replicas() == 0 && q.MinReplicas > 0 && !recalled:
			return demand.Demand{Unknown: true}, m.Demand, nil // it never ran, for want of capacity, and nothing would ever be measured
		case q.Fault.Reason == v1alpha1.ReasonNoMetrics && q.Seen.NothingStarts() && recalled:
			return d, m.Demand, nil
		case q.Fault.Reason == v1alpha1.ReasonNoMetrics && q.Seen.NothingStarts():
			return demand.Demand{Unknown: true}, m.Demand, nil
		}
		return demand.Demand{}, m.Demand, q.Fault
	}
	d, next := demand.Of(q.Server, m.Demand, func(horizon float64) forecast.Predictor { return st.Forecaster.For(horizon, quantile(q.class, &m, p)) }, c)
	if held := q.Held(); held != nil {
		d.Replicas = held.Replicas()
	}
	return d, next, nil
}

// quantile of the rate that a server is sized for; 0 is the forecaster's own. What its class says goes before what is said for all. The price of
// capacity is that of the last decision: before the first there is none, and the quantile is that for all.
func quantile(class *fleet.Class, m *ServerState, p *policy) float64 {
	if price, known := m.Sizing.CapacityPrice.Get(); known && class.ViolationCost > 0 {
		return demand.Quantile(price, class.ViolationCost)
	}
	return cmp.Or(class.Quantile, p.quantile)
}
