package queueing

import "math"

// first are the parts that the time to first token is made of, for a request that arrives in the steady state.
type first struct {
	base     float64 // what every request takes: delay and its own prefill
	residual float64 // length of the iteration in progress, of which a uniform part is left
	idle     float64 // probability that none is in progress
	spread   float64 // deviation of the prefill, normal
	place    wait    // for a place in the batch
	budget   wait    // for the prompts of others
	wide     bool    // prompts differ so much that own are those of the strata
	own      [promptStrata]float64
}

// wait is zero but for a share of the requests, which wait an exponential time.
type wait struct{ share, mean float64 }

// first derives the parts.
func (s *steady) first() first {
	at, st := s.level, s.prompts
	if s.ca2 > 1 {
		at = s.crowded(&st)
	}
	f := first{idle: s.empty * (1 - st.use), residual: at.idle}
	slope := s.slope()
	f.spread = slope * s.deviation
	if s.waits > 0 && s.waiting > 0 {
		f.place = wait{share: s.waits, mean: s.waiting / (s.throughput * s.waits)}
	}
	if s.input == 0 {
		f.base = s.delay + at.idle
		return f
	}
	left := math.Max(1, s.input-(at.parts-1)*at.room)
	last := s.law.IterationTime(s.batch(at.n, math.Min(left, at.room)))
	f.base = s.delay + (at.parts-1)*at.whole + last
	prompt := (f.base - s.delay - at.parts*at.idle) + (at.parts-1)*at.idle // what its tokens take
	if f.wide = s.inCV > defaultTokensCV; f.wide {
		g := newGamma(s.inCV)
		for i, z := range promptMiddles {
			f.own[i] = prompt * (g.quantile((promptBounds[i]+promptBounds[i+1])/2, z) - 1)
		}
	} else {
		computing := prompt - (at.parts-1)*at.idle
		f.spread = math.Hypot(f.spread, s.inCV*computing+at.idle*ceilingSD(s.input/at.room, s.lengthSD()/at.room))
	}

	// Before it is done those that the iteration in progress leaves over, and those that came during it; who comes until its last iteration
	// shares that.
	queued := st.excess * at.whole / s.step
	before := st.others * s.input
	total := s.input + queued + before
	parts := ceiling(total/at.room, math.Hypot(s.inCV*s.input, queued+before)/at.room)
	tail := math.Min(math.Max(1, total-(parts-1)*at.room), at.room)
	behind := met(s.flow*(st.square/2+(parts-1)*at.whole), s.shape)
	tail += smaller(behind*s.input, -math.Expm1(-behind)*(at.room-tail))
	mean := s.delay + (parts-1)*at.whole + s.law.IterationTime(s.batch(at.n, tail)) + (1-f.idle)*st.square/2
	w := mean - f.base - (1-f.idle)*at.idle/2
	if st.burst >= 0 {
		w += st.burst
	} else {
		w *= st.wait / (st.wait - st.burst)
	}
	if w > 0 {
		cs2 := s.workCV2
		f.meet(w, &st, prompt*prompt*(1+cs2)*(st.others+behind), cs2)
	}
	return f
}

// crowded is the batch that bursty arrivals find, which is larger than over time, as births are where many run already. Prompts wait longer by what
// it makes them take longer.
func (s *steady) crowded(st *station) node {
	z := 1 + (s.ca2-1)*s.share
	at := s.node(math.Min(s.running+(1-1/z)*(s.seen-s.running), s.top))
	more := at.whole / at.room * s.level.room / s.level.whole
	st.wait, st.burst = more*st.wait, more*st.burst
	return at
}

// meet spreads the mean wait w for the prompts of others over requests. A share of the requests wait an exponential time more than all do, so that
// the variance is that of what is there: a single server's wait, and those in the same iteration.
func (f *first) meet(w float64, st *station, variance, cs2 float64) {
	// What the waits at a server of such prompts vary less than those at one of exponential times, from E W² of M/G/1.
	odds := (1 - st.busy) / st.busy
	less := (1 + odds*4.0/3*(1+cs2*(3+2*cs2))/((1+cs2)*(1+cs2))) / (1 + 2*odds)
	variance += less * st.wait * st.wait * (2/st.waits - 1)
	found := math.Max(st.waits, -math.Expm1(-2*st.others))
	e := math.Min(w, math.Sqrt(variance/(2/found-1)))
	f.base += w - e
	f.budget = wait{share: found, mean: e / found}
}

// slope is the derivative of the iteration time in the batch, in seconds per decode.
func (s *steady) slope() float64 {
	d := math.Max(1, s.deviation)
	return (s.law.IterationTime(s.batch(s.running+d, 0)) - s.law.IterationTime(s.batch(math.Max(0, s.running-d), 0))) / (d + math.Min(d, s.running))
}

func (f *first) mean() float64 {
	return f.base + (1-f.idle)*f.residual/2 + f.place.share*f.place.mean + f.budget.share*f.budget.mean
}

// beyond is the probability that the time to first token exceeds t.
func (f *first) beyond(t float64) float64 {
	if !f.wide {
		return f.waits(t)
	}
	p := 0.0
	for i, own := range f.own {
		p += (promptBounds[i+1] - promptBounds[i]) * f.waits(t-own)
	}
	return p
}

// waits is beyond for a prompt of mean length.
func (f *first) waits(t float64) float64 {
	shares := [4]float64{(1 - f.place.share) * (1 - f.budget.share), f.place.share * (1 - f.budget.share), (1 - f.place.share) * f.budget.share, f.place.share * f.budget.share}
	means := [4]float64{0, f.place.mean, f.budget.mean, f.place.mean + f.budget.mean}
	middle := f.base + (1-f.idle)*f.residual/2
	sd := math.Sqrt(f.spread*f.spread + (1-f.idle)*f.residual*f.residual/12)
	p := 0.0
	for i, share := range shares {
		switch {
		case share < 1e-12:
		case means[i] <= 0:
			p += share * ((1-f.idle)*uniformNormal(t-f.base, f.residual, f.spread) + f.idle*normalBeyond(t-f.base, f.spread))
		default:
			p += share * exponentialNormal(t-middle, means[i], sd)
		}
	}
	return p
}

// quantity is the distribution of the time to first token.
func (f *first) quantity() Quantity {
	scale := math.Max(f.place.mean, f.budget.mean) + f.residual + 6*f.spread
	return quantiles(f.mean(), f.base-6*f.spread+f.own[0], f.base+scale+f.own[promptStrata-1], f.beyond)
}

// intervals is the distribution of the time between tokens: a mixture over what prompts an iteration holds.
type intervals struct {
	n             int
	share         [8]float64
	middle, width [8]float64
}

func (s *steady) intervals() intervals {
	at := s.node(math.Min(s.seen, s.top))
	_, busy := s.iteration(&at, s.flow, s.mean)
	slope := s.slope() * s.deviation
	var m intervals
	add := func(share, middle, width float64) {
		if m.n < len(m.share) {
			m.share[m.n], m.middle[m.n], m.width[m.n] = share, middle, math.Hypot(width, slope)+1e-9*middle
			m.n++
		}
	}
	prompts := s.flow * s.step
	if at.parts <= 1.5 && s.ca2 > 1 {
		busy = 1 - s.counts(prompts).p
	}
	add(1-busy, at.idle, 0)
	if busy <= 0 {
		return m
	}
	if at.parts > 1.5 { // most parts fill the budget, the last of a prompt any share of it
		partial := s.law.IterationTime(s.batch(at.n, at.room/2))
		last := busy * (1 - s.prompts.waits) / at.parts // where nobody waits behind it
		add(busy-last, at.whole, 0)
		add(last, partial, (at.whole-partial)/2)
	} else {
		s.mix(add, &at, busy, prompts)
	}
	m.match(s.mean)
	return m
}

// mix adds the iterations with prompts that fit the budget, by their number.
func (s *steady) mix(add func(share, middle, width float64), at *node, busy, prompts float64) {
	const most = 8
	c := s.counts(prompts)
	left := busy
	for k := 1; k < most && left > 0; k++ {
		share := c.next()
		if k == most-1 || share > left {
			share = left
		}
		left -= share
		tokens := math.Min(float64(k)*s.input, at.room)
		middle := s.law.IterationTime(s.batch(at.n, tokens))
		add(share, middle, (middle-at.idle)*s.inCV/math.Sqrt(float64(k)))
	}
}

// match scales the shares with prompts so that the mean is the one given: requests that run are more where prompts are.
func (m *intervals) match(mean float64) {
	adds, busy := 0.0, 1-m.share[0]
	for i := 1; i < m.n; i++ {
		adds += m.share[i] * (m.middle[i] - m.middle[0])
	}
	if adds <= 0 {
		return
	}
	scale := math.Min(math.Max(0, (mean-m.middle[0])/adds), 1/busy)
	m.share[0] = 1 - scale*busy
	for i := 1; i < m.n; i++ {
		m.share[i] *= scale
	}
}

func (m *intervals) beyond(t float64) float64 {
	p := 0.0
	for i := range m.n {
		p += m.share[i] * normalBeyond(t-m.middle[i], m.width[i])
	}
	return p
}

// persistence is the share of the variance of the batch that is left in its mean over the stay of a request: the mean of 1 − |u − v| over the
// unit square, as the batch is forgotten linearly over a stay where stays are much alike.
//
// Exact: an integral.
const persistence = 2.0 / 3

func (m *intervals) quantity(mean float64) Quantity {
	low, high := math.Inf(1), 0.0
	for i := range m.n {
		low = math.Min(low, m.middle[i]-6*m.width[i])
		high = math.Max(high, m.middle[i]+6*m.width[i])
	}
	return quantiles(mean, low, high, m.beyond)
}

// predict assembles the prediction, with percentiles where they are asked for.
func (s *steady) predict(percentiles bool) Prediction {
	f := s.first()
	p := Prediction{
		Rate: s.arrivals, Throughput: s.throughput, MaxRate: s.MaxRate(), InService: s.running,
		Wait:    f.place.share*f.place.mean + f.budget.share*f.budget.mean + (1-f.idle)*f.residual/2,
		Prefill: f.base,
		TTFT:    meanOnly(f.mean()), ITL: meanOnly(s.mean), RequestITL: meanOnly(s.mean),
	}
	p.Response = p.TTFT.Mean + s.continuous.intervals()*s.mean
	if percentiles {
		p.TTFT = f.quantity()
		m := s.intervals()
		p.ITL = m.quantity(s.mean)
		x := s.mixture(&m)
		p.RequestITL = x.quantity(s.mean)
	}
	return p
}

// quantiles inverts a survival function that is 1 at low; high is a guess from where the search expands. On the logarithm of the
// probability tails are close to straight lines, so that regula falsi (Illinois) takes about six steps; relative error below 1e-5.
func quantiles(mean, low, high float64, beyond func(float64) float64) Quantity {
	const tolerance, most = 1e-5, 60
	low = math.Max(0, low)
	from := low
	at := func(share float64) float64 {
		f := func(t float64) float64 { return math.Log(math.Max(beyond(t), 1e-300) / share) }
		a, b := from, math.Max(high, from)
		fa, fb := f(a), f(b)
		for i := 0; i < most && fb > 0; i++ {
			a, fa = b, fb
			b += 2*(b-low) + tolerance*b
			fb = f(b)
		}
		side := 0
		for i := 0; i < most && b-a > tolerance*b && fa > 0; i++ {
			x := (a*fb - b*fa) / (fb - fa)
			if i%4 == 3 {
				x = a + (b-a)/2
			}
			x = min(max(x, a+tolerance/2*b), b-tolerance/2*b)
			if fx := f(x); fx > 0 {
				if side > 0 {
					fb /= 2
				}
				a, fa, side = x, fx, 1
			} else {
				if side < 0 {
					fa /= 2
				}
				b, fb, side = x, fx, -1
			}
		}
		from = a
		return (a + b) / 2
	}
	return Quantity{Mean: mean, P50: at(0.5), P90: at(0.1), P95: at(0.05), P99: at(0.01)}
}

// normal is the distribution function of the standard normal, density its derivative.
func normal(z float64) float64  { return 0.5 * math.Erfc(-z/math.Sqrt2) }
func density(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }

// normalBeyond is the probability that a normal variable around 0 exceeds x.
func normalBeyond(x, sd float64) float64 {
	if sd == 0 {
		if x < 0 {
			return 1
		}
		return 0
	}
	return normal(-x / sd)
}

// uniformNormal is the probability that a uniform variable on 0 … length plus a normal one around 0 exceeds x.
func uniformNormal(x, length, sd float64) float64 {
	if length <= 0 {
		return normalBeyond(x, sd)
	}
	if sd < 1e-9*length {
		return math.Max(0, math.Min(1, 1-x/length))
	}
	// The mean over u of Φ((u − x)/sd), whose antiderivative is z·Φ(z) + φ(z).
	g := func(z float64) float64 { return z*normal(z) + density(z) }
	return sd / length * (g((length-x)/sd) - g(-x/sd))
}

// exponentialNormal is the probability that an exponential variable plus a normal one around 0 exceeds x.
func exponentialNormal(x, mean, sd float64) float64 {
	if sd < 1e-9*mean {
		return math.Exp(-math.Max(0, x) / mean)
	}
	a := sd / mean
	z := x / sd
	e := a*a/2 - x/mean
	if z-a > 30 || e < 0 {
		return normal(-z) + math.Exp(e)*normal(z-a)
	}
	// Mills' ratio keeps exp(e) from overflowing where Φ(z − a) vanishes.
	return normal(-z) + density(z)*mills(a-z)
}

// mills is (1 − Φ(x))/φ(x).
func mills(x float64) float64 {
	if x < 8 {
		return normal(-x) / density(x)
	}
	return 1 / (x + 1/(x+2/(x+3/x)))
}

// singleServer is the mean wait of those that wait for a single server, in units of what it is under exponential times: (ca² + cs²)/2, with
// the correction of Krämer & Langenbach-Belz (8th International Teletraffic Congress, 1976), which away from saturation takes regular
// arrivals for more regular and bursts for less harmful than that.
func singleServer(ca2, cs2, used float64) float64 {
	if ca2+cs2 == 0 {
		return 0
	}
	g := (1 - used) * (1 - ca2) / (ca2 + 4*cs2)
	if ca2 <= 1 {
		g = -2 * (1 - used) * (1 - ca2) * (1 - ca2) / (3 * used * (ca2 + cs2))
	}
	return (ca2 + cs2) / 2 * math.Exp(g)
}
