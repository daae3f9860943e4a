package policy

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// measuredPair is a pair of the measurements: as they name it, and as the planner is told.
type measuredPair struct {
	model, engine, precision, accelerator string
	cards                                 int
}

func (p measuredPair) String() string {
	return fmt.Sprintf("%s, %s, %s on %d × %s", p.model[strings.Index(p.model, "/")+1:], p.engine, p.precision, p.cards, p.accelerator)
}

// priorCase is a server whose model nobody gave a law of, on one of some accelerators.
type priorCase struct {
	pairs     []measuredPair
	itl, ttft float64 // ms, for 99 % of the requests
}

// cardPrices in cents an hour, near those of clouds on demand.
var cardPrices = map[string]float64{"h100_sxm": 400, "h200_sxm": 480, "b200_sxm": 750, "b300_sxm": 850}

const (
	before       = 300  // seconds in which the server runs as it did, before inferno plans it
	firstSeconds = 1800 // the half hour that is looked at
	peakReplicas = 5    // that the peak needs, as it was measured
	priorInput   = 1000 // tokens
	priorOutput  = 250
)

// priorCases are every model of the measurements on some accelerators, with targets of a chat and of an agent, and two that have a choice.
func priorCases() []priorCase {
	on := func(model, engine, precision, accelerator string, cards int) measuredPair {
		return measuredPair{model, engine, precision, accelerator, cards}
	}
	const llama, qwen, big, minimax, deepseek = "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B-FP8", "MiniMaxAI/MiniMax-M2.5", "deepseek-ai/DeepSeek-R1"
	single := []measuredPair{
		on(llama, "trtllm", "unspecified", "h100_sxm", 1), on(llama, "sglang", "fp8", "h200_sxm", 1),
		on(qwen, "trtllm", "fp8", "h100_sxm", 1), on(qwen, "vllm", "unspecified", "h100_sxm", 2),
		on(big, "trtllm", "fp8", "h100_sxm", 8), on(big, "vllm", "fp8", "h200_sxm", 4),
		on(minimax, "vllm", "fp8", "h100_sxm", 4), on(minimax, "vllm", "fp8", "b200_sxm", 2),
		on(deepseek, "sglang", "fp8", "b200_sxm", 8), on(deepseek, "trtllm", "fp8", "h200_sxm", 8),
	}
	var all []priorCase
	for _, p := range single {
		all = append(all, priorCase{[]measuredPair{p}, 25, 1500}, priorCase{[]measuredPair{p}, 60, 3000})
	}
	choice := []measuredPair{
		on(minimax, "vllm", "fp8", "h100_sxm", 4), on(minimax, "vllm", "fp8", "h200_sxm", 8), on(minimax, "vllm", "fp8", "b200_sxm", 2), on(minimax, "vllm", "fp8", "b300_sxm", 2),
	}
	return append(all, priorCase{choice, 25, 1500}, priorCase{choice, 60, 3000})
}

// scenario of a case under so many requests a second at the peak.
func (c *priorCase) scenario(rate float64) string {
	var accelerators, pools, models, truths []string
	for _, p := range c.pairs {
		accelerators = append(accelerators, fmt.Sprintf("{name: %s, cost: %g}", p.accelerator, cardPrices[p.accelerator]))
		pools = append(pools, fmt.Sprintf("{type: %s, cards: 8, nodes: 40}", p.accelerator))
		models = append(models, fmt.Sprintf("{name: m, acc: %s, accCount: %d, match: {engine: %s, precision: %s}}", p.accelerator, p.cards, p.engine, strings.Replace(p.precision, "unspecified", "bf16", 1)))
		truths = append(truths, fmt.Sprintf("{model: m, accelerator: %s, noiseCV: 0.05, cache: {blockSize: 16, blocks: 1000}, stepTime: {name: linear, options: {base: 0.01}}}", p.accelerator))
	}
	step := func(at, share float64) string {
		return fmt.Sprintf("{at: %g, rate: %g, inputTokens: %d, outputTokens: %d}", at, share*rate, priorInput, priorOutput)
	}
	list := func(items []string) string { return "[" + strings.Join(items, ", ") + "]" }
	return fmt.Sprintf(`
name: prior
duration: %d
warmUp: %d
seed: 5
pools: %s
system:
  acceleratorData: {accelerators: %s}
  modelData: {models: %s, info: [{name: m, servedName: %s}]}
  serviceClassData: {serviceClasses: [{name: c, priority: 1, modelTargets: [{model: m, slo-itl: %g, slo-ttft: %g, slo-percentile: 99}]}]}
  serverData: {servers: [{name: s, model: m, class: c, routing: LeastRequest, minNumReplicas: 1, maxQueueSize: 512}]}
  optimizerData: {optimizer: {saturationPolicy: PriorityExhaustive, queueModel: {name: continuous-batching}, estimator: {name: ekf}, change: {startupSeconds: 120, horizonSeconds: 1800}}}
  capacityData: {count: []}
truths: %s
load: [{server: s, ramp: true, steps: [%s, %s, %s]}]
`, before+firstSeconds, before, list(pools), list(accelerators), list(models), c.pairs[0].model, c.itl, c.ttft, list(truths), step(0, 0.7), step(before+firstSeconds/2, 1), step(before+firstSeconds, 0.7))
}

// lawTime is a law as simulated engines follow it.
type lawTime struct{ queueing.Law }

func (l lawTime) Seconds(b simulation.Batch) float64 {
	return l.IterationTime(queueing.Batch{
		Decodes: float64(b.Decodes), DecodeContext: float64(b.DecodeContext), Prefills: float64(b.Prefills),
		PrefillTokens: float64(b.PrefillTokens), PrefillContext: float64(b.PrefillContext), PrefillPairs: b.PrefillPairs,
	})
}

func (lawTime) Validate() error { return nil }

// fleet of a case whose engines are as was measured.
func (c *priorCase) fleet(t *testing.T, laws []queueing.Roofline, rate float64) *Fleet {
	s, err := scenario.Decode([]byte(c.scenario(rate)), "prior", ".")
	if err != nil {
		t.Fatal(err)
	}
	config, err := s.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	for i, law := range laws {
		truth := &config.Truths[i]
		truth.StepTime, truth.RequestOverhead, truth.Cache.Blocks = lawTime{law}, law.Delay, int(law.KVTokens)/truth.Cache.BlockSize
	}
	f := &Fleet{Scenario: s, Config: config, Profile: NewProfile(s, config), Pins: map[string]string{}, Peak: map[string]Demand{"s": {rate, priorInput, priorOutput}}}
	if err := f.pin(); err != nil {
		t.Fatal(err)
	}
	return f
}

// installed is inferno, from when it is there.
type installed struct{ *inferno }

func (p installed) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	if v.Now < before {
		return nil, nil
	}
	return p.inferno.Decide(v)
}

// begin of a run: what it serves and costs, and what was learned by its end.
type begin struct {
	met, cost float64
	learned   map[string]map[string]*v1alpha1.PairMemory
}

// run the half hour with what was learned before; nil where nothing was.
func (c *priorCase) run(t *testing.T, f *Fleet, k fitting.Knowledge, learned map[string]map[string]*v1alpha1.PairMemory) begin {
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	p, err := newLoop(f, f.Scenario.System, f.Scenario.Loop.Interval)
	if err != nil {
		t.Fatal(err)
	}
	p.stages.Knowledge, p.state.Learned = k, learned
	cl, err := cluster.New(*f.Config, installed{p})
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Run(f.Scenario.Duration); err != nil {
		t.Fatal(err)
	}
	r := cl.Reports()["s"]
	return begin{met: float64(r.Scored.MetBoth) / float64(r.Scored.Completions+r.Scored.Rejected+r.Queued), cost: cl.Usage().Cost - cl.Usage().CostBefore, learned: p.state.Learned}
}

// heldOut are the priors learned without each family of models, by model.
func heldOut(t *testing.T) map[string]fitting.Experience {
	text, err := os.ReadFile("../../../test/data/measured/held-out.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct {
		Models     []string
		Experience fitting.Experience
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	of := map[string]fitting.Experience{}
	for _, h := range all {
		for _, m := range h.Models {
			of[m] = h.Experience
		}
	}
	return of
}

// measuredLaw is the law that explains what was measured of a pair.
func measuredLaw(t *testing.T, k fitting.Knowledge, groups [][]fitting.Point, p measuredPair) queueing.Roofline {
	i := slices.IndexFunc(groups, func(g []fitting.Point) bool {
		of := g[0].Group
		return of["model"] == p.model && of["engine"] == p.engine && of["precision"] == p.precision && of["accelerator"] == p.accelerator && of["tensor_parallel"] == fmt.Sprint(p.cards) &&
			(of["attention_dp"] == "" || of["attention_dp"] == "1")
	})
	if i < 0 {
		t.Fatalf("%v was not measured", p)
	}
	fits, err := k.FitAll(&fitting.Points{Rows: groups[i]}, fitting.Options{})
	if err != nil || len(fits) != 1 {
		t.Fatal(err, len(fits))
	}
	return fits[0].Law.(queueing.Roofline)
}

var whole = flag.Bool("whole", false, "play all first plans, not every fifth: minutes")

// Plans from the prior alone, of models that it was not learned from, in the first half hour after inferno is there: nearly all requests meet both targets, and it
// costs hardly more than with what was learned by then. docs/estimation.md has the whole table, with the case that misses.
func TestFirstPlans(t *testing.T) {
	file, err := os.Open("../../../test/data/measured/silicon.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	points, err := fitting.ReadPoints(file, true)
	if err != nil {
		t.Fatal(err)
	}
	groups := points.Groups(func(p fitting.Point) bool { return p.Clients > 0 })
	experience := heldOut(t)
	for i, c := range priorCases() {
		if !*whole && i%5 != 0 {
			continue
		}
		k := fitting.BuiltIn()
		k.Experience = experience[c.pairs[0].model]
		var laws []queueing.Roofline
		for _, p := range c.pairs {
			laws = append(laws, measuredLaw(t, k, groups, p))
		}
		probe := c.fleet(t, laws, 1e-3)
		rate := peakReplicas * probe.Profile.Capacity("s", probe.Pins["s"], probe.Scenario.Limits("s"), priorInput, priorOutput)
		f := c.fleet(t, laws, rate)
		prior := c.run(t, f, k, nil)
		learned := c.run(t, f, k, prior.learned)
		name := c.pairs[0].String()
		for _, p := range c.pairs[1:] {
			name += fmt.Sprintf(" or %d × %s", p.cards, p.accelerator)
		}
		ratio := prior.cost / learned.cost
		t.Logf("| %s | %.0f ms | %.0f/s | %.2f %% | %.2f %% | %.2f |", name, c.itl, rate, 100*prior.met, 100*learned.met, ratio)
		if prior.met < 0.99 && !*whole || prior.met < 0.97 || ratio > 1.3 {
			t.Errorf("%s, %v ms: %.2f %% of the requests meet both targets, for %.2f times what it costs when it is learned", name, c.itl, 100*prior.met, ratio)
		}
	}
}
