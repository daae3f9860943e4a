// Package estimation learns how fast a model really runs on an accelerator.
//
// An [Estimator] takes what performance was given, what it remembers and what was observed, and returns the performance to plan with, what
// to remember, and a judgement of every observation. Estimators are chosen by registered name. They hold no state: all that they remember
// is in the [v1alpha1.PairMemory] that they hand back, so that a restart at any point continues identically.
//
// Derivation, noise, limits and measured figures are in docs/estimation.md.
package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Observation is what was measured of one model on one accelerator over one window, on one server. A NaN was not measured; 0 was measured
// to be zero.
type Observation struct {
	// Source is what was measured: the name of a server, or of a replica. Repeats are recognised within a source.
	Source string
	// Time in seconds since the Unix epoch at which the window ended; NaN where unknown.
	Time float64
	// Window in seconds over which was measured.
	Window float64
	// Replicas that were measured, and whether they were all there for the whole window.
	Replicas float64
	Settled  bool
	// Running requests per replica, mean over the window, and the standard deviation of their number over time.
	Running, RunningSD float64
	// Waiting requests per replica, mean over the window.
	Waiting float64
	// ArrivalRate and Throughput (completions) per replica in requests per second.
	ArrivalRate, Throughput float64
	// Admissions (first tokens) and Preemptions per replica and second.
	Admissions, Preemptions float64
	// InputTokens and OutputTokens per request.
	InputTokens, OutputTokens float64
	// PrefixHitRate is the share of prompt tokens found in the prefix cache, 0 to 1.
	PrefixHitRate float64
	// TTFT and ITL, means in seconds.
	TTFT, ITL float64
	// TTFTP90 and ITLP90, 90th percentiles in seconds.
	TTFTP90, ITLP90 float64
	// Requests that the means are taken over, of all replicas.
	Requests float64
	// PromptsOnly says that the replicas compute prompts for others: their TTFT tells of that alone, and they have no ITL.
	PromptsOnly bool
	// InputTokensSD is the standard deviation of InputTokens, used where PromptsOnly is set.
	InputTokensSD float64
	// MaxBatch and MaxBatchedTokens that the replicas were started with, 0 where unknown.
	MaxBatch, MaxBatchedTokens int
}

// Unmeasured is an observation of a source in which nothing was measured.
func Unmeasured(source string) Observation {
	nan := math.NaN()
	return Observation{
		Source: source, Time: nan, Window: nan, Replicas: nan, Running: nan, RunningSD: nan, Waiting: nan, ArrivalRate: nan, Throughput: nan, Admissions: nan, Preemptions: nan,
		InputTokens: nan, InputTokensSD: nan, OutputTokens: nan, PrefixHitRate: nan, TTFT: nan, ITL: nan, TTFTP90: nan, ITLP90: nan, Requests: nan,
	}
}

// Judgement is what an estimator made of one observation. Times in seconds, NaN where there is none.
type Judgement struct {
	// PredictedITL and PredictedTTFT were predicted before the observation was learned from.
	PredictedITL, PredictedTTFT float64
	// InnovationITL and InnovationTTFT are the logarithms of measured over predicted.
	InnovationITL, InnovationTTFT float64
	// SurpriseITL and SurpriseTTFT are innovations in units of their expected standard deviation.
	SurpriseITL, SurpriseTTFT float64
	// Accepted is true where at least one latency was learned from.
	Accepted bool
	// Reason says why the observation, or one of its latencies, was not learned from; empty where all were.
	Reason string
}

// Estimate is what an estimator concludes.
type Estimate struct {
	// Performance to plan with.
	Performance jsonspec.Performance
	// Learned is what to remember; nil where nothing was learned.
	Learned *v1alpha1.PairMemory
	// Judgements of the observations, in their order.
	Judgements []Judgement
	// Notice says what a person should know, such as why what was remembered could not be taken up; empty where there is nothing.
	Notice string
}

// Estimator learns the performance of one (model, accelerator) pair. Implementations are immutable and deterministic.
type Estimator interface {
	// Estimate learns from the observations seen. learned is what the last call returned, nil where nothing was learned yet; it is not
	// changed. An error means that what was given cannot be used at all; bad observations are judgements, not errors.
	Estimate(given jsonspec.Performance, learned *v1alpha1.PairMemory, seen []Observation) (Estimate, error)
}

// Names of the registered estimators.
const (
	EstimatorEKF           = "ekf"
	EstimatorSlidingWindow = "sliding-window"
	EstimatorFixed         = "fixed"
)

// Default is the estimator used where none is named.
const Default = EstimatorEKF

// Estimators are the registered estimators.
func Estimators() plug.Registry[Estimator] {
	return plug.NewRegistry("estimator",
		plug.Of(EstimatorFixed, func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (Estimator, error) { return Fixed{}, nil }),
		plug.Of(EstimatorEKF, DefaultOptions, func(o Options) (Estimator, error) { return ekf{o}, nil }),
		plug.Of(EstimatorSlidingWindow, DefaultWindowOptions, func(o WindowOptions) (Estimator, error) { return slidingWindow{o}, nil }),
	)
}
