package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// engines compares the queueing model with the project's own simulator of an engine, which shares the law but nothing else: what is left is
// the error of queueing alone.
func engines(w io.Writer) error {
	fmt.Fprint(w, "\n### Simulated engine with a known law, median errors of the queueing model alone\n\n| limited by | interarrival CV | load | runs | ITL | P90 ITL | P99 ITL | TTFT | P90 TTFT | P99 TTFT | P90 ITL of requests | P99 of it |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, cv := range []float64{0, 1, 2} {
		if err := engineRows(w, "batch, token budget", cv, limited); err != nil {
			return err
		}
	}
	return engineRows(w, "KV cache", 1, cached)
}

// limited are engines with small batches and budgets; cached those whose KV cache holds 64 or 24 requests.
func limited(_, _ float64) []queueing.Limits {
	return []queueing.Limits{{MaxBatch: 32, MaxBatchedTokens: 8192}, {MaxBatch: 128, MaxBatchedTokens: 2048}, {MaxBatch: 128, MaxBatchedTokens: 512}}
}

func cached(input, output float64) []queueing.Limits {
	request := int(input + output/2)
	return []queueing.Limits{{MaxBatch: 256, MaxBatchedTokens: 8192, KVTokens: 64 * request}, {MaxBatch: 256, MaxBatchedTokens: 2048, KVTokens: 24 * request}}
}

// engineRows writes a row for each load: the medians over token shapes and limits.
func engineRows(w io.Writer, name string, cv float64, limits func(input, output float64) []queueing.Limits) error {
	for _, load := range []float64{0.3, 0.6, 0.8, 0.9} {
		errs := make([][]float64, 8)
		for _, shape := range [][2]float64{{1024, 256}, {512, 128}, {4096, 512}} {
			for _, l := range limits(shape[0], shape[1]) {
				l.MaxQueue = 1 << 20
				e, err := engineErrors(shape[0], shape[1], cv, load, l)
				if err != nil {
					return err
				}
				for i := range errs {
					errs[i] = append(errs[i], e[i])
				}
			}
		}
		fmt.Fprintf(w, "| %s | %g | %g | %d |", name, cv, load, len(errs[0]))
		for _, e := range errs {
			fmt.Fprintf(w, " %.1f %% |", 100*median(e))
		}
		fmt.Fprintln(w)
	}
	return nil
}

// A queue near saturation forgets slowly, so that one run says little: runs are many and long, and begin to count after a while.
const simulatedRuns, simulatedRequests, warmRequests = 6, 15000, 3000

// engineErrors at a share of the sustainable rate: of mean, P90 and P99 of ITL, then of TTFT, and of P90 and P99 of the mean ITL of requests.
func engineErrors(input, output, cv, load float64, limits queueing.Limits) ([]float64, error) {
	law := queueing.Work{Alpha: 7e-3, Beta: 2.5e-6, Gamma: 8e-8}
	requests := queueing.Requests{InputTokens: input, OutputTokens: output, InputTokensSD: input / 3, OutputTokensSD: output / 3, ArrivalCV: cv}
	replica, err := queueing.ContinuousBatching{}.Replica(law, requests, limits)
	if err != nil {
		return nil, err
	}
	rate := load * replica.MaxRate()
	want, err := replica.Open(rate)
	if err != nil {
		return nil, err
	}
	got := newObserved()
	for run := range uint64(simulatedRuns) {
		if err := got.run(law, requests, limits, rate, run); err != nil {
			return nil, err
		}
	}
	itl, p90, p99 := weighted(got.intervals)
	slices.Sort(got.ttft)
	slices.Sort(got.requestITL)
	quantile := func(v []float64, q float64) float64 { return v[int(q*float64(len(v)-1))] }
	var errs []float64
	for _, pair := range [][2]float64{
		{want.ITL.Mean, itl}, {want.ITL.P90, p90}, {want.ITL.P99, p99},
		{want.TTFT.Mean, mean(got.ttft)}, {want.TTFT.P90, quantile(got.ttft, 0.9)}, {want.TTFT.P99, quantile(got.ttft, 0.99)},
		{want.RequestITL.P90, quantile(got.requestITL, 0.9)}, {want.RequestITL.P99, quantile(got.requestITL, 0.99)},
	} {
		errs = append(errs, math.Abs(pair[0]/pair[1]-1))
	}
	return errs, nil
}

// observed is what simulated engines did, over all runs.
type observed struct {
	intervals        map[float64]int // by length
	ttft, requestITL []float64
}

func newObserved() *observed { return &observed{intervals: map[float64]int{}} }

// run simulates one engine from empty.
func (o *observed) run(law queueing.Work, requests queueing.Requests, limits queueing.Limits, rate float64, seed uint64) error {
	blocks := 1 << 20
	if limits.KVTokens > 0 {
		blocks = limits.KVTokens / blockSize
	}
	engine, err := simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: limits.MaxBatch, MaxNumBatchedTokens: limits.MaxBatchedTokens},
		Cache:    simulation.Cache{BlockSize: blockSize, Blocks: blocks},
		StepTime: simulation.Linear{Base: law.Alpha, PerToken: law.Beta, PerContext: law.Gamma},
		Seed:     1,
		Hooks: simulation.Hooks{
			TokenInterval: func(at, seconds float64, count int) {
				if at > warmRequests/rate && at < simulatedRequests/rate {
					o.intervals[seconds] += count
				}
			},
			Completed: func(c simulation.Completion) {
				if itl, ok := c.ITL(); ok && c.ID > warmRequests {
					o.requestITL = append(o.requestITL, itl)
				}
			},
			FirstToken: func(_, seconds float64, r simulation.Request) {
				if r.ID > warmRequests {
					o.ttft = append(o.ttft, seconds)
				}
			},
		},
	})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, math.Float64bits(rate)))
	at := 0.0
	for i := range uint64(simulatedRequests) {
		at += gap(random, requests.ArrivalCV) / rate
		r := simulation.Request{ID: i, ArrivedAt: at, InputTokens: length(random, requests.InputTokens), OutputTokens: length(random, requests.OutputTokens)}
		engine.Advance(at, nil)
		if err := engine.Submit(at, r); err != nil {
			return err
		}
	}
	engine.Advance(at+1e5, nil)
	return nil
}

// blockSize of simulated KV caches, in tokens.
const blockSize = 16

// gap between arrivals with mean 1: equal, or gamma distributed, which is what describes bursts of requests to language models (ServeGen,
// arXiv 2505.09999, section 3) and what benchmarks send (vllm bench serve --burstiness).
func gap(r *rand.Rand, cv float64) float64 {
	if cv == 0 {
		return 1
	}
	shape := 1 / (cv * cv)
	return distuv.Gamma{Alpha: shape, Beta: shape, Src: r}.Rand()
}

// length of a prompt or an answer: normal with a third of the mean as deviation.
func length(r *rand.Rand, mean float64) int {
	return max(1, int(math.Round(mean*(1+r.NormFloat64()/3))))
}

// weighted mean and percentiles of values that were counted.
func weighted(counts map[float64]int) (mean, p90, p99 float64) {
	values := make([]float64, 0, len(counts))
	total := 0
	for v, n := range counts {
		values = append(values, v)
		total += n
	}
	slices.Sort(values)
	seen := 0
	for _, v := range values {
		n := counts[v]
		mean += v * float64(n) / float64(total)
		if float64(seen) < 0.9*float64(total) {
			p90 = v
		}
		if float64(seen) < 0.99*float64(total) {
			p99 = v
		}
		seen += n
	}
	return mean, p90, p99
}
