package sizing_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// pair of a server and an accelerator that it may run on.
type pair struct {
	Law      queueing.Law
	Requests queueing.Requests
	Limits   queueing.Limits
}

// server with its pairs.
type server struct {
	pairs    []pair
	arrivals float64
	targets  sizing.Targets
}

// fleet of servers with 20 accelerators each: laws from a slow card to a fast one, all kinds of lengths, loads and targets.
func fleet(servers int) []server {
	const accelerators = 20
	random := rand.New(rand.NewPCG(4, 2))
	between := func(low, high float64) float64 { return low * math.Exp(random.Float64()*math.Log(high/low)) }
	all := make([]server, servers)
	for i := range all {
		size := between(0.3, 3) // of the model
		requests := queueing.Requests{
			InputTokens: between(64, 4096), OutputTokens: between(32, 1024), InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN(),
		}
		all[i].arrivals = between(0.5, 200)
		all[i].targets = sizing.Targets{TTFT: between(0.2, 2), ITL: between(0.01, 0.1)}
		for range accelerators {
			speed := between(0.5, 4)
			all[i].pairs = append(all[i].pairs, pair{
				Law: queueing.Roofline{
					Overhead: 2e-3, Weights: 5e-3 * size / speed, Compute: 2e-5 * size / speed, KV: 5e-8 * size / speed, Attention: 1e-9 / speed,
					Sequence: 1e-5, Delay: 1e-2,
				},
				Requests: requests, Limits: queueing.Limits{MaxBatch: 256, MaxQueue: 1024, MaxBatchedTokens: 8192},
			})
		}
	}
	return all
}

// BenchmarkFleet sizes pairs of 250 servers with 20 accelerators, for means and for percentiles. ns/pair is the time of one.
func BenchmarkFleet(b *testing.B) {
	servers := fleet(250)
	pairs := 0
	for _, s := range servers {
		pairs += len(s.pairs)
	}
	slow := func() { plainServer.size(benchTarget.TTFT, benchTarget.ITL) }
	perPair := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pairs), "ns/pair")
	}
	b.Run("distributions", func(b *testing.B) {
		sizer := sizing.Sizer{Model: queueing.ContinuousBatching{}}
		timesFaster(b, pairs, slow, func() {
			for _, s := range servers {
				for i := range s.pairs {
					p := &s.pairs[i]
					if _, _, err := sizer.RatePerReplica(p.Law, p.Requests, p.Limits, s.targets); err != nil && !errors.As(err, new(*sizing.Infeasible)) {
						b.Fatal(err)
					}
				}
			}
		})
		perPair(b)
	})
	b.Run("percentiles", func(b *testing.B) {
		sizer := sizing.Sizer{Model: queueing.ContinuousBatching{}}
		timesFaster(b, pairs, slow, func() {
			for _, s := range servers {
				s.targets.Percentile = 90
				for i := range s.pairs {
					p := &s.pairs[i]
					if _, _, err := sizer.RatePerReplica(p.Law, p.Requests, p.Limits, s.targets); err != nil && !errors.As(err, new(*sizing.Infeasible)) {
						b.Fatal(err)
					}
				}
			}
		})
		perPair(b)
	})
}
