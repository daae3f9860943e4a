package policy

import (
	"fmt"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// bounded is a fleet of one server on engines that take 10 ms and 1 ms for each request of an iteration, with an ITL target of 20 ms: ten requests at a time, so that a
// token takes 2 ms and a request of 101 tokens 0.2 s.
func bounded(t *testing.T, cards, least int) *Fleet {
	t.Helper()
	s, err := scenario.Decode(fmt.Appendf(nil, `
name: bounded
duration: 3600
warmUp: 0
pools: [{type: H100, cards: 8, nodes: %d}]
system:
  acceleratorData: {accelerators: [{name: H100, cost: 400}]}
  modelData:
    models:
    - {name: m, acc: H100, maxBatchSize: 64, kvTokens: 1000000, law: {name: roofline, version: 1, parameters: {overhead: 10, weights: 0.001, compute: 0.001, attention: 0, kv: 0, sequence: 1, prefill: 1}}}
  serviceClassData: {serviceClasses: [{name: c, priority: 1, modelTargets: [{model: m, slo-itl: 20, slo-ttft: 1000, slo-percentile: 99}]}]}
  serverData: {servers: [{name: s, model: m, class: c, minNumReplicas: %d, maxQueueSize: 64}]}
  optimizerData: {optimizer: {saturationPolicy: PriorityExhaustive}}
  capacityData: {count: []}
truths:
- {model: m, accelerator: H100, noiseCV: 0.05, cache: {blockSize: 16, blocks: 100000}, stepTime: {name: linear, options: {base: 0.01, perToken: 0.001}}}
load: [{server: s, steps: [{at: 0, rate: 20, inputTokens: 1, outputTokens: 101}]}]
`, cards, least), "bounded", ".")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The bound of what is known is found: work of 0.2 s for each of 20 requests/s takes 4 replicas, a share that may miss its targets so much less, no load what the
// least replicas cost, and cards that do not suffice no less.
func TestBoundIsKnown(t *testing.T) {
	of := func(f *Fleet, served float64) float64 {
		b, err := f.NewBound()
		if err != nil {
			t.Fatal(err)
		}
		return b.Of(map[string]float64{"c": served})
	}
	// A prompt token comes with each hundred that are made, and lengths are drawn: 5 % of it.
	for _, c := range []struct {
		cards, least int
		served, want float64
	}{{4, 0, 1, 1600}, {4, 0, 0.5, 800}, {4, 0, 0, 0}, {4, 2, 0, 800}, {4, 6, 1, 2400}} {
		if got := of(bounded(t, c.cards, c.least), c.served); math.Abs(got-c.want) > 0.05*c.want+1e-6 {
			t.Errorf("%+v: %v ¢/h", c, got)
		}
	}
}
