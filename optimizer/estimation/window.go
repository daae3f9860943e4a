package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// slidingWindow fits the last observations anew each time, beginning from what was given: it remembers nothing older.
type slidingWindow struct{ options WindowOptions }

// Estimate implements [Estimator].
func (e slidingWindow) Estimate(given jsonspec.Performance, learned *v1alpha1.PairMemory, seen []Observation) (Estimate, error) {
	return estimate(EstimatorSlidingWindow, &e.options.Options, e.options.Keep, given, learned, seen)
}

// keep writes a reading for the memory, in which zero is not measured.
func (r *reading) keep() v1alpha1.KeptObservation {
	k := v1alpha1.KeptObservation{Seconds: r.seconds, InputTokens: r.input, OutputTokens: r.output, PrefixHitRate: r.cached, MaxBatchedTokens: r.budget, PromptsOnly: r.prompts}
	if math.IsNaN(k.Seconds) {
		k.Seconds = 0
	}
	if math.IsNaN(r.running) {
		k.ArrivalRate = r.rate
	} else {
		k.Running = r.running
		if !math.IsNaN(r.runningSD) {
			k.RunningSD = r.runningSD
		}
	}
	if r.prompts && !math.IsNaN(r.inputSD) {
		k.InputTokensSD = r.inputSD
	}
	if !math.IsNaN(r.prefills) {
		k.Prefills = r.prefills
	}
	k.BatchVariance = r.batchNoise
	if !math.IsInf(r.maxBatch, 0) {
		k.MaxBatch = r.maxBatch
	}
	if !math.IsNaN(r.logITL) {
		k.ITL, k.ITLVariance = math.Exp(r.logITL), r.itlNoise
	}
	if !math.IsNaN(r.logTTFT) {
		k.TTFT, k.TTFTVariance = math.Exp(r.logTTFT), r.ttftNoise
	}
	return k
}

// recalled is the inverse of keep.
func recalled(k *v1alpha1.KeptObservation) reading {
	known := func(v float64) float64 {
		if v == 0 {
			return math.NaN()
		}
		return v
	}
	r := reading{
		conditions: conditions{
			running: known(k.Running), runningSD: known(k.RunningSD), rate: k.ArrivalRate, input: k.InputTokens, output: k.OutputTokens,
			cached: k.PrefixHitRate, maxBatch: known(k.MaxBatch), budget: k.MaxBatchedTokens, prefills: known(k.Prefills), prompts: k.PromptsOnly, inputSD: known(k.InputTokensSD),
		},
		seconds: k.Seconds, logITL: math.Log(known(k.ITL)), logTTFT: math.Log(known(k.TTFT)), batchNoise: k.BatchVariance, itlNoise: k.ITLVariance, ttftNoise: k.TTFTVariance,
	}
	if math.IsNaN(r.maxBatch) {
		r.maxBatch = math.Inf(1)
	}
	return r
}
