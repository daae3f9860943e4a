package sizing_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// server with the accelerators that it may run on.
type server struct {
	pairs    []sizing.Pair
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
			all[i].pairs = append(all[i].pairs, sizing.Pair{
				Law: queueing.Roofline{
					Overhead: 2e-3, Weights: 5e-3 * size / speed, Compute: 2e-5 * size / speed, KV: 5e-8 * size / speed, Attention: 1e-9 / speed,
					Sequence: 1e-5, Delay: 1e-2,
				},
				Requests: requests, Limits: queueing.Limits{MaxBatch: 256, MaxQueue: 1024, MaxBatchedTokens: 8192},
				Replicas: 1, Cost: 100 * math.Pow(speed, between(0.7, 1.2)),
			})
		}
	}
	return all
}

// TestScreeningFindsTheCheapest compares with sizing every pair by the model.
func TestScreeningFindsTheCheapest(t *testing.T) {
	screener := sizing.NewScreener(queueing.ContinuousBatching{})
	served := 0
	for i, s := range fleet(60) {
		for _, percentile := range []float64{0, 90} {
			s.targets.Percentile = percentile
			want, lowest := -1, math.Inf(1)
			for j, p := range s.pairs {
				rate, _, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, p.Law, p.Requests, p.Limits, s.targets)
				if err != nil {
					continue
				}
				if cost := float64(sizing.Replicas(s.arrivals, rate, p.Replicas)) * p.Cost; cost < lowest {
					want, lowest = j, cost
				}
			}
			got, _, err := screener.Cheapest(s.pairs, s.arrivals, s.targets)
			if got != want || (err == nil) != (want >= 0) || err != nil && !errors.As(err, new(*sizing.Infeasible)) {
				t.Errorf("server %d, percentile %v: pair %d, %v; sizing all finds %d", i, percentile, got, err, want)
			}
			if want >= 0 {
				served++
			}
		}
	}
	if served < 60 {
		t.Errorf("only %d of 120 can be served: the fleet tests nothing", served)
	}
}

func TestScreeningRefusesWhatIsNoPair(t *testing.T) {
	pairs := fleet(1)[0].pairs[:1]
	pairs[0].Limits.MaxBatch = 0
	if got, _, err := sizing.NewScreener(queueing.ContinuousBatching{}).Cheapest(pairs, 1, sizing.Targets{}); got != -1 || err == nil || errors.As(err, new(*sizing.Infeasible)) {
		t.Errorf("a max batch of 0 gives pair %d, %v", got, err)
	}
}

// BenchmarkFleet sizes pairs of 250 servers with 20 accelerators: each with the model of distributions, and with the bound refined where
// it is promising. ns/pair is the time of one; below 30 000, 100 000 pairs take less than 3 s.
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
	b.Run("screened", func(b *testing.B) {
		screener := sizing.NewScreener(queueing.ContinuousBatching{})
		timesFaster(b, pairs, slow, func() {
			for _, s := range servers {
				if _, _, err := screener.Cheapest(s.pairs, s.arrivals, s.targets); err != nil && !errors.As(err, new(*sizing.Infeasible)) {
					b.Fatal(err)
				}
			}
		})
		perPair(b)
	})
}
