package fitting

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// What plans take for the law of a role is that of the fit to servers of the same pair, for a parallelism that was never measured: both predict the same.
func TestRolesOfPlansAreThoseOfTheFit(t *testing.T) {
	k := BuiltIn()
	h, err := k.hardwareOf(Group{"engine": "sglang", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8"})
	if err != nil {
		t.Fatal(err)
	}
	engine, _ := k.Experience.roles(h, &k.Roles)
	engine[overhead] += 0.2
	engine[prompt] -= 0.4
	fits, err := k.FitRoles(rolesBenchmark(t, h, k, engine, "mtp"), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	entries := []jsonspec.RolesEntry{fits[0].Entry()}
	assume := func(role string, cards, ranks int, tensor string, fitted []jsonspec.RolesEntry) Assumed {
		given := jsonspec.Performance{Role: role, AccCount: cards, Ranks: ranks, Match: map[string]string{
			"engine": "sglang", "precision": "fp8", "tensor_parallel": tensor, "expert_parallel": "8", "speculative": "mtp",
		}}
		a, err := k.AssumeRole("deepseek-ai/DeepSeek-R1", jsonspec.ModelProperties{}, "H200", jsonspec.AcceleratorProperties{}, given, fitted)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	prefill, decode := assume("prefill", 16, 2, "8", entries), assume("decode", 24, 24, "1", entries)
	law := func(a Assumed) queueing.Law {
		l, err := queueing.NewLaw(a.Performance)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	b := queueing.Batch{PrefillTokens: 4096, PrefillContext: 4096, Prefills: 1, PrefillPairs: 4096 * 2048, Decodes: 100, DecodeContext: 100 * 1500}
	for _, c := range []struct {
		a    Assumed
		role Role
	}{{prefill, Role{1, 8, 2, 8, 1}}, {decode, Role{1, 1, 24, 8, 1}}} {
		want := h.roleLaw(&k.Experience, c.a.Role, c.role, fits[0].at).IterationTime(b)
		if got := law(c.a).IterationTime(b); math.Abs(got/want-1) > 1e-9 || !strings.Contains(c.a.From, "fitted to servers with roles") {
			t.Errorf("%s: an iteration of %v s, by the fit %v: %s", c.a.Role, got, want, c.a.From)
		}
	}
	if got, want := decode.TokensPerIteration, fits[0].at.accepts(); got != want || prefill.TokensPerIteration != 0 {
		t.Errorf("accepts %v tokens, by the fit %v", got, want)
	}
	if tr := prefill.Transfer; tr == nil || tr.Bandwidth != 50*16 || tr.BytesPerToken != h.tokenBytes() {
		t.Errorf("transfers %+v", tr)
	}
	other := entries[0]
	other.Match = map[string]string{"engine": "trtllm", "model": "deepseek-ai/DeepSeek-R1", "accelerator": "h200_sxm", "precision": "fp8"}
	if a := assume("decode", 8, 8, "1", []jsonspec.RolesEntry{other}); !strings.Contains(a.From, "physics and experience") || a.Ranks != 8 {
		t.Errorf("what was fitted to another engine is taken: %s", a.From)
	}
	for want, given := range map[string]jsonspec.Performance{
		"1 stages of 3 ranks of 2 cards (match.pipeline_parallel, ranks, match.tensor_parallel) are not the 8 cards": {Role: "decode", AccCount: 8, Ranks: 3},
		`match.expert_parallel: "all" is not a whole number`:                                                         {Role: "decode", AccCount: 8, Match: map[string]string{"expert_parallel": "all"}},
		"of which 1 × H200 hold": {Role: "prefill", AccCount: 1, Match: map[string]string{"precision": "fp8"}},
	} {
		if _, err := k.AssumeRole("deepseek-ai/DeepSeek-R1", jsonspec.ModelProperties{}, "H200", jsonspec.AcceleratorProperties{}, given, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
}

// The first draw is what is assumed; the others differ, those of both roles by the same where what is not known is the same, and a model that is too large has none.
func TestDrawRole(t *testing.T) {
	k := BuiltIn()
	const model = "meta-llama/Llama-3.1-70B-Instruct"
	draw := func(role string, cards int) ([]queueing.Roofline, error) {
		return k.DrawRole(model, jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}, jsonspec.Performance{Role: role, AccCount: cards}, 9)
	}
	var kv [2][]float64
	for i, role := range []string{jsonspec.RolePrefill, jsonspec.RoleDecode} {
		laws, err := draw(role, 4)
		if err != nil || len(laws) != 9 {
			t.Fatalf("%s: %d laws, %v", role, len(laws), err)
		}
		a, err := k.AssumeRole(model, jsonspec.ModelProperties{}, "H100", jsonspec.AcceleratorProperties{}, jsonspec.Performance{Role: role, AccCount: 4}, nil)
		if err != nil {
			t.Fatal(err)
		}
		assumed, err := queueing.NewLaw(a.Performance)
		if err != nil {
			t.Fatal(err)
		}
		batch := queueing.Batch{PrefillTokens: 2000, PrefillContext: 2000, Prefills: 1}
		if role == jsonspec.RoleDecode {
			batch = queueing.Batch{Decodes: 64, DecodeContext: 64 * 2000}
		}
		want := assumed.IterationTime(batch)
		if got := laws[0].IterationTime(batch); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s: the first draw takes %v, what is assumed %v", role, got, want)
		}
		for _, l := range laws {
			kv[i] = append(kv[i], l.KV/laws[0].KV)
		}
		if slices.Max(kv[i]) < 1.01 {
			t.Errorf("%s: all draws are alike: %v", role, kv[i])
		}
	}
	for i := range kv[0] {
		if math.Abs(kv[0][i]-kv[1][i]) > 1e-9 {
			t.Errorf("draw %d is of %v times the time of a cache where prompts are computed, and of %v where tokens are", i, kv[0][i], kv[1][i])
		}
	}
	if _, err := draw(jsonspec.RoleDecode, 1); !errors.As(err, new(*TooLarge)) {
		t.Errorf("one card holds it: %v", err)
	}
}
