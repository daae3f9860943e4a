package fitting

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

func TestCard(t *testing.T) {
	all := BuiltInAccelerators()
	got, err := all.Card("4xA100", v1alpha1.AcceleratorProperties{Type: "A100", Multiplicity: 4, MemSize: 320, MemBW: 8000})
	if err != nil || got.Memory != 80e9 || got.Bandwidth != 2e12 || got.BF16 != 312e12 {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = all.Card("X1", v1alpha1.AcceleratorProperties{MemSize: 100, MemBW: 1000})
	if err != nil || got.BF16 != balance*1e12 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = all.Card("X1", v1alpha1.AcceleratorProperties{}); err == nil || !strings.Contains(err.Error(), "memBW") || !strings.Contains(err.Error(), "memSize") {
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
