package queueing

import (
	"errors"
	"fmt"
	"math"
)

// Workers are those of one role of a server.
type Workers struct {
	// Law of an iteration of one worker.
	Law Law
	// Count of workers, at least 1.
	Count int
	// Ranks of a worker that each take requests of their own but run their iterations together (attention data parallelism); 0 for one. A prompt is
	// computed by one of them, while the others wait or compute theirs.
	Ranks int
	// Limits of one rank; KVTokens are those of the worker.
	Limits Limits
}

func (w Workers) ranks() float64 { return float64(max(1, w.Ranks)) }

func (w Workers) validate(role string) error {
	faults := []error{count("workers", w.Count, 1, maxBatch), count("ranks", w.Ranks, 0, maxBatch), w.Limits.Validate()}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// Link is what the KV cache of a prompt goes over from a worker that prefills to one that decodes.
type Link struct {
	// Bandwidth in bytes per second of the narrower end of one transfer; 0 where the transfer takes no time.
	Bandwidth float64
	// Delay of a transfer whatever its size, in seconds.
	Delay float64
}

// Split is a server whose prompts are computed by workers of their own. They hand the KV cache over to others, which only decode, and from which the first
// token comes:
//
//	TTFT = wait for a prefill worker + prompt + transfer + wait for a place + rest of an iteration + iteration,   ITL = iteration without prompts.
type Split struct {
	Prefill, Decode Workers
	Routing         Routing
	Link            Link
	// TokenBytes are the bytes that the KV cache of a token takes.
	TokenBytes float64
	// TokensPerIteration that a decode accepts on average where it speculates; 0 for one.
	TokensPerIteration float64
	// Bunch says by how much of half the work of the prompts of all clients a closed loop prolongs the mean time to first token, because they start
	// together: 0.1 where each sends ten requests and then ends. Wait is the wait of a closed loop as a multiple of one at random.
	Bunch, Wait float64
}

// Validate joins every fault.
func (s Split) Validate() error {
	return errors.Join(
		s.Prefill.validate("prefill"), s.Decode.validate("decode"),
		within("link bandwidth", s.Link.Bandwidth, 0, math.MaxFloat64, "at least 0"),
		within("link delay", s.Link.Delay, 0, math.MaxFloat64, "at least 0"),
		within("bytes of a token", s.TokenBytes, 0, math.MaxFloat64, "at least 0"),
		within("tokens per iteration", s.tokens(), 1, maxTokens, "1 to 1e9"),
	)
}

func (s Split) tokens() float64 {
	if s.TokensPerIteration == 0 {
		return 1
	}
	return s.TokensPerIteration
}

// decoding is the law of a worker that sees no prompts: its delay is before the prompt. An iteration that speculates computes and makes several tokens of each
// sequence, which read its cache once.
type decoding struct {
	Law
	tokens float64
}

func (d decoding) IterationTime(b Batch) float64 {
	b.Decodes *= d.tokens
	return d.Law.IterationTime(b) / d.tokens
}

// FirstTokenDelay implements Delayed.
func (d decoding) FirstTokenDelay() float64 { return 0 }

// transfer of a mean prompt at a rate over all workers: processor sharing of the link of each worker of the role that has fewer.
func (s Split) transfer(requests Requests, rate float64) float64 {
	if s.Link.Bandwidth == 0 {
		return s.Link.Delay
	}
	alone := s.TokenBytes * requests.InputTokens / s.Link.Bandwidth
	use := math.Min(rate*alone/float64(min(s.Prefill.Count, s.Decode.Count)), mostUse)
	return s.Link.Delay + alone/(1-use)
}

func (s Split) delay() float64 {
	if d, ok := s.Prefill.Law.(Delayed); ok {
		return d.FirstTokenDelay()
	}
	return 0
}

// splitReplica is a Split prepared for many rates.
type splitReplica struct {
	Split
	requests Requests
	station  gated
	decode   continuous
	ca2      float64
}

// Replica prepares the server for requests; the error joins every fault.
func (s Split) Replica(requests Requests) (Replica, error) {
	if err := errors.Join(s.Validate(), requests.Validate()); err != nil {
		return nil, err
	}
	r := &splitReplica{Split: s, requests: requests, station: newGated(s.Prefill, requests, s.Routing), ca2: poisson}
	if !math.IsNaN(requests.ArrivalCV) {
		r.ca2 = requests.ArrivalCV * requests.ArrivalCV
	}
	decode := requests
	decode.PrefixHitRate = 1 // its cache is filled by others
	// Whoever takes turns, or goes where there is least, comes to one worker more regularly than to all.
	share := r.ca2 / float64(s.Decode.Count)
	if s.Routing == Random {
		share = 1 + (r.ca2-1)/float64(s.Decode.Count)
	}
	decode.ArrivalCV = math.Sqrt(share)
	limits := s.Decode.Limits
	limits.MaxBatch = min(limits.MaxBatch*int(s.Decode.ranks()), maxBatch)
	fresh, err := ContinuousBatching{}.Replica(decoding{s.Decode.Law, s.tokens()}, decode, limits)
	if err != nil {
		return nil, err
	}
	r.decode = *fresh.(*continuous)
	return r, nil
}

// MaxRate implements [Replica].
func (r *splitReplica) MaxRate() float64 {
	return math.Min(r.station.most()*(1-stabilityMargin), r.decode.MaxRate()*float64(r.Decode.Count))
}

// RoleRates implements [RoleRates].
func (r *splitReplica) RoleRates() (prefill, decode float64) {
	return r.station.most() * (1 - stabilityMargin) / float64(r.Prefill.Count), r.decode.MaxRate()
}

// Open implements [Replica].
func (r *splitReplica) Open(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	s, f := r.at(rate)
	p := s.predict(true)
	p.TTFT = f.quantity()
	return r.predicted(p, &f, rate), nil
}

// Means implements [Means].
func (r *splitReplica) Means(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	s, f := r.at(rate)
	p := s.predict(false)
	p.TTFT = meanOnly(f.mean())
	return r.predicted(p, &f, rate), nil
}

// Beyond implements [Shares].
func (r *splitReplica) Beyond(rate, ttft, itl float64) (ofTTFT, ofITL float64, err error) {
	if err := validRate(rate); err != nil {
		return math.NaN(), math.NaN(), err
	}
	s, f := r.at(rate)
	if ttft > 0 {
		ofTTFT = f.beyond(ttft)
	}
	if itl > 0 {
		m := s.intervals()
		x := s.mixture(&m)
		ofITL = x.beyond(itl)
	}
	return ofTTFT, ofITL, nil
}

// at a rate: the state of a decode worker, and what a time to first token is made of.
func (r *splitReplica) at(rate float64) (steady, first) {
	flow := math.Min(rate, r.MaxRate())
	s := r.decode.steady(flow / float64(r.Decode.Count))
	f := s.first()
	r.prompt(&f, flow)
	f.base += r.delay() + r.transfer(r.requests, flow)
	return s, f
}

// predicted of all workers, from what is predicted of one that decodes.
func (r *splitReplica) predicted(p Prediction, f *first, rate float64) Prediction {
	p.Rate, p.Throughput, p.MaxRate = rate, math.Min(rate, r.MaxRate()), r.MaxRate()
	p.Wait, p.Prefill = f.budget.share*f.budget.mean+f.place.share*f.place.mean, r.station.alone
	p.Response = p.TTFT.Mean + r.decode.intervals()*p.ITL.Mean
	p.InService *= float64(r.Decode.Count)
	return p
}

// Prefills is the time from an arrival to the end of its prompt, at a rate over all workers.
func (s Split) Prefills(requests Requests, rate float64) (Quantity, error) {
	replica, err := s.Replica(requests)
	if err == nil {
		err = validRate(rate)
	}
	if err != nil {
		return Quantity{}, err
	}
	var f first
	r := replica.(*splitReplica)
	r.prompt(&f, math.Min(rate, r.MaxRate()))
	f.base += r.delay()
	return f.quantity(), nil
}

// prompt adds the wait for a prefill worker and the own prompt to the time to first token.
func (r *splitReplica) prompt(f *first, rate float64) {
	f.base += r.station.alone
	c := math.Sqrt(r.station.cs2)
	own := math.Min(r.station.alone, r.station.each*math.Max(1, r.Prefill.ranks())) // of which tokens decide
	if f.wide = c > defaultTokensCV; f.wide {
		g := newGamma(c)
		for i, z := range promptMiddles {
			f.own[i] = own * (g.quantile((promptBounds[i]+promptBounds[i+1])/2, z) - 1)
		}
	} else {
		f.spread = math.Hypot(f.spread, c*own)
	}
	f.budget = r.station.wait(rate, r.ca2)
}

// Closed predicts the server under clients of a closed loop, as [Closed] does one replica. Means only.
//
// n requests run on each of D decode workers, X = D·n/((out − 1)·T(n)) are done in a second, and all clients are somewhere:
//
//	N = X·TTFT' + D·n,   TTFT' = delay + prompt + (1 − 1/N)·Wait·(s/P)·ρ/(1 − ρ) + transfer + T(n),   ρ = X·s/P,
//
// with s the time of a prompt in full iterations and P prefill workers. Where the decode workers have no places for more, the others wait for one.
// The measured mean also has what the clients wait for that start together.
func (s Split) Closed(requests Requests, clients float64) (Prediction, error) {
	if err := errors.Join(s.Validate(), requests.Validate(), within("concurrency", clients, 1, maxTokens, "1 to 1e9")); err != nil {
		return Prediction{}, err
	}
	if math.IsNaN(requests.InputTokensSD) {
		requests.InputTokensSD = 0 // as [Closed] takes it
	}
	g := newGated(s.Prefill, requests, s.Routing)
	service := g.whole / g.full / float64(g.workers)
	workers, law := float64(s.Decode.Count), decoding{s.Decode.Law, s.tokens()}
	intervals := math.Max(requests.OutputTokens-1, 0.5)
	c := spread(requests.OutputTokensSD, requests.OutputTokens)
	held := requests.InputTokens + requests.OutputTokens*(1+c*c)/2
	itl := func(n float64) float64 { return law.IterationTime(Batch{Decodes: n, DecodeContext: n * held}) }
	first := func(n float64) (ttft, rate float64) {
		t := itl(math.Max(n, 1))
		rate = workers * n / (intervals * t)
		rho := math.Min(rate*service, mostUse)
		wait := (1 - 1/clients) * s.Wait * service * rho / (1 - rho)
		return s.delay() + g.alone + wait + s.transfer(requests, rate) + t, rate
	}
	limits := s.Decode.Limits
	limits.MaxBatch = min(limits.MaxBatch*int(s.Decode.ranks()), maxBatch)
	low, high := 0.0, running(s.Decode.Law, requests, limits, math.Max(1, clients/workers))
	high = math.Min(high, clients/workers)
	const steps = 60
	for range steps {
		n := (low + high) / 2
		if ttft, rate := first(n); rate*ttft+workers*n > clients || rate*service > mostUse {
			high = n
		} else {
			low = n
		}
	}
	n := (low + high) / 2
	t := itl(math.Max(n, 1))
	ttft, rate := first(n)
	ttft = math.Max(ttft, clients/rate-intervals*t)
	opening := s.Bunch * clients * service / 2
	return Prediction{
		Rate: rate, Throughput: rate, MaxRate: rate, InService: n * workers, Response: ttft + intervals*t, Wait: ttft - g.alone, Prefill: g.alone,
		TTFT: meanOnly(ttft + opening), ITL: meanOnly(t), RequestITL: meanOnly(t),
	}, nil
}
