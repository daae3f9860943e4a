package metricsadapter

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/metrics/pkg/apis/external_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
)

// GetExternalMetric answers a metric for the servers of the namespace that the selector matches. It is all or nothing: since the autoscaler
// adds the values up, one that is missing would pass for zero.
func (p *Provider) GetExternalMetric(_ context.Context, namespace string, selector labels.Selector, info provider.ExternalMetricInfo,
) (*external_metrics.ExternalMetricValueList, error) {
	m, f := p.metric(info.Metric)
	if f != nil {
		return nil, f
	}
	q, err := parseSelector(selector)
	if err != nil {
		return nil, &fault{OutcomeBadSelector, err.Error()}
	}
	list := &external_metrics.ExternalMetricValueList{}
	now := p.now()
	var faults []*fault
	for _, server := range p.candidates(namespace, q) {
		values, f := q.values(m, server, now)
		if f != nil {
			faults = append(faults, f)
		}
		for _, v := range values {
			list.Items = append(list.Items, external_metrics.ExternalMetricValue{
				MetricName: m.name, MetricLabels: v.labels, Timestamp: v.time, Value: v.quantity,
			})
		}
	}
	if len(faults) > 0 {
		return nil, joinFaults(faults)
	}
	if len(list.Items) == 0 {
		return nil, &fault{OutcomeNoServer, fmt.Sprintf("no server of namespace %q, nor part of its plan, matches the metric selector %q",
			namespace, q.selector)}
	}
	return list, nil
}

// ListAllExternalMetrics lists the metrics, whether or not a server has a value of them.
func (p *Provider) ListAllExternalMetrics() []provider.ExternalMetricInfo {
	infos := make([]provider.ExternalMetricInfo, len(metrics))
	for i, m := range metrics {
		infos[i].Metric = m.name
	}
	return infos
}

func metricNames() string {
	names := make([]string, len(metrics))
	for i, m := range metrics {
		names[i] = m.name
	}
	return strings.Join(names, ", ")
}
