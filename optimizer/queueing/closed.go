package queueing

import (
	"errors"
	"math"
)

// Closed predicts one replica under closed-loop clients, each of which sends its next request when the last one ended. Means only.
//
// n of the N clients run at a time, limited by the batch and the KV cache. Who decodes sees each of the others decode, and meets its prompt, for
// the share of its stay that it decodes for, f = out·ITL/(first + out·ITL),
//
//	ITL = T(1 + f·(n − 1) decodes) + f·(n − 1)/out · (what one prefill adds to an iteration),
//
// and the others wait while n run: TTFT = first + (first + out·ITL)·(N/n − 1), where first is the time to first token of a request that
// finds a place. How many of the others' prefills are ahead of it depends on how clients bunch, which [Roofline] knows and other laws
// assume not to happen.
func Closed(law Law, requests Requests, limits Limits, clients float64) (Prediction, error) {
	return ClosedGiven(law, requests, limits, clients, math.NaN())
}

// ClosedGiven is Closed, with an ITL for clients of which it is known, not predicted, how long they wait for their first token: ttft, in seconds, NaN
// where it is not known. Clients that start together, benchmarks that leave out their beginning, and engines that bunch prompts differ in it. Whoever
// waited for the prompts of others while they were computed does not meet them again: those k are what the wait says,
//
//	ITL = T(1 + f·(n − 1) decodes) + (n − 1 − k)/out · (what one prefill adds to an iteration).
func ClosedGiven(law Law, requests Requests, limits Limits, clients, ttft float64) (Prediction, error) {
	if err := errors.Join(requests.Validate(), limits.Validate(), within("concurrency", clients, 1, maxTokens, "1 to 1e9"),
		orUnknown("ttft", ttft, 0, math.MaxFloat64, "at least 0, or NaN")); err != nil {
		return Prediction{}, err
	}
	c := newClosed(law, requests, limits, clients)
	out := requests.OutputTokens
	itl, first := c.balance(c.modelled)
	service := first + itl*out
	waited := service * (clients/c.n - 1)
	throughput := c.n / service
	p := Prediction{
		Rate: throughput, Throughput: throughput, MaxRate: throughput, InService: c.n,
		Response: first + waited + itl*out, Wait: waited, Prefill: first,
		TTFT: meanOnly(first + waited), ITL: meanOnly(itl), RequestITL: meanOnly(itl),
	}
	if ttft > 0 && waited < most*first {
		c.known = ttft - waited
		itl, _ = c.balance(c.measured)
		p.ITL = meanOnly(itl)
	}
	return p, nil
}

// most is the share of a time to first token that may be waiting for a place where the rest is taken for known.
//
// Tuned: share; guard against a rest that is the difference of two large numbers: half and twice of it make no difference
const most = 0.5

// closed is a replica under closed-loop clients, of which n run.
type closed struct {
	law         Law
	n           float64
	in, out     float64
	input, held float64 // tokens of a prompt, and that a running request holds
	pairs       float64 // tokens that a prompt token attends to
	budget      float64 // of tokens in an iteration
	known       float64 // measured time to first token of a request that finds a place
}

func newClosed(law Law, requests Requests, limits Limits, clients float64) closed {
	in, out := requests.InputTokens*(1-requests.PrefixHitRate), requests.OutputTokens
	return closed{
		law: law, n: running(law, requests, limits, clients), in: in, out: out, input: requests.InputTokens,
		held:   requests.InputTokens + out*(1+square(spread(requests.OutputTokensSD, out)))/2,
		pairs:  requests.InputTokens - in + in*(1+square(spread(requests.InputTokensSD, requests.InputTokens)))/2,
		budget: float64(limits.MaxBatchedTokens),
	}
}

// time of an iteration over so many decodes and prompts.
func (c *closed) time(decodes, prompts float64) float64 {
	return c.law.IterationTime(Batch{
		Decodes: decodes, DecodeContext: decodes * c.held, PrefillTokens: prompts * c.in, PrefillContext: prompts * c.input, Prefills: prompts,
		PrefillPairs: prompts * c.in * c.pairs,
	})
}

// balance finds the times between tokens and to the first one under which as many decode as they say.
func (c *closed) balance(times func(share float64) (itl, first float64)) (itl, first float64) {
	const most, tolerance = 30, 1e-7
	share := 1.0
	for range most {
		itl, first = times(share)
		next := c.out * itl / (first + c.out*itl)
		if math.Abs(next-share) < tolerance {
			break
		}
		share = (share + next) / 2
	}
	return itl, first
}

// modelled are the times where a share of the running ones decodes.
func (c *closed) modelled(share float64) (itl, first float64) {
	others := math.Max(0, c.n-1)
	idle, first, each := c.alone(share)
	if r, ok := c.law.(Roofline); ok {
		first += each * (r.Bunch*(1-1/c.n) + r.Step*others)
	}
	return c.between(share, idle, (1-share)*others), first
}

// measured is modelled for a known time to first token.
func (c *closed) measured(share float64) (itl, first float64) {
	idle, alone, each := c.alone(share)
	behind := math.Min(math.Max(0, c.known-alone)/math.Max(each, 1e-12), math.Max(0, c.n-1))
	return c.between(share, idle, behind), c.known
}

// between is the mean time between tokens of who has waited for `behind` prompts.
func (c *closed) between(share, idle, behind float64) float64 {
	others := math.Max(0, c.n-1)
	perIteration := math.Max(0, others-behind) / c.out
	together := math.Max(1, perIteration)
	return idle + perIteration/together*(c.time(1+share*others, together)-idle)
}

// alone is the time of an iteration without prompts, that to the first token of a request whose prompt meets no other, and what each other adds.
func (c *closed) alone(share float64) (idle, first, each float64) {
	others := math.Max(0, c.n-1)
	decodes := 1 + share*others
	idle = c.time(decodes, 0)
	each = c.time(decodes, 1) - idle
	prefill := each
	if c.in > c.budget { // each further iteration that the budget forces repeats the decodes
		prefill += (math.Ceil(c.in/c.budget) - 1) * idle
	}
	first = idle + prefill + math.Min(1, others)*idle/2
	if r, ok := c.law.(Roofline); ok {
		first += r.Delay
		each = r.Compute*c.in + r.Attention*c.in*c.pairs + r.Prefill
	}
	return idle, first, each
}

// running is the mean number of clients that run at a time: all up to what fits, with a passage of 2 % because requests differ.
func running(law Law, requests Requests, limits Limits, clients float64) float64 {
	n := math.Min(clients, float64(limits.MaxBatch))
	room := float64(limits.KVTokens)
	if r, ok := law.(Roofline); ok && room == 0 {
		room = r.KVTokens
	}
	if room == 0 {
		return n
	}
	fits := math.Max(1, room/(requests.InputTokens+requests.OutputTokens/2))
	width := 0.02 * n
	return math.Max(n-width*softplus((n-fits)/width), 1)
}

// softplus is log(1 + exp(x)).
func softplus(x float64) float64 {
	if x > 30 {
		return x
	}
	return math.Log1p(math.Exp(x))
}

func square(x float64) float64 { return x * x }

// spread is the coefficient of variation of lengths, 0 where it is unknown: benchmarks that do not say it send equal requests.
func spread(sd, mean float64) float64 {
	if math.IsNaN(sd) || mean == 0 {
		return 0
	}
	return sd / mean
}
