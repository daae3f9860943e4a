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
	serial             // of what overlaps, that does not
	prefill            // per prompt, of 100 µs a layer
	multipliers        // their number
)

// Scales of multipliers that no physics gives. Figures are those of the prior of 1,825 points of silicon.csv; the multipliers were learned with
// these scales, and would take up others.
const (
	// sequenceScale is the time that a sequence takes, in seconds.
	//
	// Tuned: s; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: 11.5, 26.7 %; at twice: 11.7, 26.8 %
	sequenceScale = 10e-6
	// delayScale is the time before the first token, in overheads.
	//
	// Tuned: 1; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: 11.2, 33.4 %; at twice: 11.1, 30.6 %
	delayScale = 10
	// prefillLayerScale is the time that a layer takes for a prompt, in seconds.
	//
	// Tuned: s; measured by ITL and TTFT, 11.2 and 26.6 % off in the median; at half: 11.3, 31.1 %; at twice: 11.5, 27.2 %
	prefillLayerScale = 100e-6
)

// multiplierNames in the order above, as covariances name them.
var multiplierNames = [multipliers]string{
	"overhead", "weights", "compute", "kv", "sequence", "bunch", "step", "delay", "spread", "kvTokens", "serial", "prefill",
}

// theta is one set of logarithms of multipliers.
type theta [multipliers]float64

// law of a pair with these multipliers.
func (s physics) law(t theta) queueing.Roofline {
	return queueing.Roofline{
		Overhead: s.overhead * math.Exp(t[overhead]),
		Weights:  s.weights * math.Exp(t[weights]), Experts: s.experts * math.Exp(t[weights]), Share: s.share, Spread: math.Exp(t[spread]) / s.stages,
		Compute: s.compute * math.Exp(t[compute]), Attention: s.attention * math.Exp(t[compute]),
		KV: s.kv * math.Exp(t[kv]), Sequence: sequenceScale * math.Exp(t[sequence]),
		Prefill: s.layers * prefillLayerScale * math.Exp(t[prefill]), Delay: delayScale * s.overhead * math.Exp(t[delay]),
		Bunch: math.Exp(t[bunch]), Step: math.Exp(t[step]), Serial: math.Exp(t[serial]), KVTokens: s.kvTokens * math.Exp(t[room]),
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
//
// Exact: there are so many.
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
		overhead: {[features]float64{0.67, 0.06, 0.09, -0.13, 0.15, -0.03, 0.01, 0.15, -0.01}, 0.24},
		weights:  {[features]float64{-0.10, 0.03, -0.01, -0.03, 0.00, -0.01, 0.01, -0.00, 0.00}, 0.24},
		compute:  {[features]float64{0.42, 0.03, -0.07, 0.03, 0.09, 0.02, -0.01, 0.10, 0.00}, 0.39},
		kv:       {[features]float64{0.17, -0.01, 0.07, -0.05, 0.01, 0.00, -0.02, 0.02, -0.02}, 0.31},
		sequence: {[features]float64{0.06, 0.21, 0.02, -0.22, -0.02, -0.04, -0.05, 0.03, -0.02}, 0.99},
		bunch:    {[features]float64{0.29, 0.07, 0.05, -0.12, -0.06, -0.15, 0.01, -0.06, 0.01}, 1.12},
		step:     {[features]float64{-2.13, -0.10, 0.50, -0.41, -0.05, 0.12, 0.05, -0.09, 0.12}, 0.52},
		delay:    {[features]float64{0.43, -0.54, 0.17, 0.41, 0.04, 0.13, 0.08, -0.15, -0.04}, 0.86},
		spread:   {[features]float64{-0.02, 0.01, 0.02, -0.02, 0.01, 0.02, 0.01, -0.00, -0.00}, 0.27},
		room:     {[features]float64{0.66, 0.08, -0.03, -0.03, 0.02, -0.03, 0.01, 0.00, 0.03}, 0.44},
		serial:   {[features]float64{-0.73, -0.05, -0.05, 0.10, -0.03, 0.08, -0.00, 0.01, -0.00}, 1.40},
		prefill:  {[features]float64{-0.11, -0.17, -0.02, 0.22, 0.10, 0.07, 0.07, 0.01, 0.12}, 1.23},
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
