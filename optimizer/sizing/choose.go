package sizing

import (
	"errors"
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Free says which limits of the engine may be chosen.
type Free struct {
	// Batch: the max batch size, from 1 to the given one.
	Batch bool
	// Budget: the token budget of an iteration, from 64 to the given one.
	Budget bool
}

// Choice is how to run a replica, and what it then does.
type Choice struct {
	Limits queueing.Limits
	// Rate of requests per second that one replica completes within the targets.
	Rate       float64
	Prediction queueing.Prediction
}

const (
	// peakShare is how close to the true peak rate a smaller batch must come.
	peakShare = 0.98
	// plateau is the share of a rate below which another counts as lower: sizing is exact to far less.
	plateau = 0.999
	// leastBudget is the smallest token budget considered: below it, iterations hold next to nothing.
	leastBudget = 64
	// budgetStep is how closely, as a ratio, the best budget is found: rates are flat around their peak.
	budgetStep = 1.05
)

// Choose finds the limits at which one replica completes most requests within the targets: the peak over what is free, and of the batches
// that come within 2 % of it the smallest. Where no choice meets a target the error is that at the given limits.
//
// The rate rises with the batch until targets bind and may fall beyond, so its peak is bracketed by halving from the given limit and
// closed in by golden section; the smallest batch is then found by bisection on the rising side. The budget likewise: a small one
// starves prompts, a large one makes decodes wait for them. About 25 sizings each, which share what a replica prepares.
func Choose(model queueing.Model, law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets, free Free) (Choice, error) {
	if err := t.Validate(); err != nil {
		return Choice{}, err
	}
	c := &chooser{model: model, law: law, requests: req, targets: t}
	given := c.size(lim)
	if given.err != nil && !errors.As(given.err, new(*Infeasible)) {
		return Choice{}, given.err
	}
	best := given
	if free.Budget && lim.MaxBatchedTokens > leastBudget {
		best = c.peak(best, leastBudget, budgetStep, func(v int) queueing.Limits {
			l := best.Limits
			l.MaxBatchedTokens = v
			return l
		}, lim.MaxBatchedTokens)
	}
	if free.Batch {
		within := func(v int) queueing.Limits {
			l := best.Limits
			l.MaxBatch = v
			return l
		}
		top := c.peak(best, 1, 1, within, lim.MaxBatch)
		best = c.smallest(top, within)
	}
	if best.Rate == 0 {
		return Choice{}, given.err
	}
	return best.Choice, c.err
}

// chooser sizes one pair under different limits.
type chooser struct {
	model    queueing.Model
	law      queueing.Law
	requests queueing.Requests
	targets  Targets
	prepared queueing.Replica
	limits   queueing.Limits // of prepared
	near     float64
	err      error
}

// sized is a choice with why it failed, if it did; then its rate is 0.
type sized struct {
	Choice
	err error
}

// size never fails but for reasons that hold under all limits.
func (c *chooser) size(l queueing.Limits) sized {
	replica, err := c.replica(l)
	if err != nil {
		return sized{Choice{Limits: l}, err}
	}
	rate, p, err := highest(replica, c.targets, c.near)
	if err != nil {
		if !errors.As(err, new(*Infeasible)) {
			c.err = errors.Join(c.err, err)
		}
		return sized{Choice{Limits: l}, err}
	}
	c.near = p.Rate
	return sized{Choice{l, rate, p}, nil}
}

// replica reuses the one prepared where only the batch differs.
func (c *chooser) replica(l queueing.Limits) (queueing.Replica, error) {
	same := c.limits
	same.MaxBatch = l.MaxBatch
	if r, ok := c.prepared.(queueing.Resizer); ok && same == l && l.MaxBatch <= c.limits.MaxBatch {
		return r.Resized(l.MaxBatch), nil
	}
	r, err := c.model.Replica(c.law, c.requests, l)
	if err == nil {
		c.prepared, c.limits = r, l
	}
	return r, err
}

// peak of the rate over values from low to high, where `top` is the choice at high; found to a ratio, or exactly where step is 1.
func (c *chooser) peak(top sized, low int, step float64, limits func(int) queueing.Limits, high int) sized {
	best, at := top, high
	ask := func(v int) float64 {
		s := c.size(limits(v))
		if s.Rate > best.Rate {
			best, at = s, v
		}
		return s.Rate
	}
	left := low
	for v := high / 2; v >= low; v /= 2 {
		if rate := ask(v); best.Rate > 0 && rate < plateau*best.Rate {
			left = v
			break
		}
	}
	right := min(high, 2*at+1)
	// Golden section on logarithms between the neighbours of the best power.
	const golden = 0.6180339887498949
	a, b := math.Log(float64(left)), math.Log(float64(right))
	value := func(x float64) int { return int(math.Round(math.Exp(x))) }
	x, y := b-golden*(b-a), a+golden*(b-a)
	fx, fy := ask(value(x)), ask(value(y))
	for value(x) < value(y) && b-a > math.Log(step) {
		if fx < fy {
			a, x, fx = x, y, fy
			y = a + golden*(b-a)
			fy = ask(value(y))
		} else {
			b, y, fy = y, x, fx
			x = b - golden*(b-a)
			fx = ask(value(x))
		}
	}
	if step == 1 { // rounding leaves the neighbours unseen
		for from := 0; from != at; {
			from = at
			if at < high {
				ask(at + 1)
			}
			if at == from && at > low {
				ask(at - 1)
			}
		}
	}
	return best
}

// smallest batch that comes within peakShare of the peak, by bisection below it.
func (c *chooser) smallest(top sized, limits func(int) queueing.Limits) sized {
	low, high := 0, top.Limits.MaxBatch // low is too small, high is enough
	best := top
	for high-low > 1 {
		v := low + (high-low)/2
		if s := c.size(limits(v)); s.Rate >= peakShare*top.Rate && s.err == nil {
			best, high = s, v
		} else {
			low = v
		}
	}
	return best
}
