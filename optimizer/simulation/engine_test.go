package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var roomy = Cache{BlockSize: 16, Blocks: 1 << 20}

// random requests with exponential gaps and token counts.
func requests(seed uint64, count int, rate, input, output float64) []Request {
	random := rand.New(rand.NewPCG(seed, 2))
	draw := func(mean float64) int { return 1 + int(random.ExpFloat64()*(mean-1)) }
	all := make([]Request, count)
	at := 0.0
	for i := range all {
		at += random.ExpFloat64() / rate
		all[i] = Request{ID: uint64(i), ArrivedAt: at, InputTokens: draw(input), OutputTokens: draw(output)}
	}
	return all
}

func TestOneRequestAlone(t *testing.T) {
	var intervals, first int
	config := Config{
		Limits: Limits{MaxNumSeqs: 4, MaxNumBatchedTokens: 100}, Cache: roomy,
		StepTime: Linear{Base: 1, PerToken: 0.01},
		Hooks: Hooks{
			TokenInterval: func(_, seconds float64, count int) {
				if math.Abs(seconds-1.01) > 1e-12 {
					t.Errorf("interval of %v s, want 1.01", seconds)
				}
				intervals += count
			},
			FirstToken: func(at, seconds float64, r Request) { first++ },
		},
	}
	// Chunks of 100, 100 and 50 tokens, then four decodes: 2 + 2 + 1.5 and 4·1.01 s.
	_, done := replay(t, config, []Request{{ID: 7, ArrivedAt: 10, InputTokens: 250, OutputTokens: 5}})
	if len(done) != 1 || first != 1 || intervals != 4 {
		t.Fatalf("%d completions, %d first tokens, %d intervals; want 1, 1, 4", len(done), first, intervals)
	}
	c := done[0]
	itl, ok := c.ITL()
	if math.Abs(c.TTFT()-5.5) > 1e-12 || !ok || math.Abs(itl-1.01) > 1e-12 || math.Abs(c.EndToEnd()-9.54) > 1e-12 {
		t.Errorf("TTFT %v, ITL %v, end to end %v; want 5.5, 1.01, 9.54", c.TTFT(), itl, c.EndToEnd())
	}
	if !c.Meets(5.5, 1.02) || c.Meets(5.4, 1.02) || c.Meets(5.5, 1) {
		t.Error("Meets disagrees with TTFT 5.5 s and ITL 1.01 s")
	}
}

func TestRequestOverheadIsPartOfTTFT(t *testing.T) {
	config := Config{Limits: Limits{MaxNumSeqs: 4, MaxNumBatchedTokens: 8}, Cache: roomy, StepTime: Linear{Base: 1}, RequestOverhead: 0.25}
	_, done := replay(t, config, []Request{{ID: 1, InputTokens: 1, OutputTokens: 4}, {ID: 2, ArrivedAt: 1, InputTokens: 1, OutputTokens: 1}})
	// The second is ready at 1.25 s, just when an iteration begins.
	if got := []float64{done[0].TTFT(), done[1].TTFT()}; done[0].ID != 2 || got[0] != 1.25 || got[1] != 1.25 {
		t.Errorf("%+v: TTFT %v s, want 1.25 of both and request 2 first", done, got)
	}
}

func TestSingleTokenHasNoInterval(t *testing.T) {
	config := Config{Limits: Limits{MaxNumSeqs: 1, MaxNumBatchedTokens: 8}, Cache: roomy, StepTime: Linear{Base: 1}}
	_, done := replay(t, config, []Request{{InputTokens: 1, OutputTokens: 1}})
	if _, ok := done[0].ITL(); ok || done[0].EndToEnd() != 1 || !done[0].Meets(1, 0) {
		t.Errorf("%+v: want one token after 1 s, without ITL", done[0])
	}
}

// Decodes that share an iteration with a prefill are slowed by it, and a smaller
// token budget slows them less: the reason for that lever.
func TestTokenBudgetProtectsDecodes(t *testing.T) {
	worst := func(budget int) float64 {
		longest := 0.0
		config := Config{
			Limits: Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: budget}, Cache: roomy,
			StepTime: Linear{Base: 0.01, PerToken: 1e-5},
			Hooks:    Hooks{TokenInterval: func(_, s float64, _ int) { longest = max(longest, s) }},
		}
		_, done := replay(t, config, []Request{
			{ID: 1, InputTokens: 10, OutputTokens: 100},
			{ID: 2, ArrivedAt: 0.2, InputTokens: 4000, OutputTokens: 2},
		})
		if len(done) != 2 {
			t.Fatalf("%d completions, want 2", len(done))
		}
		return longest
	}
	small, large := worst(512), worst(8192)
	if small > 0.0152 || large < 0.05 {
		t.Errorf("longest interval %v s with 512 tokens, %v s with 8192; want about 0.015 and 0.050", small, large)
	}
}

func TestConservationAndLimits(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 3))
		config := Config{
			Limits:   Limits{MaxNumSeqs: 1 + random.IntN(64), MaxNumBatchedTokens: 64 + random.IntN(1000)},
			Cache:    Cache{BlockSize: 16, Blocks: 400 + random.IntN(600), PrefixHitRate: 0.5 * random.Float64()},
			StepTime: testRoofline(), NoiseCV: 0.1, Seed: seed,
		}
		var intervals, firsts, iterations int64
		var prompt, decoded int64
		completed := 0
		config.Hooks = Hooks{
			Completed:     func(Completion) { completed++ },
			TokenInterval: func(at, seconds float64, count int) { intervals += int64(count) },
			FirstToken:    func(float64, float64, Request) { firsts++ },
			Iteration: func(start, end float64, b Batch) {
				iterations++
				prompt += int64(b.PrefillTokens)
				decoded += int64(b.Decodes)
				if b.Tokens() > config.MaxNumBatchedTokens || b.Sequences() > config.MaxNumSeqs || end <= start {
					t.Fatalf("seed %d: iteration %v to %v s of %+v breaks %+v", seed, start, end, b, config.Limits)
				}
			},
		}
		sent := requests(seed, 2000, 40, 300, 60)
		var input, output int64
		for _, r := range sent {
			input, output = input+int64(r.InputTokens), output+int64(r.OutputTokens)
		}
		engine, done := replay(t, config, sent)
		seen := map[uint64]bool{}
		for i, c := range done {
			if seen[c.ID] || c.Request != sent[c.ID] {
				t.Fatalf("seed %d: request %d completed twice or changed: %+v", seed, c.ID, c)
			}
			seen[c.ID] = true
			if !(c.ArrivedAt <= c.SubmittedAt && c.SubmittedAt <= c.ScheduledAt && c.ScheduledAt < c.FirstTokenAt && c.FirstTokenAt <= c.FinishedAt) {
				t.Fatalf("seed %d: times out of order: %+v", seed, c)
			}
			if i > 0 && c.FinishedAt < done[i-1].FinishedAt {
				t.Fatalf("seed %d: completions out of order", seed)
			}
		}
		s := engine.Stats()
		if len(done) != len(sent) || completed != len(sent) || s.Completed != int64(len(sent)) || s.Submitted != s.Completed {
			t.Fatalf("seed %d: %d of %d completed, %+v", seed, len(done), len(sent), s)
		}
		if s.GenerationTokens != output || s.PromptTokens != input || firsts != int64(len(sent)) || intervals != output-int64(len(sent)) {
			t.Errorf("seed %d: %d prompt and %d generated tokens, %d first tokens, %d intervals; want %d, %d, %d, %d", seed,
				s.PromptTokens, s.GenerationTokens, firsts, intervals, input, output, len(sent), output-int64(len(sent)))
		}
		if s.ComputedTokens != prompt+decoded || s.Iterations != iterations {
			t.Errorf("seed %d: counters %+v disagree with the hooks", seed, s.Counters)
		}
		if s.Preemptions == 0 && prompt+s.PrefixHits != input {
			t.Errorf("seed %d: %d computed and %d cached prompt tokens, want %d in all", seed, prompt, s.PrefixHits, input)
		}
		if s.PeakBlocks > s.Blocks || s.UsedBlocks != 0 || s.Running != 0 || s.Waiting != 0 || engine.Pending() != 0 {
			t.Errorf("seed %d: not empty at the end, or over capacity: %+v", seed, s)
		}
	}
}

func TestPreemptionHappensAndFinishes(t *testing.T) {
	config := Config{
		Limits: Limits{MaxNumSeqs: 32, MaxNumBatchedTokens: 2048}, Cache: Cache{BlockSize: 16, Blocks: 120},
		StepTime: Linear{Base: 0.01},
	}
	var sent []Request
	for id := range uint64(10) {
		sent = append(sent, Request{ID: id, InputTokens: 100, OutputTokens: 400})
	}
	engine, done := replay(t, config, sent)
	preempted := 0
	for _, c := range done {
		preempted += c.Preemptions
	}
	s := engine.Stats()
	if len(done) != 10 || preempted == 0 || int64(preempted) != s.Preemptions || s.PeakBlocks != 120 {
		t.Errorf("%d completions, %d preemptions (%d counted), peak of %d blocks; want 10, some, the same, 120",
			len(done), preempted, s.Preemptions, s.PeakBlocks)
	}
}

func TestPrefixCacheShortensPrefill(t *testing.T) {
	config := Config{Limits: Limits{MaxNumSeqs: 1, MaxNumBatchedTokens: 4096},
		Cache: Cache{BlockSize: 16, Blocks: 1000}, StepTime: Linear{Base: 1, PerToken: 0.001}}
	for _, test := range []struct {
		rate   float64
		cached int
	}{{0, 0}, {0.5, 496}, {0.999, 992}} {
		config.PrefixHitRate = test.rate
		engine, done := replay(t, config, []Request{{InputTokens: 1000, OutputTokens: 1}})
		want := 1 + 0.001*float64(1000-test.cached)
		if c := done[0]; c.CachedTokens != test.cached || math.Abs(c.TTFT()-want) > 1e-12 {
			t.Errorf("hit rate %v: %d tokens cached, TTFT %v s; want %d, %v s", test.rate, c.CachedTokens, c.TTFT(), test.cached, want)
		}
		if s := engine.Stats(); s.PrefixQueries != 1000 || s.PrefixHits != int64(test.cached) {
			t.Errorf("hit rate %v: %d of %d tokens found, want %d of 1000", test.rate, s.PrefixHits, s.PrefixQueries, test.cached)
		}
	}
}

func TestSameSeedSameEventsByteForByte(t *testing.T) {
	log := func(seed uint64, slice float64) []byte {
		var out bytes.Buffer
		config := Config{
			Limits: Limits{MaxNumSeqs: 16, MaxNumBatchedTokens: 512}, Cache: Cache{BlockSize: 16, Blocks: 300},
			StepTime: testRoofline(), NoiseCV: 0.2, Seed: seed,
			Hooks: Hooks{
				Iteration:     func(start, end float64, b Batch) { fmt.Fprintln(&out, "iteration", start, end, b) },
				FirstToken:    func(at, s float64, r Request) { fmt.Fprintln(&out, "first", at, s, r) },
				TokenInterval: func(at, s float64, n int) { fmt.Fprintln(&out, "interval", at, s, n) },
			},
		}
		engine, err := New(config)
		if err != nil {
			t.Fatal(err)
		}
		var done []Completion
		for _, r := range requests(9, 300, 20, 200, 50) {
			for slice > 0 && engine.Now()+slice < r.ArrivedAt {
				done = engine.Advance(engine.Now()+slice, done)
			}
			done = engine.Advance(r.ArrivedAt, done)
			if err := engine.Submit(r.ArrivedAt, r); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range engine.Advance(math.Inf(1), done) {
			fmt.Fprintln(&out, "done", c)
		}
		return out.Bytes()
	}
	reference := log(4, 0)
	if !bytes.Equal(reference, log(4, 0)) {
		t.Error("two runs with the same seed differ")
	}
	if !bytes.Equal(reference, log(4, 0.003)) {
		t.Error("advancing in small slices changes the events")
	}
	if bytes.Equal(reference, log(5, 0)) {
		t.Error("another seed changes nothing: no noise")
	}
}

func TestAbortReturnsWhatIsUnfinished(t *testing.T) {
	config := Config{Limits: Limits{MaxNumSeqs: 2, MaxNumBatchedTokens: 64}, Cache: Cache{BlockSize: 16, Blocks: 64}, StepTime: Linear{Base: 1}}
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint64(4) {
		if err := engine.Submit(0, Request{ID: id, InputTokens: 10, OutputTokens: 3 + 3*int(id)}); err != nil {
			t.Fatal(err)
		}
	}
	done := engine.Advance(3.5, nil)
	var ids []uint64
	for _, r := range engine.Abort() {
		ids = append(ids, r.ID)
	}
	if len(done) != 1 || done[0].ID != 0 || fmt.Sprint(ids) != "[1 2 3]" {
		t.Errorf("completed %v, lost %v; want request 0, then [1 2 3]", done, ids)
	}
	if s := engine.Stats(); s.Running+s.Waiting+s.UsedBlocks != 0 || s.Submitted != 4 || s.Completed != 1 {
		t.Errorf("after Abort: %+v", s)
	}
	if err := engine.Submit(3.5, Request{ID: 9, InputTokens: 10, OutputTokens: 2}); err != nil {
		t.Fatal(err)
	}
	if done = engine.Advance(math.Inf(1), nil); len(done) != 1 || done[0].FinishedAt != 5.5 {
		t.Errorf("after Abort a new request completes as %+v, want at 5.5 s", done)
	}
}

func TestRefusals(t *testing.T) {
	engine, err := New(Config{Limits: Limits{MaxNumSeqs: 2, MaxNumBatchedTokens: 64}, Cache: Cache{BlockSize: 16, Blocks: 4}, StepTime: Linear{Base: 1}})
	if err != nil {
		t.Fatal(err)
	}
	engine.Advance(10, nil)
	for _, test := range []struct {
		at      float64
		request Request
		wants   []string
	}{
		{9, Request{InputTokens: 1, OutputTokens: 1}, []string{"submission time: 9 s"}},
		{math.NaN(), Request{InputTokens: 1, OutputTokens: 1}, []string{"submission time: NaN s"}},
		{11, Request{ArrivedAt: 12, InputTokens: 0, OutputTokens: -1}, []string{"arrivedAt: 12 s", "inputTokens: 0", "outputTokens: -1"}},
		{11, Request{InputTokens: 60, OutputTokens: 6}, []string{"60 + 6 tokens in 4 blocks of 16"}},
	} {
		err := engine.Submit(test.at, test.request)
		if err == nil {
			t.Errorf("%v at %v s accepted", test.request, test.at)
			continue
		}
		for _, want := range test.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not say %q", err, want)
			}
		}
	}
	if err := engine.Submit(11, Request{InputTokens: 60, OutputTokens: 6}); !errors.Is(err, ErrTooLong) {
		t.Errorf("%v is not ErrTooLong", err)
	}
	if err := engine.Submit(11, Request{InputTokens: 60, OutputTokens: 5}); err != nil {
		t.Errorf("a request that just fits: %v", err)
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	_, err := New(Config{
		Limits: Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: 7}, Cache: Cache{Blocks: -1, PrefixHitRate: 1},
		StepTime: Linear{Base: math.NaN(), PerToken: -1}, NoiseCV: 2,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"maxNumBatchedTokens: 7", "blockSize: 0", "blocks: -1", "prefixHitRate: 1", "stepTime: base: NaN", "perToken: -1", "noiseCV: 2"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

// A turn of a session finds its prefix where the one before was computed, as long as nobody needed the blocks.
func TestSessionsFindTheirPrefix(t *testing.T) {
	config := Config{Limits: Limits{MaxNumSeqs: 1, MaxNumBatchedTokens: 4096},
		Cache: Cache{BlockSize: 16, Blocks: 150, PrefixHitRate: 0.8}, StepTime: Linear{Base: 1, PerToken: 0.001}}
	var turns []Request
	for i, session := range []uint64{1, 1, 2, 1, 3, 2, 1} { // two prompts of 1000 tokens fit, and a third pushes the oldest out
		turns = append(turns, Request{ID: uint64(i), ArrivedAt: float64(10 * i), InputTokens: 1000, OutputTokens: 1, Session: session})
	}
	_, done := replay(t, config, turns)
	var found []bool
	for _, c := range done {
		found = append(found, c.CachedTokens == 800)
		if c.CachedTokens != 0 && c.CachedTokens != 800 {
			t.Errorf("request %d found %d tokens", c.ID, c.CachedTokens)
		}
	}
	if want := []bool{false, true, false, true, false, false, false}; !slices.Equal(found, want) {
		t.Errorf("turns found their prefix: %v, want %v", found, want)
	}
}
