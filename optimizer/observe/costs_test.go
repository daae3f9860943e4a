package observe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
)

type answers struct {
	series []Series
	err    error
}

func (a answers) Query(_ context.Context, _ string, _ time.Time, take func(Series)) (Answer, error) {
	for _, s := range a.series {
		take(s)
	}
	return Answer{Type: model.ValVector}, a.err
}

// In cents, of nodes that are named and priced; an answer that broke off is none.
func TestNodeCosts(t *testing.T) {
	of := func(node string, dollars ...float64) Series {
		s := Series{Metric: model.Metric{"node": model.LabelValue(node)}}
		for _, d := range dollars {
			s.Values = append(s.Values, model.SamplePair{Value: model.SampleValue(d)})
		}
		return s
	}
	series := []Series{of("a", 55.04), of("", 1), of("zero", 0), of("none"), of("mistake", 1e9)}
	got, err := NodeCosts(context.Background(), answers{series: series})
	if diff := cmp.Diff(map[string]float64{"a": 5504}, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := NodeCosts(context.Background(), answers{series, errors.New("broke off")}); err == nil || got != nil {
		t.Errorf("%v, %v of an answer that broke off", got, err)
	}
}
