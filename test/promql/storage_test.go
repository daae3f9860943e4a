package promql

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// prometheus is a Prometheus without its server: a database and the engine of the queries.
type prometheus struct {
	t      *testing.T
	db     *tsdb.DB
	engine *promql.Engine
}

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	return &prometheus{t, db, engine}
}

// Query implements observe.Querier.
func (p *prometheus) Query(ctx context.Context, query string, at time.Time, take func(observe.Series)) (observe.Answer, error) {
	return observe.Whole(p.answer).Query(ctx, query, at, take)
}

func (p *prometheus) answer(ctx context.Context, query string, at time.Time) (model.Value, []string, error) {
	q, err := p.engine.NewInstantQuery(ctx, p.db, nil, query, at)
	if err != nil {
		return nil, nil, err
	}
	defer q.Close()
	result := q.Exec(ctx)
	if matrix, err := result.Matrix(); err == nil {
		var out model.Matrix
		for _, series := range matrix {
			stream := &model.SampleStream{Metric: model.Metric{}}
			series.Metric.Range(func(l labels.Label) { stream.Metric[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
			for _, f := range series.Floats {
				stream.Values = append(stream.Values, model.SamplePair{Timestamp: model.Time(f.T), Value: model.SampleValue(f.F)})
			}
			out = append(out, stream)
		}
		return out, nil, nil
	}
	vector, err := result.Vector()
	if err != nil {
		return nil, nil, err
	}
	out := make(model.Vector, len(vector))
	for i, s := range vector {
		metric := model.Metric{}
		s.Metric.Range(func(l labels.Label) { metric[model.LabelName(l.Name)] = model.LabelValue(l.Value) })
		out[i] = &model.Sample{Metric: metric, Value: model.SampleValue(s.F), Timestamp: model.Time(s.T)}
	}
	return out, nil, nil
}

// recorder notes what a Prometheus is asked.
type recorder struct {
	*prometheus
	asked *[]string
}

var asking sync.Mutex

func (r recorder) Query(ctx context.Context, query string, at time.Time, take func(observe.Series)) (observe.Answer, error) {
	asking.Lock()
	*r.asked = append(*r.asked, query)
	asking.Unlock()
	return r.prometheus.Query(ctx, query, at, take)
}

// source asks it as an Optimizer says.
func (p *prometheus) source(asked *v1alpha1.PrometheusSource) *observe.Source {
	p.t.Helper()
	s, err := observe.NewSource(p, asked)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// page is what one scrape yields, by series.
type page map[string]sample

type sample struct {
	labels  labels.Labels
	value   float64
	counter bool
}

// readPage parses a page as Prometheus would.
func readPage(t testing.TB, name string) page {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := textparse.New(text, "text/plain; version=0.0.4", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		t.Fatal(err)
	}
	series, counter := page{}, false
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return series
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if entry == textparse.EntryType {
			_, kind := p.Type()
			counter = kind != model.MetricTypeGauge && kind != model.MetricTypeUnknown
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := p.Series()
		var l labels.Labels
		p.Labels(&l)
		series[l.String()] = sample{l, value, counter}
	}
}

// between is a page at a share of the way from one to another.
func (a page) between(b page, share float64) page {
	out := maps.Clone(a)
	for key, s := range a {
		s.value += share * (b[key].value - s.value)
		out[key] = s
	}
	return out
}

// put a sample under its labels.
func (a page) put(s sample) { a[s.labels.String()] = s }

// copies is a page on which several processes show what one did: the series that are chosen, once for each value of a label; the first as they are, the
// others that share of it.
func (a page) copies(chosen func(sample) bool, label string, share float64, values ...string) page {
	out := page{}
	for _, s := range a {
		if !chosen(s) {
			out.put(s)
			continue
		}
		for i, v := range values {
			c := s
			c.labels = labels.NewBuilder(s.labels).Set(label, v).Labels()
			if i > 0 {
				c.value *= share
			}
			out.put(c)
		}
	}
	return out
}

// gauges whose names begin so.
func gauges(prefix string) func(sample) bool {
	return func(s sample) bool { return !s.counter && strings.HasPrefix(s.labels.Get("__name__"), prefix) }
}

// set is a page with another value of a gauge.
func (a page) set(gauge string, value float64) page {
	out := maps.Clone(a)
	for key, s := range a {
		if s.labels.Get("__name__") == gauge {
			s.value = value
			out[key] = s
		}
	}
	return out
}

// relabel is a page with another value of a label of a gauge.
func (a page) relabel(gauge, label, value string) page {
	return a.copies(gauges(gauge), label, 1, value)
}

// without series of that label.
func (a page) without(label, value string) page {
	out := maps.Clone(a)
	maps.DeleteFunc(out, func(_ string, s sample) bool { return s.labels.Get(label) == value })
	return out
}

// reset is a page whose counters begin again at zero; gauges, which may fall anyway, are all the same to it.
func (a page) since(start page) page {
	out := maps.Clone(a)
	for key, s := range a {
		if s.value >= start[key].value {
			s.value -= start[key].value
		}
		out[key] = s
	}
	return out
}

// scrape stores a page as scraped from a pod.
func (p *prometheus) scrape(pod string, at time.Time, series page) {
	p.t.Helper()
	app := p.db.Appender(context.Background())
	for _, s := range series {
		l := labels.NewBuilder(s.labels).Set("namespace", "llm").Set("pod", pod).Set("instance", pod+":8000").Set("job", "models").Labels()
		if _, err := app.Append(0, l, at.UnixMilli(), s.value); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// vanish marks the series of a pod as gone, as Prometheus does when its target is no longer there.
func (p *prometheus) vanish(pod string, at time.Time, series page) {
	gone := maps.Clone(series)
	for key, s := range gone {
		s.value = math.Float64frombits(staleNaN)
		gone[key] = s
	}
	p.scrape(pod, at, gone)
}

// staleNaN is Prometheus' mark of a series that has ended.
const staleNaN = 0x7ff0000000000002
