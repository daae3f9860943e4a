package queueing_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

var (
	chat       = queueing.Requests{InputTokens: 1024, OutputTokens: 256, InputTokensSD: 341, OutputTokensSD: 85, ArrivalCV: 1}
	engine     = queueing.Limits{MaxBatch: 64, MaxQueue: 1 << 20, MaxBatchedTokens: 8192}
	plainLaw   = queueing.Work{Alpha: 7e-3, Beta: 2.5e-6, Gamma: 8e-8}
	continuous = queueing.ContinuousBatching{}
)

func replica(t *testing.T, law queueing.Law, r queueing.Requests, l queueing.Limits) queueing.Replica {
	t.Helper()
	got, err := continuous.Replica(law, r, l)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func open(t *testing.T, r queueing.Replica, rate float64) queueing.Prediction {
	t.Helper()
	p, err := r.Open(rate)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWaitIsErlangs: iterations that always take the same time, exponential lengths and Poisson arrivals are M/M/c, whose wait is known.
func TestWaitIsErlangs(t *testing.T) {
	const places, tokens, iteration = 32, 256, 0.01
	requests := queueing.Requests{OutputTokens: tokens, InputTokensSD: 0, OutputTokensSD: tokens, ArrivalCV: 1}
	r := replica(t, queueing.Work{Alpha: iteration}, requests, queueing.Limits{MaxBatch: places, MaxQueue: 1 << 20, MaxBatchedTokens: 8192})
	for _, load := range []float64{0.5, 0.8, 0.9, 0.95} {
		rate := load * places / (tokens * iteration)
		want := erlangC(places, load*places) * tokens * iteration / (places * (1 - load))
		p := open(t, r, rate)
		idle := open(t, r, rate*1e-6)
		if got := p.TTFT.Mean - idle.TTFT.Mean - iteration/2; math.Abs(got-want) > 0.01*want+1e-4 {
			t.Errorf("load %v: a wait of %v s, Erlang's is %v s", load, got, want)
		}
	}
}

// erlangC is the probability of waiting in M/M/c with offered load a, from Erlang's B by its recursion.
func erlangC(c int, a float64) float64 {
	b := 1.0
	for k := 1; k <= c; k++ {
		b = a * b / (float64(k) + a*b)
	}
	rho := a / float64(c)
	return b / (1 - rho*(1-b))
}

// TestFullCacheBlocks: a cache that holds 20 requests is a batch of 20, the others wait.
func TestFullCacheBlocks(t *testing.T) {
	const places = 20
	small := engine
	small.MaxBatch = places
	cache := engine
	// A request seen at a random time is half-way through, and one of the longer ones.
	held := chat.InputTokens + chat.OutputTokens*(1+math.Pow(chat.OutputTokensSD/chat.OutputTokens, 2))/2
	cache.KVTokens = int(places*held) + 1
	free, want, got := replica(t, plainLaw, chat, engine), replica(t, plainLaw, chat, small), replica(t, plainLaw, chat, cache)
	if got.MaxRate() != want.MaxRate() || got.MaxRate() >= free.MaxRate() {
		t.Errorf("a cache for %d requests sustains %v, a batch of as many %v, neither limit %v", places, got.MaxRate(), want.MaxRate(), free.MaxRate())
	}
	rate := 0.95 * got.MaxRate()
	if a, b := open(t, got, rate), open(t, free, rate); a.InService > places || a.TTFT.P99 < 2*b.TTFT.P99 {
		t.Errorf("a cache for %d requests runs %v with a P99 TTFT of %v s; without limit it is %v s", places, a.InService, a.TTFT.P99, b.TTFT.P99)
	}
	cache.KVTokens = 1
	if p := open(t, replica(t, plainLaw, chat, cache), 0.01); p.InService > 1 {
		t.Errorf("a cache too small for a request runs %v", p.InService)
	}
}

// TestPrefixHitsSaveComputing, not reading.
func TestPrefixHitsSaveComputing(t *testing.T) {
	law := queueing.Work{Alpha: 7e-3, Beta: 2e-5, Gamma: 8e-8}
	rate := 0.5 * replica(t, law, chat, engine).MaxRate()
	before := queueing.Prediction{TTFT: queueing.Quantity{Mean: math.Inf(1)}, ITL: queueing.Quantity{Mean: math.Inf(1)}}
	for _, hits := range []float64{0, 0.3, 0.6, 0.9, 1} {
		requests := chat
		requests.PrefixHitRate = hits
		p := open(t, replica(t, law, requests, engine), rate)
		if p.TTFT.Mean >= before.TTFT.Mean || p.ITL.Mean >= before.ITL.Mean || p.MaxRate <= before.MaxRate {
			t.Errorf("hit rate %v: TTFT %v, ITL %v, max rate %v; with fewer hits %v, %v, %v", hits,
				p.TTFT.Mean, p.ITL.Mean, p.MaxRate, before.TTFT.Mean, before.ITL.Mean, before.MaxRate)
		}
		before = p
	}
	// All hits: the KV of the prompt is still read by every decode.
	short := chat
	short.InputTokens, short.InputTokensSD = 0, 0
	if p := open(t, replica(t, law, short, engine), rate); p.ITL.Mean >= before.ITL.Mean {
		t.Errorf("ITL %v with all of the prompt cached, %v without a prompt", before.ITL.Mean, p.ITL.Mean)
	}
}

// TestBurstsHurtTheTail, and regular arrivals spare it.
func TestBurstsHurtTheTail(t *testing.T) {
	rate := 0.85 * replica(t, plainLaw, chat, engine).MaxRate()
	before := 0.0
	for _, cv := range []float64{0, 0.5, 1, 2, 4} {
		requests := chat
		requests.ArrivalCV = cv
		p := open(t, replica(t, plainLaw, requests, engine), rate)
		if p.TTFT.P99 <= before {
			t.Errorf("CV %v: P99 of TTFT %v, at lower CV %v", cv, p.TTFT.P99, before)
		}
		before = p.TTFT.P99
	}
}

// TestBudgetSharesIterations: a small token budget shortens the iterations that decodes share with prompts, and makes prompts wait.
func TestBudgetSharesIterations(t *testing.T) {
	law := queueing.Work{Alpha: 7e-3, Beta: 2e-5, Gamma: 8e-8}
	large, small := engine, engine
	small.MaxBatchedTokens = 256
	rate := 0.5 * replica(t, law, chat, small).MaxRate()
	a, b := open(t, replica(t, law, chat, large), rate), open(t, replica(t, law, chat, small), rate)
	if b.ITL.P99 >= a.ITL.P99 || b.TTFT.P90 <= a.TTFT.P90 {
		t.Errorf("budget 256: P99 ITL %v, P90 TTFT %v; budget 8192: %v, %v", b.ITL.P99, b.TTFT.P90, a.ITL.P99, a.TTFT.P90)
	}
}
