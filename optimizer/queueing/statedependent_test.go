package queueing_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// solved reads the points that the reference implementation computed; see test/data/README.md.
func solved(t testing.TB) []map[string]float64 {
	t.Helper()
	f, err := os.Open("../../test/data/queueing/mm1k.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var points []map[string]float64
	for _, row := range rows[1:] {
		p := map[string]float64{}
		for i, name := range rows[0] {
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				v = math.NaN()
			}
			p[name] = v
		}
		points = append(points, p)
	}
	return points
}

func problem(p map[string]float64) (queueing.Work, queueing.Requests, queueing.Limits) {
	return queueing.Work{Alpha: p["alpha_ms"] / 1e3, Beta: p["beta_ms"] / 1e3, Gamma: p["gamma_ms"] / 1e3},
		queueing.Requests{
			InputTokens: p["input_tokens"], OutputTokens: p["output_tokens"],
			InputTokensSD: math.NaN(), OutputTokensSD: math.NaN(), ArrivalCV: math.NaN(),
		},
		queueing.Limits{MaxBatch: int(p["max_batch"]), MaxQueue: int(p["max_queue"]), MaxBatchedTokens: int(p["max_batched_tokens"])}
}

func TestStateDependentAgreesWithReference(t *testing.T) {
	worst := map[string]float64{}
	for i, p := range solved(t) {
		law, requests, limits := problem(p)
		replica, err := queueing.StateDependent{}.Replica(law, requests, limits)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replica.Open(p["request_rate"])
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]float64{
			"throughput": got.Throughput, "response_ms": got.Response * 1e3, "wait_ms": got.Wait * 1e3, "in_service": got.InService,
			"prefill_ms": got.Prefill * 1e3, "itl_ms": got.ITL.Mean * 1e3, "ttft_ms": got.TTFT.Mean * 1e3, "max_rate": got.MaxRate,
		} {
			e := math.Abs(v-p[name]) / p[name]
			if name == "wait_ms" { // a difference of two single-precision numbers in the reference
				e = math.Abs(v-p[name]) / p["response_ms"]
			}
			worst[name] = math.Max(worst[name], e)
			if e > 1e-3 {
				t.Errorf("point %d: %s is %v, reference %v (%+v)", i, name, v, p[name], p)
			}
		}
	}
	t.Logf("worst deviations %v", worst)
}

// A cache that holds five requests of a batch of a hundred is a batch of five, and one that holds more than the batch changes nothing.
func TestStateDependentCacheBlocks(t *testing.T) {
	requests := queueing.Requests{InputTokens: 900, OutputTokens: 200, OutputTokensSD: 0, ArrivalCV: 1}
	law := queueing.Work{Alpha: 0.02, Beta: 6e-5, Gamma: 1e-7}
	open := func(batch, cache int) queueing.Prediction {
		t.Helper()
		r, err := queueing.StateDependent{}.Replica(law, requests, queueing.Limits{MaxBatch: batch, MaxQueue: 100, MaxBatchedTokens: 8192, KVTokens: cache})
		if err != nil {
			t.Fatal(err)
		}
		r.(queueing.Resizer).Resize(batch)
		p, err := r.Open(1.2)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if d := cmp.Diff(open(5, 0), open(100, 5500), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("a cache for five requests is not a batch of five: %s", d)
	}
	if d := cmp.Diff(open(100, 0), open(100, 1e6), cmpopts.EquateNaNs()); d != "" {
		t.Errorf("a large cache changes something: %s", d)
	}
	if p := open(100, 10); p.InService > 1 {
		t.Errorf("%v requests run in a cache that holds none whole", p.InService)
	}
}
