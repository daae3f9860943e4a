package metricsadapter

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Provider answers both metrics APIs.
type Provider struct {
	servers Servers
	now     func() time.Time
}

var _ provider.MetricsProvider = (*Provider)(nil)

// New returns a provider over the servers; now tells which plans are stale.
func New(servers Servers, now func() time.Time) *Provider {
	return &Provider{servers: servers, now: now}
}

// metric of that name, once there is something to compute it from.
func (p *Provider) metric(name string) (metric, *fault) {
	m, known := findMetric(name)
	if !known {
		return metric{}, &fault{OutcomeUnknownMetric, fmt.Sprintf("no metric %q; the metrics are %s", name, metricNames())}
	}
	if !p.servers.HasSynced() {
		return metric{}, &fault{OutcomeNotSynced, "the Servers are not read yet"}
	}
	return m, nil
}

// candidates of a query in the namespace, in order of name: one where the selector names it, else all.
func (p *Provider) candidates(namespace string, q query) []*v1alpha1.Server {
	if q.server != "" {
		server, found := p.servers.Get(namespace, q.server)
		if !found {
			return nil
		}
		return []*v1alpha1.Server{server}
	}
	return byName(p.servers.List(namespace))
}

// byName sorts a copy.
func byName(servers []*v1alpha1.Server) []*v1alpha1.Server {
	return slices.SortedFunc(slices.Values(servers), func(a, b *v1alpha1.Server) int { return cmp.Compare(a.Name, b.Name) })
}
