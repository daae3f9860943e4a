package observe

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
)

// Whole is a [Querier] that has the values of answers at hand, as a database in the same process or a test does.
type Whole func(ctx context.Context, promql string, at time.Time) (model.Value, []string, error)

// Query gives the series of the value.
func (w Whole) Query(ctx context.Context, promql string, at time.Time, take func(Series)) (Answer, error) {
	value, warnings, err := w(ctx, promql, at)
	if err != nil {
		return Answer{}, err
	}
	switch v := value.(type) {
	case *model.Scalar:
		take(Series{Values: []model.SamplePair{{Timestamp: v.Timestamp, Value: v.Value}}})
	case model.Vector:
		for _, s := range v {
			take(Series{Metric: s.Metric, Values: []model.SamplePair{{Timestamp: s.Timestamp, Value: s.Value}}})
		}
	case model.Matrix:
		for _, s := range v {
			take(Series{Metric: s.Metric, Values: s.Values})
		}
	}
	return Answer{Type: value.Type(), Warnings: warnings}, nil
}
