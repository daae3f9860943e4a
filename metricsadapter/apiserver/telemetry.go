package apiserver

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/metricsadapter"
)

// counted is a provider that counts its answers by metrics API and outcome.
type counted struct {
	provider.MetricsProvider
	answers *prometheus.CounterVec
	// external is the name under which external metrics are counted.
	external string
}

func newCounted(inner provider.MetricsProvider) *counted {
	return &counted{MetricsProvider: inner, external: "external", answers: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "inferno_adapter_answers_total",
		Help: "Answers given, by who asked (the metrics API external or custom, or keda) and outcome: value, or why there was none.",
	}, []string{"api", "outcome"})}
}

// forKEDA counts what KEDA asks apart.
func (c *counted) forKEDA() *counted {
	return &counted{MetricsProvider: c.MetricsProvider, answers: c.answers, external: "keda"}
}

func (c *counted) count(api string, err error) {
	c.answers.WithLabelValues(api, string(metricsadapter.OutcomeOf(err))).Inc()
}

// GetExternalMetric implements provider.ExternalMetricsProvider.
func (c *counted) GetExternalMetric(ctx context.Context, namespace string, selector labels.Selector, info provider.ExternalMetricInfo,
) (*external_metrics.ExternalMetricValueList, error) {
	list, err := c.MetricsProvider.GetExternalMetric(ctx, namespace, selector, info)
	c.count(c.external, err)
	return list, err
}

// GetMetricByName implements provider.CustomMetricsProvider.
func (c *counted) GetMetricByName(ctx context.Context, name types.NamespacedName, info provider.CustomMetricInfo, selector labels.Selector,
) (*custom_metrics.MetricValue, error) {
	v, err := c.MetricsProvider.GetMetricByName(ctx, name, info, selector)
	c.count("custom", err)
	return v, err
}

// GetMetricBySelector implements provider.CustomMetricsProvider.
func (c *counted) GetMetricBySelector(ctx context.Context, namespace string, objects labels.Selector, info provider.CustomMetricInfo,
	selector labels.Selector,
) (*custom_metrics.MetricValueList, error) {
	list, err := c.MetricsProvider.GetMetricBySelector(ctx, namespace, objects, info, selector)
	c.count("custom", err)
	return list, err
}

// plans counts the Servers by the state of their plan whenever it is asked.
type plans struct {
	cache *serverCache
	now   func() time.Time
	desc  *prometheus.Desc
}

func newPlans(cache *serverCache, now func() time.Time) *plans {
	return &plans{cache: cache, now: now, desc: prometheus.NewDesc("inferno_adapter_servers",
		"Servers known, by the state of their plan: fresh, stale or none.", []string{"plan"}, nil)}
}

// Describe implements prometheus.Collector.
func (p *plans) Describe(descs chan<- *prometheus.Desc) { descs <- p.desc }

// Collect implements prometheus.Collector.
func (p *plans) Collect(samples chan<- prometheus.Metric) {
	if !p.cache.HasSynced() {
		return // nothing is known yet, which is not zero
	}
	fresh, stale, none := 0, 0, 0
	now := p.now()
	for _, server := range p.cache.all() {
		switch plan := server.Status.Desired; {
		case plan == nil:
			none++
		case plan.Fresh(now):
			fresh++
		default:
			stale++
		}
	}
	for state, n := range map[string]int{"fresh": fresh, "stale": stale, "none": none} {
		samples <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, float64(n), state)
	}
}
