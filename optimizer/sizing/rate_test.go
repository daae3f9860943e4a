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

// solved reads the points that the reference implementation computed; see test/data/queueing/README.md.
func solved(t testing.TB) []map[string]float64 {
	t.Helper()
	f, err := os.Open("../../test/data/queueing/mm1k.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var points []map[string]float64
	for _, row := range rows[1:] {
		p := map[string]float64{}
		for i, name := range rows[0] {
			if p[name], err = strconv.ParseFloat(row[i], 64); err != nil {
				p[name] = math.NaN()
			}
		}
		points = append(points, p)
	}
	return points
}

func problem(p map[string]float64) (queueing.Work, queueing.Requests, queueing.Limits) {
	unknown := math.NaN()
	return queueing.Work{Alpha: p["alpha_ms"] / 1e3, Beta: p["beta_ms"] / 1e3, Gamma: p["gamma_ms"] / 1e3},
		queueing.Requests{
			InputTokens: p["input_tokens"], OutputTokens: p["output_tokens"],
			InputTokensSD: unknown, OutputTokensSD: unknown, ArrivalCV: unknown,
		},
		queueing.Limits{MaxBatch: int(p["max_batch"]), MaxQueue: int(p["max_queue"]), MaxBatchedTokens: int(p["max_batched_tokens"])}
}

// TestAgreesWithReference compares sized rates with those of the reference implementation, which bisects in single precision to 1e-3, hence
// the tolerance.
func TestAgreesWithReference(t *testing.T) {
	for i, p := range solved(t) {
		law, req, lim := problem(p)
		for name, targets := range map[string]sizing.Targets{
			"size_rate_ttft": {TTFT: p["slo_ttft_ms"] / 1e3},
			"size_rate_itl":  {ITL: p["slo_itl_ms"] / 1e3},
		} {
			_, q, err := sizing.RatePerReplica(queueing.StateDependent{}, law, req, lim, targets)
			switch want := p[name]; {
			case errors.As(err, new(*sizing.Infeasible)) && (math.IsNaN(want) || want == 0):
			case err != nil:
				t.Errorf("point %d: %s: want %v, got %v", i, name, want, err)
			case math.Abs(q.Rate/want-1) > 2e-3:
				t.Errorf("point %d: %s: want %v, got %v", i, name, want, q.Rate)
			}
		}
	}
}
