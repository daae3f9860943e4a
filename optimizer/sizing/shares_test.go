package sizing_test

import (
	"errors"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// opaque hides that a replica knows a cheaper way than percentiles.
type opaque struct{ queueing.Model }

func (o opaque) Replica(law queueing.Law, r queueing.Requests, l queueing.Limits) (queueing.Replica, error) {
	replica, err := o.Model.Replica(law, r, l)
	return struct{ queueing.Replica }{replica}, err
}

// TestSharesSizeAsPercentilesDo: asking how many requests miss a target finds the rate that their percentile does.
func TestSharesSizeAsPercentilesDo(t *testing.T) {
	compared := 0
	for i, s := range fleet(40) {
		for _, percentile := range []float64{50, 90, 95, 99} {
			s.targets.Percentile = percentile
			p := s.pairs[i%len(s.pairs)]
			want, _, errWant := sizing.RatePerReplica(opaque{queueing.ContinuousBatching{}}, p.Law, p.Requests, p.Limits, s.targets)
			got, at, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, p.Law, p.Requests, p.Limits, s.targets)
			if (err == nil) != (errWant == nil) || err != nil && !errors.As(err, new(*sizing.Infeasible)) {
				t.Errorf("server %d, P%v: %v, by percentiles %v", i, percentile, err, errWant)
				continue
			}
			if err != nil {
				continue
			}
			compared++
			if math.Abs(got/want-1) > 1e-3 {
				t.Errorf("server %d, P%v: %v, by percentiles %v", i, percentile, got, want)
			}
			if over := max(at.TTFT.At(percentile)/s.targets.TTFT, at.RequestITL.At(percentile)/s.targets.ITL); over > 1+1e-3 {
				t.Errorf("server %d, P%v: %.4f of a target at the sized rate", i, percentile, over)
			}
		}
	}
	if compared < 60 {
		t.Errorf("only %d of 160 are feasible: the fleet tests nothing", compared)
	}
}
