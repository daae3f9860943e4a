package main

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// engines compares the queueing model with the project's own simulator of an engine, which shares the law but nothing else: what is left is
// the error of queueing alone.
func engines(w io.Writer) error {
	fmt.Fprint(w, "\n### Simulated engine with a known law, median errors of the queueing model alone\n\n| interarrival CV | load | runs | ITL | P90 ITL | P99 ITL | TTFT | P90 TTFT | P99 TTFT | P90 ITL of requests | P99 of it |\n|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, cv := range []float64{0, 1, 2} {
		for _, load := range []float64{0.3, 0.6, 0.8, 0.9} {
			errs := make([][]float64, 8)
			runs := 0
			for _, shape := range [][2]float64{{1024, 256}, {512, 128}, {4096, 512}} {
				for _, limits := range []queueing.Limits{
					{MaxBatch: 32, MaxBatchedTokens: 8192}, {MaxBatch: 128, MaxBatchedTokens: 2048}, {MaxBatch: 128, MaxBatchedTokens: 512},
				} {
					limits.MaxQueue = 1 << 20
					e, err := engineErrors(shape[0], shape[1], cv, load, limits)
					if err != nil {
						return err
					}
					for i := range errs {
						errs[i] = append(errs[i], e[i])
					}
					runs++
				}
			}
			fmt.Fprintf(w, "| %g | %g | %d |", cv, load, runs)
			for _, e := range errs {
				fmt.Fprintf(w, " %.1f %% |", 100*median(e))
			}
			fmt.Fprintln(w)
		}
	}
	return nil
}

const simulatedRequests = 6000

// engineErrors of one run: of mean, P90 and P99 of ITL, then of TTFT, and of P90 and P99 of the mean ITL of requests.
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

	intervals := map[float64]int{}
	var ttft, own []float64
	warm := simulatedRequests / 10
	engine, err := simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: limits.MaxBatch, MaxNumBatchedTokens: limits.MaxBatchedTokens},
		Cache:    simulation.Cache{BlockSize: 16, Blocks: 1 << 20},
		StepTime: simulation.Linear{Base: law.Alpha, PerToken: law.Beta, PerContext: law.Gamma},
		Seed:     1,
		Hooks: simulation.Hooks{
			TokenInterval: func(at, seconds float64, count int) {
				if at > float64(warm)/rate && at < simulatedRequests/rate {
					intervals[seconds] += count
				}
			},
			Completed: func(c simulation.Completion) {
				if itl, ok := c.ITL(); ok && int(c.ID) > warm {
					own = append(own, itl)
				}
			},
			FirstToken: func(_, seconds float64, r simulation.Request) {
				if int(r.ID) > warm {
					ttft = append(ttft, seconds)
				}
			},
		},
	})
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(7, 8))
	at := 0.0
	for i := range simulatedRequests {
		at += gap(random, cv) / rate
		r := simulation.Request{ID: uint64(i), ArrivedAt: at, InputTokens: length(random, input), OutputTokens: length(random, output)}
		engine.Advance(at, nil)
		if err := engine.Submit(at, r); err != nil {
			return nil, err
		}
	}
	engine.Advance(at+1e4, nil)

	average := mean(ttft)
	itl, p90, p99 := weighted(intervals)
	slices.Sort(ttft)
	slices.Sort(own)
	quantile := func(v []float64, q float64) float64 { return v[int(q*float64(len(v)-1))] }
	var errs []float64
	for _, pair := range [][2]float64{
		{want.ITL.Mean, itl}, {want.ITL.P90, p90}, {want.ITL.P99, p99},
		{want.TTFT.Mean, average}, {want.TTFT.P90, quantile(ttft, 0.9)}, {want.TTFT.P99, quantile(ttft, 0.99)},
		{want.RequestITL.P90, quantile(own, 0.9)}, {want.RequestITL.P99, quantile(own, 0.99)},
	} {
		errs = append(errs, math.Abs(pair[0]/pair[1]-1))
	}
	return errs, nil
}

// gap between arrivals with mean 1: equal, exponential, or hyperexponential with balanced means.
func gap(r *rand.Rand, cv float64) float64 {
	switch {
	case cv == 0:
		return 1
	case cv <= 1:
		return r.ExpFloat64()
	}
	p := (1 + math.Sqrt((cv*cv-1)/(cv*cv+1))) / 2
	if r.Float64() < p {
		return r.ExpFloat64() / (2 * p)
	}
	return r.ExpFloat64() / (2 * (1 - p))
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
