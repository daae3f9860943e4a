package queueing

import (
	"errors"
	"math"
)

// Closed predicts one replica under closed-loop clients, each of which sends its next request when the last one ended. Means only.
//
// n of the N clients run at a time, limited by the batch and the KV cache; each decode iteration carries its share of the others'
// prefills,
//
//	ITL = T(n decodes) + (n − 1)/out · (what one prefill adds to an iteration),
//
// and the others wait while n run: TTFT = first + (first + out·ITL)·(N/n − 1), where first is the time to first token of a request that
// finds a place. How many of the others' prefills are ahead of it depends on how clients bunch, which [Roofline] knows and other laws
// assume not to happen.
func Closed(law Law, requests Requests, limits Limits, clients float64) (Prediction, error) {
	if err := errors.Join(requests.Validate(), limits.Validate(), within("concurrency", clients, 1, maxTokens, "1 to 1e9")); err != nil {
		return Prediction{}, err
	}
	in, out := requests.InputTokens*(1-requests.PrefixHitRate), requests.OutputTokens
	cached := requests.InputTokens - in
	n := running(law, requests, limits, clients)
	chunk := math.Min(in, float64(limits.MaxBatchedTokens))

	decode := Batch{Decodes: n, DecodeContext: n * (requests.InputTokens + out*(1+square(spread(requests.OutputTokensSD, out)))/2)}
	idle := law.IterationTime(decode)
	pairs := cached + in*(1+square(spread(requests.InputTokensSD, requests.InputTokens)))/2
	adds := func(prompts float64) float64 { // time that prefills add to a decode iteration
		b := decode
		b.PrefillTokens, b.PrefillContext, b.Prefills, b.PrefillPairs = prompts*in, prompts*requests.InputTokens, prompts, prompts*in*pairs
		return law.IterationTime(b) - idle
	}
	perIteration := math.Max(0, n-1) / out
	together := math.Max(1, perIteration)
	itl := idle + perIteration/together*adds(together)

	prefill := adds(1)
	if in > chunk { // each further iteration that the budget forces repeats the decodes
		prefill += (math.Ceil(in/chunk) - 1) * idle
	}
	first := idle + prefill + math.Min(1, n-1)*idle/2
	if r, ok := law.(Roofline); ok {
		alone := r.Compute*in + r.Attention*in*pairs + r.Prefill
		first += r.Delay + alone*(r.Bunch*(1-1/n)+r.Step*math.Max(0, n-1))
	}
	service := first + itl*out
	ttft := first + service*(clients/n-1)
	throughput := n / service
	return Prediction{
		Rate: throughput, Throughput: throughput, MaxRate: throughput, InService: n,
		Response: ttft + itl*out, Wait: service * (clients/n - 1), Prefill: first,
		TTFT: meanOnly(ttft), ITL: meanOnly(itl), RequestITL: meanOnly(itl),
	}, nil
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
