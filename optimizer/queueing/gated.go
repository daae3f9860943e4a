package queueing

import "math"

// gated is a station of workers that compute prompts and nothing else. An iteration takes what waits when it begins; what arrives meanwhile is
// there for the next, and all of an iteration leave together:
//
//	t(k) = alone + (k − 1) · each.
//
// One worker under Poisson arrivals at rate l is solved exactly, as long as an iteration takes all: the number k of an iteration is what came
// during the last one, or one that found it idle, so that for prompts of equal length
//
//	E zᵏ = K(z) = exp(−l·a·(1 − z)) · K(exp(−l·each·(1 − z))) − (1 − z) · P,  a = alone − each,  P = P(nobody came), K(0) = 0.
//
// A prompt that finds the worker busy, with probability u, waits for the rest Y = E t²/(2 E t) of the iteration in progress, then for those that came
// before it during that iteration, and leaves with those that came after it:
//
//	wait = u · (Y + 2 · each · l · Y).
//
// Served one after another it would wait for those before it only: up to a third less. How much longer or shorter than that prompts wait that are not
// Poisson, or that share several workers, is taken from what is known of servers of which each takes one at a time.
type gated struct {
	// alone is the time of an iteration over one prompt, each what a further one adds, whole that of a full one, in seconds.
	alone, each, whole float64
	// full is the number of prompts that an iteration takes, at least 1.
	full float64
	// cs2 is the squared coefficient of variation of the time that a prompt adds.
	cs2     float64
	workers int
	routing Routing
}

// Routing says how requests are given to the workers of a role.
type Routing int

const (
	// QueueAware gives a request to the worker that is done first.
	QueueAware Routing = iota
	// RoundRobin lets workers take turns.
	RoundRobin
	// Random draws one.
	Random
)

// newGated station of workers that compute such prompts.
func newGated(w Workers, requests Requests, routing Routing) gated {
	in := requests.InputTokens * (1 - requests.PrefixHitRate)
	c := cv(requests.InputTokensSD, requests.InputTokens)
	cached := requests.InputTokens - in
	ranks := w.ranks()
	budget := float64(w.Limits.MaxBatchedTokens)
	// An iteration in which every rank computes so many tokens of its prompts.
	time := func(tokens float64) float64 {
		if tokens == 0 {
			return w.Law.IterationTime(Batch{})
		}
		prompts := math.Max(1, tokens/in)
		return w.Law.IterationTime(Batch{
			PrefillTokens: ranks * tokens, PrefillContext: ranks * prompts * (cached + in), Prefills: prompts,
			PrefillPairs: ranks * tokens * (cached + in*(1+c*c)/2),
		})
	}
	g := gated{cs2: c * c, workers: w.Count, routing: routing, full: 1}
	part := math.Min(in, budget)
	g.alone = time(part) * math.Max(1, in/budget)
	g.each, g.whole = g.alone, g.alone
	if fits := ranks * math.Max(1, budget/math.Max(in, 1)); fits > 1 {
		g.full = math.Min(fits, float64(w.Limits.MaxBatch)*ranks)
		if in < budget {
			g.whole = time(in * g.full / ranks)
		}
		g.each = math.Max(0, math.Min(g.alone, (g.whole-g.alone)/math.Max(1e-9, g.full-1)))
	}
	return g
}

// PromptTime is the mean time in seconds from when a prompt comes to a worker that computes nothing else until it is computed, the wait for others included, while so many
// come per second. A law's own delay is part of it. Prompts come as [Requests] say; of more than the worker sustains it is as of nearly that.
func PromptTime(law Law, requests Requests, limits Limits, rate float64) float64 {
	g := newGated(Workers{Law: law, Count: 1, Limits: limits}, requests, Random)
	ca2 := requests.ArrivalCV * requests.ArrivalCV
	if math.IsNaN(ca2) {
		ca2 = poisson * poisson
	}
	t := g.alone
	if rate > 0 {
		w := g.wait(math.Min(rate, mostUse*g.most()), ca2)
		t += w.share * w.mean
	}
	if d, ok := law.(Delayed); ok {
		t += d.FirstTokenDelay()
	}
	return t
}

// most is the highest rate that the station sustains, in requests per second.
func (g *gated) most() float64 { return float64(g.workers) * g.full / g.whole }

// iterations of one worker under Poisson arrivals: the share of time that it is busy, and E t² / 2 E t.
func (g *gated) iterations(rate float64) (busy, residual float64) {
	const near, terms = 1e-4, 4096
	a, rho := rate*(g.alone-g.each), math.Min(rate*g.each, mostUse)
	z, product, sum := 0.0, 1.0, 0.0
	for range terms {
		left := 1 - z
		if left < near { // from here on what is left shrinks by rho each time
			break
		}
		sum += product * left
		product *= math.Exp(-a * left)
		z = math.Exp(-rho * left)
	}
	left := (1 - z) / (1 - rho)
	sum += product * left
	product *= math.Exp(-a * left)
	none := product / sum
	mean := (a + none) / (1 - rho) // of prompts in an iteration
	time := g.alone - g.each + g.each*mean
	// E k² − E k = l²·E t², of which E k² is a part.
	fixed := g.alone - g.each
	other := fixed*fixed + 2*fixed*g.each*mean + g.each*g.each*g.cs2*mean
	square := (mean + rate*rate*other) / (1 - rho*rho)
	return 1 / (1 + none/(rate*time)), (other + g.each*g.each*square) / (2 * time)
}

// wait of a prompt for others at a rate over all workers, beside its own time: zero but for a share, which waits an exponential time. ca2 is the squared
// coefficient of variation of the times between arrivals.
func (g *gated) wait(rate, ca2 float64) wait {
	each := rate / float64(g.workers)
	servers := 1
	switch g.routing {
	case QueueAware:
		servers = g.workers
	case RoundRobin:
		ca2 /= float64(g.workers)
	case Random:
		ca2 = 1 + (ca2-1)/float64(g.workers)
	}
	shape := 1 / math.Max(ca2, 1e-9)
	busy, residual := g.iterations(each)
	busy = math.Min(busy, mostUse)
	queued := single(busy, ca2, g.cs2, servers)
	random := busy / (1 - busy) * (1 + g.cs2) / 2
	// What was there when it came: Y and those that came before it.
	before := busy * residual * (1 + each*g.each) * queued.mean * queued.share / random
	rest := g.rest(before/queued.share, each, shape)
	behind := met(each*rest, shape)
	// No more than an iteration takes, of a number that is geometric.
	behind *= g.each * (1 - math.Pow(behind/(1+behind), g.full-1))
	all := before + queued.share*behind
	// An iteration takes only so many: those of full ones are served one after another.
	service := g.whole / g.full
	use := math.Min(each*service, mostUse)
	full := single(use, ca2, g.cs2, servers)
	if one := full.share * full.mean * service; one > all {
		all = one
	}
	share := math.Max(queued.share, full.share)
	return wait{share: share, mean: all / share}
}

// rest of the iteration in progress, such that it and those that came before during it are `ahead` together.
func (g *gated) rest(ahead, rate, shape float64) float64 {
	const steps = 50
	low, high := 0.0, ahead
	for range steps {
		middle := (low + high) / 2
		if middle+g.each*met(rate*middle, shape) > ahead {
			high = middle
		} else {
			low = middle
		}
	}
	return (low + high) / 2
}

// single is the wait at servers of which each takes one at a time, in units of its service, at a use of each: with probability σ of GI/M/1 behind one,
// and for several, which wait together, with that of Erlang C as far as arrivals are Poisson.
func single(use, ca2, cs2 float64, servers int) wait {
	sigma := found(use, 1/math.Max(ca2, 1e-9))
	share, exponential := math.Max(sigma, leastFound), use/(1-use)
	late := sigma/(1-sigma) - exponential + exponential*(1+cs2)/2
	if ca2 <= 1 {
		late = exponential * singleServer(ca2, cs2, use)
	}
	w := wait{share: share, mean: late / share / float64(servers)}
	if servers > 1 {
		w.share = math.Max(1-(1-erlang(servers, use))*(1-sigma)/(1-use), leastFound)
	}
	return w
}

// erlang is the probability that all of the servers are taken, for Poisson arrivals that wait (Erlang C).
func erlang(servers int, use float64) float64 {
	offered, blocked := use*float64(servers), 1.0
	for k := 1; k <= servers; k++ {
		blocked = offered * blocked / (float64(k) + offered*blocked)
	}
	return blocked / (1 - use + use*blocked)
}
