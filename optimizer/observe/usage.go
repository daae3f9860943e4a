package observe

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// What the optimizer counts of what servers gave, cost and drew.
const (
	ObservedSecondsMetric       = "inferno_observed_seconds_total"
	ServerObservedSecondsMetric = "inferno_server_observed_seconds_total"
	ServerKnownSecondsMetric    = "inferno_server_known_seconds_total"
	ServerRequestsMetric        = "inferno_server_requests_total"
	ServerOutputTokensMetric    = "inferno_server_output_tokens_total"
	ServerCostMetric            = "inferno_server_cost_cents_total"
	ServerEnergyMetric          = "inferno_server_energy_joules_total"
	// ServerPlanCostMetric is a gauge.
	ServerPlanCostMetric = "inferno_server_plan_cost_cents_per_hour"
)

// Values of the labels by which these counters tell what is known, and what is not.
const (
	TargetsMet     = "met"
	TargetsMissed  = "missed"
	TargetsUnknown = "unknown"
	OfLoad         = "load"
	OfCost         = "cost"
	OfPower        = "power"
	LoadKnown      = "known"
	LoadUnknown    = "unknown"
)

// ServerKey tells apart what is counted: a server in a class.
type ServerKey struct{ Namespace, Server, Class string }

// ServerUsage is what a server gave, cost and drew over a time. What is missing is not known.
type ServerUsage struct {
	// Observed is how long the optimizer looked, in seconds, and Known for how much of it it knew the load, the cost and the power.
	Observed, LoadKnown, CostKnown, PowerKnown fleet.Maybe
	// Requests and OutputTokens by whether they were within targets.
	Requests, OutputTokens ByTargets
	// Cost in cents while the load was known, and while it was not.
	Cost, CostUnloaded fleet.Maybe
	// Energy in joules.
	Energy fleet.Maybe
	// DearestPlan of the time in cents per hour.
	DearestPlan fleet.Maybe
}

// ByTargets counts what was within targets, what was not, and what it is not known of.
type ByTargets struct {
	Met     fleet.Maybe `json:"met,omitzero"`
	Missed  fleet.Maybe `json:"missed,omitzero"`
	Unknown fleet.Maybe `json:"unknown,omitzero"`
}

func (b *ByTargets) of(targets string) *fleet.Maybe {
	switch targets {
	case TargetsMet:
		return &b.Met
	case TargetsMissed:
		return &b.Missed
	}
	return &b.Unknown
}

// ReadUsage asks Prometheus what servers gave, cost and drew in a span that ends now, and for how many seconds of it optimizers looked; missing where there is
// nothing of that.
func ReadUsage(ctx context.Context, q Querier, now time.Time, span time.Duration) (map[ServerKey]*ServerUsage, fleet.Maybe, error) {
	all, observed := map[ServerKey]*ServerUsage{}, fleet.Maybe{}
	of := func(m model.Metric) *ServerUsage {
		key := ServerKey{string(m["namespace"]), string(m["server"]), string(m["class"])}
		if all[key] == nil {
			all[key] = new(ServerUsage)
		}
		return all[key]
	}
	whole := model.Duration(span)
	// A scrape may rename the namespace, where the target has one of its own.
	servers := func(function, how, metric, label string) string {
		if label != "" {
			label = ", " + label
		}
		return fmt.Sprintf(`%s by (namespace, server, class%s) (label_replace(%s(%s[%s]), "namespace", "$1", "exported_namespace", "(.+)"))`, how, label, function, metric, whole)
	}
	increase := func(metric, label string) string { return servers("increase", "sum", metric, label) }
	for _, question := range []struct {
		promql string
		take   func(m model.Metric) *fleet.Maybe
	}{
		{fmt.Sprintf("sum(increase(%s[%s]))", ObservedSecondsMetric, whole), func(model.Metric) *fleet.Maybe { return &observed }},
		{increase(ServerObservedSecondsMetric, ""), func(m model.Metric) *fleet.Maybe { return &of(m).Observed }},
		{increase(ServerKnownSecondsMetric, "of"), func(m model.Metric) *fleet.Maybe {
			u := of(m)
			return map[model.LabelValue]*fleet.Maybe{OfLoad: &u.LoadKnown, OfCost: &u.CostKnown, OfPower: &u.PowerKnown}[m["of"]]
		}},
		{increase(ServerRequestsMetric, "targets"), func(m model.Metric) *fleet.Maybe { return of(m).Requests.of(string(m["targets"])) }},
		{increase(ServerOutputTokensMetric, "targets"), func(m model.Metric) *fleet.Maybe { return of(m).OutputTokens.of(string(m["targets"])) }},
		{increase(ServerCostMetric, "load"), func(m model.Metric) *fleet.Maybe {
			u := of(m)
			if m["load"] == LoadKnown {
				return &u.Cost
			}
			return &u.CostUnloaded
		}},
		{increase(ServerEnergyMetric, ""), func(m model.Metric) *fleet.Maybe { return &of(m).Energy }},
		{servers("max_over_time", "max", ServerPlanCostMetric, ""), func(m model.Metric) *fleet.Maybe { return &of(m).DearestPlan }},
	} {
		answer, err := q.Query(ctx, question.promql, now, func(s Series) {
			if to := question.take(s.Metric); to != nil && len(s.Values) > 0 {
				*to = fleet.Measured(float64(s.Values[len(s.Values)-1].Value))
			}
		})
		if missing := partial(answer.Warnings); err == nil && len(missing) > 0 {
			err = &PartialError{missing}
		}
		if err != nil {
			return nil, fleet.Maybe{}, fmt.Errorf("query %q: %w", question.promql, err)
		}
	}
	return all, observed, nil
}
