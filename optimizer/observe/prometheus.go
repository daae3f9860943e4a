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
	m := reading{metrics: Metrics{}}
	for d := range m.bounds {
		m.bounds[d] = new([]float64)
	}
	var mu sync.Mutex // guards m
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentQueries)
	question := func(t model.ValueType, expression string, take func(Series)) {
		g.Go(func() error {
			return ask(ctx, s, t, expression, now, func(s Series) {
				mu.Lock()
				defer mu.Unlock()
				take(s)
			})
		})
	}
	for d, expression := range histograms {
		question(model.ValVector, expression, func(s Series) {
			if bound, err := strconv.ParseFloat(string(s.Metric["le"]), 64); err == nil { // one without a bound is none
				m.pod(s.Metric).SetBucket(Distribution(d), bound, float64(s.Values[0].Value))
			}
		})
	}
	for i, expression := range values {
		question(model.ValVector, expression, func(s Series) { m.pod(s.Metric).Set(Quantity(i), number64(Quantity(i), s)) })
	}
	step := func(at time.Time) int { return int(at.Sub(time.Unix(0, 0)) / (window / 2)) }
	question(model.ValMatrix, arrivals+windows(window).Replace("[$steps:$half]"), func(s Series) {
		p := m.pod(s.Metric)
		for _, x := range s.Values {
			p.SetArrived(step(x.Timestamp.Time())-step(now), float64(x.Value))
		}
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return m.metrics, nil
}

// Skew is how far the clock of Prometheus is ahead of ours, to within the time that the answer takes. Samples carry its time: who asks by
// another clock gets old samples, or takes fresh ones for stale.
func Skew(ctx context.Context, source *Source, now func() time.Time) (time.Duration, error) {
	before := now()
	var theirs float64
	// Without a time it is evaluated at that of Prometheus.
	if err := ask(ctx, source, model.ValScalar, "time()", time.Time{}, func(s Series) { theirs = float64(s.Values[0].Value) }); err != nil {
		return 0, err
	}
	after := now()
	// Half of the time passed is the likeliest; less than that is no skew.
	passed := after.Sub(before)
	skew := time.UnixMicro(int64(theirs * 1e6)).Sub(before.Add(passed / 2))
	if skew.Abs() <= passed {
		return 0, nil
	}
	return skew, nil
}

// number64 is the number that a sample stands for. vLLM writes the size of its cache into labels.
func number64(q Quantity, s Series) float64 {
	if q == KVTokens {
		blocks, err := strconv.ParseFloat(string(s.Metric["num_gpu_blocks"]), 64)
		size, err2 := strconv.ParseFloat(string(s.Metric["block_size"]), 64)
		if err == nil && err2 == nil {
			return blocks * size
		}
	}
	return float64(s.Values[0].Value)
}

// reading is what was read so far of the pods, and the bounds of histograms that they have together.
type reading struct {
	metrics Metrics
	bounds  [distributions]*[]float64
}

func (r *reading) pod(labels model.Metric) *PodMetrics {
	key := types.NamespacedName{Namespace: string(labels["namespace"]), Name: string(labels["pod"])}
	p, ok := r.metrics[key]
	if !ok {
		p = NewPodMetrics()
		for d := range p.histograms {
			p.histograms[d].bounds = r.bounds[d]
		}
		r.metrics[key] = p
	}
	return p
}
