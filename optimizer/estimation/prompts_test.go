package estimation_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/stat"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// steps are the iterations of an engine that keeps a law.
type steps struct{ queueing.Law }

// Seconds implements simulation.StepTime.
func (s steps) Seconds(b simulation.Batch) float64 {
	return s.IterationTime(queueing.Batch{
		Decodes: float64(b.Decodes), DecodeContext: float64(b.DecodeContext), Prefills: float64(b.Prefills), PrefillTokens: float64(b.PrefillTokens),
		PrefillContext: float64(b.PrefillContext), PrefillPairs: b.PrefillPairs,
	})
}

// Validate implements simulation.StepTime.
func (steps) Validate() error { return nil }

// observeEngine plays an engine under Poisson arrivals, and returns what is measured of it in each of so many windows of a minute.
func observeEngine(t *testing.T, l queueing.Law, limits queueing.Limits, input, output int, rate float64, windows int, seed uint64) []estimation.Observation {
	t.Helper()
	const window = 60.0
	type sums struct{ ttft, first, intervals, tokens float64 }
	seen := make([]sums, windows+1)
	in := func(at float64) *sums { return &seen[min(int(at/window), windows)] }
	engine, err := simulation.New(simulation.Config{
		Limits:   simulation.Limits{MaxNumSeqs: limits.MaxBatch, MaxNumBatchedTokens: limits.MaxBatchedTokens},
		Cache:    simulation.Cache{BlockSize: 16, Blocks: 1 << 20},
		StepTime: steps{l},
		Hooks: simulation.Hooks{
			TokenInterval: func(at, seconds float64, count int) {
				s := in(at)
				s.intervals += seconds * float64(count)
				s.tokens += float64(count)
			},
			FirstToken: func(at, seconds float64, _ simulation.Request) {
				s := in(at)
				s.ttft += seconds
				s.first++
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var list []estimation.Observation
	r := rand.New(rand.NewPCG(seed, 5))
	at, id, next := r.ExpFloat64()/rate, uint64(0), window
	const scrape = 5.0
	waits := 0.0
	var gauge []float64
	for tick := scrape; len(list) < windows; tick += scrape {
		for ; at < tick; at += r.ExpFloat64() / rate {
			engine.Advance(at, nil)
			if err := engine.Submit(at, simulation.Request{ID: id, ArrivedAt: at, InputTokens: input, OutputTokens: output}); err != nil {
				t.Fatal(err)
			}
			id++
		}
		engine.Advance(tick, nil)
		stats := engine.Stats()
		waits += float64(stats.Waiting) * scrape / window
		gauge = append(gauge, float64(stats.Running))
		if tick < next {
			continue
		}
		s := seen[len(list)]
		o := estimation.Unmeasured("s")
		o.Time, o.Window, o.Replicas, o.Settled = 1.7e9+tick, window, 1, true
		o.Running, o.RunningSD = stat.PopMeanStdDev(gauge, nil)
		o.Waiting, o.Admissions, o.ArrivalRate = waits, s.first/window, s.first/window
		o.InputTokens, o.OutputTokens, o.Requests = float64(input), float64(output), s.first
		o.ITL, o.TTFT = s.intervals/s.tokens, s.ttft/s.first
		o.MaxBatch, o.MaxBatchedTokens = limits.MaxBatch, limits.MaxBatchedTokens
		list = append(list, o)
		next, waits, gauge = next+window, 0, nil
	}
	return list
}

// Prompts wait for each other. That is no compute: who begins with the right law keeps it, and predicts TTFT.
func TestWaitsOfPromptsAreNoCompute(t *testing.T) {
	l := queueing.Work{Alpha: 8e-3, Beta: 4.5e-5, Gamma: 6e-8}
	given := jsonspec.Performance{Acc: "A", PerfParms: &jsonspec.PerfParms{Alpha: 8, Beta: 0.045, Gamma: 6e-5}}
	for _, c := range []struct {
		input, output, budget int
		use, within           float64 // share of time that prompts take; what parameters may be off by
	}{
		{4096, 256, 8192, 0.35, 0.1}, {4096, 256, 2048, 0.35, 0.1}, {1024, 256, 8192, 0.3, 0.12}, {8192, 512, 8192, 0.2, 0.1}, {512, 512, 8192, 0.1, 0.1},
		{2048, 64, 8192, 0.5, 0.25}, // short answers begin together, and meet the prompts of one burst together: ITL is longer by 5 % than the sensor says
	} {
		rate := c.use / ((l.Beta + l.Gamma) * float64(c.input))
		p := newPupil(t, estimation.EstimatorEKF, given)
		ttft, itl := 0.0, 0.0
		const windows = 60
		for i, o := range observeEngine(t, l, queueing.Limits{MaxBatch: 256, MaxBatchedTokens: c.budget}, c.input, c.output, rate, windows, 1) {
			if j := p.sees(o); i > 0 && !math.IsNaN(j.InnovationTTFT) {
				ttft += j.InnovationTTFT / (windows - 1)
				itl += j.InnovationITL / (windows - 1)
			}
		}
		got := p.law()
		base, compute := got.alpha/given.PerfParms.Alpha-1, got.beta/given.PerfParms.Beta-1
		says := fmt.Sprintf("%d tokens in, %d out, budget %d, prompts %.0f %% of the time: the base is learned %+.1f %% off, compute %+.1f %%; TTFT is %+.1f %% longer than predicted, ITL %+.1f %%",
			c.input, c.output, c.budget, 100*c.use, 100*base, 100*compute, 100*math.Expm1(ttft), 100*math.Expm1(itl))
		t.Log(says)
		if math.Abs(base) > c.within || math.Abs(compute) > c.within || math.Abs(ttft) > 0.03 || math.Abs(itl) > 0.02 {
			t.Error(says)
		}
	}
}

// A budget that cuts prompts lets them hide behind reading the weights: they cost less than whole ones, and take longer.
func TestCutPromptsTeachTheSameLaw(t *testing.T) {
	l := queueing.Roofline{Overhead: 2.5e-3, Weights: 9.8e-3, Compute: 5.9e-5, Attention: 2e-9, KV: 6.5e-8, Sequence: 3e-5}
	for _, c := range []struct {
		budget int
		rate   float64
	}{{8192, 4}, {512, 4}, {160, 4}, {160, 2}} {
		p := newPupil(t, estimation.EstimatorEKF, rooflinePerformance(l))
		ttft := 0.0
		const windows = 60
		for i, o := range observeEngine(t, l, queueing.Limits{MaxBatch: 160, MaxBatchedTokens: c.budget}, 914, 504, c.rate, windows, 1) {
			if j := p.sees(o); i > 0 && !math.IsNaN(j.InnovationTTFT) {
				ttft += j.InnovationTTFT / (windows - 1)
			}
		}
		v := p.last.Performance.Law.Parameters
		base, compute := (v["overhead"]+v["weights"])/12.3-1, v["compute"]/0.059-1
		says := fmt.Sprintf("budget %d, %v requests/s: the base is learned %+.1f %% off, compute %+.1f %%, TTFT is %+.1f %% longer than predicted, by a factor of %.2f",
			c.budget, c.rate, 100*base, 100*compute, 100*math.Expm1(ttft), p.learned.Law.Parameters["calibration.ttft"])
		t.Log(says)
		if math.Abs(base) > 0.1 || math.Abs(compute) > 0.15 || math.Abs(p.learned.Law.Parameters["calibration.ttft"]-1) > 0.1 {
			t.Error(says)
		}
	}
}

// Replicas that compute prompts for others have no ITL. Their time to first token tells their law: what is half or twice as long as it was said to be is learned
// while the prompts wait for each other, and while they do not.
func TestPromptsAloneTeachTheirLaw(t *testing.T) {
	l := queueing.Roofline{Overhead: 2.5e-3, Weights: 9.8e-3, Compute: 5.9e-5, Attention: 2e-9, KV: 6.5e-8, Sequence: 3e-5}
	for _, wrong := range []float64{0.5, 1, 2} {
		said := l
		said.Overhead, said.Weights, said.Compute, said.Attention = wrong*l.Overhead, wrong*l.Weights, wrong*l.Compute, wrong*l.Attention
		for _, use := range []float64{0.1, 0.4, 0.6} {
			const input = 4096
			limits := queueing.Limits{MaxBatch: 64, MaxBatchedTokens: 8192}
			requests := queueing.Requests{InputTokens: input, OutputTokens: 1, ArrivalCV: 1}
			p := newPupil(t, estimation.EstimatorEKF, rooflinePerformance(said))
			rate := use / queueing.PromptTime(l, requests, limits, 0)
			for _, o := range observeEngine(t, l, limits, input, 1, rate, 60, 1) {
				o.PromptsOnly, o.InputTokensSD, o.ITL = true, 0, math.NaN()
				p.sees(o)
			}
			learned, err := queueing.NewLaw(p.last.Performance)
			if err != nil {
				t.Fatal(err)
			}
			got, want := queueing.PromptTime(learned, requests, limits, rate), queueing.PromptTime(l, requests, limits, rate)
			t.Logf("said to be %.1f times as long, busy for %.0f %%: %.3f s, truly %.3f s", wrong, 100*use, got, want)
			if math.Abs(got/want-1) > 0.1 {
				t.Errorf("said to be %.1f times as long, busy for %.0f %%: %.3f s, truly %.3f s", wrong, 100*use, got, want)
			}
		}
	}
}
