package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

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

// latencies are what is compared, in seconds: mean, P90 and P99 of TTFT over requests, of ITL over intervals, and P90 and P99 of each request's
// mean ITL.
type latencies struct{ ttft, ttft90, ttft99, itl, itl90, itl99, request90, request99 float64 }

func predicted(q queueing.Prediction) latencies {
	return latencies{q.TTFT.Mean, q.TTFT.P90, q.TTFT.P99, q.ITL.Mean, q.ITL.P90, q.ITL.P99, q.RequestITL.P90, q.RequestITL.P99}
}

// played is what simulated engines did, over all runs.
type played struct {
	intervals        map[float64]int // by length
	ttft, requestITL []float64
	preemptions      int64
}

// play runs an engine from empty over requests that arrive as given, the first quarter of which does not count.
func (o *played) play(law queueing.Law, limits queueing.Limits, hits float64, requests []simulation.Request) error {
	first := uint64(len(requests) / 4)
	counting := false
	engine, err := newEngine(law, limits, hits, simulation.Hooks{
		TokenInterval: func(_, seconds float64, count int) {
			if counting {
				o.intervals[seconds] += count
			}
		},
		Completed: func(c simulation.Completion) {
			if c.ID < first {
				return
			}
			o.ttft = append(o.ttft, c.TTFT())
			if itl, ok := c.ITL(); ok {
				o.requestITL = append(o.requestITL, itl)
			}
		},
	})
	if err != nil {
		return err
	}
	var done []simulation.Completion
	for _, r := range requests {
		done = engine.Advance(r.ArrivedAt, done[:0])
		counting = r.ID >= first
		if err := engine.Submit(r.ArrivedAt, r); err != nil {
			return err
		}
	}
	counting = false
	engine.Advance(math.Inf(1), nil)
	o.preemptions += engine.Stats().Preemptions
	return nil
}

func newEngine(law queueing.Law, limits queueing.Limits, hits float64, hooks simulation.Hooks) (*simulation.Engine, error) {
	blocks := 1 << 24
	if limits.KVTokens > 0 {
		blocks = max(1, limits.KVTokens/blockSize)
	}
	return simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: limits.MaxBatch, MaxNumBatchedTokens: limits.MaxBatchedTokens},
		Cache:    simulation.Cache{BlockSize: blockSize, Blocks: blocks, PrefixHitRate: hits},
		StepTime: lawStep{law},
		Hooks:    hooks,
	})
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

// tokens of a prompt or an answer: gamma distributed, at least one, at most as many as given.
func tokens(r *rand.Rand, mean, sd float64, most int) int {
	shape := (mean / sd) * (mean / sd)
	return min(most, max(1, int(math.Round(distuv.Gamma{Alpha: shape, Beta: shape / mean, Src: r}.Rand()))))
}
