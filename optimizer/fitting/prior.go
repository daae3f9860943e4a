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

func (k kind) features() [features]float64 {
	is := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	acc := plain(k.accelerator)
	return [features]float64{
		1, is(k.engine == "vllm"), is(k.engine == "sglang"), is(k.engine == "trtllm"),
		is(k.moe) - 0.5, math.Log2(math.Max(1, k.cards)) - 1.5, is(k.precision == "fp4"), is(k.precision == "fp8"),
		is(strings.Contains(acc, "b200") || strings.Contains(acc, "b300")),
	}
}

// features of a kind, in this order: constant, vLLM, SGLang, TensorRT-LLM, experts (± 1/2), log2(cards) − 1.5, fp4, fp8, Blackwell.
const features = 9

// Experience is what was learned from other pairs: the mean of each multiplier's logarithm is linear in the features of a kind, and
// the spread is that between pairs of one kind.
type Experience [multipliers]struct {
	Mean   [features]float64
	Spread float64
}

// BuiltInExperience was learned by [Knowledge.Learn] from all pairs of test/data/measured/silicon.csv; `make accuracy` prints it anew and
// shows what it is worth on models that it was not learned from.
func BuiltInExperience() Experience {
	return Experience{
		overhead: {[features]float64{0.64, 0.08, 0.09, -0.15, 0.16, -0.04, 0.01, 0.16, -0.01}, 0.26},
		weights:  {[features]float64{-0.01, 0.01, 0.00, -0.01, 0.00, 0.00, 0.00, 0.00, 0.00}, 0.21},
		compute:  {[features]float64{0.44, 0.03, -0.06, 0.03, 0.11, 0.03, -0.01, 0.11, 0.00}, 0.38},
		kv:       {[features]float64{0.20, -0.04, 0.06, -0.02, 0.00, 0.02, -0.03, 0.02, -0.02}, 0.26},
		sequence: {[features]float64{0.61, 0.16, -0.08, -0.02, -0.07, 0.00, -0.10, 0.06, -0.08}, 0.77},
		bunch:    {[features]float64{0.31, 0.04, 0.06, -0.10, -0.05, -0.14, 0.02, -0.06, 0.02}, 1.19},
		step:     {[features]float64{-2.18, -0.09, 0.51, -0.43, -0.05, 0.10, 0.05, -0.08, 0.12}, 0.50},
		delay:    {[features]float64{0.55, -0.43, 0.13, 0.35, 0.06, 0.12, 0.06, -0.13, -0.06}, 0.82},
		spread:   {[features]float64{-0.06, 0.01, 0.01, -0.01, 0.01, 0.02, 0.01, 0.00, 0.00}, 0.28},
		room:     {[features]float64{0.66, 0.08, -0.03, -0.03, 0.02, -0.04, 0.01, 0.00, 0.03}, 0.44},
		prefill:  {[features]float64{0.19, -0.24, -0.02, 0.32, 0.10, 0.09, 0.06, 0.02, 0.11}, 1.06},
	}
}

// prior is the mean and spread of the multipliers of a kind; vague is added to the spread of what depends on guessed sizes.
func (e *Experience) prior(k kind, vague float64) (mean, sd theta) {
	f := k.features()
	for i, p := range e {
		for j, x := range f {
			mean[i] += p.Mean[j] * x
		}
		sd[i] = p.Spread
		if i != bunch && i != step {
			sd[i] = math.Hypot(sd[i], vague)
		}
	}
	return mean, sd
}

// MultiplierNames are the names of the multipliers, in the order of [Experience].
func MultiplierNames() []string { return append([]string(nil), multiplierNames[:]...) }
