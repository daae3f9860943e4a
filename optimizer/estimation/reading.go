package estimation

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// reading is an observation that makes sense: under which conditions, which latencies, and how sure the conditions are.
type reading struct {
	conditions
	seconds         float64 // since the Unix epoch
	logITL, logTTFT float64 // NaN where not measured or not usable
	itlNoise        float64 // variance of the logarithm, conditions apart
	ttftNoise       float64
	batchNoise      float64 // variance of the logarithm of the number that run
	notes           []string
}

// read checks an observation and says, in the error, everything that is wrong with it.
func (o *Observation) read(options *Options, last *v1alpha1.SourceMemory) (reading, error) {
	if err := errors.Join(o.faults(), o.stale(last)); err != nil {
		return reading{}, err
	}
	r := reading{
		conditions: conditions{
			running: o.Running, runningSD: o.RunningSD, rate: o.ArrivalRate, input: o.InputTokens, output: o.OutputTokens,
			maxBatch: math.Inf(1), budget: queueing.DefaultMaxBatchedTokens, prefills: max(o.Admissions, 1/maxRate) * o.ITL,
		},
		seconds: o.Time, logITL: math.Log(o.ITL), logTTFT: math.Log(o.TTFT),
		itlNoise:  square(options.ITLNoise) + sampling(o.ITL, o.ITLP90, o.Requests, 0.2),
		ttftNoise: square(options.TTFTNoise) + sampling(o.TTFT, o.TTFTP90, o.Requests, 0.5),
	}
	if r.prompts = o.PromptsOnly; r.prompts {
		r.logITL, r.running, r.inputSD = math.NaN(), math.NaN(), o.InputTokensSD
	}
	if o.PrefixHitRate > 0 {
		r.cached = o.PrefixHitRate
	}
	if o.MaxBatch > 0 {
		r.maxBatch = float64(o.MaxBatch)
	}
	if o.MaxBatchedTokens > 0 {
		r.budget = float64(o.MaxBatchedTokens)
	}
	o.readBatch(&r, options, last)
	if repeated := o.overlap(last); repeated > 1 {
		r.itlNoise *= repeated
		r.ttftNoise *= repeated
	}
	if !math.IsNaN(r.logTTFT) && !r.prompts && o.waited() {
		r.logTTFT = math.NaN()
		r.notes = append(r.notes, "ttft holds waiting for a place in the batch")
	}
	if o.Preemptions > tolerated*o.Admissions {
		r.logITL, r.logTTFT = math.NaN(), math.NaN()
		r.notes = append(r.notes, fmt.Sprintf("%.2g of %.2g requests/s were preempted and computed anew", o.Preemptions, o.Admissions))
	}
	return r, nil
}

// tolerated is the share of requests that may be preempted. A preempted request waits between two tokens, and is computed again.
//
// Tuned: share; guard against latencies of what was computed twice: half and twice of it make no difference, not even where a cache is full
const tolerated = 0.02

// readBatch says how sure the batch is. While the load moves, the window that latencies are measured over is not quite the one that the
// batch is measured over; arrivals tell what a batch grows to and completions what it was, and the window lies between.
func (o *Observation) readBatch(r *reading, options *Options, last *v1alpha1.SourceMemory) {
	if r.prompts {
		r.batchNoise = square(options.RunningNoise)
		return
	}
	if !math.IsNaN(o.Running) {
		r.batchNoise = square(options.RunningNoise)
		if last != nil && last.Running > 0 && !o.Settled {
			r.batchNoise += square(movingShare * math.Log(o.Running/last.Running))
		}
		if last != nil && last.Replicas > 0 && o.Replicas > 0 && !o.Settled {
			r.batchNoise += square(movingShare * math.Log(o.Replicas/last.Replicas))
			r.running = crowded(o.Running, o.Replicas, last.Running, last.Replicas)
		}
		return
	}
	r.batchNoise = square(arrivalsNoise)
	if o.Throughput > 1/maxRate {
		r.rate = (o.ArrivalRate + o.Throughput) / 2
		r.batchNoise += square(math.Log(o.ArrivalRate/o.Throughput) / 2)
	}
	if last != nil && last.ArrivalRate > 0 {
		r.batchNoise += square(math.Log(o.ArrivalRate/last.ArrivalRate) / 2)
	}
}

// crowded is the mean batch where replicas were added since the last observation. They were there for part of the window only; before, what
// runs now ran on fewer, as many on each as were seen there.
func crowded(running, replicas, before, replicasBefore float64) float64 {
	if replicas <= replicasBefore {
		return running
	}
	crowd := max(running, min(before, running*replicas/replicasBefore))
	return running + alone*(crowd-running)
}

// alone is the share of a window in which added replicas were not yet there.
//
// Tuned: share; measured by TestRealRuns; at half: 4.5 % of a run after 3.8; at twice: 4.7 % of another after 3.9
const alone = 0.4

// movingShare is the part of a change of load between two observations by which batch and latencies may be apart.
//
// Tuned: share; measured by TestRealRuns; at half: 4.0 % of a run after 3.9; at twice: 3.2 % of another after 3.0
const movingShare = 0.1

func square(x float64) float64 { return x * x }

// sampling is the variance of the logarithm of a mean over requests, from the 90th percentile where it is known (of a normal distribution,
// 1.28 standard deviations above the mean), otherwise from an assumed coefficient of variation.
func sampling(mean, p90, requests, assumed float64) float64 {
	if !(requests > 0) {
		return 0
	}
	cv := assumed
	if p90 > mean {
		cv = (p90/mean - 1) / 1.2816
	}
	return cv * cv / requests
}

// overlap is the number of observations of a source that one measured request enters, because windows are longer than the time between.
func (o *Observation) overlap(last *v1alpha1.SourceMemory) float64 {
	if last == nil || !(o.Window > 0) || !(o.Time > last.Seconds) {
		return 1
	}
	return max(1, o.Window/(o.Time-last.Seconds))
}

const (
	// fewWaiting is how many requests may wait, as a share of those that run, without TTFT being taken to hold their wait.
	//
	// Tuned: share; guard against one request that waits for the next iteration: half and twice of it make no difference over the scenarios
	fewWaiting = 0.05
	// nearlyFull is the share of the places from which on requests are taken to wait where nobody counts them.
	//
	// Tuned: share; guard against a wait that nobody measured: half and twice its distance from 1 make no difference over the scenarios
	nearlyFull = 0.95
)

// waited says that requests waited for a place, so that TTFT is not that of the batch alone.
func (o *Observation) waited() bool {
	if o.Waiting > fewWaiting*max(1, o.Running) {
		return true
	}
	return math.IsNaN(o.Waiting) && o.MaxBatch > 0 && o.Running > nearlyFull*float64(o.MaxBatch)
}

// faults are values that cannot be. NaN is not a fault where something may be left unmeasured.
func (o *Observation) faults() error {
	var faults []error
	check := func(field string, v float64, ok bool, allowed string) {
		if !ok {
			faults = append(faults, fmt.Errorf("%s: %v is not allowed, must be %s", field, v, allowed))
		}
	}
	positive := func(v, most float64) bool { return v >= 1/most && v <= most }
	unknownOr := func(v float64, ok bool) bool { return math.IsNaN(v) || ok }
	check("time", o.Time, unknownOr(o.Time, o.Time >= 0 && o.Time < maxSeconds), "seconds since 1970")
	check("inputTokens", o.InputTokens, o.InputTokens >= 0 && o.InputTokens <= maxTokens, "0 to 1e7")
	check("inputTokensSD", o.InputTokensSD, !o.PromptsOnly || unknownOr(o.InputTokensSD, o.InputTokensSD >= 0 && o.InputTokensSD <= maxTokens), "0 to 1e7")
	check("outputTokens", o.OutputTokens, positive(o.OutputTokens, maxTokens), "above 0, to 1e7")
	check("itl", o.ITL, unknownOr(o.ITL, positive(o.ITL, maxLatency)), "1e-7 to 1e7 seconds")
	check("ttft", o.TTFT, unknownOr(o.TTFT, positive(o.TTFT, maxLatency)), "1e-7 to 1e7 seconds")
	check("running", o.Running, unknownOr(o.Running, positive(o.Running, maxRunning)), "above 0, to 65536, where latencies were measured")
	check("prefixHitRate", o.PrefixHitRate, unknownOr(o.PrefixHitRate, o.PrefixHitRate >= 0 && o.PrefixHitRate <= 1), "0 to 1")
	check("admissions", o.Admissions, unknownOr(o.Admissions, o.Admissions >= 0 && o.Admissions <= maxRate), "0 to 1e7")
	check("preemptions", o.Preemptions, unknownOr(o.Preemptions, o.Preemptions >= 0 && o.Preemptions <= maxRate), "0 to 1e7")
	check("runningSD", o.RunningSD, unknownOr(o.RunningSD, o.RunningSD >= 0 && o.RunningSD <= maxRunning), "0 to 65536")
	for _, c := range []struct {
		field string
		v     float64
	}{{"waiting", o.Waiting}, {"requests", o.Requests}, {"throughput", o.Throughput}, {"replicas", o.Replicas}} {
		check(c.field, c.v, unknownOr(c.v, c.v >= 0 && c.v <= maxCount), "0 to 1e12")
	}
	if math.IsNaN(o.Running) || o.PromptsOnly {
		check("arrivalRate", o.ArrivalRate, positive(o.ArrivalRate, maxRate), "above 0, to 1e7, where running requests are not measured")
	}
	if math.IsNaN(o.ITL) && math.IsNaN(o.TTFT) {
		faults = append(faults, errors.New("neither itl nor ttft was measured"))
	}
	return errors.Join(faults...)
}

const (
	maxTokens  = 1e7     // Tuned: tokens; guard against a number that is a mistake
	maxLatency = 1e7     // Tuned: s; guard against a number that is a mistake
	maxRate    = 1e7     // Tuned: req/s; guard against a number that is a mistake
	maxCount   = 1e12    // Tuned: requests; guard against a number that is a mistake
	maxRunning = 1 << 16 // Tuned: requests; guard against a number that is a mistake
	maxSeconds = 1e11    // Tuned: s; guard against times in another unit
)

// stale says whether an observation repeats the last one of its source. Two windows of real traffic never agree to the last bit.
func (o *Observation) stale(last *v1alpha1.SourceMemory) error {
	if last == nil {
		return nil
	}
	if o.Time <= last.Seconds {
		return fmt.Errorf("stale: measured at %v, but %v was seen before", o.Time, last.Seconds)
	}
	now := o.status()
	if now.ITL == last.ITL && now.TTFT == last.TTFT && now.Running == last.Running && now.ArrivalRate == last.ArrivalRate {
		return errors.New("stale: repeats the last observation")
	}
	return nil
}

// status is what is remembered of the observation.
func (o *Observation) status() v1alpha1.SourceMemory {
	known := func(v float64) float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return 0
		}
		return v
	}
	return v1alpha1.SourceMemory{
		Name: o.Source, Seconds: known(o.Time), Running: known(o.Running), ArrivalRate: known(o.ArrivalRate), Replicas: known(o.Replicas),
		ITL: known(o.ITL), TTFT: known(o.TTFT),
	}
}
