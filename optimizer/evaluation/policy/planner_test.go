package policy

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

const one = `
name: one
duration: 60
pools: [{type: H100, cards: 8, nodes: 1}]
system:
  acceleratorData: {accelerators: [{name: H100, cost: 400}]}
  modelData: {models: [{name: m, acc: H100, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}}]}
  serviceClassData: {serviceClasses: [{name: c, priority: 1, modelTargets: [{model: m, slo-itl: 25, slo-ttft: 1000, slo-percentile: 99}]}]}
  serverData: {servers: [{name: s, model: m, class: c, maxQueueSize: 1000}]}
  optimizerData: {optimizer: {}}
  capacityData: {count: []}
truths:
- {model: m, accelerator: H100, cache: {blockSize: 16, blocks: 30000}, noiseCV: 0.03,
   stepTime: {name: linear, options: {base: 0.009, perToken: 0.00003, perContext: 0.00000005}}}
load: [{server: s, steps: [{at: 0, rate: 1, inputTokens: 800, outputTokens: 200}]}]
`

// The planner, given the true law, must know what a replica sustains within percentile targets, whatever the token budget: that is what the
// budget is chosen by. It may be off where requests are short and few share an iteration, but never promise much more than there is.
func TestPlannerKnowsWhatAReplicaSustains(t *testing.T) {
	s, err := scenario.Decode([]byte(one), "one", ".")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	perf := jsonspec.Performance{Acc: "H100", PerfParms: &jsonspec.PerfParms{Alpha: 9, Beta: 0.03, Gamma: 0.00005}}
	law, err := queueing.NewLaw(perf)
	if err != nil {
		t.Fatal(err)
	}
	for _, budget := range []int{256, 1024, 8192} {
		limits := simulation.Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: budget}
		truth := f.Profile.Capacity("s", "H100", limits, 800, 200)
		got, _, err := sizing.RatePerReplica(queueing.ContinuousBatching{}, law,
			queueing.Requests{InputTokens: 800, OutputTokens: 200, InputTokensSD: 800, OutputTokensSD: 200, ArrivalCV: math.NaN()},
			queueing.Limits{MaxBatch: 256, MaxQueue: 1000, MaxBatchedTokens: budget, KVTokens: 480000},
			sizing.Targets{TTFT: 1, ITL: 0.025, Percentile: 99})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("budget %d: %.2f requests/s predicted, %.2f true", budget, got, truth)
		if ratio := got / truth; ratio > 1.35 || ratio < 0.6 {
			t.Errorf("budget %d: %.2f requests/s predicted, %.2f true", budget, got, truth)
		}
	}
}
