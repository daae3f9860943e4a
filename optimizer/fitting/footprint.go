package fitting

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// dense is a typical dense model of that many billions of parameters: hidden size h over h/128 layers, feed-forward 3.5·h, one key-value
// head for four query heads of 128, so that a layer has 13·h² parameters.
func dense(billions float64) jsonspec.Architecture {
	heads := max(4, int(math.Round(math.Cbrt(billions*1e9/13*128)/128)))
	h := heads * 128
	return jsonspec.Architecture{
		NumHiddenLayers: max(1, int(math.Round(billions*1e9/(13*float64(h)*float64(h))))), HiddenSize: h, IntermediateSize: h * 7 / 2,
		NumAttentionHeads: heads, NumKeyValueHeads: max(1, heads/4), HeadDim: 128, VocabSize: 128000,
	}
}

// footprint are the sizes of a model that an iteration is made of.
type footprint struct {
	layers, hidden float64
	// always and experts are the parameters that every token uses, and those of all routed experts.
	always, experts float64
	// share of the routed experts that serve one token; 0 for dense models.
	share float64
	// active parameters per token.
	active float64
	// kv is the number of values cached per token, over all layers.
	kv float64
	// pair is the number of FLOP for one pair of tokens in attention, over all layers.
	pair float64
	// latent is true where the cache holds one latent for all heads, which tensor parallelism cannot split.
	latent bool
	// kvHeads is the number of key-value heads, over which tensor parallelism splits the cache.
	kvHeads float64
}

// measure derives the sizes of a decoder-only transformer with gated feed-forward layers (three matrices each). Multi-head latent
// attention: DeepSeek-V2, arXiv 2405.04434, section 2.1.
func measure(a jsonspec.Architecture) footprint {
	f := func(n int) float64 { return float64(n) }
	layers, hidden, heads := f(a.NumHiddenLayers), f(a.HiddenSize), f(a.NumAttentionHeads)
	kvHeads, headDim := f(or(a.NumKeyValueHeads, a.NumAttentionHeads)), f(or(a.HeadDim, a.HiddenSize/max(1, a.NumAttentionHeads)))
	routed := f(a.Experts())
	inter, expert := 3*hidden*f(a.IntermediateSize), 3*hidden*f(or(a.MoEIntermediateSize, a.IntermediateSize))

	var attention float64
	p := footprint{layers: layers, hidden: hidden, kvHeads: kvHeads}
	if rank, rope := f(a.KVLoraRank), f(a.QKRopeHeadDim); rank > 0 {
		nope, value, query := f(a.QKNopeHeadDim), f(a.VHeadDim), f(a.QLoraRank)
		attention = hidden*(rank+rope) + rank*heads*(nope+value) + heads*value*hidden
		if query > 0 {
			attention += hidden*query + query*heads*(nope+rope)
		} else {
			attention += hidden * heads * (nope + rope)
		}
		p.latent, p.kv, p.pair = true, layers*(rank+rope), layers*2*heads*(nope+rope+value)
	} else {
		attention = 2*hidden*heads*headDim + 2*hidden*kvHeads*headDim
		p.kv, p.pair = layers*2*kvHeads*headDim, layers*4*heads*headDim
	}
	denseLayers := layers
	if routed > 0 {
		denseLayers = math.Min(layers, f(a.FirstKDenseReplace))
		p.share = math.Min(1, f(max(1, a.NumExpertsPerTok))/routed)
		p.experts = (layers - denseLayers) * routed * expert
	}
	p.always = layers*attention + denseLayers*inter + (layers-denseLayers)*f(a.NSharedExperts)*expert + f(a.VocabSize)*hidden
	p.active = p.always + p.experts*p.share
	return p
}

func or(n, otherwise int) int {
	if n > 0 {
		return n
	}
	return otherwise
}

// Precision of weights and products: "bf16", "fp8", "fp4"; anything else counts as bf16.
type Precision string

// bytes per parameter; fp4 with its block scales.
func (p Precision) bytes() float64 {
	switch p {
	case "fp8", "int8":
		return 1
	case "fp4", "nvfp4", "int4":
		return 0.5625
	}
	return 2
}

// flops is the dense FLOP/s of the card at the precision, or the best it has.
func (p Precision) flops(a Accelerator) float64 {
	best := a.BF16
	if b := p.bytes(); b <= 1 && a.FP8 > 0 {
		best = a.FP8
		if b < 1 && a.FP4 > 0 {
			best = a.FP4
		}
	}
	return best
}

// Parallelism is how a replica is spread over cards.
type Parallelism struct {
	// Tensor is the number of cards that share each attention layer, Data the number of such groups, together the Tensor·Data cards of a stage.
	Tensor, Data int
	// Pipeline is the number of stages, each with its share of the layers; 0 is 1.
	Pipeline int
}

func (p Parallelism) stages() int { return max(1, p.Pipeline) }

// stage is the number of cards that have a layer between them: those that must agree.
func (p Parallelism) stage() int { return p.Tensor * p.Data }

// bubbles is by how much prompts take longer than their share of all stages would: while as many batches are under way as there are stages, which is what engines
// keep, p batches pass p stages in 2p − 1 steps (GPipe, Huang et al., NeurIPS 2019, section 2.3, with as many micro-batches as stages).
func (p Parallelism) bubbles() float64 {
	n := float64(p.stages())
	return (2*n - 1) / n
}

// parallelism reads the three degrees of benchmark records, 0 where absent. Records that multiply them (tensor 64 with 8 experts' groups
// on 8 cards, or tensor = data on one group) are recognised by their squares.
func parallelism(tensor, data, expert int) Parallelism {
	tensor, data, expert = max(1, tensor), max(1, data), max(1, expert)
	switch cards := tensor * data; {
	case expert > 2 && cards == expert*expert && data > 1:
		return Parallelism{Tensor: 1, Data: expert}
	case expert > 2 && cards == expert*expert:
		return Parallelism{Tensor: expert, Data: 1}
	case expert > 1 && tensor == data && cards == expert:
		return Parallelism{Tensor: tensor, Data: 1}
	}
	return Parallelism{Tensor: tensor, Data: data}
}

// physics are the times in seconds that the hardware allows at best, the scales of the multipliers that are fitted.
type physics struct {
	layers float64
	// kvWidth is the number of values cached per token.
	kvWidth float64
	// cards of a replica, and stages that share its layers.
	cards, stages float64
	moe           bool
	// weights, experts: reading them once; share of experts per token.
	weights, experts, share float64
	// compute per token with its collectives, attention per pair, kv per cached token.
	compute, attention, kv float64
	// overhead of an iteration in which each layer takes 20 µs, or 50 µs where cards must agree.
	overhead float64
	// kvTokens that the memory holds beside the weights.
	kvTokens float64
	// bytes of all weights, and whether they fit with a cache.
	bytes float64
	fits  bool
}

// What engines take beside the work. Figures are those of the prior of 1,825 points of silicon.csv; the multipliers of times were learned with
// these scales, and would take up others.
const (
	// layerOverhead of an iteration, in seconds.
	//
	// Tuned: s; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: 11.4, 27.3 %; at twice: 10.6, 26.5 %
	layerOverhead = 20e-6
	// parallelLayerOverhead is that where cards must agree.
	//
	// Tuned: s; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: 25.0, 34.5 %; at twice: 36.3, 32.2 %
	parallelLayerOverhead = 50e-6
	// usedMemory is the share of memory that engines use by default.
	//
	// Tuned: share; derived from vLLM, whose default it is, 11.2 and 26.6 % off in the median; at half: 17.2, 53.4 %; at twice: 11.3, 26.6 % with 0.95, half as far
	// from 1
	usedMemory = 0.9
	// reserve is what they keep of it per card for activations, in bytes.
	//
	// Tuned: bytes; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: no difference; at twice: 11.3, 27.2 %
	reserve = 3e9
	// leastCache is the smallest KV cache assumed, in bytes: an engine that runs has one.
	//
	// Tuned: bytes; guard against a model that seems not to fit, but runs: half and twice of it make no difference
	leastCache = 1e9
)

// scales derives the physics of a pair. cacheBytes is the number of bytes of a cached value.
func scales(a jsonspec.Architecture, c Accelerator, p Precision, par Parallelism, cacheBytes float64) physics {
	f := measure(a)
	// A step passes all stages, one after the other: of the weights only the cards of a stage read at once. But as many batches are under way as stages, each of so
	// many requests fewer: what grows with the batch is shared by all cards.
	stage, stages := float64(par.stage()), float64(par.stages())
	g := stage * stages
	splits := float64(par.Data) * stages
	if !f.latent {
		splits *= math.Min(float64(par.Tensor), f.kvHeads)
	}
	s := physics{
		layers: f.layers, kvWidth: f.kv, cards: g, stages: stages, moe: f.experts > 0,
		weights: f.always * p.bytes() / stage / c.Bandwidth,
		experts: f.experts * p.bytes() / stage / c.Bandwidth,
		share:   f.share,
		compute: 2 * f.active / (g * p.flops(c)), attention: f.pair / (g * c.BF16),
		kv:       f.kv * cacheBytes / splits / c.Bandwidth,
		overhead: f.layers * layerOverhead,
	}
	const activation = 2 // bytes
	if stage > 1 {
		s.overhead = f.layers * parallelLayerOverhead
		if c.Link > 0 { // two ring all-reduces a layer, each moving 2·(T−1)/T of the activations
			t := float64(par.Tensor)
			s.compute += f.layers * 2 * f.hidden * activation * 2 * (t - 1) / t / c.Link / stages
		}
	}
	if stages > 1 {
		s.overhead += (stages - 1) * parallelLayerOverhead
		if link := c.wired(int(g)).Link; link > 0 { // the activations go from stage to stage
			s.compute += (stages - 1) * f.hidden * activation / link / stages
		}
		s.compute *= par.bubbles()
		s.attention *= par.bubbles()
	}
	s.bytes = (f.always + f.experts) * p.bytes()
	free := g*c.Memory*usedMemory - s.bytes - g*reserve
	s.fits = free >= leastCache
	s.kvTokens = math.Max(leastCache, free) / (f.kv * cacheBytes * g / splits)
	return s
}
