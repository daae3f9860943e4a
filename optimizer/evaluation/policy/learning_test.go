package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

// chip is an accelerator: bytes/s, FLOP/s and the price.
type chip struct {
	name             string
	bandwidth, speed float64
	cost             float64
}

var chips = []chip{{"h100", 3.35e12, 989e12, 400}, {"a100", 2.039e12, 312e12, 220}, {"l40s", 0.864e12, 362e12, 110}}

// network is a model: parameters, bytes of KV cache per token, and how many tokens fit on each chip.
type network struct {
	name           string
	parameters, kv float64
	tokens         []int
}

var networks = []network{{"8b", 8.03e9, 131072, []int{411000, 411000, 191000}}, {"14b", 14.77e9, 196608, []int{206000, 206000, 60000}}}

// swinging has two models on three accelerators, four servers whose load swings between calm and overload, and engines with noise that follow a
// roofline, which the planner's law does not. The parameters given are those of physics, off by a factor up to the given one.
func swinging(duration, off float64, seed uint64, options string) string {
	rng := rand.New(rand.NewPCG(seed, 99))
	wrong := func() float64 { return math.Pow(off, 2*rng.Float64()-1) }
	var accelerators, pools, models, truths, servers, load []string
	for _, c := range chips {
		accelerators = append(accelerators, fmt.Sprintf("{name: %s, cost: %g}", c.name, c.cost))
		pools = append(pools, fmt.Sprintf("{type: %s, cards: 40, nodes: 1}", c.name))
	}
	for _, n := range networks {
		for i, c := range chips {
			models = append(models, fmt.Sprintf("{name: %s, acc: %s, maxBatchSize: 96, atTokens: 256, perfParms: {alpha: %g, beta: %g, gamma: %g}}", n.name, c.name,
				wrong()*1e3*(1e-3+2*n.parameters/(0.8*c.bandwidth)), wrong()*1e3*2*n.parameters/(0.5*c.speed), wrong()*1e3*n.kv/(0.8*c.bandwidth)))
			truths = append(truths, fmt.Sprintf("{model: %s, accelerator: %s, noiseCV: 0.05, cache: {blockSize: 16, blocks: %d}, stepTime: {name: roofline, options: {weightBytes: %g, "+
				"activeParameters: %g, kvBytesPerToken: %g, bandwidth: %g, speed: %g, memoryEfficiency: 0.8, computeEfficiency: 0.5, overhead: 1e-3, sequenceOverhead: 20e-6}}}",
				n.name, c.name, n.tokens[i]/16, 2*n.parameters, n.parameters, n.kv, c.bandwidth, c.speed))
		}
	}
	for i, s := range []struct {
		name, model, class string
		rate               float64
	}{{"chat-premium", "8b", "premium", 12}, {"chat-bulk", "8b", "bulk", 16}, {"agent-premium", "14b", "premium", 4}, {"agent-bulk", "14b", "bulk", 8}} {
		servers = append(servers, fmt.Sprintf("{name: %s, model: %s, class: %s, routing: LeastRequest, maxNumReplicas: 20, maxBatchedTokens: 1024}", s.name, s.model, s.class))
		var steps []string
		for at := 0.0; at < duration; at += 30 {
			steps = append(steps, fmt.Sprintf("{at: %g, rate: %g, inputTokens: 1100, outputTokens: 210}", at, s.rate*(1+0.8*math.Sin(at/150+float64(i)))))
		}
		load = append(load, fmt.Sprintf("{server: %s, ramp: true, steps: [%s]}", s.name, strings.Join(steps, ", ")))
	}
	list := func(items []string) string { return "[" + strings.Join(items, ",\n  ") + "]" }
	return fmt.Sprintf(`
name: swinging
duration: %g
seed: %d
times: {scrape: 5, startUp: 30}
loop: {interval: 15, window: 30}
pools: %s
system:
  acceleratorData: {accelerators: %s}
  modelData: {models: %s}
  serviceClassData:
    serviceClasses:
    - {name: premium, priority: 1, modelTargets: [{model: 8b, slo-itl: 30, slo-ttft: 1000}, {model: 14b, slo-itl: 45, slo-ttft: 1500}]}
    - {name: bulk, priority: 2, modelTargets: [{model: 8b, slo-itl: 100, slo-ttft: 4000}, {model: 14b, slo-itl: 120, slo-ttft: 5000}]}
  serverData: {servers: %s}
  optimizerData: {optimizer: {%s}}
  capacityData: {count: []}
truths: %s
pinned: {chat-premium: h100, chat-bulk: h100, agent-premium: h100, agent-bulk: h100}
initial: {chat-premium: 1, chat-bulk: 1, agent-premium: 1, agent-bulk: 1}
load: %s
`, duration, seed, list(pools), list(accelerators), list(models), list(servers), options, list(truths), list(load))
}

// play a scenario with inferno, showing each cycle.
func play(t *testing.T, text string, see func(*loop.Record)) *cluster.Cluster {
	t.Helper()
	s, err := scenario.Decode([]byte(text), "test", ".")
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	if see != nil {
		f.Record = func(r *loop.Record) error { see(r); return nil }
	}
	p, err := newInferno(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.New(*f.Config, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(s.Duration); err != nil {
		t.Fatal(err)
	}
	return c
}

// foresight is the error of ITL one step ahead, of what was given and of what was learned.
type foresight struct{ given, learned, n float64 }

// judge what was observed by what was given and by what was learned before, by pair, from the 6th observation of a pair on.
func judge(t *testing.T, sums map[control.Pair]*foresight, seen map[control.Pair]int, r *loop.Record) {
	estimate := func(name string, p control.Pair, memory *v1alpha1.PairMemory, list []estimation.Observation) []estimation.Judgement {
		e, err := estimation.Estimators().New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range r.System.Models.Spec {
			if m.Name == p.Model && m.Acc == p.Accelerator {
				out, err := e.Estimate(m.Performance, memory, list)
				if err != nil {
					t.Fatal(err)
				}
				return out.Judgements
			}
		}
		t.Fatalf("no %v", p)
		return nil
	}
	for p, list := range control.Observations(r.Snapshot.Core()) {
		given, learned := estimate(estimation.EstimatorFixed, p, nil, list), estimate(estimation.EstimatorEKF, p, r.State.Learned[p.Model][v1alpha1.PairKey(p.Namespace, p.Accelerator)], list)
		for i := range list {
			if math.IsNaN(given[i].InnovationITL) || math.IsNaN(learned[i].InnovationITL) {
				continue
			}
			if seen[p]++; seen[p] <= 5 {
				continue
			}
			if sums[p] == nil {
				sums[p] = &foresight{}
			}
			sums[p].given += math.Abs(math.Expm1(-given[i].InnovationITL))
			sums[p].learned += math.Abs(math.Expm1(-learned[i].InnovationITL))
			sums[p].n++
		}
	}
}

// In a fleet that is scaled and moved while its load swings between calm and overload, predictions from what was learned are better than from
// what was given, on every pair, whether that was given by physics or is wrong by up to 2.
func TestLearningImprovesPredictions(t *testing.T) {
	for _, off := range []float64{1, 2} {
		for seed := range uint64(2) {
			sums, seen := map[control.Pair]*foresight{}, map[control.Pair]int{}
			play(t, swinging(70*15, off, seed, "estimator: {name: ekf}"), func(r *loop.Record) { judge(t, sums, seen, r) })
			given, learned, n := 0.0, 0.0, 0.0
			for p, s := range sums {
				if s.n < 10 {
					continue
				}
				given, learned, n = given+s.given, learned+s.learned, n+s.n
				if s.learned/s.n > 0.08 || s.learned > s.given {
					t.Errorf("parameters off by %v, seed %d, %v: off by %.1f %% one step ahead, %.1f %% without learning", off, seed, p, 100*s.learned/s.n, 100*s.given/s.n)
				}
			}
			t.Logf("parameters off by %v, seed %d: ITL one step ahead off by %.1f %%, without learning %.1f %% (%v observations)", off, seed, 100*learned/n, 100*given/n, n)
			if learned/n > 0.04 || learned > given/3 {
				t.Errorf("parameters off by %v, seed %d: off by %.1f %%, %.1f %% without learning", off, seed, 100*learned/n, 100*given/n)
			}
		}
	}
}

// Under twice the load that a server can serve, while its queue grows without end, the load that is observed is that which is offered; what
// completes is half of it.
func TestOfferedLoadUnderOverload(t *testing.T) {
	text := swinging(900, 1, 0, "estimator: {name: fixed}")
	text = text[:strings.Index(text, "\npinned:")] + "\nload: [{server: chat-premium, steps: [{at: 0, rate: 61, inputTokens: 1100, outputTokens: 210}]}]\ninitial: {chat-premium: 2}\npinned: {chat-premium: h100}\n"
	text = strings.Replace(text, "window: 30", "window: 60", 1)
	begin := strings.Index(text, "serverData:")
	end := begin + strings.Index(text[begin:], "optimizerData:")
	text = text[:begin] + "serverData: {servers: [{name: chat-premium, model: 8b, class: premium, routing: LeastRequest, minNumReplicas: 2, maxNumReplicas: 2, maxBatchSize: 64, maxBatchedTokens: 1024}]}\n  " + text[end:]
	text = strings.Replace(text, "{type: a100, cards: 40, nodes: 1},", "", 1)
	completed, observed, n := 0.0, 0.0, 0.0
	const from = 240
	c := play(t, text, func(r *loop.Record) {
		a := r.System.Servers.Spec[0].CurrentAlloc
		if at := r.Time.Unix() - 1_700_006_400; at >= from && a != nil && a.Load != nil {
			completed, observed, n = completed+jsonspec.PerSecond(a.Load.Throughput), observed+jsonspec.PerSecond(a.Load.ArrivalRate), n+1
		}
	})
	arrived := 0
	for _, w := range c.Reports()["chat-premium"].Windows {
		if w.Start >= from-60 {
			arrived += w.Arrivals
		}
	}
	came := float64(arrived) / (900 - from + 60)
	if off := observed/n/came - 1; math.Abs(off) > 0.03 {
		t.Errorf("%.2f requests/s are observed, %.2f came: off by %.1f %%", observed/n, came, 100*off)
	}
	if completed/n > 0.6*came {
		t.Errorf("%.2f of %.2f requests/s complete; that is no overload", completed/n, came)
	}
	t.Logf("%.2f requests/s came, %.2f were observed, %.2f completed", came, observed/n, completed/n)
}

// Plans made with what was learned, from parameters wrong by up to 2, and with some caution, cost less than those made with what was given, and
// serve as well.
func TestLearningPays(t *testing.T) {
	played := func(options string) (cost, met float64) {
		c := play(t, swinging(140*15, 2, 0, options), nil)
		good, all := 0, 0
		for _, r := range c.Reports() {
			good, all = good+r.Total.MetBoth, all+r.Total.Completions
		}
		return c.Usage().Cost, float64(good) / float64(all)
	}
	given, servedAsGiven := played("estimator: {name: fixed}")
	learned, served := played("estimator: {name: ekf}, confidence: 0.8")
	t.Logf("as given: %.0f cents, %.1f %% of the requests meet both targets; learned: %.0f cents, %.1f %%", given, 100*servedAsGiven, learned, 100*served)
	if learned > 0.9*given || served < servedAsGiven-0.02 {
		t.Error("learning does not pay")
	}
}
