package sizing

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const (
	// lowestShare of the sustainable rate stands for an idle replica: what is infeasible there is infeasible.
	lowestShare = 1e-6
	// rateTolerance is the relative error of a sized rate.
	rateTolerance = 1e-6
	// throughputMargin is the share of the sustainable rate that is used under a target on tokens per second, as in the reference.
	throughputMargin = 0.9
)

// RatePerReplica returns the highest rate of requests per second that one replica completes within the targets, and what is predicted
// there. Where a latency cannot be met at any rate the error is an [*Infeasible].
func RatePerReplica(model queueing.Model, law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets) (float64, queueing.Prediction, error) {
	if err := t.Validate(); err != nil {
		return 0, queueing.Prediction{}, err
	}
	replica, err := model.Replica(law, req, lim)
	if err != nil {
		return 0, queueing.Prediction{}, err
	}
	p, err := highest(replica, t)
	return p.Throughput, p, err
}

// highest is the prediction at the highest arrival rate that meets the targets.
func highest(replica queueing.Replica, t Targets) (queueing.Prediction, error) {
	rate := replica.MaxRate()
	best, err := replica.Open(rate)
	if err != nil {
		return best, err
	}
	idle := rate * lowestShare
	for _, l := range t.latencies() {
		if l.at(best, t.Percentile) <= l.target {
			continue
		}
		if rate, best, err = l.highest(replica, t.Percentile, idle, rate); err != nil {
			return best, err
		}
	}
	if cap := throughputMargin * replica.MaxRate(); t.TPS > 0 && rate > cap {
		return replica.Open(cap)
	}
	return best, nil
}

func (l latency) at(p queueing.Prediction, percentile float64) float64 {
	q := l.of(p)
	if percentile == 0 {
		return q.Mean
	}
	return q.At(percentile)
}

// highest rate between low and high that meets the target, which high misses.
func (l latency) highest(replica queueing.Replica, percentile, low, high float64) (rate float64, p queueing.Prediction, err error) {
	// Latencies grow like 1 / (1 − load), so that this measure of the excess is close to a straight line in the rate.
	excess := func(rate float64) float64 {
		q, failed := replica.Open(rate)
		if failed != nil {
			err = errors.Join(err, failed)
			return math.NaN()
		}
		return 1 - l.target/l.at(q, percentile)
	}
	above, below := excess(high), excess(low)
	switch {
	case err != nil:
		return 0, p, err
	case math.IsNaN(below) || math.IsNaN(above):
		return 0, p, fmt.Errorf("%s: the queueing model does not know the percentile %g", l.name, percentile)
	case below > 0:
		return 0, p, &Infeasible{Target: l.name, Percentile: percentile, Want: l.target, Best: l.target / (1 - below)}
	}
	rate = crossing(excess, low, below, high, above)
	if err != nil {
		return 0, p, err
	}
	p, err = replica.Open(rate)
	return rate, p, err
}

// crossing finds where f passes from at most zero at a to above zero at b, to a relative [rateTolerance], and returns a point at which f
// is at most zero. It is regula falsi with the Illinois rule, and a bisection whenever the bracket does not halve in three steps.
func crossing(f func(float64) float64, a, fa, b, fb float64) float64 {
	const most = 200
	side, wide := 0, b-a
	for i := 1; i <= most && b-a > rateTolerance*b; i++ {
		x := (a*fb - b*fa) / (fb - fa)
		if i%3 == 0 {
			if b-a > wide/2 {
				x = a + (b-a)/2
			}
			wide = b - a
		}
		// A step at least as far from the ends as the tolerance closes the bracket from both sides.
		x = min(max(x, a+rateTolerance*b/2), b-rateTolerance*b/2)
		fx := f(x)
		switch {
		case math.IsNaN(fx):
			return a
		case fx <= 0:
			if side < 0 {
				fb /= 2
			}
			a, fa, side = x, fx, -1
		default:
			if side > 0 {
				fa /= 2
			}
			b, fb, side = x, fx, 1
		}
	}
	return a
}

// Replicas is the smallest number of replicas that carry the total demand at no more than perReplica each, and at least least. Rates are
// in requests per second; perReplica must be above 0.
func Replicas(total, perReplica float64, least int) int {
	return max(least, int(math.Ceil(total/perReplica)))
}

// Demand is the total rate of requests per second to size for: what a target on tokens per second asks, where there is one, otherwise what
// arrives.
func (t Targets) Demand(arrivals, outputTokens float64) float64 {
	if t.TPS > 0 {
		return t.TPS / outputTokens
	}
	return arrivals
}
