package queueing

import "math"

// station is where prompts wait for each other, at the batch at which as many leave as arrive.
//
// An iteration computes what is there when it starts, W tokens, or what the budget leaves, R: p = min(W, R). It takes idle + c·p, and what
// arrives during it is there for the next. Multiplying the balance of W by itself gives the excess Q = W − p that an iteration leaves,
//
//	E Q = E p · (D − (1 − ρ²)(m − E p)) / (2 (1 − ρ)(R − E p)),  m = E p²/E p,
//
// for Poisson arrivals, whose tokens have D = variance/mean, and ρ = c · rate · tokens. Both limits are known: while everything fits the budget
// nothing is left (a gated queue, m = E p + D/(1 − ρ²)); prompts of many parts are a single server's queue (Pollaczek & Khinchine). Other
// arrivals make prompts wait by the difference longer or shorter that they make at a single server.
type station struct {
	use     float64 // share of the time that prompts take of iterations, ρ
	busy    float64 // utilisation as a server of prompts in parts: rate · service
	service float64 // time of a prompt in iterations that the budget fills
	waits   float64 // probability that an arrival finds it busy
	wait    float64 // mean wait of a single server like it
	burst   float64 // by how much that exceeds the wait of Poisson arrivals
	clumped float64 // index of dispersion of prompts that are done, in the time that decodes see
	tokens  float64 // per iteration, E p
	cost    float64 // seconds per token
	excess  float64 // E Q
	square  float64 // E T² of iterations, over E T
	others  float64 // prompts that arrive during the same iteration before one
}

// station of the steady state; only flow, level and step are read.
func (s *steady) station() station {
	at := &s.level
	if s.input == 0 || s.flow == 0 {
		return station{clumped: s.ca2, square: at.idle, waits: 1}
	}
	cs2 := s.workCV2
	st := station{use: math.Min(1-at.idle/s.step, mostUse), service: s.input * at.whole / at.room}
	st.tokens = math.Min(s.flow*s.step*s.input, mostUse*at.room)
	st.cost = (s.step - at.idle) / st.tokens
	st.busy = math.Min(s.flow*st.service, mostUse)
	st.waits = math.Max(found(st.busy, s.shape), leastFound)
	server := st.busy / (1 - st.busy) // of exponential times
	random := server * (1 + cs2) / 2
	late := st.waits/(1-st.waits) - server + random
	if s.ca2 <= 1 {
		late = server * singleServer(s.ca2, cs2, st.busy)
	}
	st.wait, st.burst = late*st.service, (late-random)*st.service

	left := 1 - st.use
	d := s.input * (1 + cs2)
	gated := st.tokens + d/(left*(1+st.use))
	held := math.Max(smaller(gated, at.room), st.tokens)
	st.excess = math.Max(0, st.tokens*(d-left*(1+st.use)*(held-st.tokens))/(2*left*(at.room-st.tokens)))
	st.square = (at.idle*at.idle + 2*at.idle*st.cost*st.tokens + st.cost*st.cost*st.tokens*held) / s.step
	st.others = s.flow * st.square / 2
	if s.ca2 > 1 { // even the fastest server finds in one iteration what arrives together
		st.burst = math.Max(st.burst, (met(st.others, s.shape)-st.others)*s.input*st.cost)
	}
	st.clumped = s.clumps(&st)
	return st
}

// leastFound keeps what is divided by the probability of waiting finite.
//
// Tuned: probability; guard against a division by 0
const leastFound = 1e-6

// mostUse keeps the station from saturating: beyond, waits are those of a full queue.
//
// Tuned: share; guard against a queue without end: half and twice its distance from 1 make no difference
const mostUse = 0.999

// clumps is the index of dispersion of the prompts that are done, in the time that decodes see, which stands still while prompts are computed: the
// arrivals of a busy period come at once,
//
//	(ca² + ρ² cs²) / (1 − ρ)².
//
// Where a prompt takes a share of a stay to compute, it is spread over that; and no more run at once than
// the budget or the places allow.
func (s *steady) clumps(st *station) float64 {
	left := 1 - st.use
	more := (s.ca2+st.use*st.use*s.workCV2)/(left*left) - s.ca2
	if more <= 0 || s.full <= 1 {
		return s.ca2
	}
	others := s.full - 1
	more *= s.stay / (s.stay + s.input/s.level.room)
	return s.ca2 + more*others/(others+more)
}

// piled is by how much more requests run over time than the chain says, because those of a busy period that are done wait for the others.
func (s *steady) piled() float64 {
	more, room := s.prompts.use*math.Max(0, s.prompts.clumped-1)/2, s.top-s.running
	if more <= 0 || room <= 0 {
		return 0
	}
	return more * room / (more + room)
}

// found is the probability that an arrival finds a server busy, where it is busy for the share `use` of the time and times between arrivals
// are gamma distributed with that shape, the root of the GI/M/1 queue,
//
//	σ = (1 + (1 − σ)/(shape · use))^(−shape)
//
// (Kleinrock, Queueing Systems I, 1975, section 6.4), by Newton's method from above.
func found(use, shape float64) float64 {
	if shape == 1 {
		return use
	}
	const most, tolerance = 12, 1e-4
	x := 1.0 // 1 − σ, which is below
	if shape < 1 {
		x -= use
	}
	scale := 1 / (shape * use)
	for range most {
		g := math.Pow(1+x*scale, -shape)
		f := 1 - x - g
		slope := -1 + shape*scale*g/(1+x*scale)
		d := f / slope
		x = math.Min(math.Max(x-d, x/4), 1)
		if math.Abs(d) < tolerance*x {
			break
		}
	}
	return 1 - x
}

// met is the mean number of arrivals within some time after one, in which `prompts` arrive on average, where times between arrivals are gamma
// distributed with that shape: the Laplace transform of the renewal function at the inverse of the time.
func met(prompts, shape float64) float64 {
	if prompts == 0 {
		return 0
	}
	return 1 / (math.Pow(1+1/(shape*prompts), shape) - 1)
}

// smaller passes smoothly between two positive numbers to the smaller one.
func smaller(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	x := a / b
	return a / math.Cbrt(1+x*x*x)
}

// arriving is the probability that k ≥ 0 prompts arrive in an iteration in which `prompts` arrive on average: Poisson, or where arrivals
// are more regular a mixture with arrivals at equal distances, in proportion to the dispersion.
func (r *continuous) arriving(k int, prompts float64) float64 {
	random := math.Exp(-prompts)
	for i := 1; i <= k; i++ {
		random *= prompts / float64(i)
	}
	regular := math.Max(0, 1-math.Abs(prompts-float64(k)))
	c2 := math.Min(1, r.ca2)
	return c2*random + (1-c2)*regular
}

// counts are the probabilities of 0, 1, 2 … prompts in an iteration: Poisson, a mixture with equal distances where arrivals are more regular, and
// where they are bursty the Pólya–Aeppli distribution, of bursts that come at random and hold a geometric number,
//
//	k·p(k) = (a(1 − q) + 2q(k − 1))·p(k − 1) − q²(k − 2)·p(k − 2)
//
// (Johnson, Kemp & Kotz, Univariate Discrete Distributions, 2005, section 9.7), with as many in one as arrive with a request in an iteration.
type counts struct {
	r             *continuous
	prompts, a, q float64
	k             int
	p, before     float64
}

// counts begins at 0, of which the probability is p.
func (s *steady) counts(prompts float64) counts {
	c := counts{r: s.continuous, prompts: prompts}
	if s.ca2 <= 1 {
		c.p = s.arriving(0, prompts)
		return c
	}
	size := 1 + math.Max(0, met(prompts, s.shape)-prompts)
	c.a, c.q = prompts/size, 1-1/size
	c.p = math.Exp(-c.a)
	return c
}

// next is the probability of one more.
func (c *counts) next() float64 {
	c.k++
	if c.r.ca2 <= 1 {
		return c.r.arriving(c.k, c.prompts)
	}
	k := float64(c.k)
	p := ((c.a*(1-c.q)+2*c.q*(k-1))*c.p - c.q*c.q*(k-2)*c.before) / k
	c.before, c.p = c.p, math.Max(0, p)
	return c.p
}
