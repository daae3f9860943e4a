package main

import (
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// TestModelFollowsTheEngine asks the queueing model what an engine with the same law does: mean ITL, its P99, and mean TTFT, at a load at
// which some wait.
func TestModelFollowsTheEngine(t *testing.T) {
	for name, limits := range map[string]queueing.Limits{
		"a batch":        {MaxBatch: 32, MaxBatchedTokens: 8192, MaxQueue: 1 << 20},
		"a token budget": {MaxBatch: 128, MaxBatchedTokens: 512, MaxQueue: 1 << 20},
		"a KV cache":     {MaxBatch: 256, MaxBatchedTokens: 8192, MaxQueue: 1 << 20, KVTokens: 24 * (1024 + 128)},
	} {
		for _, cv := range []float64{0, 1, 2} {
			e, err := engineErrors(1024, 256, cv, 0.7, limits)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("limited by %s, CV %v: errors %.3f", name, cv, e)
			if e[0] > 0.02 || e[2] > 0.1 || e[3] > 0.3 {
				t.Errorf("limited by %s, CV %v: ITL is off by %.3f, its P99 by %.3f, TTFT by %.3f", name, cv, e[0], e[2], e[3])
			}
		}
	}
}
