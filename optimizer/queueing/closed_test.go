package queueing_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

var closedLaws = map[string]queueing.Law{
	queueing.LawWork:   queueing.Work{Alpha: 8e-3, Beta: 2e-5, Gamma: 5e-8},
	queueing.LawLinear: queueing.Linear{Alpha: 8e-3, Beta: 1e-4, Gamma: 5e-3, Delta: 2e-5},
	queueing.LawRoofline: queueing.Roofline{
		Overhead: 1e-3, Weights: 5e-3, Compute: 1.5e-5, Attention: 2e-10, KV: 5e-8, Sequence: 1e-5, Prefill: 1e-3, Delay: 0.01, Bunch: 1, Step: 0.1,
	},
}

// TestClosedLoopObeysLittle: N clients are always somewhere, waiting or running, and with more of them no latency gets shorter.
func TestClosedLoopObeysLittle(t *testing.T) {
	limits := queueing.Limits{MaxBatch: 32, MaxQueue: 1 << 20, MaxBatchedTokens: 8192}
	for name, law := range closedLaws {
		var before queueing.Prediction
		for _, clients := range []float64{1, 2, 8, 31, 32, 33, 64, 1000} {
			p, err := queueing.Closed(law, chat, limits, clients)
			if err != nil {
				t.Fatal(err)
			}
			if n := p.Throughput * p.Response; math.Abs(n/clients-1) > 1e-9 {
				t.Errorf("%s: %v clients, but throughput times response is %v", name, clients, n)
			}
			if p.InService > 32 || p.TTFT.Mean < before.TTFT.Mean || p.ITL.Mean < before.ITL.Mean || p.Throughput < before.Throughput*(1-1e-9) {
				t.Errorf("%s: %v clients: %+v, with fewer %+v", name, clients, p, before)
			}
			before = p
		}
	}
}

func TestOneClientWaitsForNobody(t *testing.T) {
	limits := queueing.Limits{MaxBatch: 32, MaxQueue: 1 << 20, MaxBatchedTokens: 8192}
	law := queueing.Work{Alpha: 8e-3, Beta: 2e-5}
	p, err := queueing.Closed(law, queueing.Requests{InputTokens: 1000, OutputTokens: 100}, limits, 1)
	if err != nil {
		t.Fatal(err)
	}
	// The prompt's iteration holds the work of one decode too.
	if itl, ttft := 8e-3+2e-5, 8e-3+2e-5+1000*2e-5; math.Abs(p.ITL.Mean-itl) > 1e-12 || math.Abs(p.TTFT.Mean-ttft) > 1e-12 {
		t.Errorf("ITL %v, TTFT %v; want %v and %v", p.ITL.Mean, p.TTFT.Mean, itl, ttft)
	}
}

// TestCacheLimitsClients: what does not fit the KV cache waits, whoever knows its size.
func TestCacheLimitsClients(t *testing.T) {
	limits := queueing.Limits{MaxBatch: 256, MaxQueue: 1 << 20, MaxBatchedTokens: 8192, KVTokens: 20 * (1024 + 128)}
	for name, law := range closedLaws {
		p, err := queueing.Closed(law, chat, limits, 100)
		if err != nil {
			t.Fatal(err)
		}
		if p.InService > 20 || p.Wait <= 0 {
			t.Errorf("%s: %v run in a cache for 20 requests, wait %v", name, p.InService, p.Wait)
		}
	}
	known := closedLaws[queueing.LawRoofline].(queueing.Roofline)
	known.KVTokens = float64(limits.KVTokens)
	limits.KVTokens = 0
	if p, err := queueing.Closed(known, chat, limits, 100); err != nil || p.InService > 20 {
		t.Errorf("%v run in a cache for 20 requests that the law knows of, %v", p.InService, err)
	}
}
