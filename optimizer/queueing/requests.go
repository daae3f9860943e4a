package queueing

import "math"

// held is the number of KV tokens that a running request has on average: one seen at a random time is one of the longer ones, half-way
// through its output.
func (r Requests) held() float64 {
	c := cv(r.OutputTokensSD, r.OutputTokens)
	return r.InputTokens + math.Max(1, r.OutputTokens)*(1+c*c)/2
}

// room is the number of requests that the KV cache holds at a time, at least one: an engine refuses what it could never hold.
func (l Limits) room(r Requests) int {
	if l.KVTokens <= 0 {
		return math.MaxInt
	}
	return max(1, int(float64(l.KVTokens)/r.held()))
}

// fit is the mean number of requests that run where others wait, at least one: the batch, or what the KV cache holds of requests that differ in
// size. Whoever is next waits until its whole prompt has room, so that half of a prompt met at random is left free.
func (l Limits) fit(r Requests) float64 {
	batch := float64(l.MaxBatch)
	if l.KVTokens <= 0 {
		return batch
	}
	held, in, c := r.held(), cv(r.InputTokensSD, r.InputTokens), cv(r.OutputTokensSD, r.OutputTokens)
	mean := (float64(l.KVTokens) - r.InputTokens*(1+in*in)/2) / held
	if mean <= 1 {
		return 1
	}
	// A share of the output that is uniform is held of requests as they are met at random; lengths are taken for gamma distributed.
	grown := (1 + c*c) * ((1+2*c*c)/3 - (1+c*c)/4) * r.OutputTokens * r.OutputTokens
	sd := math.Sqrt(mean*(grown+in*in*r.InputTokens*r.InputTokens)) / held
	z := (batch - mean) / math.Max(sd, 1e-9)
	return math.Max(1, math.Round(batch-sd*(density(z)+z*normal(z))))
}

// lengthBounds cut the distribution of the number of generated tokens into strata, finest among the shortest requests: those see few
// intervals, so that their means spread most and decide the percentiles over requests.
var lengthBounds = [...]float64{0, 0.001, 0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2, 0.4, 0.7, 1}

// strata of requests by length.
const strata = len(lengthBounds) - 1

// lengths are the intervals between tokens of a typical request of each stratum.
type lengths [strata]float64

// normalMiddles are the quantiles of the standard normal distribution at the middles of the strata.
var normalMiddles = func() (z [strata]float64) {
	for i := range z {
		z[i] = math.Sqrt2 * math.Erfinv(lengthBounds[i]+lengthBounds[i+1]-1)
	}
	return z
}()

// shortest is the least number of tokens that normal lengths are cut at, as the simulators and benchmarks do that draw them (inference-sim).
//
// Tuned: tokens; derived from inference-sim, which draws at least so many; at half: no difference; at twice: no difference
const shortest = 8

// newLengths takes the middles of the strata of tokens with the given mean and coefficient of variation c. Up to the spread of production traces
// lengths are taken for normal, which is what benchmarks send. Wider ones are gamma distributed, by
// the larger of two approximations of the quantile at p, of which neither is far above it and one within 4 % up to CV 1.5: the cube of a normal
// variable (Wilson & Hilferty, PNAS 17, 1931), and for the shortest requests of a wide distribution the first terms of the power series,
//
//	c²·x·exp(x/(k + 1)),  x = (p·Γ(k + 1))^(1/k),  k = 1/c².
func newLengths(tokens, cv float64) lengths {
	if cv <= defaultTokensCV {
		var l lengths
		for i, z := range normalMiddles {
			l[i] = math.Max(tokens*(1+cv*z), math.Min(shortest, tokens)) - 1
		}
		return l
	}
	var l lengths
	g := newGamma(cv)
	single := g.below(1.5 / tokens) // has no interval
	for i := range l {
		p := single + (1-single)*(lengthBounds[i]+lengthBounds[i+1])/2
		l[i] = math.Max(tokens*g.quantile(p, math.Sqrt2*math.Erfinv(2*p-1))-1, 0)
	}
	return l
}

// gammaLengths are gamma distributed with mean 1.
type gammaLengths struct{ cv, shape, logGamma float64 }

func newGamma(cv float64) gammaLengths {
	shape := 1 / (cv * cv)
	log, _ := math.Lgamma(shape + 1)
	return gammaLengths{cv, shape, log}
}

// quantile at p, of which z is that of the standard normal distribution.
func (g *gammaLengths) quantile(p, z float64) float64 {
	root := math.Max(0, 1-g.cv*g.cv/9+z*g.cv/3)
	short := math.Exp((math.Log(p)+g.logGamma)/g.shape) / g.shape
	return math.Max(root*root*root, short*math.Exp(short*g.shape/(g.shape+1)))
}

// below is the share below x, far below the mean, the inverse of the series of quantile.
func (g *gammaLengths) below(x float64) float64 {
	x *= g.shape
	return math.Min(math.Exp(g.shape*(math.Log(x)-x/(g.shape+1))-g.logGamma), mostSingle)
}

// mostSingle keeps a few requests with intervals where nearly all are of one token.
//
// Tuned: share; guard against a division by 0: half and twice its distance from 1 make no difference
const mostSingle = 0.99

// promptBounds cut the distribution of prompts into strata, finest among the longest: their own length decides the percentiles of TTFT.
var promptBounds = [...]float64{0, 0.2, 0.4, 0.6, 0.75, 0.85, 0.92, 0.96, 0.985, 0.995, 1}

const promptStrata = len(promptBounds) - 1

// promptMiddles are the quantiles of the standard normal distribution at the middles of the strata.
var promptMiddles = func() (z [promptStrata]float64) {
	for i := range z {
		z[i] = math.Sqrt2 * math.Erfinv(promptBounds[i]+promptBounds[i+1]-1)
	}
	return z
}()

// mixture is how the time between tokens of a request spreads over requests: an iteration takes idle, and while prompts are computed adds more on
// average, with deviation spread. Iterations with prompts come in runs. What the batch around a request is, is common to its iterations and has
// deviation batch.
type mixture struct {
	idle, adds, spread, batch float64
	most, full                float64 // that an iteration adds in a run of them, and that fills the budget
	free, turns               float64 // time of a prompt for each place that is free, and of those that places get in an iteration when all are taken
	busy                      float64 // share of the iterations with prompts
	behind                    float64 // probability that prompts are computed when a request begins
	keeps                     float64 // correlation of an iteration with the next one
	lengths                   *lengths
}

func (s *steady) mixture(m *intervals) mixture {
	x := mixture{idle: m.middle[0], busy: 1 - m.share[0], lengths: &s.lengths}
	x.batch = s.slope() * s.deviation * s.mean / math.Max(1e-300, s.law.IterationTime(s.batch(s.seen, 0)))
	if x.busy <= 0 {
		x.busy = 0
		return x
	}
	square := 0.0
	for i := 1; i < m.n; i++ {
		d := m.middle[i] - x.idle
		x.adds += m.share[i] * d / x.busy
		square += m.share[i] * (d*d + m.width[i]*m.width[i]) / x.busy
	}
	x.spread = math.Sqrt(math.Max(0, square-x.adds*x.adds))
	x.most, x.full = x.adds, math.Max(x.adds, s.level.whole-s.level.idle)
	if cut := m.middle[1] - x.idle; s.level.parts > 1.5 && cut > 0 {
		x.most = cut
	}
	prompt := s.input * s.prompts.cost
	x.free, x.turns = math.Max(1, s.places-s.running)*prompt, s.places/s.stay*prompt
	x.behind = math.Max(x.busy, s.prompts.waits)
	x.keeps = s.keeps(&x)
	return x
}

// keeps is the correlation of iterations with prompts, such that the work of prompts that a long request meets varies as that of the busy periods
// does: by s²·(ca² + cs²)/(1 − ρ)² for each prompt of s on average.
func (s *steady) keeps(x *mixture) float64 {
	st := &s.prompts
	prompt, left := s.input*st.cost, 1-st.use
	work := s.flow * s.step * prompt * prompt * (s.ca2 + s.workCV2) / (left * left)
	busy := math.Min((s.step-s.level.idle)/x.adds, 1) // over time, not over the requests that run
	times := (work - busy*x.spread*x.spread) / (busy * math.Max(1-busy, 1e-3) * x.adds * x.adds)
	if !(times > 1) {
		return 0
	}
	return (times - 1) / (times + 1)
}

// beyond is the probability that the mean time between the tokens of a request exceeds t, of those that have any.
func (x *mixture) beyond(t float64) float64 {
	p := 0.0
	for i, n := range x.lengths {
		p += (lengthBounds[i+1] - lengthBounds[i]) * x.stratum(t, math.Max(n, 1))
	}
	return p
}

// stratum is beyond for requests of n intervals. Some meet no prompt, some nothing else; the share of iterations with prompts of the others is
// gamma distributed (by Wilson and Hilferty's cube), with the mean and the variance of a two-state Markov chain.
func (x *mixture) stratum(t, n float64) float64 {
	const least = 1e-9
	batch := x.batch*math.Sqrt(1-(1-persistence)*math.Min(1, n/x.lengths[strata-1])) + least*x.idle
	if x.busy == 0 {
		return normalBeyond(t-x.idle, batch)
	}
	r := x.keeps
	forget := -math.Expm1(n*math.Log(math.Max(r, 1e-30))) / (n * (1 - r)) // Σ rʲ/n over j = 0 … n − 1
	share := x.busy + (x.behind-x.busy)*forget
	none := (1 - x.behind) * math.Pow(1-(1-r)*x.busy, n-1)
	all := x.behind * math.Pow(1-(1-r)*(1-x.busy), n-1)
	p := none*normalBeyond(t-x.idle, batch) + all*normalBeyond(t-x.idle-x.most, math.Hypot(batch, x.spread/n))
	some := 1 - none - all
	if some < 1e-6 {
		return p
	}
	variance := x.busy * (1 - x.busy) * ((1+r)/(1-r) - 2*r*forget/(1-r)) / n
	mean := (share - all) / some
	variance = math.Max(0, (variance+share*share-all)/some-mean*mean)
	mean *= x.adds
	variance = variance*x.adds*x.adds + share*x.spread*x.spread/n
	variance += batch*batch + 2*together*batch*math.Sqrt(variance)
	full := math.Min(x.full, x.free/n+x.turns)
	return p + some*math.Min(gammaBeyond(t-x.idle+2*batch, mean+2*batch, variance), normalBeyond(t-x.idle-full, batch))
}

// together is the correlation of the batch around a request, averaged over its stay, with the prompts that come during it, where stays are much
// alike: what came at time u before or after its beginning counts for the batch with 1 − |u| of a stay, so that it is ½/√(1 · ⅔).
//
// Exact: ½·√(3/2).
const together = 0.612

// gammaBeyond is the probability that a gamma distributed variable of that mean and variance exceeds x.
func gammaBeyond(x, mean, variance float64) float64 {
	if x <= 0 {
		return 1
	}
	c := variance / (9 * mean * mean)
	return normal((1 - c - math.Cbrt(x/mean)) / math.Sqrt(c))
}

// quantity is the distribution over requests.
func (x *mixture) quantity(mean float64) Quantity {
	return quantiles(mean, math.Max(x.idle-6*x.batch, mean/100), mean+3*x.batch, x.beyond)
}
