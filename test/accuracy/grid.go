package main

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// gridPoint is one setting of the grid on which the queueing model is judged against the project's simulator: what the replica is, what
// comes, and how much of it.
type gridPoint struct {
	index    int
	law      queueing.Law
	requests queueing.Requests // as they are drawn, rounded and cut
	limits   queueing.Limits
	// longest is the most tokens of a prompt or an answer.
	longest int
	// wish are the lengths before they are rounded and cut.
	wish queueing.Requests
	// load is the share of what the simulated engine completes of a backlog; rate is that in requests per second.
	load, rate float64
}

// heldOut points were never looked at while the model was made; the others are for tuning.
func (p *gridPoint) heldOut() bool { return p.index%2 == 1 }

// prompts is the share of the time in which prompts are computed.
func (p *gridPoint) prompts() float64 {
	alone := p.law.IterationTime(queueing.Batch{Decodes: 1})
	return p.rate * p.requests.InputTokens * (1 - p.requests.PrefixHitRate) * (p.law.IterationTime(p.whole()) - alone) / p.whole().PrefillTokens
}

// whole is an iteration of a prompt of mean length.
func (p *gridPoint) whole() queueing.Batch {
	computed := math.Max(1, p.requests.InputTokens*(1-p.requests.PrefixHitRate))
	return queueing.Batch{Decodes: 1, PrefillTokens: computed, Prefills: 1, PrefillContext: p.requests.InputTokens, PrefillPairs: computed * (p.requests.InputTokens - computed/2)}
}

// Ranges of the grid: tokens, spread of lengths, limits and load of what is served in practice, and a while beyond. A prompt token takes 1 µs (a
// small model on eight cards) to 0.4 ms (a large one on one).
const (
	gridSize                = 240
	leastInput, mostInput   = 256, 32768
	leastOutput, mostOutput = 32, 4096
	leastSpread, mostSpread = 0.3, 2
	leastBudget, mostBudget = 128, 16384
	leastBatch, mostBatch   = 8, 512
	leastLoad, mostLoad     = 0.2, 0.95
	leastToken, mostToken   = 1e-6, 4e-4
	leastWork, mostWork     = 0.05, 0.8 // share of the time that prompts take
	longestContext          = 131072
)

// grid draws the points, each dimension uniformly over its range or the logarithm of it, and the law so that prompts take a twentieth to 0.8 of the
// replica's time. It is the same every time.
func grid(points int) ([]gridPoint, error) {
	random := rand.New(rand.NewPCG(15, 2048))
	var all []gridPoint
	for len(all) < points {
		p, ok := drawPoint(random)
		if !ok {
			continue
		}
		p.index = len(all)
		full, err := p.backlog()
		if err != nil {
			return nil, err
		}
		p.rate = p.load * full
		if work := p.prompts(); work < leastWork || work > mostWork {
			continue
		}
		all = append(all, p)
	}
	return all, nil
}

// drawPoint draws all but the rate; not ok where no card would be asked to do that.
func drawPoint(random *rand.Rand) (p gridPoint, ok bool) {
	between := func(low, high float64) float64 { return low * math.Exp(random.Float64()*math.Log(high/low)) }
	pick := func(of ...float64) float64 { return of[random.IntN(len(of))] }
	in, out := math.Round(between(leastInput, mostInput)), math.Round(between(leastOutput, mostOutput))
	p.wish = queueing.Requests{InputTokens: in, OutputTokens: out, InputTokensSD: in * between(leastSpread, mostSpread), OutputTokensSD: out * between(leastSpread, mostSpread)}
	cv, hits := pick(0, 0.5, 1, 1, 1.5, 2, 3, 4), pick(0, 0, 0, 0.3, 0.6, 0.9)
	batch := math.Round(between(leastBatch, mostBatch))
	p.limits = queueing.Limits{MaxBatch: int(batch), MaxBatchedTokens: int(math.Max(between(leastBudget, mostBudget), 2*batch)), MaxQueue: 1 << 20}
	held := in + out*(1+square(p.wish.OutputTokensSD/out))/2
	tight := random.IntN(3) == 0
	share := between(0.1, 1)
	p.longest = longestContext
	if tight { // a cache that holds a tenth to all of the batch
		batch = math.Max(8, batch*share)
		p.limits.KVTokens = int(batch * held)
		p.longest = min(p.longest, p.limits.KVTokens/4)
	}
	idle := between(5e-3, 20e-3)
	decodes := idle * between(0.1, 3) // what a full batch adds
	work := 0.06 + random.Float64()*0.88
	token := work / (1 - work) * out * (idle + decodes) / (batch * in * (1 - hits))
	roofline, serial := random.IntN(2) == 0, random.Float64()
	p.load = leastLoad + random.Float64()*(mostLoad-leastLoad)
	p.requests = p.drawn(cv, hits)
	if token < leastToken || token > mostToken {
		return p, false
	}
	p.law = queueing.Work{Alpha: idle, Beta: token, Gamma: math.Max(0, decodes/batch-token) / held}
	if roofline {
		p.law = queueing.Roofline{
			Overhead: idle / 4, Weights: idle * 3 / 4, Compute: token, Attention: token / (8 * in), KV: decodes / batch / held, Serial: serial,
		}
	}
	return p, true
}

// drawn are the requests as they come: rounding and the longest context change their means and deviations.
func (p *gridPoint) drawn(cv, hits float64) queueing.Requests {
	const draws = 20000
	random := rand.New(rand.NewPCG(1, 1))
	in, out := make([]float64, draws), make([]float64, draws)
	for i := range draws {
		in[i] = float64(tokens(random, p.wish.InputTokens, p.wish.InputTokensSD, p.longest))
		out[i] = float64(tokens(random, p.wish.OutputTokens, p.wish.OutputTokensSD, p.longest))
	}
	r := queueing.Requests{ArrivalCV: cv, PrefixHitRate: hits}
	r.InputTokens, r.InputTokensSD = stat.MeanStdDev(in, nil)
	r.OutputTokens, r.OutputTokensSD = stat.MeanStdDev(out, nil)
	return r
}

// come are that many requests of the point, at its rate; from a backlog all at once.
func (p *gridPoint) come(requests int, seed uint64) []simulation.Request {
	random := rand.New(rand.NewPCG(seed, uint64(p.index)))
	all := make([]simulation.Request, requests)
	at := 0.0
	for i := range all {
		if p.rate > 0 {
			at += gap(random, p.requests.ArrivalCV) / p.rate
		}
		all[i] = simulation.Request{
			ID: uint64(i), ArrivedAt: at,
			InputTokens:  tokens(random, p.wish.InputTokens, p.wish.InputTokensSD, p.longest),
			OutputTokens: tokens(random, p.wish.OutputTokens, p.wish.OutputTokensSD, p.longest),
		}
	}
	return all
}

// backlog is the rate at which an engine completes requests of which there are always enough, in its steady state: a scale for loads that owes
// nothing to the queueing model.
func (p *gridPoint) backlog() (float64, error) {
	requests := 1000 + 6*p.limits.MaxBatch
	first := 2 * p.limits.MaxBatch
	completed, last, from, to := 0, 0.0, 0.0, 0.0
	engine, err := newEngine(p.law, p.limits, p.requests.PrefixHitRate, simulation.Hooks{Completed: func(c simulation.Completion) {
		completed++
		last = c.FinishedAt
		if completed == first {
			from = last
		}
		if completed == requests-first {
			to = last
		}
	}})
	if err != nil {
		return 0, err
	}
	for _, r := range p.come(requests, 7) {
		if err := engine.Submit(0, r); err != nil {
			return 0, err
		}
	}
	for completed < requests-first {
		if _, ok := engine.Step(math.Inf(1), nil); !ok {
			break
		}
	}
	return float64(requests-2*first) / (to - from), nil
}

func square(x float64) float64 { return x * x }
