package loop

import (
	"context"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// historiesPerCycle bounds how many histories are read back in one cycle: after a restart those of a large fleet come in over some cycles,
// and no plan waits for them.
// Tuned: histories; guard against a first cycle that spends its time on the histories of a large fleet
const historiesPerCycle = 50

// remember fills in what a process that has just begun does not know of servers: from their statuses, and their histories from Prometheus.
func (c *cycle) remember(ctx context.Context, r *observe.Readings, o *observe.Observation) {
	if c.state.Servers == nil {
		c.state.Servers = map[string]control.ServerState{}
	}
	if c.recalled == nil {
		c.recalled = map[string]bool{}
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	quantile := 0.0
	if q := c.optimizer.Spec.ForecastQuantile; q != nil {
		quantile = q.Float()
	}
	predictor := c.stages.Forecaster.For(o.Snapshot.HorizonSeconds, quantile)
	span, window := predictor.Span()
	left := historiesPerCycle
	for _, name := range slices.Sorted(maps.Keys(o.Index)) {
		s := &r.Resources.Servers[o.Index[name]]
		if _, known := c.state.Servers[name]; !known {
			c.state.Servers[name] = fromStatus(&s.Status)
		}
		if span == 0 || c.recalled[name] || left == 0 || r.MetricsFault != nil {
			continue
		}
		left--
		history, err := c.history(ctx, r, types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, span, window)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "reading the history of a server's load back", "server", name)
			return // and try again in the next cycle
		}
		c.recalled[name] = true
		var read forecast.Memory
		for _, h := range history {
			read = predictor.Observe(read, h)
		}
		// What was seen since the process began is the last of what was read.
		if m := c.state.Servers[name]; m.Demand.Forecast.IsZero() || read.Since < m.Demand.Forecast.Since {
			m.Demand.Forecast = read
			c.state.Servers[name] = m
		}
	}
}

// history of a server, as far back as the forecaster remembers.
func (c *cycle) history(ctx context.Context, r *observe.Readings, server types.NamespacedName, span, window float64) ([]forecast.Sample, error) {
	source, err := c.source()
	if err != nil {
		return nil, err
	}
	return observe.ReadHistory(ctx, source, server, c.Namespace, r.Now.Add(r.Skew), span, window)
}

// fromStatus is what the status of a server tells of the state that its last plan was made in: the lengths of its requests, and whether it waits
// for capacity, and with which load.
func fromStatus(st *v1alpha1.ServerStatus) (m control.ServerState) {
	if st.Load == nil {
		return m
	}
	at := float64(st.Load.ObservedAt.UnixNano()) / float64(time.Second)
	if st.Load.AvgOutTokens > 0 {
		m.Demand.Lengths = &demand.Lengths{Time: at, InputTokens: st.Load.AvgInTokens, OutputTokens: st.Load.AvgOutTokens}
	}
	if planned := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionPlanned); planned != nil && planned.Reason == v1alpha1.ReasonNoCapacity {
		m.Waits = true
		m.Demand.Recent = forecast.Recent(nil, forecast.Sample{Time: at, Rate: jsonspec.PerSecond(st.Load.ArrivalRate)})
	}
	return m
}
