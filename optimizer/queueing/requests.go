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

// newLengths takes the middles of the strata of gamma distributed tokens with the given mean and coefficient of variation c, by
// the larger of two approximations of the quantile at p, of which neither is far above it and one within 4 % up to CV 1.5: the cube of a normal
// variable (Wilson & Hilferty, PNAS 17, 1931), and for the shortest requests of a wide distribution the first terms of the power series,
//
//	c²·x·exp(x/(k + 1)),  x = (p·Γ(k + 1))^(1/k),  k = 1/c².
func newLengths(tokens, cv float64) lengths {
	const narrow = 0.3 // below which the cube is exact to 2 %
	var l lengths
	shape := 1 / (cv * cv)
	gamma := 0.0
	if cv > narrow {
		gamma, _ = math.Lgamma(shape + 1)
	}
	for i, z := range normalMiddles {
		root := math.Max(0, 1-cv*cv/9+z*cv/3)
		x := root * root * root
		if cv > narrow {
			p := (lengthBounds[i] + lengthBounds[i+1]) / 2
			short := math.Exp((math.Log(p)+gamma)/shape) / shape
			x = math.Max(x, short*math.Exp(short*shape/(shape+1)))
		}
		l[i] = math.Max(tokens*x-1, 0)
	}
	return l
}

// mixture is how the time between tokens of a request spreads over requests: an iteration takes idle, and with probability busy, for the prompts
// it holds, adds more on average, with deviation spread. What the batch around a request is, is common to its iterations and has deviation
// batch.
type mixture struct {
	idle, busy, adds, spread, batch float64
	lengths                         *lengths
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
	return x
}

// manyHits is the number of iterations with prompts in a request from which on their sum is taken as normal.
const manyHits = 8

// beyond is the probability that the mean time between the tokens of a request exceeds t. A request without an interval has none.
func (x *mixture) beyond(t float64) float64 {
	p := 0.0
	for i, n := range x.lengths {
		if n < 0.5 {
			continue
		}
		p += (lengthBounds[i+1] - lengthBounds[i]) * x.stratum(t, math.Max(n, 1))
	}
	return p
}

// stratum is beyond for requests of n intervals: the number of prompts met is Poisson, and of a long request normal.
func (x *mixture) stratum(t, n float64) float64 {
	hits := n * x.busy
	if hits >= manyHits {
		variance := persistence*x.batch*x.batch + (x.busy*(x.adds*x.adds+x.spread*x.spread)-x.busy*x.busy*x.adds*x.adds)/n
		return normalBeyond(t-x.idle-x.busy*x.adds, math.Sqrt(variance))
	}
	p, weight := 0.0, math.Exp(-hits)
	for k := 0.0; k < 4*manyHits; k++ {
		p += weight * normalBeyond(t-x.idle-k*x.adds/n, math.Sqrt(x.batch*x.batch+k*x.spread*x.spread/(n*n))+1e-9*x.idle)
		weight *= hits / (k + 1)
		if k > hits && weight < 1e-6 {
			break
		}
	}
	return p
}

// quantity is the distribution over requests.
func (x *mixture) quantity(mean float64) Quantity {
	return quantiles(mean, math.Max(x.idle-6*x.batch, mean/100), mean+3*x.batch, x.beyond)
}
