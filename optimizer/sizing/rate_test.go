package sizing_test

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// TestAgreesWithReference compares sized rates with those of the reference implementation; see test/data/README.md. The reference bisects in
// single precision to 1e-3, hence the tolerance.
func TestAgreesWithReference(t *testing.T) {
	f, err := os.Open("../../test/data/queueing/mm1k.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		get := func(name string) float64 {
			for i, n := range rows[0] {
				if n == name {
					v, err := strconv.ParseFloat(row[i], 64)
					if err != nil {
						return math.NaN()
					}
					return v
				}
			}
			t.Fatalf("no column %q", name)
			return 0
		}
		nan := math.NaN()
		law := queueing.Work{Alpha: get("alpha_ms") / 1e3, Beta: get("beta_ms") / 1e3, Gamma: get("gamma_ms") / 1e3}
		req := queueing.Requests{InputTokens: get("input_tokens"), OutputTokens: get("output_tokens"), InputTokensSD: nan, OutputTokensSD: nan, ArrivalCV: nan}
		lim := queueing.Limits{MaxBatch: int(get("max_batch")), MaxQueue: int(get("max_queue")), MaxBatchedTokens: int(get("max_batched_tokens"))}
		for name, targets := range map[string]sizing.Targets{
			"size_rate_ttft": {TTFT: get("slo_ttft_ms") / 1e3},
			"size_rate_itl":  {ITL: get("slo_itl_ms") / 1e3},
		} {
			_, p, err := sizing.RatePerReplica(queueing.StateDependent{}, law, req, lim, targets)
			var infeasible *sizing.Infeasible
			switch want := get(name); {
			case errors.As(err, &infeasible) && (math.IsNaN(want) || want == 0):
			case err != nil:
				t.Errorf("%s: want %v, got %v", name, want, err)
			case math.Abs(p.Rate/want-1) > 2e-3:
				t.Errorf("%s: want %v, got %v", name, want, p.Rate)
			}
		}
	}
}
