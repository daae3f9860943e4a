package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// lawStep lets the planner's law be the truth of a simulated engine, so that what is left is the error of queueing alone.
type lawStep struct{ queueing.Law }

// Seconds implements simulation.StepTime.
func (l lawStep) Seconds(b simulation.Batch) float64 {
	return l.IterationTime(queueing.Batch{
		Decodes: float64(b.Decodes), DecodeContext: float64(b.DecodeContext), Prefills: float64(b.Prefills),
		PrefillTokens: float64(b.PrefillTokens), PrefillContext: float64(b.PrefillContext), PrefillPairs: b.PrefillPairs,
	})
}

// Validate implements simulation.StepTime.
func (lawStep) Validate() error { return nil }

// latencies are what is compared: mean, P90 and P99 of TTFT over requests, of intervals, and P90 and P99 of each request's mean interval.
type latencies struct {
	ttft, ttft90, ttft99, itl, itl90, itl99, request90, request99 float64
}

func of(q queueing.Prediction) latencies {
	return latencies{q.TTFT.Mean, q.TTFT.P90, q.TTFT.P99, q.ITL.Mean, q.ITL.P90, q.ITL.P99, q.RequestITL.P90, q.RequestITL.P99}
}

// played is what a simulated engine did, over all its runs.
type played struct {
	intervals        map[float64]int // by length
	ttft, requestITL []float64
	from             uint64 // the first request that counts
}

// play runs an engine of the point from empty over that many requests, the first eighth of which do not count.
func (o *played) play(p *gridPoint, requests int, seed uint64) error {
	o.from = uint64(requests / 8)
	counting := false
	blocks := 1 << 24
	if p.limits.KVTokens > 0 {
		blocks = max(1, p.limits.KVTokens/blockSize)
	}
	engine, err := simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: p.limits.MaxBatch, MaxNumBatchedTokens: p.limits.MaxBatchedTokens},
		Cache:    simulation.Cache{BlockSize: blockSize, Blocks: blocks, PrefixHitRate: p.requests.PrefixHitRate},
		StepTime: lawStep{p.law},
		Hooks: simulation.Hooks{
			TokenInterval: func(_, seconds float64, count int) {
				if counting {
					o.intervals[seconds] += count
				}
			},
			Completed: func(c simulation.Completion) {
				if c.ID < o.from {
					return
				}
				o.ttft = append(o.ttft, c.TTFT())
				if itl, ok := c.ITL(); ok {
					o.requestITL = append(o.requestITL, itl)
				}
			},
		},
	})
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, math.Float64bits(p.rate)))
	at := 0.0
	most := blocks * blockSize / 4 // of a cache: no request is refused for its length
	for i := range requests {
		at += gap(random, p.requests.ArrivalCV) / p.rate
		engine.Advance(at, nil)
		counting = i >= requests/8
		r := simulation.Request{
			ID: uint64(i), ArrivedAt: at,
			InputTokens:  min(most, tokens(random, p.requests.InputTokens, p.requests.InputTokensSD)),
			OutputTokens: min(most, tokens(random, p.requests.OutputTokens, p.requests.OutputTokensSD)),
		}
		if err := engine.Submit(at, r); err != nil {
			return err
		}
	}
	counting = false
	engine.Advance(math.Inf(1), nil)
	return nil
}

// latencies of all that was played.
func (o *played) latencies() latencies {
	slices.Sort(o.ttft)
	slices.Sort(o.requestITL)
	itl, p90, p99 := weighted(o.intervals)
	return latencies{
		mean(o.ttft), quantile(o.ttft, 0.9), quantile(o.ttft, 0.99), itl, p90, p99, quantile(o.requestITL, 0.9), quantile(o.requestITL, 0.99),
	}
}

func quantile(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// tokens of a prompt or an answer: gamma distributed, at least one.
func tokens(r *rand.Rand, mean, sd float64) int {
	c := sd / mean
	return max(1, int(math.Round(mean*gamma(r, 1/(c*c)))))
}

// gamma draws from the gamma distribution of that shape with mean 1 (Marsaglia & Tsang, ACM Transactions on Mathematical Software 26, 2000).
func gamma(r *rand.Rand, shape float64) float64 {
	boost, a := 1.0, shape
	if a < 1 {
		boost, a = math.Pow(r.Float64(), 1/a), a+1
	}
	d := a - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := r.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		if math.Log(r.Float64()) < x*x/2+d*(1-v+math.Log(v)) {
			return boost * d * v / shape
		}
	}
}
