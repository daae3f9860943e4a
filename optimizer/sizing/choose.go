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
	//
	// Tuned: share; measured by TestChosenBatchIsSmallestNearTruePeak, at half and twice the distance from 1; at half: a rate within 1 % of the peak,
	// and larger batches; at twice: a rate within 4 % of it, and smaller ones. Neither makes a difference over the scenarios, whose servers have
	// their batch from memory
	peakShare = 0.98
	// plateau is the share of a rate below which another counts as lower: sizing is exact to far less.
	//
	// Tuned: 1; guard against rounding that is taken for a descent from the peak
	plateau = 0.999
	// leastBudget is the smallest token budget considered: below it, iterations hold next to nothing.
	//
	// Tuned: tokens; measured by the scenario ramp; at half: no difference; at twice: 4 % less cost of ramp, no difference in attainment
	leastBudget = 64
	// budgetLadder is the ratio between the budgets that are tried: cut in more or fewer parts, prompts make peaks beside each other.
	//
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd, at half and twice the distance from 1; at half: 10 % less cost of ramp, for
	// twice the work; at twice: no difference in attainment, less than 1 % in cost
	budgetLadder = 1.3
	// budgetStep is how closely, as a ratio, the best budget is found: rates are flat around their peak.
	//
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd, at half and twice the distance from 1; at half: less
	// than 0.2 % in cost; at twice: no difference in attainment, 15 % less cost of short
	budgetStep = 1.05
)

// Choose finds the limits at which one replica completes most requests within the targets: the peak over what is free, and of the batches
// that come within 2 % of it the smallest. Where no choice meets a target the error is that at the given limits.
//
// The rate rises with the batch until targets bind and may fall beyond, so its peak is bracketed by halving from the given limit (for the
// budget, of which it may have two, all the way down) and closed in by golden section; the smallest batch is then found by bisection on the rising side. The budget likewise: a small one
// starves prompts, a large one makes decodes wait for them; it is chosen before the batch and again after it. What is searched is not the rate, which takes ten evaluations, but by how much
// the targets are missed at the best rate so far, which takes one; only what beats it is sized.
func Choose(model queueing.Model, law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets, free Free) (Choice, error) {
	s := Sizer{Model: model}
	return s.Choose(law, req, lim, t, free)
}

// Choose is the function of that name.
func (s *Sizer) Choose(law queueing.Law, req queueing.Requests, lim queueing.Limits, t Targets, free Free) (Choice, error) {
	if err := t.Validate(); err != nil {
		return Choice{}, err
	}
	c := &chooser{sizer: s, law: law, requests: req, targets: t}
	c.best.Limits = lim
	given := c.size(lim)
	if given != nil && !errors.As(given, new(*Infeasible)) {
		return Choice{}, given
	}
	budget := func() {
		if free.Budget && lim.MaxBatchedTokens > leastBudget {
			c.peak(leastBudget, lim.MaxBatchedTokens, c.best.Limits.MaxBatchedTokens, budgetStep, func(l queueing.Limits, v int) queueing.Limits { l.MaxBatchedTokens = v; return l })
		}
	}
	budget()
	if free.Batch {
		c.peak(1, lim.MaxBatch, lim.MaxBatch, 1, func(l queueing.Limits, v int) queueing.Limits { l.MaxBatch = v; return l })
		if c.best.Limits.MaxBatch < lim.MaxBatch {
			budget() // another batch may want another one
		}
		c.smallest()
	}
	if c.err == nil && c.best.Rate == 0 {
		return Choice{}, given
	}
	if c.err == nil && t.Percentile > 0 { // not asked for while it was searched
		replica, err := c.replica(c.best.Limits)
		if err != nil {
			return Choice{}, err
		}
		c.best.Prediction, c.err = replica.Open(c.best.Prediction.Rate)
	}
	return c.best, c.err
}

// chooser holds the best choice so far for one pair.
type chooser struct {
	sizer    *Sizer
	limits   queueing.Limits // that its replica is prepared for
	law      queueing.Law
	requests queueing.Requests
	targets  Targets
	best     Choice // of rate 0 until one meets the targets
	err      error
}

// size finds the rate under limits and keeps them where they beat the best.
func (c *chooser) size(l queueing.Limits) error {
	replica, err := c.replica(l)
	if err != nil {
		return err
	}
	rate, p, err := highest(replica, c.targets, c.best.Prediction.Rate)
	if err == nil && rate > c.best.Rate {
		c.best = Choice{l, rate, p}
	}
	return err
}

// replica is the one prepared where only the batch differs. It holds until the next call.
func (c *chooser) replica(l queueing.Limits) (queueing.Replica, error) {
	same := c.limits
	same.MaxBatch = l.MaxBatch
	if r, ok := c.sizer.replica.(queueing.Resizer); ok && c.limits.MaxBatch > 0 && same == l && l.MaxBatch <= c.limits.MaxBatch {
		r.Resize(l.MaxBatch)
		return c.sizer.replica, nil
	}
	r, err := c.sizer.prepare(c.law, c.requests, l)
	if err == nil {
		c.limits = l
	}
	return r, err
}

// miss is by how much the targets, and that share of the best rate, are missed under limits: at most zero where the limits reach it.
// Without a best one, it is by how much the targets are missed by a replica at hardly any load.
func (c *chooser) miss(l queueing.Limits, share float64) float64 {
	replica, err := c.replica(l)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return math.Inf(1)
	}
	s := newSearch(replica, c.targets)
	rate := s.low
	if c.best.Rate > 0 {
		rate = c.best.Prediction.Rate * share
	}
	missed, throughput, err := s.missed(rate, c.best.Rate > 0)
	if err != nil {
		c.err = errors.Join(c.err, err)
		return math.Inf(1)
	}
	short := c.best.Rate*share*(1-rateTolerance)/throughput - 1
	if missed <= 0 && short > 0 && rate < s.high { // more must arrive than at the best, because more are turned away
		if reached, _, err := highest(replica, c.targets, rate); err == nil {
			short = c.best.Rate*share*(1-rateTolerance)/reached - 1
		}
	}
	if rate > s.high { // what cannot be sustained is missed however fast the few that are served
		short = max(short, 1-s.high/rate)
	}
	return max(missed, short)
}

// try sizes limits that beat the best, and returns by how much they miss it otherwise.
func (c *chooser) try(l queueing.Limits) float64 {
	before := c.best.Rate
	miss := c.miss(l, 1)
	if miss > 0 || c.err != nil {
		return miss
	}
	if err := c.size(l); err != nil && !errors.As(err, new(*Infeasible)) {
		c.err = errors.Join(c.err, err)
	}
	if c.best.Rate > before*(1+rateTolerance) {
		return -1 // better than all before
	}
	return 0
}

// peak moves the best choice to the peak of the rate over the values of one limit from low to high, found to a ratio, or exactly where
// step is 1. The best is at `at`, or does not yet exist.
func (c *chooser) peak(low, high, at int, step float64, with func(queueing.Limits, int) queueing.Limits) {
	try := func(v int) float64 {
		miss := c.try(with(c.best.Limits, v))
		if miss < 0 {
			at = v
		}
		return miss
	}
	left, ratio := low, 2.0
	if step > 1 {
		ratio = budgetLadder
	}
	for x := float64(high) / ratio; x >= float64(low); x /= ratio {
		v := int(x)
		miss := try(v)
		if c.best.Rate > 0 && miss > 1-plateau && step == 1 {
			left = v
			break
		}
	}
	if step > 1 { // a large budget may be a peak of its own beside those that cut prompts: no rung is left out
		left = max(low, int(float64(at)/ratio))
	}
	right := min(high, int(ratio*float64(at))+1)
	const golden = 0.6180339887498949
	a, b := math.Log(float64(left)), math.Log(float64(right))
	value := func(x float64) int { return int(math.Round(math.Exp(x))) }
	x, y := b-golden*(b-a), a+golden*(b-a)
	fx, fy := try(value(x)), try(value(y))
	for value(x) < value(y) && b-a > math.Log(step) {
		switch {
		case fy < 0: // the last tried beats x as well
			fallthrough
		case fx > fy:
			a, x, fx = x, y, max(fy, 0)
			y = a + golden*(b-a)
			fy = try(value(y))
		default:
			b, y, fy = y, x, max(fx, 0)
			x = b - golden*(b-a)
			if fx = try(value(x)); fx < 0 {
				fy = math.Inf(1)
			}
		}
	}
	if step > 1 {
		return
	}
	for from := 0; from != at; { // rounding leaves the neighbours unseen
		from = at
		if at < high {
			try(at + 1)
		}
		if at == from && at > low {
			try(at - 1)
		}
	}
}

// smallest moves the best choice to the smallest batch that comes within peakShare of it, by bisection below.
func (c *chooser) smallest() {
	if c.best.Rate == 0 {
		return
	}
	l := c.best.Limits
	low, high := 0, l.MaxBatch // low is too small, high is enough
	for high-low > 1 && c.err == nil {
		l.MaxBatch = low + (high-low)/2
		if c.miss(l, peakShare) <= 0 {
			high = l.MaxBatch
		} else {
			low = l.MaxBatch
		}
	}
	if l.MaxBatch = high; high < c.best.Limits.MaxBatch {
		c.best.Rate = 0 // the smaller one replaces it although it is slower
		if err := c.size(l); err != nil {
			c.err = errors.Join(c.err, err)
		}
	}
}
