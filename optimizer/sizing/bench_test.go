package sizing_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Speed is reported as a ratio to the plain way in the same run: a birth–death solution over all states of batch and queue, and sizing by
// bisection of each target over the whole range. It is kept here for that purpose alone.

type plain struct {
	alpha, beta, gamma, in, out, budget float64
	batch, queue                        int
}

func (p plain) parts(b int) float64 {
	for m := 1.0; ; m++ {
		if math.Max(0, math.Floor((m+p.out)*(p.budget-p.in/m)/(p.in+p.out))) >= float64(b) {
			return m
		}
	}
}

func (p plain) work(c float64) float64 {
	return ((p.beta+p.gamma*(c+1)/2)*p.in + p.beta*p.out + p.gamma*p.out*(p.in+(p.out+1)/2)) / (c + p.out)
}

func (p plain) service(b int) float64 {
	c := p.parts(b)
	return (c + p.out) * (p.alpha + float64(b)*p.work(c))
}

// solve returns the mean time to first token and between tokens at a rate.
func (p plain) solve(rate float64) (ttft, itl float64) {
	states := p.batch + p.queue
	prob := make([]float64, states+1)
	mu := make([]float64, p.batch+1)
	for b := 1; b <= p.batch; b++ {
		mu[b] = float64(b) / p.service(b)
	}
	prob[0] = 1
	sum := 1.0
	for n := 1; n <= states; n++ {
		prob[n] = prob[n-1] * rate / mu[min(n, p.batch)]
		if prob[n] > 1e100 {
			for i := range prob[:n+1] {
				prob[i] *= 1e-100
			}
			sum *= 1e-100
		}
		sum += prob[n]
	}
	var inSystem, inService float64
	for n := range prob {
		prob[n] /= sum
		inSystem += prob[n] * float64(n)
		inService += prob[n] * float64(min(n, p.batch))
	}
	x := rate * (1 - prob[states])
	service := inService / x
	c := p.parts(min(max(int(math.Round(inService)), 1), p.batch))
	prefill := c*math.Max(0, p.alpha+(inService-1)*p.work(c)) + (p.beta+p.gamma*(c+1)/2)*p.in
	itl = (service - prefill) / p.out
	return math.Max(0, inSystem/x-service) + prefill + itl, itl
}

func (p plain) size(ttft, itl float64) float64 {
	low, high := 1e-3/p.service(1), (1-1e-3)*float64(p.batch)/p.service(p.batch)
	bisect := func(over func(rate float64) bool) float64 {
		if !over(high) {
			return high
		}
		a, b := low, high
		for b-a > 1e-6*b {
			if m := (a + b) / 2; over(m) {
				b = m
			} else {
				a = m
			}
		}
		return a
	}
	return math.Min(
		bisect(func(rate float64) bool { t, _ := p.solve(rate); return t > ttft }),
		bisect(func(rate float64) bool { _, i := p.solve(rate); return i > itl }))
}

// optimum is the smallest batch within 1 % of the rate at the largest, in about as many sizings as the reference takes.
func (p plain) optimum(ttft, itl float64) int {
	peak := p.size(ttft, itl)
	low, high := 0, p.batch
	for high-low > 1 {
		q := p
		q.batch = (low + high) / 2
		if q.size(ttft, itl) >= 0.99*peak {
			high = q.batch
		} else {
			low = q.batch
		}
	}
	return high
}

// server is the problem of the benchmarks: batch 256, queue 1024.
var (
	plainServer = plain{alpha: 8e-3, beta: 2e-5, gamma: 5e-8, in: 1024, out: 256, budget: 8192, batch: 256, queue: 1024}
	benchLaw    = queueing.Work{Alpha: 8e-3, Beta: 2e-5, Gamma: 5e-8}
	benchReq    = queueing.Requests{InputTokens: 1024, OutputTokens: 256, InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN()}
	benchLim    = queueing.Limits{MaxBatch: 256, MaxQueue: 1024, MaxBatchedTokens: 8192}
	benchTarget = sizing.Targets{TTFT: 0.25, ITL: 0.025}
)

func TestPlainAgrees(t *testing.T) {
	want := plainServer.size(benchTarget.TTFT, benchTarget.ITL)
	_, p, err := sizing.RatePerReplica(queueing.StateDependent{}, benchLaw, benchReq, benchLim, benchTarget)
	if err != nil || math.Abs(p.Rate/want-1) > 1e-4 {
		t.Errorf("sized at %v, %v; the plain way gives %v", p.Rate, err, want)
	}
}

// timesFaster runs fast, which does a number of pieces of work, b.N times and reports how many times one is faster than the plain way.
func timesFaster(b *testing.B, pieces int, slow func(), fast func()) {
	b.Helper()
	// Both are timed in turns, so that what else the machine does disturbs both alike.
	turn := max(1, 50/pieces)
	var reference time.Duration
	runs, n := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if n%turn == 0 {
			b.StopTimer()
			start := time.Now()
			slow()
			reference += time.Since(start)
			runs++
			b.StartTimer()
		}
		n++
		fast()
	}
	b.ReportMetric(float64(reference)/float64(runs)/(float64(b.Elapsed())/float64(n*pieces)), "x-plain")
}

func BenchmarkSize(b *testing.B) {
	for _, name := range queueing.Models().Names() {
		model, err := queueing.Models().New(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var law queueing.Law = benchLaw // boxed once
			sizer := sizing.Sizer{Model: model}
			timesFaster(b, 1, func() { plainServer.size(benchTarget.TTFT, benchTarget.ITL) }, func() {
				if _, _, err := sizer.RatePerReplica(law, benchReq, benchLim, benchTarget); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func BenchmarkOptimalBatch(b *testing.B) {
	var law queueing.Law = benchLaw
	sizer := sizing.Sizer{Model: queueing.StateDependent{}}
	timesFaster(b, 1, func() { plainServer.optimum(benchTarget.TTFT, benchTarget.ITL) }, func() {
		_, err := sizer.Choose(law, benchReq, benchLim, benchTarget, sizing.Free{Batch: true})
		if err != nil && !errors.As(err, new(*sizing.Infeasible)) {
			b.Fatal(err)
		}
	})
}

func BenchmarkChooseBudget(b *testing.B) {
	targets := sizing.Targets{TTFT: 0.5, ITL: 0.025, Percentile: 99}
	for b.Loop() {
		if _, err := sizing.Choose(queueing.ContinuousBatching{}, benchLaw, benchReq, benchLim, targets, sizing.Free{Batch: true, Budget: true}); err != nil {
			b.Fatal(err)
		}
	}
}
