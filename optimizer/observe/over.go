package observe

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/demand"
)

// MetricsAt are the measurements of all pods at a time of the past.
type MetricsAt struct {
	Time    time.Time
	Metrics Metrics
}

// stretch is how many windows one question about the past is of.
//
// Tuned: windows; guard against more samples than Prometheus allows a question (--query.max-samples, 50 million): 10,000 pods with histograms of 20
// buckets have 12 million
const stretch = 64

// ReadMetricsOver asks Prometheus for the measurements of all pods at every multiple of the window after from and until the end, oldest first: at each what
// ReadMetrics would have said then. Times at which there was none are there, with no pods. After each stretch progress is told how far it is; nil tells nobody.
func ReadMetricsOver(ctx context.Context, s *Source, from, until time.Time, window time.Duration, progress func(time.Time)) ([]MetricsAt, error) {
	var all []MetricsAt
	until = until.Truncate(window)
	for begin := from.Truncate(window); begin.Before(until); {
		end := begin.Add(stretch * window)
		if end.After(until) {
			end = until
		}
		part, err := readStretch(ctx, s, begin, end, window)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if progress != nil {
			progress(end)
		}
		begin = end
	}
	return all, nil
}

// readStretch asks for the multiples of the window after begin and until the end.
func readStretch(ctx context.Context, s *Source, begin, end time.Time, window time.Duration) ([]MetricsAt, error) {
	values, histograms, arrivals := expressions(s.engines, window)
	n := int(end.Sub(begin) / window)
	readings := make([]reading, n)
	for i := range readings {
		readings[i].metrics = Metrics{}
		for d := range readings[i].bounds {
			readings[i].bounds[d] = new([]float64)
		}
	}
	at := func(x model.SamplePair) int { // -1 where it is of another time
		since := x.Timestamp.Time().Sub(begin)
		if i := int(since/window) - 1; since%window == 0 && i >= 0 && i < n {
			return i
		}
		return -1
	}
	var mu sync.Mutex // guards readings
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(concurrentQueries)
	question := func(expression string, span, step time.Duration, take func(Series)) {
		asked := fmt.Sprintf("(%s)[%s:%s]", expression, model.Duration(span), model.Duration(step))
		g.Go(func() error {
			return ask(ctx, s, model.ValMatrix, asked, end, func(s Series) {
				mu.Lock()
				defer mu.Unlock()
				take(s)
			})
		})
	}
	each := func(expression string, take func(r *reading, s Series)) {
		question(expression, end.Sub(begin), window, func(s Series) {
			for _, x := range s.Values {
				if i := at(x); i >= 0 {
					take(&readings[i], Series{s.Metric, []model.SamplePair{x}})
				}
			}
		})
	}
	for d, expression := range histograms {
		each(expression, func(r *reading, s Series) {
			if bound, err := strconv.ParseFloat(string(s.Metric["le"]), 64); err == nil {
				r.pod(s.Metric).SetBucket(Distribution(d), bound, float64(s.Values[0].Value))
			}
		})
	}
	for q, expression := range values {
		each(expression, func(r *reading, s Series) { r.pod(s.Metric).Set(Quantity(q), number64(Quantity(q), s)) })
	}
	// What has arrived is told of each time for as long before it as ReadMetrics asks.
	const steps = 2 * (demand.LengthWindows + 1)
	question(arrivals, end.Sub(begin)+steps/2*window, window/2, func(s Series) {
		for _, x := range s.Values {
			half := int(math.Round(float64(x.Timestamp.Time().Sub(begin)) / float64(window/2)))
			for i := range readings {
				if step := half - 2*(i+1); step <= 0 && step > -steps {
					readings[i].pod(s.Metric).SetArrived(step, float64(x.Value))
				}
			}
		}
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]MetricsAt, n)
	for i := range out {
		out[i] = MetricsAt{begin.Add(time.Duration(i+1) * window), readings[i].metrics}
	}
	return out, nil
}

// Fresh says that a pod was scraped no longer ago than that.
func (m Metrics) Fresh(pod types.NamespacedName, most time.Duration) bool {
	p := m[pod]
	return p != nil && p.values[SampleAge] <= most.Seconds()
}
