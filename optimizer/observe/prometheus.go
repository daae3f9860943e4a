// Package observe sees: it reads measurements from Prometheus and the state of the cluster, and makes a snapshot of them.
//
// Reading is thin; what the readings mean is decided by pure functions. Absent, stale, NaN and zero are four different things throughout.
package observe

import (
	"context"
	"fmt"
	"math"
	"time"

	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
)

// PodMetrics are the measurements of one pod. A NaN was not measured.
type PodMetrics [quantities]float64

// Metrics are the measurements of all pods at one time.
type Metrics map[types.NamespacedName]*PodMetrics

// Querier is what is asked of Prometheus.
type Querier interface {
	Query(ctx context.Context, query string, ts time.Time, opts ...promv1.Option) (model.Value, promv1.Warnings, error)
}

// concurrentQueries bounds the load that one observation puts on Prometheus.
const concurrentQueries = 4

// lengthWindows is the window over which the lengths of requests are taken, in windows.
const lengthWindows = 4

// ReadMetrics asks Prometheus for the measurements of all pods over the window that ends at now.
func ReadMetrics(ctx context.Context, q Querier, now time.Time, window time.Duration) (Metrics, error) {
	expressions := queries(model.Duration(window).String(), model.Duration(lengthWindows*window).String())
	var answers [quantities]model.Vector
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentQueries)
	for i, expression := range expressions {
		g.Go(func() error {
			value, _, err := q.Query(ctx, expression, now)
			if err != nil {
				return fmt.Errorf("query %q: %w", expression, err)
			}
			vector, ok := value.(model.Vector)
			if !ok {
				return fmt.Errorf("query %q: answered with a %s, not a vector", expression, value.Type())
			}
			answers[i] = vector
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	m := Metrics{}
	for i, vector := range answers {
		for _, sample := range vector {
			m.pod(sample.Metric)[i] = float64(sample.Value)
		}
	}
	return m, nil
}

func (m Metrics) pod(labels model.Metric) *PodMetrics {
	key := types.NamespacedName{Namespace: string(labels["namespace"]), Name: string(labels["pod"])}
	p, ok := m[key]
	if !ok {
		p = new(PodMetrics)
		for i := range p {
			p[i] = math.NaN()
		}
		m[key] = p
	}
	return p
}
