package sizing

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

const (
	// lowestShare of the sustainable rate stands for an idle replica: what is infeasible there is infeasible.
	//
	// Tuned: share; guard against a rate of 0, at which there is no latency
	lowestShare = 1e-6
	// rateTolerance is the relative error of a sized rate.
	//
	// Tuned: 1; guard against a search that does not end
	rateTolerance = 1e-6
	// throughputMargin is the share of the sustainable rate that is used under a target on tokens per second, as in the reference.
	//
	// Tuned: share; derived from the stability margin of llm-inferno, 0.1; at half: with a margin half as wide a target on tokens per second takes 5
	// % fewer replicas; at twice: 12 % more. The scenarios have no such targets
	throughputMargin = 0.9
)

// RatePerReplica returns the highest rate of requests per second that one replica completes within the targets, and what is predicted
// there. Where a latency cannot be met at any rate the error is an [*Infeasible].
func RatePerReplica(model queueing.Model, law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets) (float64, queueing.Prediction, error) {
	s := Sizer{Model: model}
	return s.RatePerReplica(law, req, lim, t)
}

// Sizer sizes many replicas in the same memory: after the first it allocates nothing. It must not be used by two goroutines at a time.
type Sizer struct {
	// Model of the queue; it must not change once used.
	Model   queueing.Model
	replica queueing.Replica // its memory is used again
}

// RatePerReplica is the function of that name.
func (s *Sizer) RatePerReplica(law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets) (float64, queueing.Prediction, error) {
	rate, means, err := s.Rate(law, req, lim, t)
	if err != nil || t.Percentile == 0 {
		return rate, means, err
	}
	p, err := s.replica.Open(means.Rate)
	return rate, p, err
}

// Rate is what [Sizer.RatePerReplica] says; of the prediction there the percentiles may be missing, which take longest.
func (s *Sizer) Rate(law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets) (float64, queueing.Prediction, error) {
	if err := t.Validate(); err != nil {
		return 0, queueing.Prediction{}, err
	}
	replica, err := s.prepare(law, req, lim)
	if err != nil {
		return 0, queueing.Prediction{}, err
	}
	return highest(replica, t, 0)
}

func (s *Sizer) prepare(law queueing.Law, req queueing.Requests, lim queueing.Limits) (replica queueing.Replica, err error) {
	if m, ok := s.Model.(queueing.Reuser); ok {
		replica, err = m.Reuse(s.replica, law, req, lim)
	} else {
		replica, err = s.Model.Replica(law, req, lim)
	}
	s.replica = replica
	return replica, err
}

// highest is the throughput and the prediction, of which percentiles may be missing, at the highest arrival rate that meets the targets; near is a rate
// to begin the search at, 0 for none.
func highest(replica queueing.Replica, t Targets, near float64) (float64, queueing.Prediction, error) {
	s := newSearch(replica, t)
	s.near = near
	over := s.over(s.high)
	if s.err == nil && over > 0 {
		s.meet(over)
	}
	if s.err != nil {
		return 0, s.met, s.err
	}
	best, err := s.met, error(nil)
	if s.shares != nil {
		if best, err = means(replica, best.Rate); err != nil {
			return 0, best, err
		}
	}
	if most := throughputMargin * replica.MaxRate(); t.TPS > 0 && best.Rate > most {
		best, err = s.ask(most)
	}
	return best.Throughput, best, err
}

// means are what a replica predicts at a rate, without percentiles where those take longer.
func means(replica queueing.Replica, rate float64) (queueing.Prediction, error) {
	if m, ok := replica.(queueing.Means); ok {
		return m.Means(rate)
	}
	return replica.Open(rate)
}

// search is for the highest rate between low and high at which all targets are met.
type search struct {
	replica         queueing.Replica
	shares          queueing.Shares // nil where means are asked for, or the replica knows no cheaper way
	targets         Targets
	low, high, near float64
	met             queueing.Prediction // at the highest rate that met the targets; only the rate where shares were asked for
	err             error
}

func newSearch(replica queueing.Replica, t Targets) search {
	high := replica.MaxRate()
	s := search{replica: replica, targets: t, low: high * lowestShare, high: high}
	switch t.Percentile {
	case 50, 90, 95, 99: // which predictions hold: between them they interpolate, which shares do not
		s.shares, _ = replica.(queueing.Shares)
	}
	return s
}

// over is above zero where a rate misses the targets, and grows with how much. It keeps the highest rate that does not.
func (s *search) over(rate float64) float64 {
	if s.shares != nil {
		e := s.overShare(rate)
		if e <= 0 && rate >= s.met.Rate {
			s.met.Rate = rate
		}
		return e
	}
	p, err := s.ask(rate)
	if err != nil {
		s.err = err
		return math.NaN()
	}
	e := s.excess(&p)
	if e <= 0 && p.Rate >= s.met.Rate {
		s.met = p
	}
	return e
}

// overShare is the logarithm of the share of requests that miss a target over the share that may, of the worst target. Whether one in a
// thousand of those misses it or none makes no difference.
func (s *search) overShare(rate float64) float64 {
	const least = 1e-3
	allowed := 1 - s.targets.Percentile/100
	ttft, itl, err := s.shares.Beyond(rate, s.targets.TTFT, s.targets.ITL)
	if err != nil {
		s.err = err
		return math.NaN()
	}
	worst := math.Inf(-1)
	for _, l := range [2]struct{ target, share float64 }{{s.targets.TTFT, ttft}, {s.targets.ITL, itl}} {
		if l.target > 0 {
			worst = max(worst, math.Log(max(l.share/allowed, least)))
		}
	}
	return worst
}

// missed is above zero where a rate misses the targets, and grows with how much, beside the throughput. By shares it is quick, but says nothing where all
// requests miss a target, as they may where no rate is known that meets it.
func (s *search) missed(rate float64, shares bool) (missed, throughput float64, err error) {
	var p queueing.Prediction
	if shares && s.shares != nil {
		missed = s.overShare(rate)
		p, err = means(s.replica, rate)
	} else if p, err = s.ask(rate); err == nil {
		missed = s.excess(&p)
	}
	return missed, p.Throughput, errors.Join(err, s.err)
}

func (s *search) ask(rate float64) (queueing.Prediction, error) {
	if s.targets.Percentile == 0 {
		return means(s.replica, rate)
	}
	return s.replica.Open(rate)
}

// excess is by how much the worst target is missed, at most zero where all are met. Latencies grow like 1 / (1 − load), so that
// 1 − target/latency is close to a straight line in the rate.
func (s *search) excess(p *queueing.Prediction) float64 {
	worst := math.Inf(-1)
	for _, l := range s.targets.latencies(p) {
		if l.target == 0 {
			continue
		}
		e := 1 - l.target/l.predicted
		if math.IsNaN(e) {
			s.err = fmt.Errorf("%s: the queueing model does not know the percentile %g", l.name, s.targets.Percentile)
			return e
		}
		worst = max(worst, e)
	}
	return worst
}

// infeasible is the error for the target that is missed most even at the lowest rate.
func (s *search) infeasible(p *queueing.Prediction) error {
	var e *Infeasible
	worst := math.Inf(-1)
	for _, l := range s.targets.latencies(p) {
		if l.target == 0 {
			continue
		}
		if over := 1 - l.target/l.predicted; over > worst {
			worst = over
			e = &Infeasible{Target: l.name, Percentile: s.targets.Percentile, Want: l.target, Best: l.predicted}
		}
	}
	return e
}

// meet finds the highest rate that meets the targets, which `high` misses by that much.
func (s *search) meet(over float64) {
	a, b, fb := s.low, s.high, over
	fa := math.NaN()
	if s.near > a && s.near < b { // a narrow bracket around the guess, where it holds one
		const narrow = 1.02
		if f := s.over(s.near); f > 0 {
			b, fb = s.near, f
			if x := s.near / narrow; x > a {
				if f := s.over(x); f <= 0 {
					a, fa = x, f
				} else {
					b, fb = x, f
				}
			}
		} else {
			a, fa = s.near, f
			if x := s.near * narrow; x < b {
				if f := s.over(x); f > 0 {
					b, fb = x, f
				} else {
					a, fa = x, f
				}
			}
		}
	}
	if math.IsNaN(fa) {
		fa = s.over(a)
	}
	switch {
	case s.err != nil:
		return
	case fa > 0:
		if lowest, err := s.ask(s.low); err != nil {
			s.err = err
		} else {
			s.err = s.infeasible(&lowest)
		}
		return
	}
	crossing(s.over, a, fa, b, fb)
}

// crossing finds where f passes from at most zero at a to above zero at b, to a relative [rateTolerance], by evaluations alone: the
// caller keeps the best point. It is regula falsi with the Illinois rule, and a bisection whenever the bracket does not halve in three steps.
func crossing(f func(float64) float64, a, fa, b, fb float64) {
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
			return
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
