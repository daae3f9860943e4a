package loop

import (
	"context"

	"github.com/llm-inferno/inferno/optimizer/observe"
)

// source is the Prometheus of the Optimizer, asked as it says.
func (c *cycle) source() (*observe.Source, error) {
	querier, err := c.Querier(&c.optimizer.Spec.Prometheus)
	if err != nil {
		return nil, err
	}
	return observe.NewSource(querier, &c.optimizer.Spec.Prometheus)
}

// measure asks Prometheus. That it does not answer is a reading too.
func (c *cycle) measure(ctx context.Context, r *observe.Readings) {
	defer func() { c.unread = r.MetricsFault }()
	var source *observe.Source
	if source, r.MetricsFault = c.source(); r.MetricsFault != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	if r.Skew, r.MetricsFault = observe.Skew(ctx, source, c.Clock.Now); r.MetricsFault != nil {
		return
	}
	c.skew = r.Skew
	now := r.Now.Add(r.Skew)
	if r.Metrics, r.MetricsFault = observe.ReadMetrics(ctx, source, now, r.Window); r.MetricsFault != nil {
		return
	}
	if r.Gateways, r.MetricsFault = observe.ReadGateways(ctx, source, now, r.Window); r.MetricsFault != nil {
		return
	}
	r.Arrivals = c.counters.Read(ctx, source, r.Resources.Servers, now, r.Window)
}
