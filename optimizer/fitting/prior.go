package fitting

import (
	"math"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// The multipliers of the physics that make a [queueing.Roofline], as logarithms. Each is near 0 where an engine does what the hardware
// allows.
const (
	overhead    = iota // per iteration, of overhead
	weights            // reading weights, of weights and experts
	compute            // products and prefill attention
	kv                 // reading the KV cache
	sequence           // per sequence, of 10 µs
	bunch              // closed-loop clients that start together, of one prefill
	step               // others' prefills ahead, of one prefill
	delay              // before the first token, of ten times overhead
	spread             // tokens that experts see, of the batch
	room               // tokens in the KV cache, of the room beside the weights
	prefill            // per prompt, of 100 µs a layer
	multipliers        // their number
)

const (
	sequenceScale     = 10e-6
	delayScale        = 10 // times overhead
	prefillLayerScale = 100e-6
)

// multiplierNames in the order above, as covariances name them.
var multiplierNames = [multipliers]string{
	"overhead", "weights", "compute", "kv", "sequence", "bunch", "step", "delay", "spread", "kvTokens", "prefill",
}

// theta is one set of logarithms of multipliers.
type theta [multipliers]float64

// law of a pair with these multipliers.
func (s physics) law(t theta) queueing.Roofline {
	return queueing.Roofline{
		Overhead: s.overhead * math.Exp(t[overhead]),
		Weights:  s.weights * math.Exp(t[weights]), Experts: s.experts * math.Exp(t[weights]), Share: s.share, Spread: math.Exp(t[spread]),
		Compute: s.compute * math.Exp(t[compute]), Attention: s.attention * math.Exp(t[compute]),
		KV: s.kv * math.Exp(t[kv]), Sequence: sequenceScale * math.Exp(t[sequence]),
		Prefill: s.layers * prefillLayerScale * math.Exp(t[prefill]), Delay: delayScale * s.overhead * math.Exp(t[delay]),
		Bunch: math.Exp(t[bunch]), Step: math.Exp(t[step]), KVTokens: s.kvTokens * math.Exp(t[room]),
	}
}

// kind is what the prior distinguishes.
type kind struct {
	engine      string
	moe         bool
	cards       float64
	precision   Precision
	accelerator string
}

// features of a pair in the order of the columns of trained.
func (k kind) features() [9]float64 {
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	acc := plain(k.accelerator)
	return [9]float64{
		1, is(k.engine == "vllm"), is(k.engine == "sglang"), is(k.engine == "trtllm"),
		is(k.moe) - 0.5, math.Log2(math.Max(1, k.cards)) - 1.5, is(k.precision == "fp4"), is(k.precision == "fp8"),
		is(strings.Contains(acc, "b200") || strings.Contains(acc, "b300")),
	}
}

// trained is the prior: the mean of each multiplier is linear in the features, and the spread is that between pairs. Estimated by
// empirical Bayes over the pairs of test/data/measured/silicon.csv; see docs/models.md. Columns: constant, vLLM, SGLang, TensorRT-LLM,
// experts (± 1/2), log2(cards) − 1.5, fp4, fp8, Blackwell.
var trained = [multipliers]struct {
	mean   [9]float64
	spread float64
}{
	overhead: {[9]float64{0.62, 0.08, 0.08, -0.15, 0.18, -0.04, 0.01, 0.16, -0.01}, 0.25},
	weights:  {[9]float64{0.00, 0.00, 0.00, 0.00, 0.00, 0.01, 0.00, 0.00, 0.00}, 0.21},
	compute:  {[9]float64{0.46, 0.05, -0.07, 0.03, 0.12, 0.02, -0.01, 0.11, 0.01}, 0.41},
	kv:       {[9]float64{0.20, -0.05, 0.07, -0.01, -0.01, 0.02, -0.03, 0.02, -0.03}, 0.25},
	sequence: {[9]float64{0.59, 0.18, -0.12, 0.00, -0.06, 0.00, -0.09, 0.04, -0.07}, 0.75},
	bunch:    {[9]float64{0.34, 0.04, 0.07, -0.11, -0.06, -0.15, 0.02, -0.07, 0.02}, 1.11},
	step:     {[9]float64{-2.21, -0.10, 0.48, -0.40, -0.04, 0.11, 0.08, -0.11, 0.12}, 0.49},
	delay:    {[9]float64{0.53, -0.46, 0.12, 0.39, 0.07, 0.15, 0.06, -0.13, -0.03}, 0.79},
	spread:   {[9]float64{-0.07, 0.01, 0.01, -0.01, 0.01, 0.02, 0.01, 0.00, 0.00}, 0.28},
	room:     {[9]float64{0.66, 0.08, -0.02, -0.04, 0.02, -0.04, 0.01, 0.00, 0.02}, 0.47},
	prefill:  {[9]float64{0.28, -0.32, 0.10, 0.29, 0.08, 0.12, 0.05, 0.04, 0.12}, 0.92},
}

// guessedSpread widens the prior of what depends on an architecture that is only guessed.
const guessedSpread = 0.5

// prior is the mean and spread of the multipliers of a pair.
func (k kind) prior(guessed bool) (mean, sd theta) {
	f := k.features()
	for i, p := range trained {
		for j, x := range f {
			mean[i] += p.mean[j] * x
		}
		sd[i] = p.spread
		if guessed && i != bunch && i != step {
			sd[i] = math.Hypot(sd[i], guessedSpread)
		}
	}
	return mean, sd
}
