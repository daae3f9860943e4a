package queueing

import "math"

// Roofline is a service-time law structured by the physics of an iteration:
//
//	overhead + prefill · prefills + sequence · decodes          what the engine does beside the GPU's work
//	+ overlap(W(t), compute · t)                                matrix products over t = decodes + prompt tokens
//	+ attention · pairs + kv · KV tokens that decodes read      attention
//
//	W(t) = weights + experts · (1 − (1 − share)^(spread · t))   weights read, with the experts that t tokens touch
//	overlap(m, c) = h + serial · (m + c − h), h = ⁴√(m⁴ + c⁴)   of which `serial` does not hide behind the other
//
// Matrix products are bound by memory while few tokens share the weights and by compute later. Kernels that overlap both perfectly follow the
// fourth-power norm, which passes between the two within a factor of 2^¼; engines that do one after the other the sum. Each term is positive and does not decrease in any field of the batch.
// Derivation and accuracy: docs/models.md. Roofline: Williams et al., CACM 52(4), 2009.
//
// All times in seconds.
type Roofline struct {
	// Overhead of an iteration: scheduling, launching kernels, latency of collectives.
	Overhead float64
	// Weights and Experts are the times of reading the weights that every token uses, and all weights of routed experts.
	Weights, Experts float64
	// Share of the routed experts that serve one token, 0 to 1; 0 for dense models.
	Share float64
	// Spread scales the number of tokens in the share of experts touched: below 1 where routing is skewed.
	Spread float64
	// Compute is the time of the matrix products of one token, collectives included.
	Compute float64
	// Attention is the time of one pair of a prompt token and a token it attends to.
	Attention float64
	// KV is the time of reading the KV cache of one token.
	KV float64
	// Sequence is the time of handling one running sequence: sampling, scheduling, detokenising.
	Sequence float64
	// Prefill is the time that a prompt costs beside the products: leaving the captured graph, preparing inputs.
	Prefill float64
	// Delay between an arrival and its first token that no iteration accounts for.
	Delay float64
	// Bunch and Step say how much of each other's prefills closed-loop clients wait for, because they run in step: of the time of one
	// prefill, Bunch·(1 − 1/n) + Step·(n − 1) for n clients that run. Open arrivals are not affected.
	Bunch, Step float64
	// Serial is the share of the shorter of reading weights and computing that does not hide behind the longer: 0 for kernels that overlap
	// both, 1 where one follows the other.
	Serial float64
	// KVTokens is the number of tokens that the KV cache holds, 0 where unknown.
	KVTokens float64
}

// IterationTime implements [Law].
func (r Roofline) IterationTime(b Batch) float64 {
	return r.Overhead + r.Prefill*b.Prefills + r.Sequence*b.Decodes +
		r.products(b.Decodes+b.PrefillTokens) + r.Attention*b.PrefillPairs + r.KV*b.DecodeContext
}

// products is the time of the matrix products over t tokens.
func (r Roofline) products(t float64) float64 {
	memory := r.Weights
	if r.Experts > 0 {
		memory += r.Experts * -math.Expm1(r.Spread*t*math.Log1p(-r.Share))
	}
	compute := r.Compute * t
	large, small := max(memory, compute), min(memory, compute)
	if large == 0 {
		return 0
	}
	q := small / large
	q *= q
	hidden := large * math.Sqrt(math.Sqrt(1+q*q))
	return hidden + r.Serial*(large+small-hidden)
}

// FirstTokenDelay implements Delayed.
func (r Roofline) FirstTokenDelay() float64 { return r.Delay }

// Delayed is a law that knows of a delay between an arrival and its first token that no iteration accounts for, in seconds.
type Delayed interface {
	FirstTokenDelay() float64
}

// Parameters implements [Described]. What traffic from outside cannot show, such as how closed-loop clients bunch, how much the cache holds and how
// experts are routed, stays as given.
func (r *Roofline) Parameters() []Parameter {
	return []Parameter{
		{Name: "overhead", At: &r.Overhead, Unit: Millisecond, Range: AboveZero, With: "overhead"},
		{Name: "weights", At: &r.Weights, Unit: Millisecond, With: "weights"},
		{Name: "experts", At: &r.Experts, Unit: Millisecond, With: "weights"},
		{Name: "share", At: &r.Share, Unit: 1, Range: ShareOfOne},
		{Name: "spread", At: &r.Spread, Unit: 1},
		{Name: "compute", At: &r.Compute, Unit: Millisecond, With: "compute"},
		{Name: "attention", At: &r.Attention, Unit: Millisecond, With: "compute"},
		{Name: "kv", At: &r.KV, Unit: Millisecond, With: "kv"},
		{Name: "sequence", At: &r.Sequence, Unit: Millisecond, With: "sequence"},
		{Name: "prefill", At: &r.Prefill, Unit: Millisecond, With: "prefill"},
		{Name: "delay", At: &r.Delay, Unit: Millisecond, With: "delay"},
		{Name: "bunch", At: &r.Bunch, Unit: 1},
		{Name: "step", At: &r.Step, Unit: 1},
		{Name: "serial", At: &r.Serial, Unit: 1},
		{Name: "kvTokens", At: &r.KVTokens, Unit: 1},
	}
}
