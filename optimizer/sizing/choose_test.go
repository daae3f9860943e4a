package sizing_test

import (
	"errors"
	"math"
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
