package queueing

import (
	"errors"
	"math"
)

// ContinuousBatching is the model "continuous-batching" of an engine that starts an iteration as soon as the last one ended, decodes all
// running sequences in each, and fills what the token budget leaves with prompts in order of arrival. It knows distributions.
//
// Running requests share iterations equally, so the number n that run is a processor-sharing queue whose speed depends on n; its
// stationary distribution depends on the mean number of tokens only, whatever their distribution (Cohen, Acta Informatica 12, 1979). The
// time T(n) of an iteration is a mixture: without a prompt, or with what arrived during the last one. On top of it, a request waits for
// the iteration in progress, for a place in the batch, and for the budget. Derivation, assumptions and limits are in docs/models.md.
type ContinuousBatching struct{}

// ModelContinuousBatching is the registered name of [ContinuousBatching].
const ModelContinuousBatching = "continuous-batching"

// nodes is the number of batches at which iteration times are computed; they are interpolated linearly between. The nodes are spaced
// quadratically, closer where the experts touched still grow.
//
// Tuned: batches; measured by the scenarios ramp, short and flash-crowd; at half: 98.9 % of ramp and 20 % more cost of short; at twice: no difference
// in attainment, 11 % less cost of ramp, for twice the work
const nodes = 9

// Defaults of what is not known of requests: tokens like those of production traces, arrivals at random.
const (
	// defaultTokensCV is the coefficient of variation of tokens.
	//
	// Tuned: 1; measured by the scenarios ramp, short and flash-crowd; at half: no difference in attainment; at twice: 97.7 %
	// of flash-crowd at 8 % more cost
	defaultTokensCV = 0.5
	// Exact: the times between arrivals at random are exponential.
	poisson = 1
)

// continuous is a replica; all its fields are set when it is prepared.
type continuous struct {
	law     Law
	delay   float64 // seconds before the first token outside iterations
	input   float64 // prompt tokens to compute, mean
	cached  float64 // prompt tokens read from the prefix cache
	output  float64 // tokens to generate, mean
	inCV    float64 // of the tokens to compute
	outCV   float64
	workCV2 float64 // squared, of the time that computing a prompt takes
	ca2     float64 // squared coefficient of variation of the times between arrivals
	shape   float64 // of the gamma distributed times between arrivals, 1/ca2
	share   float64 // togetherness of requests that arrive together
	budget  float64 // tokens per iteration
	places  float64 // requests that may run, at least 1
	stay    float64 // iterations for which a request holds its place
	decode  float64 // share of them in which it decodes
	queue   float64 // requests that may wait
	kv      float64 // KV tokens that a running request holds on average
	full    float64 // the batch at which as many prompts fit beside it as requests leave, at most the places, a whole number
	top     float64 // the largest batch considered, at most the places
	rate    float64 // the highest sustainable
	at      [nodes]node
	lengths lengths // of requests, intervals
}

// node is a batch at which iteration times are computed.
type node struct {
	n     float64 // running requests
	idle  float64 // time of an iteration without prompts
	room  float64 // tokens that the budget leaves for prompts
	parts float64 // mean number of iterations that a prompt takes
	whole float64 // time of an iteration that prompts fill
}

// SeesBudget implements [Model].
func (ContinuousBatching) SeesBudget() bool { return true }

// Replica implements [Model].
func (m ContinuousBatching) Replica(law Law, requests Requests, limits Limits) (Replica, error) {
	return m.Reuse(nil, law, requests, limits)
}

// Reuse implements [Reuser].
func (ContinuousBatching) Reuse(old Replica, law Law, requests Requests, limits Limits) (Replica, error) {
	r, ok := old.(*continuous)
	if !ok {
		r = new(continuous)
	}
	if err := r.prepare(law, requests, limits); err != nil {
		return nil, err
	}
	for i := range r.at {
		x := float64(i) / (nodes - 1)
		r.at[i] = r.node(r.top * x * x)
	}
	return r, nil
}

// prepare sets everything but the nodes.
func (r *continuous) prepare(law Law, requests Requests, limits Limits) error {
	if err := errors.Join(requests.Validate(), limits.Validate()); err != nil {
		return err
	}
	*r = continuous{
		law: law, input: requests.InputTokens * (1 - requests.PrefixHitRate), output: math.Max(1, requests.OutputTokens),
		inCV: cv(requests.InputTokensSD, requests.InputTokens), outCV: cv(requests.OutputTokensSD, requests.OutputTokens),
		budget: float64(limits.MaxBatchedTokens), places: float64(limits.MaxBatch), queue: float64(limits.MaxQueue),
	}
	r.cached = requests.InputTokens - r.input
	if d, ok := law.(Delayed); ok {
		r.delay = d.FirstTokenDelay()
	}
	arrivals := requests.ArrivalCV
	if math.IsNaN(arrivals) {
		arrivals = poisson
	}
	r.ca2 = arrivals * arrivals
	r.shape = 1 / math.Max(r.ca2, 1e-9)
	r.share = r.togetherness()
	r.kv = requests.held()
	r.places = limits.fit(requests)
	r.full, r.top = r.places, r.places
	most := r.budget / (r.input + r.intervals()) // requests an iteration that the budget lets through
	r.stay = r.intervals() + r.parts(math.Max(1, r.budget-math.Min(r.places, most*r.intervals())/2))
	r.decode = r.intervals() / r.stay
	if r.input > 0 {
		r.full = math.Min(r.full, math.Max(1, most*r.stay))
		r.top = math.Min(r.top, math.Ceil(math.Max(r.full, math.Min(roomier*r.full+roomier*roomier, r.budget-1))))
	}
	r.workCV2 = r.work()
	r.lengths = newLengths(r.output, r.outCV)
	r.rate = r.saturation()
	return nil
}

// roomier is by how much, as a multiple, the batches considered exceed the one at which prompts saturate the budget: the number that run
// swings around it.
//
// Tuned: 1; measured by the scenarios ramp, short and flash-crowd; at half: no difference in attainment, 11 % less cost of ramp; at twice: no
// difference
const roomier = 3

// cv is a coefficient of variation, or what is assumed where the deviation is unknown.
func cv(sd, mean float64) float64 {
	switch {
	case math.IsNaN(sd):
		return defaultTokensCV
	case mean == 0:
		return 0
	}
	return sd / mean
}

// saturation is the rate at which a full batch leaves as fast as it is replaced.
func (r *continuous) saturation() float64 {
	top := r.node(r.full)
	return r.full / (r.stay * r.balanced(&top))
}

// balanced is the mean time of an iteration over the batch of a node at the rate at which as many requests arrive as leave, n/stay an
// iteration: [continuous.iteration] with rate · T known beforehand, so that nothing is searched for.
func (r *continuous) balanced(at *node) float64 {
	if r.input == 0 || at.n == 0 {
		return at.idle
	}
	prompts := at.n / r.stay
	busy := r.busy(at, prompts)
	with := r.law.IterationTime(r.batch(at.n, math.Min(prompts*r.input/busy, at.room)))
	return at.idle + busy*(with-at.idle)
}

// node prepares a batch of n running requests.
func (r *continuous) node(n float64) node {
	room := math.Max(1, r.budget-n*r.decode)
	return node{n: n, idle: r.law.IterationTime(r.batch(n, 0)), room: room, parts: r.parts(room), whole: r.law.IterationTime(r.batch(n, room))}
}

// intervals between tokens of a request that it spends in decode iterations: one less than its tokens, but never less than a short stay.
func (r *continuous) intervals() float64 { return math.Max(r.output-1, 0.5) }

// work is the squared coefficient of variation of the time that computing a prompt takes beside half of a full batch. A prompt of x mean lengths takes
// x·(1 + a·x): attention grows with the square, and what is short hides behind the weights. The moments are those of gamma distributed lengths,
//
//	E x² = 1 + c²,  E x³ = E x²·(1 + 2c²),  E x⁴ = E x³·(1 + 3c²).
func (r *continuous) work() float64 {
	c2 := r.inCV * r.inCV
	if c2 == 0 || r.input == 0 {
		return c2
	}
	b := r.batch(r.full/2, 0)
	idle := r.law.IterationTime(b)
	prompt := func(tokens float64) float64 {
		b.Prefills, b.PrefillTokens, b.PrefillContext, b.PrefillPairs = 1, tokens, r.cached+tokens, tokens*(r.cached+tokens/2)
		return r.law.IterationTime(b) - idle
	}
	ratio := math.Min(prompt(2*r.input)/prompt(r.input)/2, mostConvex) // (1 + 2a)/(1 + a)
	if !(ratio > 1) {
		return c2
	}
	a := (ratio - 1) / (2 - ratio)
	second := 1 + c2
	third := second * (1 + 2*c2)
	mean := 1 + a*second
	return (second+2*a*third+a*a*third*(1+3*c2))/(mean*mean) - 1
}

// mostConvex is as much as quadratic.
//
// Tuned: 1; guard against a division by 0, at 2: half and twice the distance from that make no difference
const mostConvex = 1.9

// MaxRate implements [Replica].
func (r *continuous) MaxRate() float64 { return r.rate * (1 - stabilityMargin) }

// batch is an iteration over n running requests, of which the most part decodes, and that many prompt tokens.
func (r *continuous) batch(n, tokens float64) Batch {
	n *= r.decode
	b := Batch{Decodes: n, DecodeContext: n * r.kv, PrefillTokens: tokens}
	if tokens > 0 && r.input > 0 {
		b.Prefills = math.Max(1, tokens/r.input)
		b.PrefillContext = b.Prefills * (r.cached + r.input)
		if tokens < r.input { // a part of a prompt, somewhere in it
			b.PrefillContext = r.cached + (r.input*(1+r.inCV*r.inCV)+tokens)/2
		}
		b.PrefillPairs = tokens * (r.cached + r.input*(1+r.inCV*r.inCV)/2)
	}
	return b
}

// iteration is the mean time of an iteration over the batch of a node under the rate, and the share of iterations that hold prompts; the search begins at guess.
func (r *continuous) iteration(at *node, rate, guess float64) (mean, busy float64) {
	if r.input == 0 {
		return at.idle, 0
	}
	next := func(t float64) float64 {
		tokens := rate * r.input * t // that arrive during an iteration
		busy = r.busy(at, rate*t)
		with := r.law.IterationTime(r.batch(at.n, math.Min(tokens/busy, at.room)))
		return at.idle + busy*(with-at.idle)
	}
	const tolerance, most = 1e-3, 20
	t := guess
	for range most { // Steffensen's iteration: the plain one is slow where prompts take most of the time
		// The time grows by about 1 − idle/t of what the guess does, so a step of `idle` is an error of t.
		a := next(t)
		if math.Abs(a-t) < tolerance*at.idle {
			return a, busy
		}
		b := next(a)
		if math.Abs(b-a) < tolerance*at.idle {
			return b, busy
		}
		d := t - 2*a + b
		if x := t - (a-t)*(a-t)/d; d != 0 && x > at.idle && x < 100*b {
			t = x
		} else {
			t = b
		}
	}
	return t, busy
}

// busy is the share of iterations that hold prompts when `prompts` arrive per iteration: all in which one arrived where everything fits at
// once, the utilisation of the budget where prompts are cut into many parts. Between, the last part of a prompt leaves room, which is
// wasted unless another prompt has arrived.
func (r *continuous) busy(at *node, prompts float64) float64 {
	used := prompts * r.input / at.room
	if used >= 1 {
		return 1
	}
	waste := at.parts - r.input/at.room
	return 1 - (1-used)*r.arriving(0, prompts*waste)
}

// parts is the mean number of iterations that a prompt takes at `room` tokens each, E⌈X/room⌉ for normal lengths X: one, what is beyond
// the room, and half a part for rounding up where there is any.
func (r *continuous) parts(room float64) float64 {
	return ceiling(r.input/room, r.lengthSD()/room)
}

// lengthSD is the standard deviation of the tokens to compute: even equal prompts meet different room.
func (r *continuous) lengthSD() float64 { return math.Max(r.inCV, 0.05) * r.input }

// ceiling is E⌈X⌉ of a normal variable, at least one: Σ P(X > k), of which all but the first two terms are an integral by the midpoint rule.
func ceiling(mean, sd float64) float64 {
	if mean == 0 {
		return 1
	}
	z := (mean - firstHalf) / sd
	return 1 + normal((mean-1)/sd) + sd*(z*normal(z)+density(z))
}

// firstHalf is where the integral of [ceiling] begins.
//
// Exact: the middle between the first step and the next.
const firstHalf = 1.5

// ceilingSD is the standard deviation of ⌈X⌉, likewise, from E⌈X⌉² = Σ (2k + 1)·P(X > k).
func ceilingSD(mean, sd float64) float64 {
	if mean == 0 {
		return 0
	}
	z := (mean - firstHalf) / sd
	one, more, rest := normal((mean-1)/sd), normal(z), density(z)
	first := 1 + one + sd*(z*more+rest)
	square := 1 + 3*one + sd*sd*((z*z+1)*more+z*rest) + 4*sd*(z*more+rest)
	return math.Sqrt(math.Max(0, square-first*first))
}

// Open implements [Replica].
func (r *continuous) Open(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	s := r.steady(rate)
	return s.predict(true), nil
}

// Means is Open without percentiles, several times faster.
func (r *continuous) Means(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	s := r.steady(rate)
	return s.predict(false), nil
}

// Beyond implements [Shares].
func (r *continuous) Beyond(rate, ttft, itl float64) (ofTTFT, ofITL float64, err error) {
	if err := validRate(rate); err != nil {
		return math.NaN(), math.NaN(), err
	}
	s := r.steady(rate)
	if ttft > 0 {
		f := s.first()
		ofTTFT = f.beyond(ttft)
	}
	if itl > 0 {
		m := s.intervals()
		x := s.mixture(&m)
		ofITL = x.beyond(itl)
	}
	return ofTTFT, ofITL, nil
}

// steady is the stationary state under a rate.
type steady struct {
	*continuous
	arrivals   float64
	flow       float64 // the rate at which prompts are computed
	throughput float64
	empty      float64 // probability that nothing runs
	waits      float64 // probability that an arrival finds the batch full
	waiting    float64 // mean number that wait for a place
	running    float64 // mean number that run, over time
	seen       float64 // mean number that run, over intervals between tokens
	deviation  float64 // of the number that run
	mean       float64 // of iterations, over intervals between tokens
	level      node    // the batch at which as many leave as arrive
	step       float64 // mean time of an iteration over it
	peak       float64 // peakedness: variance over mean of the number that would run were there places for all
	prompts    station
}

// times are the mean times of iterations at the nodes under a rate. By how much prompts stretch iterations changes slowly over them, so that
// every other node takes the mean of its neighbours' stretches.
func (r *continuous) times(rate float64) [nodes]float64 {
	var t [nodes]float64
	stretch, before := 1.0, 1.0
	for i := 0; i < nodes; i += 2 {
		t[i], _ = r.iteration(&r.at[i], rate, r.at[i].idle*math.Max(1, 2*stretch-before))
		before, stretch = stretch, t[i]/r.at[i].idle
		if i > 0 {
			t[i-1] = r.at[i-1].idle * (before + stretch) / 2
		}
	}
	return t
}

// balance finds the batch at which as many leave as arrive, n = flow · stay · T(n), between the nodes.
func (s *steady) balance(times *[nodes]float64) {
	last := nodes - 1
	short := func(i int) float64 { return s.flow*s.stay*times[i] - s.at[i].n }
	i := 1
	for i < last && short(i) > 0 {
		i++
	}
	a, b := short(i-1), short(i)
	x := 1.0
	if b < 0 {
		x = a / (a - b)
	}
	between := func(a, b float64) float64 { return a + x*(b-a) }
	l, h := &s.at[i-1], &s.at[i]
	s.level = node{
		n: between(l.n, h.n), idle: between(l.idle, h.idle), room: between(l.room, h.room), parts: between(l.parts, h.parts), whole: between(l.whole, h.whole),
	}
	s.step = between(times[i-1], times[i])
}

// steady solves the birth–death chain of the number that run: deaths at n/(stay · T(n)), and up to `queue` waiting ones behind a full
// batch. Arrivals that are not Poisson have peakedness z and births at the rate of the Bernoulli–Poisson–Pascal approximation,
//
//	rate/z + (1 − 1/z) · n / (stay · T(n)),
//
// which keeps the mean and scales the variance by z (Delbrouck, IEEE Trans. Commun. 29(3), 1981). Waiting ones are geometric with the
// utilisation to the power 1/z. Nobody is prefilled faster than a full batch leaves, so beyond saturation iterations do not grow. No
// allocation.
func (r *continuous) steady(rate float64) steady {
	const large, shrink, negligible = 1e100, 1e-100, 1e-9
	s := steady{continuous: r, arrivals: rate, flow: math.Min(rate, r.rate)}
	times := r.times(s.flow)
	s.balance(&times)
	s.prompts = s.station()
	s.peak = math.Max(leastPeak, 1+(s.prompts.clumped-1)*r.share)
	chain := rate
	if r.full < r.places { // who waits, waits for the budget
		chain = s.flow
	}
	offered, own := chain*r.stay/s.peak, 1-1/s.peak
	w, sum, first, second, leaving := 1.0, 1.0, 0.0, 0.0, 0.0
	empty := 1.0
	last := r.top
	var t float64
	n := 1.0
states:
	for seg := range nodes - 1 {
		from, to := r.at[seg].n, r.at[seg+1].n
		slope := (times[seg+1] - times[seg]) / (to - from)
		if seg == nodes-2 {
			to = last
		}
		for ; n <= to; n++ {
			t = times[seg] + slope*(n-from)
			grows := (offered*t + own*(n-1)) / n
			if grows < 0 {
				grows = 0
			} else if grows > large {
				grows = large
			}
			w *= grows
			sum += w
			first += w * n
			second += w * n * n
			leaving += w * n / t
			if w > large {
				w, sum, first, second, leaving, empty = w*shrink, sum*shrink, first*shrink, second*shrink, leaving*shrink, empty*shrink
			}
			if w*n*n < negligible*second && grows < 1 {
				w = 0
				break states
			}
		}
	}
	t = times[nodes-1]
	use := chain * r.stay * t / last // of a full batch
	if last >= r.places {            // whoever leaves a full batch is replaced at once, by a prompt
		use = chain / r.rate
	}
	if r.full >= r.places {
		t = last / (r.rate * r.stay)
	}
	z := math.Max(s.peak, (r.ca2+1)/2)
	q := geometric(math.Log(use)/z, r.queue)
	down := math.Exp(-q.log)
	tail := w * q.sum
	total := sum*down + tail
	s.running = (first*down + last*tail) / total
	square := (second*down + last*last*tail) / total
	s.deviation = math.Sqrt(math.Max(0, square-s.running*s.running))
	s.seen = square / s.running
	s.empty = empty * down / total
	// Arrivals see a full batch more often than time does where they come in bursts: as often as births happen there.
	s.waits = math.Min(1, (w*down+tail)/total*math.Max(0, 1/z+(1-1/z)/use))
	s.waiting = w * q.weighted / total * r.generality(use, last) / z
	left := (leaving*down + last/t*tail) / total / r.stay
	s.mean = math.Min((s.running+s.piled())/(left*r.stay), math.Max(t, s.running/(left*r.stay)))
	turned := w * math.Exp(math.Log(use)/z*r.queue-q.log) / total * math.Max(0, 1/z+(1-1/z)/use) // away by a full queue
	s.throughput = math.Min(rate, math.Max(left, math.Min(rate*(1-turned), r.rate)))
	if r.full < r.places { // the largest batch considered turns nobody away
		s.throughput = s.flow
	}
	return s
}

// generality is the wait for a place under general lengths and arrivals, where one of `places` opens up as often as under exponential
// ones and a share `use` of them is taken, as a multiple of that under exponential ones: (ca² + cs²)/2 (Allen–Cunneen), and for lengths
// that vary little more than that while there is room, by what is known of constant ones,
//
//	1 + (1 − use)(places − 1)(√(4 + 5 places) − 2) / (16 use places)
//
// (Cosmetatos, Operational Research Quarterly 27(3), 1976), in proportion to 1 − cs².
func (r *continuous) generality(use, places float64) float64 {
	cs2 := r.outCV * r.outCV
	constant := math.Max(0, 1-use) * (places - 1) * (math.Sqrt(4+5*places) - 2) / (16 * use * places)
	return (r.ca2 + cs2 + math.Min(1, r.ca2)*math.Max(0, 1-cs2)*math.Min(1, constant)) / 2
}

// leastPeak keeps the variance of the number that run from vanishing under the most regular arrivals.
//
// Tuned: 1; guard against a variance of 0: half and twice of it make no difference
const leastPeak = 0.1

// togetherness is the share of a stay during which two requests that arrive together both run, E min(S₁, S₂)/E S: it carries the dispersion
// of arrivals to the number that run (Whitt, Management Science 31, 1985). That of normal lengths is 1 − cs/√π, which exponential ones
// are close to.
func (r *continuous) togetherness() float64 {
	if r.outCV == 0 {
		return 1
	}
	k := 1 / (r.outCV * r.outCV)
	a, _ := math.Lgamma(k + 0.5)
	b, _ := math.Lgamma(k + 1)
	return 1 - math.Exp(a-b)/math.Sqrt(math.Pi)
}
