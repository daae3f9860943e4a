package simulation

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// naive is the same scheduler written the slow and obvious way: every sequence
// keeps its own tokens and blocks and is visited in every iteration, in the order
// in which vLLM visits them. The engine must agree with it exactly.
type naive struct {
	config  Config
	free    int
	waiting []*naiveSequence
	running []*naiveSequence
	peak    int
	evicted int
}

type naiveSequence struct {
	r         Request
	at        float64
	computed  int
	blocks    int
	generated int
	scheduled float64
	first     float64
	cached    int
	evictions int
}

func (n *naive) run(requests []Request) []Completion {
	for _, r := range requests {
		n.waiting = append(n.waiting, &naiveSequence{r: r, at: r.ArrivedAt, scheduled: -1})
	}
	n.free = n.config.Blocks
	var done []Completion
	now := 0.0
	for len(n.waiting)+len(n.running) > 0 {
		if len(n.running) == 0 {
			now = max(now, n.waiting[0].at)
		}
		now, done = n.iterate(now, done)
	}
	return done
}

func (n *naive) iterate(now float64, done []Completion) (float64, []Completion) {
	budget := n.config.MaxNumBatchedTokens
	chunks := map[*naiveSequence]int{}
	evicted := false
	for i := 0; i < len(n.running); i++ {
		s := n.running[i]
		chunk := min(budget, s.r.InputTokens+s.generated-s.computed)
		for !n.take(s, s.computed+chunk) {
			last := n.running[len(n.running)-1]
			n.running = n.running[:len(n.running)-1]
			n.free += last.blocks
			last.blocks, last.computed = 0, 0
			last.evictions++
			n.evicted++
			evicted = true
			n.waiting = append([]*naiveSequence{last}, n.waiting...)
			if last == s {
				chunk = 0
				break
			}
		}
		if chunk > 0 {
			chunks[s] = chunk
			budget -= chunk
		}
	}
	for !evicted && budget > 0 && len(n.waiting) > 0 && len(n.running) < n.config.MaxNumSeqs {
		s := n.waiting[0]
		if s.at > now || n.need(s.r.InputTokens+s.generated) > n.free {
			break
		}
		hit := int(n.config.PrefixHitRate*float64(s.r.InputTokens)) / n.config.BlockSize * n.config.BlockSize
		s.computed, s.cached = hit, hit
		chunk := min(budget, s.r.InputTokens+s.generated-s.computed)
		n.take(s, s.computed+chunk)
		if s.scheduled < 0 {
			s.scheduled = now
		}
		n.waiting = n.waiting[1:]
		n.running = append(n.running, s)
		chunks[s] = chunk
		budget -= chunk
	}

	end := now + n.config.StepTime.Seconds(n.batch(chunks))
	n.peak = max(n.peak, n.config.Blocks-n.free)
	var kept []*naiveSequence
	for _, s := range n.running {
		s.computed += chunks[s]
		if s.computed == s.r.InputTokens+s.generated {
			s.generated++
			if s.generated == 1 {
				s.first = end
			}
		}
		if s.generated < s.r.OutputTokens {
			kept = append(kept, s)
			continue
		}
		n.free += s.blocks
		done = append(done, Completion{Request: s.r, SubmittedAt: s.at, ScheduledAt: s.scheduled,
			FirstTokenAt: s.first, FinishedAt: end, CachedTokens: s.cached, Preemptions: s.evictions})
	}
	n.running = kept
	return end, done
}

func (n *naive) batch(chunks map[*naiveSequence]int) Batch {
	var b Batch
	for _, s := range n.running {
		chunk := chunks[s]
		if s.generated > 0 && chunk == 1 && s.computed >= s.r.InputTokens && s.computed == s.r.InputTokens+s.generated-1 {
			b.Decodes++
			b.DecodeContext += s.computed + 1
			continue
		}
		b.Prefills++
		b.PrefillTokens += chunk
		b.PrefillContext += s.computed + chunk
		for i := range chunk {
			b.PrefillPairs += float64(s.computed + i + 1)
		}
	}
	return b
}

func (n *naive) need(tokens int) int {
	return int(math.Ceil(float64(tokens) / float64(n.config.BlockSize)))
}

func (n *naive) take(s *naiveSequence, tokens int) bool {
	more := n.need(tokens) - s.blocks
	if more > n.free {
		return false
	}
	n.free -= more
	s.blocks += more
	return true
}

func TestEngineAgreesWithNaiveScheduler(t *testing.T) {
	evictions := 0
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 1))
		seats := 1 + random.IntN(8)
		config := Config{
			Limits: Limits{MaxNumSeqs: seats, MaxNumBatchedTokens: seats + random.IntN(40)},
			Cache:  Cache{BlockSize: 1 + random.IntN(6), Blocks: 30 + random.IntN(60)},
			// Powers of two keep sums of different order equal.
			StepTime: Linear{Base: 1.0 / 64, PerToken: 1.0 / 1024, PerContext: 1.0 / 8192},
		}
		if seed%3 == 0 {
			config.PrefixHitRate = random.Float64() * 0.9
		}
		capacity := config.Blocks * config.BlockSize
		var requests []Request
		at := 0.0
		for id := range uint64(60) {
			at += float64(random.IntN(40)) / 1024
			input := 1 + random.IntN(capacity/2)
			requests = append(requests, Request{ID: id, ArrivedAt: at, InputTokens: input,
				OutputTokens: 1 + random.IntN(min(60, capacity-input))})
		}
		reference := naive{config: config}
		want := reference.run(requests)
		engine, got := replay(t, config, requests)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, %+v: engine differs from the naive scheduler (-naive +engine):\n%s", seed, config, diff)
		}
		stats := engine.Stats()
		if stats.Preemptions != int64(reference.evicted) || stats.PeakBlocks != reference.peak {
			t.Fatalf("seed %d: %d preemptions, peak of %d blocks; naive scheduler %d and %d",
				seed, stats.Preemptions, stats.PeakBlocks, reference.evicted, reference.peak)
		}
		evictions += reference.evicted
	}
	if evictions == 0 {
		t.Fatal("no preemption in any run: the comparison did not reach that path")
	}
}

// replay submits the requests at their arrival times and runs until all is done.
func replay(t testing.TB, config Config, requests []Request) (*Engine, []Completion) {
	t.Helper()
	engine, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	var done []Completion
	for _, r := range requests {
		done = engine.Advance(r.ArrivedAt, done)
		if err := engine.Submit(r.ArrivedAt, r); err != nil {
			t.Fatal(err)
		}
	}
	return engine, engine.Advance(math.Inf(1), done)
}
