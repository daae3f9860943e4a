// Package queueing predicts the latencies of one replica of an inference server.
//
// A [Law] says how long one engine iteration takes, given what is in it; a [Model] says what latencies follow from a law, the limits of the
// engine and the traffic. Both are chosen by registered name. The package is pure numerics: float64, seconds, requests per second, tokens.
package queueing

import "math"

// Batch is what one engine iteration works on. Fractions are allowed: laws are also evaluated at mean batches.
type Batch struct {
	// Decodes is the number of sequences that generate one token in the iteration.
	Decodes float64
	// DecodeContext is the number of KV tokens that the decodes read, summed over them.
	DecodeContext float64
	// PrefillTokens is the number of prompt tokens computed in the iteration.
	PrefillTokens float64
	// PrefillContext is the number of KV tokens that the prefills read, summed over their sequences.
	PrefillContext float64
	// Prefills is the number of sequences whose prompts are computed in the iteration.
	Prefills float64
	// PrefillPairs is the number of pairs of a prompt token computed and a token it attends to.
	PrefillPairs float64
}

// Law is a service-time law: the time of an engine iteration. Implementations are immutable, positive, and do not decrease in any field
// of the batch.
type Law interface {
	// IterationTime returns the seconds that an iteration over the batch takes.
	IterationTime(b Batch) float64
}

// Requests are the requests that arrive: their sizes in tokens, and how bursty they come.
type Requests struct {
	// InputTokens is the mean number of prompt tokens, at least 0.
	InputTokens float64
	// OutputTokens is the mean number of generated tokens, above 0.
	OutputTokens float64
	// InputTokensSD and OutputTokensSD are standard deviations; NaN where unknown.
	InputTokensSD, OutputTokensSD float64
	// ArrivalCV is the coefficient of variation of the times between arrivals: 1 for Poisson; NaN where unknown.
	ArrivalCV float64
	// PrefixHitRate is the share of prompt tokens found in the prefix cache, 0 to 1.
	PrefixHitRate float64
}

// Limits are those of the engine.
type Limits struct {
	// MaxBatch is the largest number of sequences that run at once (vLLM: max-num-seqs), at least 1.
	MaxBatch int
	// MaxQueue is the number of requests that may wait beyond the batch, at least 0.
	MaxQueue int
	// MaxBatchedTokens is the token budget of one iteration (vLLM: max-num-batched-tokens), at least 1.
	MaxBatchedTokens int
	// KVTokens is the number of tokens that the KV cache holds; 0 for no limit.
	KVTokens int
}

// DefaultMaxBatchedTokens is the token budget of an iteration where none is given: vLLM's default for online serving on large GPUs, and
// what llm-inferno assumes.
//
// Tuned: tokens; derived from vLLM, whose default it is; at half: no difference in attainment, 11 % less cost of ramp; at twice: no difference in
// attainment, 4 % less cost of ramp
const DefaultMaxBatchedTokens = 8192

// Quantity is a latency with its distribution, in seconds. Percentiles are NaN where the model knows only the mean.
type Quantity struct {
	Mean, P50, P90, P95, P99 float64
}

// Prediction is what a model says of one replica.
type Prediction struct {
	// Rate of arrivals in requests per second that the prediction is for.
	Rate float64
	// Throughput of completed requests per second: below the arrival rate where requests are turned away or the replica is overloaded.
	Throughput float64
	// Response is the mean time from arrival to the last token, in seconds.
	Response float64
	// Wait is the mean time before the first iteration, in seconds.
	Wait float64
	// Prefill is the mean time from the first iteration to the end of the prompt, in seconds.
	Prefill float64
	// InService is the mean number of running requests.
	InService float64
	// TTFT is the time to first token over requests.
	TTFT Quantity
	// ITL is the time between tokens, over intervals.
	ITL Quantity
	// RequestITL is the mean time between the tokens of a request, over requests: much narrower than over intervals, because a request sees
	// many iterations. Its mean is that of ITL.
	RequestITL Quantity
	// MaxRate is the highest arrival rate, in requests per second, that the replica can sustain whatever the latency.
	MaxRate float64
}

// Replica is one replica under analysis, prepared for one law, one kind of requests and given limits, so that many rates can be asked for.
type Replica interface {
	// Open predicts under open arrivals at the given rate in requests per second, which must be positive and finite.
	Open(rate float64) (Prediction, error)
	// MaxRate is the highest sustainable rate in requests per second.
	MaxRate() float64
}

// The interfaces that follow are for speed alone: who has them answers as who has not, faster. [Means] and [Shares] are asked of replicas, [Resizer]
// and [Reuser] spare preparing them.

// Means is a replica that predicts means at a fraction of the cost: like Open, but all percentiles are NaN.
type Means interface {
	Means(rate float64) (Prediction, error)
}

// Shares is a replica that says which share of requests takes longer than given latencies, at a fraction of the cost of percentiles.
type Shares interface {
	// Beyond returns the shares of requests whose time to first token exceeds ttft, and whose mean time between tokens exceeds itl, in
	// seconds, at a rate that must be positive and finite; 0 for latencies that are 0.
	Beyond(rate, ttft, itl float64) (ofTTFT, ofITL float64, err error)
}

// RoleRates is a replica of two roles, which says what one worker of each sustains in requests per second, whatever the latency.
type RoleRates interface {
	RoleRates() (prefill, decode float64)
}

// Resizer is a replica whose max batch can be changed without preparing it anew.
type Resizer interface {
	// Resize sets the max batch, from 1 to that of the limits it was prepared for.
	Resize(maxBatch int)
}

// Model is a queueing model. Implementations are immutable and deterministic.
type Model interface {
	// Replica prepares one replica; the error joins every fault of the arguments.
	Replica(law Law, requests Requests, limits Limits) (Replica, error)
	// SeesBudget says whether it sees all that the token budget does to decodes and prompts, so that a budget can be chosen with it.
	SeesBudget() bool
}

// Reuser is a model that prepares a replica in the memory of another of its own, which must not be used any more. Any other replica, nil
// included, is left alone. It does what Replica does, without allocating where the memory suffices.
type Reuser interface {
	Reuse(old Replica, law Law, requests Requests, limits Limits) (Replica, error)
}

// At returns the latency at a percentile in (0, 100): between the known ones the logarithm of the latency is a straight line in that of
// the share of slower requests, and so outside, where it is a guess. NaN where the percentiles are unknown.
func (q Quantity) At(percentile float64) float64 {
	known := [...]struct{ share, value float64 }{{0.50, q.P50}, {0.10, q.P90}, {0.05, q.P95}, {0.01, q.P99}}
	share := 1 - percentile/100
	i := 1
	for i < len(known)-1 && share < known[i].share {
		i++
	}
	a, b := known[i-1], known[i]
	if a.share == share {
		return a.value
	}
	t := math.Log(share/a.share) / math.Log(b.share/a.share)
	return a.value * math.Pow(b.value/a.value, t)
}
