package sizing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Pair is a server on an accelerator that can be chosen for it.
type Pair struct {
	Law      queueing.Law
	Requests queueing.Requests
	Limits   queueing.Limits
	// Replicas is the least number of replicas, and Cost what one costs, in cents/hour.
	Replicas int
	Cost     float64
}

// Screener finds the cheapest of many pairs with two models: the bound sizes every pair, an order of magnitude cheaper; then, from the
// cheapest by the bound on, the model sizes those that may still be cheaper than the best. That is exact where the bound promises no lower
// rate than the model; see [queueing.Bound]. It uses its memory again, and must not be used by two goroutines at a time.
type Screener struct {
	model, bound Sizer
	screened     []screened
}

// screened is a pair with what it costs at least.
type screened struct {
	pair int
	cost float64
}

// NewScreener screens with [queueing.Bound].
func NewScreener(model queueing.Model) *Screener {
	return &Screener{model: Sizer{Model: model}, bound: Sizer{Model: queueing.Bound{}}}
}

// Cheapest returns the index of the pair that serves the arrivals, in requests per second, within the targets at least cost, and what one of
// its replicas completes. Ties go to the first. The error joins what the pairs miss where none can serve, an [*Infeasible] each, or what is
// wrong with their description.
func (s *Screener) Cheapest(pairs []Pair, arrivals float64, t Targets) (best int, rate float64, err error) {
	means := t
	means.Percentile = 0
	s.screened = s.screened[:0]
	var missed []error
	miss := func(i int, err error) error {
		err = fmt.Errorf("pair %d: %w", i, err)
		if missed = append(missed, err); errors.As(err, new(*Infeasible)) {
			return nil
		}
		return err
	}
	for i := range pairs {
		p := &pairs[i]
		most, _, err := s.bound.RatePerReplica(p.Law, p.Requests, p.Limits, means)
		if err == nil {
			s.screened = append(s.screened, screened{i, p.cost(arrivals, most, t)})
		} else if err := miss(i, err); err != nil {
			return -1, 0, err
		}
	}
	slices.SortFunc(s.screened, func(a, b screened) int { return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.pair, b.pair)) })
	best = -1
	lowest := 0.0
	for _, c := range s.screened {
		if best >= 0 && c.cost > lowest {
			break
		}
		p := &pairs[c.pair]
		got, _, err := s.model.RatePerReplica(p.Law, p.Requests, p.Limits, t)
		if err != nil {
			if err := miss(c.pair, err); err != nil {
				return -1, 0, err
			}
			continue
		}
		if cost := p.cost(arrivals, got, t); best < 0 || cost < lowest || cost == lowest && c.pair < best {
			best, rate, lowest = c.pair, got, cost
		}
	}
	if best < 0 {
		return best, 0, errors.Join(missed...)
	}
	return best, rate, nil
}

// cost of as many replicas as the arrivals take at that rate of each.
func (p *Pair) cost(arrivals, rate float64, t Targets) float64 {
	return float64(Replicas(t.Demand(arrivals, p.Requests.OutputTokens), rate, p.Replicas)) * p.Cost
}
