package estimation_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// roofline is a law of a dense model with seven states to learn.
var roofline = queueing.Roofline{
	Overhead: 1.5e-3, Weights: 9e-3, Compute: 4e-5, Attention: 2e-9, KV: 6e-8, Sequence: 2e-5, Prefill: 3e-3, Delay: 1e-2, KVTokens: 400000,
}

func rooflinePerformance(r queueing.Roofline) jsonspec.Performance {
	parms, err := queueing.ParmsOf(r)
	if err != nil {
		panic(err)
	}
	return jsonspec.Performance{Acc: "H100", Law: &parms}
}

// observeRoofline is like observe under the closed-loop formula: clients see one other less than random arrivals.
func (w *world) observeRoofline(t testing.TB, r queueing.Roofline, p point) estimation.Observation {
	c, err := queueing.Closed(r, queueing.Requests{InputTokens: p.input, OutputTokens: p.output}, queueing.Limits{MaxBatch: 256, MaxBatchedTokens: 8192}, p.running+1)
	if err != nil {
		t.Fatal(err)
	}
	o := w.observe(truth, p)
	o.ITL, o.TTFT = c.ITL.Mean*w.noise(0.02), (c.Prefill+c.ITL.Mean/2)*w.noise(0.08)
	return o
}

func TestLearnsTheRoofline(t *testing.T) {
	for _, name := range learners {
		for seed := range uint64(10) {
			w := newWorld(seed)
			wrong := roofline
			for _, p := range []*float64{&wrong.Overhead, &wrong.Weights, &wrong.Compute, &wrong.KV, &wrong.Prefill, &wrong.Delay} {
				*p *= math.Exp2(2*w.rng.Float64() - 1)
			}
			p := newPupil(t, name, rooflinePerformance(wrong))
			sum, n := 0.0, 0.0
			for i := range 60 {
				j := p.sees(w.observeRoofline(t, roofline, w.vary()))
				if i >= 20 {
					sum += math.Abs(math.Expm1(-j.InnovationITL))
					n++
				}
			}
			if sum/n > 0.05 {
				t.Errorf("%s, seed %d: ITL one step ahead is off by %.1f %%", name, seed, 100*sum/n)
			}
		}
	}
}

func BenchmarkUpdateRoofline(b *testing.B) {
	w := newWorld(1)
	e, err := estimation.Estimators().New(estimation.EstimatorEKF, nil)
	if err != nil {
		b.Fatal(err)
	}
	given := rooflinePerformance(roofline)
	var out estimation.Estimate
	b.ReportAllocs()
	for b.Loop() {
		if out, err = e.Estimate(given, out.Learned, []estimation.Observation{w.observeRoofline(b, roofline, w.vary())}); err != nil {
			b.Fatal(err)
		}
	}
}
