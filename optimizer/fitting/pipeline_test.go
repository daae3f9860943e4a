package fitting

import (
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// pipelined is the law of Llama-3.1-405B on so many H100s, in so many stages.
func pipelined(t *testing.T, cards int, stages string) queueing.Roofline {
	t.Helper()
	k := BuiltIn()
	given := jsonspec.Performance{AccCount: cards, Match: map[string]string{"engine": "vllm", "precision": "fp8", "pipeline_parallel": stages}}
	laws, err := k.Draws("meta-llama/Llama-3.1-405B-Instruct", jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}, given, nil, 1)
	if err != nil {
		t.Fatalf("%d cards in %s stages: %v", cards, stages, err)
	}
	return laws[0]
}

// A pipeline of p stages takes for p batches what one stage's cards with all layers would take for one of them, but for the hops and the bubbles of prompts: a
// token is no earlier, and p times as many run.
func TestPipelinesServeMoreAndNoSooner(t *testing.T) {
	one, two, four := pipelined(t, 8, ""), pipelined(t, 16, "2"), pipelined(t, 32, "4")
	if same := pipelined(t, 8, "1"); same != one {
		t.Errorf("one stage is not none: %+v, %+v", same, one)
	}
	if two.Weights != one.Weights || four.Weights != one.Weights {
		t.Errorf("weights take %v, in two stages %v, in four %v: only the cards of a stage read at once", one.Weights, two.Weights, four.Weights)
	}
	for p, law := range map[float64]queueing.Roofline{2: two, 4: four} {
		batch := func(n float64) queueing.Batch { return queueing.Batch{Decodes: n, DecodeContext: 2000 * n} }
		for _, n := range []float64{1, 8, 64, 256} {
			single, all := one.IterationTime(batch(n)), law.IterationTime(batch(n*p))
			hops := (p - 1) * parallelLayerOverhead
			if all < single || all > single*(2*p-1)/p+10*hops+n*p*law.Sequence {
				t.Errorf("%v stages with %v requests each take %v, one with as many %v", p, n, all, single)
			}
		}
		if room := law.KVTokens / one.KVTokens; room <= p {
			t.Errorf("%v stages hold %v times the tokens of one, and the weights only once", p, room)
		}
		prompts := func(n float64) queueing.Batch {
			return queueing.Batch{PrefillTokens: 8192 * n, PrefillContext: 8192 * n, PrefillPairs: 8192 * 4096 * n, Prefills: n}
		}
		// Prompts pass p stages in 2p − 1 steps: more in an hour than on one stage's cards, and fewer than p times as many.
		if single, all := one.IterationTime(prompts(4)), law.IterationTime(prompts(4)); all >= single || all <= single/p {
			t.Errorf("%v stages compute prompts in %v, one in %v", p, all, single)
		}
	}
}

// Over nodes a pipeline sends the activations of a layer once for each hop, tensor parallelism those of every layer twice.
func TestPipelinesSpareTheNetwork(t *testing.T) {
	tensor, pipeline := pipelined(t, 16, ""), pipelined(t, 16, "2")
	if tensor.Weights >= pipeline.Weights {
		t.Errorf("16 cards read the weights in %v, two stages of 8 in %v", tensor.Weights, pipeline.Weights)
	}
	if tensor.Compute <= pipeline.Compute {
		t.Errorf("a token takes %v of 16 cards on two nodes, %v in two stages", tensor.Compute, pipeline.Compute)
	}
	if tensor.KVTokens > pipeline.KVTokens { // eight KV heads: sixteen cards hold each of them twice
		t.Errorf("16 cards hold %v tokens, two stages of 8 %v", tensor.KVTokens, pipeline.KVTokens)
	}
}

func TestPipelinesThatCannotBe(t *testing.T) {
	k := BuiltIn()
	for want, stages := range map[string]string{
		"match.pipeline_parallel: 3 stages do not share the 8 cards of a replica evenly": "3",
		`match.pipeline_parallel: "two" is not a whole number of at least 1`:             "two",
	} {
		given := jsonspec.Performance{AccCount: 8, Match: map[string]string{"pipeline_parallel": stages}}
		if _, err := k.Assume("meta-llama/Llama-3.1-70B-Instruct", jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}, given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
		given.Role = jsonspec.RoleDecode
		if _, err := k.AssumeRole("meta-llama/Llama-3.1-70B-Instruct", jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}, given, nil); err == nil ||
			!strings.Contains(err.Error(), "pipeline_parallel") {
			t.Errorf("role: %v lacks the field", err)
		}
	}
}
