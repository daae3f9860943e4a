package loop

import (
	"context"

	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// measure asks Prometheus. That it does not answer is a reading too.
func (c *cycle) measure(ctx context.Context, r *observe.Readings) {
	source := &c.optimizer.Spec.Prometheus
	if r.MetricsFault = specification.CheckPrometheus("spec.prometheus", source); r.MetricsFault != nil {
		return
	}
	querier, err := c.Querier(source.URL)
	if err != nil {
		r.MetricsFault = err
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	if r.Skew, r.MetricsFault = observe.Skew(ctx, querier, c.Clock.Now); r.MetricsFault != nil {
		return
	}
	c.skew = r.Skew
	now := r.Now.Add(r.Skew)
	if r.Metrics, r.MetricsFault = observe.ReadMetrics(ctx, querier, now, r.Window); r.MetricsFault != nil {
		return
	}
	if r.Gateways, r.MetricsFault = observe.ReadGateways(ctx, querier, now, r.Window); r.MetricsFault != nil {
		return
	}
	r.Arrivals = c.counters.Read(ctx, querier, r.Resources.Servers, source.Gateways, now, r.Window)
}
