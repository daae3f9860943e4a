package simulation

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func handoverEngine(t *testing.T, c Config) *Engine {
	t.Helper()
	c.Limits, c.StepTime = Limits{MaxNumSeqs: 8, MaxNumBatchedTokens: 64}, Linear{Base: 1, PerToken: 0.01}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A request whose cache is here first goes first, whoever was told of before it; until then nothing is done for it.
func TestReceivedRequestsWaitForTheirCaches(t *testing.T) {
	e := handoverEngine(t, Config{Cache: Cache{BlockSize: 4, Blocks: 100}})
	for _, r := range []struct{ at, hereAt float64 }{{0, 9}, {0, 3}, {1, 1}} {
		if err := e.Receive(r.at, r.hereAt, Request{ID: uint64(r.hereAt), ArrivedAt: 0, InputTokens: 40, OutputTokens: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.Waiting != 3 || s.UsedBlocks != 0 || e.Pending() != 3 {
		t.Errorf("%+v, want three that wait", s)
	}
	var first []float64
	for _, c := range e.Advance(math.Inf(1), nil) {
		first = append(first, float64(c.ID), c.FirstTokenAt)
	}
	// From 1 s iterations of one token, from 3.02 s one of the other, from 9 s the last.
	want := []float64{1, 2.01, 3, 4.03, 9, 10.01}
	for i := range want {
		if math.Abs(first[i]-want[i]) > 1e-9 {
			t.Fatalf("requests and first tokens %v, want %v", first, want)
		}
	}
	err := e.Receive(20, 19, Request{ID: 1, InputTokens: 1, OutputTokens: 1})
	if err == nil || !strings.Contains(err.Error(), "19 s, want a finite time of at least 20 s") {
		t.Errorf("a cache that was here before the request: %v", err)
	}
}

// Received requests beside others, some recalled or given up, in a cache that is too small for all: each of the others completes once, with as many tokens as it
// should, and what was preempted is computed again here.
func TestReceivedRequestsEndOnce(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 8))
		generated := map[uint64]bool{}
		e := handoverEngine(t, Config{Cache: Cache{BlockSize: 4, Blocks: 40}, Hooks: Hooks{FirstToken: func(_, _ float64, r Request) { generated[r.ID] = true }}})
		var done []Completion
		at, accepted, gone := 0.0, 0, 0
		for id := range uint64(300) {
			at += random.ExpFloat64() * 4
			done = e.Advance(at, done)
			r := Request{ID: id, ArrivedAt: at, InputTokens: 1 + random.IntN(60), OutputTokens: 1 + random.IntN(40)}
			var err error
			if random.IntN(3) == 0 {
				err = e.Submit(at, r)
			} else {
				err = e.Receive(at, at+10*random.Float64(), r)
			}
			if err == nil {
				accepted++
			}
			other := uint64(max(0, int(id)-random.IntN(4)))
			if _, recalled := e.Recall(other); recalled {
				gone++
			} else if random.IntN(4) == 0 && e.Abandon(other) {
				gone++
				if generated[other] {
					t.Fatalf("request %d was given up after its first token", other)
				}
			}
		}
		done = e.Advance(math.Inf(1), done)
		s := e.Stats()
		if len(done)+gone != accepted || gone < 20 || s.UsedBlocks != 0 || s.Running+s.Waiting != 0 || s.Preemptions == 0 {
			t.Fatalf("seed %d: %d done and %d gone of %d, %+v", seed, len(done), gone, accepted, s)
		}
	}
}

// What is kept takes room until it is let go of, and no longer; who waits for it starts then.
func TestKeptCaches(t *testing.T) {
	e := handoverEngine(t, Config{Cache: Cache{BlockSize: 4, Blocks: 10}, KeepsCaches: true})
	for id := range uint64(3) {
		if err := e.Submit(0, Request{ID: id, InputTokens: 20, OutputTokens: 1}); err != nil {
			t.Fatal(err)
		}
	}
	done := e.Advance(5, nil)
	if s := e.Stats(); len(done) != 2 || s.UsedBlocks != 10 || e.Keeps() != 2 || s.Waiting != 1 {
		t.Fatalf("%d done, %d kept, %+v: want two that fill the cache", len(done), e.Keeps(), s)
	}
	e.LetGo(7, 1)
	e.LetGo(7, 99)
	done = e.Advance(math.Inf(1), nil)
	if len(done) != 1 || done[0].ScheduledAt != 7 || e.Keeps() != 2 {
		t.Errorf("%+v, kept %d: want the last from 7 s on", done, e.Keeps())
	}
	e.LetGo(20, 0)
	e.LetGo(20, 2)
	e.Advance(20, nil)
	if e.Stats().UsedBlocks != 0 || e.Keeps() != 0 {
		t.Errorf("%+v, kept %d", e.Stats(), e.Keeps())
	}
}
