package recommend

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

func question(model string) *Question {
	return &Question{
		Model: model, Engine: "vllm", Rate: 5, InputTokens: 1000, OutputTokens: 200, ArrivalCV: 1, Targets: sizing.Targets{TTFT: 1, ITL: 0.04, Percentile: 90},
		Prices: catalogue.BuiltInPrices(), Knowledge: fitting.BuiltIn(),
	}
}

func ask(t *testing.T, q *Question) *Answer {
	t.Helper()
	a, err := Ask(q)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Every configuration meets the targets as far as is known, costs what its cards cost, is within its own range, and fits an even share of the heads.
func TestConfigurationsHold(t *testing.T) {
	for _, model := range []string{"meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-70B-Instruct", "Qwen/Qwen3-32B", "nobody/unheard-of-13b"} {
		q := question(model)
		a := ask(t, q)
		if len(a.Configurations) == 0 {
			t.Fatalf("%s: none: %v", model, a.Excluded)
		}
		heads, _ := q.Knowledge.Heads(model, q.properties())
		for _, c := range a.Configurations {
			if c.TTFT > 1000*q.Targets.TTFT*1.001 || c.ITL > 1000*q.Targets.ITL*1.001 {
				t.Errorf("%s: %+v misses its targets", model, c)
			}
			if want := c.Price.CentsPerHour * float64(c.TensorParallel*c.Replicas); c.CostPerHour != want {
				t.Errorf("%s: %d × %d %s cost %g, want %g", model, c.Replicas, c.TensorParallel, c.Accelerator, c.CostPerHour, want)
			}
			if low := c.Range.P10; low == nil && c.Feasible > 0.15 || low != nil && *low > c.Replicas {
				t.Errorf("%s: %+v is below its range", model, c)
			}
			if high := c.Range.P90; high != nil && *high < c.Replicas || high != nil && c.Feasible < 0.85 || high == nil && c.Feasible > 0.95 {
				t.Errorf("%s: %+v is above its range, or surer than it", model, c)
			}
			if c.MaxNumSeqs > c.MaxNumBatchedTokens {
				t.Errorf("%s: no engine starts with a batch of %d and %d tokens", model, c.MaxNumSeqs, c.MaxNumBatchedTokens)
			}
			if !a.Guessed && heads%c.TensorParallel != 0 {
				t.Errorf("%s: %d cards for %d heads", model, c.TensorParallel, heads)
			}
		}
		if !slices.IsSortedFunc(a.Configurations, func(x, y Configuration) int {
			return x.rank().compare(y.rank())
		}) {
			t.Errorf("%s: not by cost", model)
		}
	}
}

// A model that fits no node is recommended over several, of cards that are made for it, as one stage or a stage on each, and one that fits is not; what the network between nodes costs is in its law.
func TestOverNodes(t *testing.T) {
	q := question("deepseek-ai/DeepSeek-R1")
	q.Precision, q.Accelerators, q.Targets = "fp8", []string{"H100", "H200", "L40S"}, sizing.Targets{TTFT: 5, ITL: 0.1, Percentile: 90}
	a := ask(t, q)
	var got []string
	for _, c := range a.Configurations {
		got = append(got, fmt.Sprintf("%s: %d cards, %d stages, %d nodes", c.Accelerator, c.Cards(), max(1, c.PipelineParallel), max(1, c.Nodes)))
	}
	slices.Sort(got)
	if want := []string{"H100: 16 cards, 1 stages, 2 nodes", "H100: 16 cards, 2 stages, 2 nodes", "H200: 8 cards, 1 stages, 1 nodes"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q; excluded: %+v", got, want, a.Excluded)
	}
	prompt := func(cards int) float64 {
		p, err := q.Knowledge.Assume(q.Model, q.properties(), "H200", jsonspec.AcceleratorProperties{}, jsonspec.Performance{AccCount: cards, Match: map[string]string{"precision": "fp8"}})
		if err != nil {
			t.Fatal(err)
		}
		law, err := queueing.NewLaw(p.Performance)
		if err != nil {
			t.Fatal(err)
		}
		return law.IterationTime(queueing.Batch{PrefillTokens: 8192, PrefillContext: 8192, Prefills: 1})
	}
	if eight, sixteen := prompt(8), prompt(16); sixteen < 0.6*eight {
		t.Errorf("a prompt takes %v s on one node, %v on two: nothing is between them", eight, sixteen)
	}
}

// More load needs no fewer replicas, looser targets no more, and what is asked twice is answered alike.
func TestMonotone(t *testing.T) {
	base := ask(t, question("Qwen/Qwen3-32B"))
	if diff := cmp.Diff(base, ask(t, question("Qwen/Qwen3-32B"))); diff != "" {
		t.Errorf("answers differ:\n%s", diff)
	}
	more, looser := question("Qwen/Qwen3-32B"), question("Qwen/Qwen3-32B")
	more.Rate *= 3
	looser.Targets.ITL, looser.Targets.TTFT = 0.08, 2
	find := func(a *Answer, like Configuration) *Configuration {
		i := slices.IndexFunc(a.Configurations, func(c Configuration) bool {
			return c.Accelerator == like.Accelerator && c.TensorParallel == like.TensorParallel
		})
		if i < 0 {
			return nil
		}
		return &a.Configurations[i]
	}
	loaded, loose := ask(t, more), ask(t, looser)
	for _, c := range base.Configurations {
		if l := find(loaded, c); l == nil || l.Replicas < c.Replicas {
			t.Errorf("%d × %s: %d replicas, with thrice the load %+v", c.TensorParallel, c.Accelerator, c.Replicas, l)
		}
		if l := find(loose, c); l == nil || l.Replicas > c.Replicas || l.Feasible < c.Feasible {
			t.Errorf("%d × %s: %d replicas, with looser targets %+v", c.TensorParallel, c.Accelerator, c.Replicas, l)
		}
	}
}

// A model whose architecture nobody knows is answered less surely than the same one with its architecture.
func TestGuessesAreWider(t *testing.T) {
	known := question("meta-llama/Llama-3.1-8B-Instruct")
	guessed := question("somebody/else-8b")
	known.Rate, guessed.Rate = 100, 100
	known.Accelerators, guessed.Accelerators = []string{"H100"}, []string{"H100"}
	a, b := ask(t, known), ask(t, guessed)
	if a.Guessed || !b.Guessed || len(b.Assumptions) <= len(a.Assumptions) {
		t.Fatalf("what is guessed is not told: %v, %v", a.Assumptions, b.Assumptions)
	}
	width := func(a *Answer) float64 {
		c := a.Configurations[0]
		if c.Range.P90 == nil {
			return 1e9
		}
		return float64(*c.Range.P90) / float64(*c.Range.P10)
	}
	if width(b) <= width(a) {
		t.Errorf("the range is %.2f wide, and %.2f of a model that is known", width(b), width(a))
	}
}

func TestFaultsAreSaidTogether(t *testing.T) {
	q := question(" ")
	q.Rate, q.InputTokens, q.ArrivalCV, q.Accelerators = -1, 0, -1, []string{"X9", "MI210"}
	q.Targets = sizing.Targets{Percentile: 100}
	_, err := Ask(q)
	for _, want := range []string{"model: is missing", "rate: -1", "input: 0", "cv: -1", "at least one target", "percentile: 100", `"X9" is not known, known are A10,`, `"MI210" has no price`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want that it says %q", err, want)
		}
	}
}

// Targets that nothing meets are an answer with reasons, not an error.
func TestNothingMeetsTheTargets(t *testing.T) {
	q := question("meta-llama/Llama-3.1-405B-Instruct")
	q.Targets.ITL = 0.001
	a := ask(t, q)
	if len(a.Configurations) > 0 || len(a.Excluded) == 0 {
		t.Errorf("%d configurations, and %d that are none", len(a.Configurations), len(a.Excluded))
	}
}
