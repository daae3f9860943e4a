package sizing_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// exhaustive is the smallest batch within 2 % of the peak over all batches, by trying them all.
func exhaustive(t *testing.T, law queueing.Law, req queueing.Requests, lim queueing.Limits, targets sizing.Targets) (batch int, peak float64) {
	t.Helper()
	rates := make([]float64, lim.MaxBatch+1)
	for n := 1; n <= lim.MaxBatch; n++ {
		l := lim
		l.MaxBatch = n
		rate, _, err := sizing.RatePerReplica(queueing.StateDependent{}, law, req, l, targets)
		if err != nil && !errors.As(err, new(*sizing.Infeasible)) {
			t.Fatal(err)
		}
		if err == nil {
			rates[n] = rate
			peak = math.Max(peak, rate)
		}
	}
	for n, r := range rates {
		if r > 0 && r >= 0.98*peak {
			return n, peak
		}
	}
	return 0, 0
}

func TestChosenBatchIsSmallestNearTruePeak(t *testing.T) {
	for i, p := range solved(t) {
		if i%4 != 0 { // exhaustive search is slow
			continue
		}
		law, req, lim := problem(p)
		targets := sizing.Targets{TTFT: p["slo_ttft_ms"] / 1e3, ITL: p["slo_itl_ms"] / 1e3}
		want, peak := exhaustive(t, law, req, lim, targets)
		got, err := sizing.Choose(queueing.StateDependent{}, law, req, lim, targets, sizing.Free{Batch: true})
		if errors.As(err, new(*sizing.Infeasible)) && want == 0 {
			continue
		}
		if err != nil {
			t.Errorf("point %d: %v, want a batch of %d", i, err, want)
			continue
		}
		if got.Rate < 0.98*peak*(1-1e-3) || got.Limits.MaxBatch > want+1 {
			t.Errorf("point %d: batch %d at %.5g/s, want %d (of %d) with a peak of %.5g/s", i, got.Limits.MaxBatch, got.Rate, want, lim.MaxBatch, peak)
		}
	}
}

// TestChosenBudgetIsNearThePeak compares with all budgets on a fine scale, for targets that pull both ways.
func TestChosenBudgetIsNearThePeak(t *testing.T) {
	law := queueing.Roofline{Overhead: 1e-3, Weights: 5.5e-3, Compute: 5e-6, Attention: 2e-10, KV: 7e-8, Sequence: 1e-5, Prefill: 5e-4, Delay: 0.01, Spread: 1}
	for _, shape := range [][2]float64{{1024, 256}, {4096, 128}, {256, 512}} {
		req := queueing.Requests{InputTokens: shape[0], OutputTokens: shape[1], InputTokensSD: shape[0] / 3, OutputTokensSD: shape[1] / 3, ArrivalCV: 1}
		lim := queueing.Limits{MaxBatch: 128, MaxQueue: 1000, MaxBatchedTokens: 8192}
		for _, targets := range []sizing.Targets{{TTFT: 0.3, ITL: 0.012}, {TTFT: 0.5, ITL: 0.015, Percentile: 95}, {TTFT: 1}} {
			best, at := 0.0, 0
			for b := 64.0; b <= 8192; b *= 1.1 {
				l := lim
				l.MaxBatchedTokens = int(b)
				rate, _, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, law, req, l, targets)
				if err != nil && !errors.As(err, new(*sizing.Infeasible)) {
					t.Fatal(err)
				}
				if err == nil && rate > best {
					best, at = rate, l.MaxBatchedTokens
				}
			}
			got, err := sizing.Choose(queueing.ContinuousBatching{}, law, req, lim, targets, sizing.Free{Budget: true})
			if best == 0 && errors.As(err, new(*sizing.Infeasible)) {
				continue
			}
			if err != nil {
				t.Errorf("%v, %+v: %v, want a budget of %d", shape, targets, err, at)
				continue
			}
			if got.Rate < 0.98*best {
				t.Errorf("%v, %+v: %.4g/s at %d, best is %.4g/s at %d", shape, targets, got.Rate, got.Limits.MaxBatchedTokens, best, at)
			}
			t.Logf("%v, %+v: %.4g/s at %d, best on the scale %.4g/s at %d", shape, targets, got.Rate, got.Limits.MaxBatchedTokens, best, at)
		}
	}
}

func TestInfeasibleSaysWhichAndBest(t *testing.T) {
	law := queueing.Work{Alpha: 0.01}
	req := queueing.Requests{InputTokens: 100, OutputTokens: 100, InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN()}
	lim := queueing.Limits{MaxBatch: 8, MaxQueue: 10, MaxBatchedTokens: 8192}
	for _, model := range []queueing.Model{queueing.StateDependent{}, queueing.ContinuousBatching{}, queueing.Bound{}} {
		_, _, err := sizing.RatePerReplica(model, law, req, lim, sizing.Targets{TTFT: 10, ITL: 0.005})
		var infeasible *sizing.Infeasible
		if !errors.As(err, &infeasible) || infeasible.Target != "ITL" || infeasible.Want != 0.005 || math.Abs(infeasible.Best/0.01-1) > 0.05 {
			t.Errorf("%T: %v is not about ITL with a best of 10 ms", model, err)
		}
	}
	if _, _, err := sizing.RatePerReplica(queueing.StateDependent{}, law, req, lim, sizing.Targets{TTFT: 1, Percentile: 99}); err == nil {
		t.Error("a model of means sizes for a percentile")
	}
	bad := sizing.Targets{TTFT: -1, ITL: math.NaN(), TPS: math.Inf(1), Percentile: 100}
	if err := bad.Validate(); err == nil || len(strings.Split(err.Error(), "\n")) != 4 {
		t.Errorf("four faults, but %v", err)
	}
}

func TestSizedRateMeetsTheTargetsAndNoHigherOneDoes(t *testing.T) {
	for i, p := range solved(t) {
		law, req, lim := problem(p)
		targets := sizing.Targets{TTFT: p["slo_ttft_ms"] / 1e3, ITL: p["slo_itl_ms"] / 1e3}
		for _, model := range []queueing.Model{queueing.ContinuousBatching{}, queueing.Bound{}} {
			_, got, err := sizing.RatePerReplica(model, law, req, lim, targets)
			if errors.As(err, new(*sizing.Infeasible)) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.TTFT.Mean > targets.TTFT*(1+1e-9) || got.ITL.Mean > targets.ITL*(1+1e-9) {
				t.Errorf("point %d: TTFT %v and ITL %v miss %+v", i, got.TTFT.Mean, got.ITL.Mean, targets)
			}
			replica, err := model.Replica(law, req, lim)
			if err != nil {
				t.Fatal(err)
			}
			higher := got.Rate * 1.01
			if higher > replica.MaxRate() {
				continue
			}
			q, err := replica.Open(higher)
			if err != nil {
				t.Fatal(err)
			}
			if q.TTFT.Mean < targets.TTFT*0.999 && q.ITL.Mean < targets.ITL*0.999 {
				t.Errorf("point %d: %v/s meets the targets as well as %v/s", i, higher, got.Rate)
			}
		}
	}
}

func TestReplicasAndDemand(t *testing.T) {
	for _, c := range []struct {
		total, each float64
		least, want int
	}{{10, 3, 0, 4}, {9, 3, 0, 3}, {0, 3, 1, 1}, {1, 100, 2, 2}} {
		if got := sizing.Replicas(c.total, c.each, c.least); got != c.want {
			t.Errorf("%v at %v each, at least %d: %d replicas, want %d", c.total, c.each, c.least, got, c.want)
		}
	}
	if got := (sizing.Targets{TPS: 1000}).Demand(3, 100); got != 10 {
		t.Errorf("1000 tokens/s of 100 tokens a request are %v/s, want 10", got)
	}
	if got := (sizing.Targets{}).Demand(3, 100); got != 3 {
		t.Errorf("without a target on tokens demand is %v, want what arrives", got)
	}
}
