package fitting

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func TestCard(t *testing.T) {
	all := BuiltInAccelerators()
	got, err := all.Card("4xA100", jsonspec.AcceleratorProperties{Type: "A100", Multiplicity: 4, MemSize: 320, MemBW: 8000})
	if err != nil || got.Memory != 80e9 || got.Bandwidth != 2e12 || got.BF16 != 312e12 {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = all.Card("X1", jsonspec.AcceleratorProperties{MemSize: 100, MemBW: 1000})
	if err != nil || got.BF16 != balance*1e12 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = all.Card("X1", jsonspec.AcceleratorProperties{}); err == nil || !strings.Contains(err.Error(), "memBW") || !strings.Contains(err.Error(), "memSize") {
		t.Errorf("error %v does not say what is missing", err)
	}
}

func TestPriorOrdersHardware(t *testing.T) {
	k := BuiltIn()
	b := queueing.Batch{Decodes: 16, DecodeContext: 32e3}
	before := 1e9
	for _, name := range []string{"l4", "l40s", "a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm"} {
		card, ok := k.Accelerators.Find(name)
		if !ok {
			t.Fatalf("no %s", name)
		}
		law := k.PriorOf(Pair{Model: "meta-llama/Llama-3.1-8B-Instruct", Card: card, Cards: 1, Engine: "vllm"})
		at := law.IterationTime(b)
		if at >= before {
			t.Errorf("%s takes %v, the slower one before %v", name, at, before)
		}
		before = at
	}
	card, _ := k.Accelerators.Find("h100_sxm")
	one := k.PriorOf(Pair{Model: "meta-llama/Llama-3.1-70B-Instruct", Card: card, Cards: 4, Precision: "fp8"})
	two := k.PriorOf(Pair{Model: "meta-llama/Llama-3.1-70B-Instruct", Card: card, Cards: 8, Precision: "fp8"})
	if two.Weights >= one.Weights || two.KVTokens <= one.KVTokens {
		t.Errorf("eight cards are no better than four: %+v, %+v", two, one)
	}
	a, _ := k.Architectures.Find("meta-llama/Llama-3.1-8B-Instruct")
	named := k.PriorOf(Pair{Model: "meta-llama/Llama-3.1-8B-Instruct", Card: card, Cards: 1})
	given := k.PriorOf(Pair{Model: "mine", Architecture: &a, Card: card, Cards: 1})
	if named != given {
		t.Errorf("the same architecture by name and given: %+v, %+v", named, given)
	}
}

// Of a pair nobody measured, the hardware says what fits, the name what it is, and the covariance how sure that is.
func TestAssume(t *testing.T) {
	k := BuiltIn()
	ask := func(model, acc string, given jsonspec.Performance) (Assumed, error) {
		return k.Assume(model, jsonspec.ModelProperties{}, acc, jsonspec.AcceleratorProperties{}, given)
	}
	spread := func(a Assumed) float64 { return a.Law.Covariance[1][1] }
	known, err := ask("meta-llama/Llama-3.1-8B-Instruct", "L40S", jsonspec.Performance{})
	if err != nil || known.KVTokens < 50_000 || known.KVTokens > 500_000 || known.Acc != "L40S" || !strings.Contains(known.From, "catalogue") {
		t.Errorf("%+v, %v", known, err)
	}
	if law, err := queueing.NewLaw(known.Performance); err != nil {
		t.Error(err)
	} else if at := law.IterationTime(queueing.Batch{Decodes: 1, DecodeContext: 1000}); at < 0.015 || at > 0.04 { // 16 GB at 864 GB/s
		t.Errorf("a token in %v s", at)
	}
	guess, err := ask("our-own-8b", "L40S", jsonspec.Performance{})
	if err != nil || !strings.Contains(guess.From, "guessed") || spread(guess) <= spread(known) {
		t.Errorf("%+v, %v: a guess must be wider than %v", guess, err, spread(known))
	}
	for model, want := range map[string]int{"meta-llama/Llama-3.1-70B-Instruct": 2, "meta-llama/Llama-3.1-8B-Instruct": 1, "deepseek-ai/DeepSeek-R1": 1} { // which takes sixteen
		if n := k.CardsFor(model, jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}); n != want {
			t.Errorf("%s on %d × H100, not %d", model, n, want)
		}
	}
	if small, err := ask("meta-llama/Llama-3.1-70B-Instruct-AWQ", "H100", jsonspec.Performance{}); err != nil || !strings.Contains(small.From, "int4") {
		t.Errorf("40 GB: %+v, %v", small, err)
	}
	if one, err := ask("meta-llama/Llama-3.1-70B-Instruct", "H100", jsonspec.Performance{}); err == nil || !strings.Contains(err.Error(), "139 GB") || one.Law == nil {
		t.Errorf("%+v, %v: a law all the same, and what does not fit", one, err)
	}
	if _, err := ask("meta-llama/Llama-3.1-8B-Instruct", "abacus", jsonspec.Performance{}); err == nil || !strings.Contains(err.Error(), "memBW") {
		t.Errorf("an unknown card: %v", err)
	}
}
