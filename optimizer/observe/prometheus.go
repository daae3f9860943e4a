// Package observe sees: it reads measurements from Prometheus and the state of the cluster, and makes a snapshot of them.
//
// Reading is thin; what the readings mean is decided by pure functions. Absent, stale, NaN and zero are four different things throughout.
package observe

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
)

// concurrentQueries bounds the load that one observation puts on Prometheus.
//
// Tuned: queries; guard against a Prometheus that has no time for others: its own default is 20 at a time
const concurrentQueries = 4

// ReadMetrics asks Prometheus for the measurements of all pods over the window that ends at now.
func ReadMetrics(ctx context.Context, s *Source, now time.Time, window time.Duration) (Metrics, error) {
	values, histograms, arrivals := expressions(s.engines, window)
	m := Metrics{}
	var mu sync.Mutex // guards m
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentQueries)
	question := func(expression string, take func(sample *model.Sample)) error {
		answer, err := ask[model.Vector](ctx, s, expression, now)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, sample := range answer {
			take(sample)
		}
		return nil
	}
	// Buckets are most of what is read, so that one distribution after the other is, and none kept once it is taken.
	g.Go(func() error {
		for d, expression := range histograms {
			if err := question(expression, func(sample *model.Sample) {
				if bound, err := strconv.ParseFloat(string(sample.Metric["le"]), 64); err == nil { // one without a bound is none
					m.pod(sample.Metric).SetBucket(Distribution(d), bound, float64(sample.Value))
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	for i, expression := range values {
		g.Go(func() error {
			return question(expression, func(sample *model.Sample) { m.pod(sample.Metric).Set(Quantity(i), number64(Quantity(i), sample)) })
		})
	}
	var arrived model.Matrix
	g.Go(func() (err error) {
		arrived, err = ask[model.Matrix](ctx, s, arrivals, now)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	step := func(at time.Time) int { return int(at.Sub(time.Unix(0, 0)) / (window / 2)) }
	for _, series := range arrived {
		p := m.pod(series.Metric)
		for _, x := range series.Values {
			p.SetArrived(step(x.Timestamp.Time())-step(now), float64(x.Value))
		}
	}
	return m, nil
}

// Skew is how far the clock of Prometheus is ahead of ours, to within the time that the answer takes. Samples carry its time: who asks by
// another clock gets old samples, or takes fresh ones for stale.
func Skew(ctx context.Context, source *Source, now func() time.Time) (time.Duration, error) {
	before := now()
	s, err := ask[*model.Scalar](ctx, source, "time()", time.Time{}) // without a time it is evaluated at that of Prometheus
	if err != nil {
		return 0, err
	}
	after := now()
	// Half of the time passed is the likeliest; less than that is no skew.
	passed := after.Sub(before)
	skew := time.UnixMicro(int64(float64(s.Value) * 1e6)).Sub(before.Add(passed / 2))
	if skew.Abs() <= passed {
		return 0, nil
	}
	return skew, nil
}

// number64 is the number that a sample stands for. vLLM writes the size of its cache into labels.
func number64(q Quantity, s *model.Sample) float64 {
	if q == KVTokens {
		blocks, err := strconv.ParseFloat(string(s.Metric["num_gpu_blocks"]), 64)
		size, err2 := strconv.ParseFloat(string(s.Metric["block_size"]), 64)
		if err == nil && err2 == nil {
			return blocks * size
		}
	}
	return float64(s.Value)
}

func (m Metrics) pod(labels model.Metric) *PodMetrics {
	key := types.NamespacedName{Namespace: string(labels["namespace"]), Name: string(labels["pod"])}
	p, ok := m[key]
	if !ok {
		p = NewPodMetrics()
		m[key] = p
	}
	return p
}
