package main

import (
	"math"
	"math/rand/v2"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// gridPoint is one setting of the grid on which the queueing model is judged against the project's simulator: what the replica is, what
// comes, and how much of it.
type gridPoint struct {
	law      queueing.Law
	requests queueing.Requests
	limits   queueing.Limits
	// load is the share of the sustainable rate, prompts the share of the replica's time that computing prompts takes at it.
	load, prompts float64
	rate          float64
	// heldOut points were never looked at while the model was made.
	heldOut bool
}

// Ranges of the grid.
const (
	leastInput, mostInput   = 256, 32768
	leastOutput, mostOutput = 32, 4096
	leastSpread, mostSpread = 0.3, 2
	leastBudget, mostBudget = 128, 16384
	leastBatch, mostBatch   = 8, 512
	leastLoad, mostLoad     = 0.2, 0.95
	// leastToken and mostToken bound the time of a prompt token: eight cards and a small model to one card and a large one, in seconds.
	leastToken, mostToken = 1e-6, 4e-4
)

// grid draws that many points, each dimension uniformly over its range or over the logarithm of it, and the law so that prompts take
// from a twentieth to 0.8 of the replica's time. Every other point is held out: the even ones are for tuning.
func grid(points int) []gridPoint {
	random := rand.New(rand.NewPCG(15, 2048))
	var all []gridPoint
	for len(all) < points {
		p, ok := drawPoint(random)
		if ok {
			p.heldOut = len(all)%2 == 1
			all = append(all, p)
		}
	}
	return all
}

// drawPoint draws one point; not ok where no card would be asked to do that.
func drawPoint(random *rand.Rand) (p gridPoint, ok bool) {
	between := func(low, high float64) float64 { return low * math.Exp(random.Float64()*math.Log(high/low)) }
	pick := func(of ...float64) float64 { return of[random.IntN(len(of))] }
	in, out := math.Round(between(leastInput, mostInput)), math.Round(between(leastOutput, mostOutput))
	spread := func() float64 { return between(leastSpread, mostSpread) }
	p.requests = queueing.Requests{
		InputTokens: in, OutputTokens: out, InputTokensSD: in * spread(), OutputTokensSD: out * spread(),
		ArrivalCV: pick(0, 0.5, 1, 1, 1.5, 2, 3, 4), PrefixHitRate: pick(0, 0, 0.3, 0.6, 0.9),
	}
	batch := math.Round(between(leastBatch, mostBatch))
	p.limits = queueing.Limits{MaxBatch: int(batch), MaxBatchedTokens: int(math.Max(between(leastBudget, mostBudget), 2*batch)), MaxQueue: 1 << 20}
	held := in + out*(1+square(p.requests.OutputTokensSD/out))/2
	if random.IntN(3) == 0 { // a tight cache, of a tenth to all of the batch
		batch = math.Max(4, batch*between(0.1, 1))
		p.limits.KVTokens = int(batch * held)
	}
	idle := between(5e-3, 20e-3)
	decodes := idle * between(0.1, 3) // what a full batch adds
	share := 0.06 + random.Float64()*0.88
	computed := in * (1 - p.requests.PrefixHitRate)
	token := share / (1 - share) * out * (idle + decodes) / (batch * computed)
	if token < leastToken || token > mostToken {
		return p, false
	}
	kv := math.Max(0, decodes/batch-token) / held
	p.law = queueing.Work{Alpha: idle, Beta: token, Gamma: kv}
	if random.IntN(2) == 0 {
		p.law = queueing.Roofline{
			Overhead: idle / 4, Weights: idle * 3 / 4, Compute: token, Attention: token / (8 * in), KV: decodes / batch / held,
			Serial: random.Float64(),
		}
	}
	p.load = leastLoad + random.Float64()*(mostLoad-leastLoad)
	p.rate = p.load * fluidRate(p.law, p.requests, batch, float64(p.limits.MaxBatchedTokens))
	p.prompts = p.rate * computed * token
	return p, p.prompts >= 0.05 && p.prompts <= 0.8
}

// fluidRate is the rate at which a full batch leaves as fast as it is replaced, if every iteration holds its share of the prompts: a scale
// for loads that owes nothing to the queueing model.
func fluidRate(law queueing.Law, r queueing.Requests, batch, budget float64) float64 {
	computed := r.InputTokens * (1 - r.PrefixHitRate)
	n := math.Min(batch, budget*r.OutputTokens/(computed+r.OutputTokens))
	held := r.InputTokens + r.OutputTokens*(1+square(r.OutputTokensSD/r.OutputTokens))/2
	prompts := n / r.OutputTokens
	t := law.IterationTime(queueing.Batch{
		Decodes: n, DecodeContext: n * held, Prefills: prompts, PrefillTokens: prompts * computed, PrefillContext: prompts * r.InputTokens,
		PrefillPairs: prompts * computed * (r.InputTokens - computed + computed*(1+square(r.InputTokensSD/r.InputTokens))/2),
	})
	return n / (r.OutputTokens * t)
}

func square(x float64) float64 { return x * x }
