package estimation

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// conditions are what an iteration is predicted from: the mean batch that ran, or the traffic that it followed from.
type conditions struct {
	running       float64 // requests per replica, mean over time; NaN where only arrivals are known
	runningSD     float64 // NaN where unknown
	rate          float64 // arrivals per second and replica, used where running is NaN
	input, output float64 // tokens per request
	cached        float64 // share of input found in the prefix cache
	maxBatch      float64 // +Inf where unknown
	budget        float64 // tokens per iteration
	prefills      float64 // that fell on an iteration, mean over iterations; NaN where it follows from the batch
	prompts       bool    // nothing but prompts is computed, for others
	inputSD       float64 // of their tokens; NaN where unknown
}

// latencies predicts ITL and TTFT without a wait for a place, in seconds, of the batch that ran.
//
// A token sees the requests that run at the same time, and itself. Of a number with mean N and variance V a running request sees V/N + N,
// which for arrivals at random is N + 1 (Poisson arrivals see time averages). Each of the N others brings its prefill once in `out` tokens:
//
//	ITL  = T(seen decodes) + N/out · (what one prefill adds to iterations),
//	TTFT = delay + T(seen decodes) + own prefill + the wait for the iteration in progress and for the prompts of others ([conditions.first]).
//
// N/out is that of a steady state. While a batch grows more prefills fall on an iteration, while it shrinks fewer, and where admissions are
// counted their number is known.
//
// The older law [queueing.Linear] defines phases instead: ITL = α + β·N, TTFT = γ + δ·in·N.
func (c conditions) latencies(law queueing.Law) (itl, ttft float64) {
	if c.prompts {
		return math.NaN(), c.promptTime(law)
	}
	n := c.running
	if math.IsNaN(n) {
		n = c.follows(law)
	}
	if l, ok := law.(queueing.Phased); ok {
		_, itl = l.Phases(c.input*(1-c.cached), n)
		ttft, _ = l.Phases(c.input*(1-c.cached), max(1, n))
		if ttft == 0 { // there is no prompt
			ttft = itl
		}
		return itl, ttft
	}
	idle, adds := c.parts(law, n)
	itl = idle + c.prefillsAt(n)*adds
	ttft = c.first(idle, adds, itl, n)
	if d, ok := law.(queueing.Delayed); ok {
		ttft += d.FirstTokenDelay()
	}
	return itl, ttft
}

// first is the time to first token without the law's delay. Prompts wait for each other: an iteration computes what arrived during the one before,
// p tokens of c seconds each, as far as the budget lets it, and leaves Q. So a prompt waits for the rest of the iteration in progress, E T²/2 E T, and
// for Q; and with it are computed those that came before it during that iteration, and those that come after it until its last one:
//
//	E T² = idle² + 2·idle·c·E p + c²·E p²,  E p² = E p·(E p + D/(1 − ρ²)) where everything fits the budget,
//
// for Poisson arrivals, ρ = 1 − idle/E T the share of the time that prompts take, and D = variance/mean of the tokens that arrive, which for
// prompts of one length is that length. It is the station of prompts of package queueing at the batch that ran.
func (c conditions) first(idle, adds, itl, n float64) float64 {
	in := c.input * (1 - c.cached)
	if in <= 0 {
		return idle + itl/2
	}
	room, cost := max(c.budget-n, 1), adds/in
	tokens, use := min(c.prefillsAt(n)*in, fullest*room), min(1-idle/itl, fullest)
	spread := in / (1 - use*use)
	held := max(min(tokens+spread, room), tokens)
	square := (idle*idle + 2*idle*cost*tokens + cost*cost*tokens*held) / itl
	whole := idle + cost*room
	left := tokens * (spread + tokens - held) * (1 + use) / (2 * (room - tokens)) * whole / itl
	parts := math.Ceil(in / room)
	flow := tokens / itl
	before, behind := flow*square/2, min(flow*(square/2+(parts-1)*whole), parts*room-in)
	return square/2 + parts*idle + adds + cost*(before+behind) + left/room*whole
}

// promptTime of replicas that compute nothing else.
func (c conditions) promptTime(law queueing.Law) float64 {
	requests := queueing.Requests{
		InputTokens: c.input, OutputTokens: 1, InputTokensSD: c.inputSD, OutputTokensSD: math.NaN(), PrefixHitRate: c.cached, ArrivalCV: math.NaN(),
	}
	limits := queueing.Limits{MaxBatch: int(min(c.maxBatch, assumedMaxBatch)), MaxBatchedTokens: int(c.budget)}
	return queueing.PromptTime(law, requests, limits, c.rate)
}

// fullest is how much of the time, and of the budget, prompts are taken to fill at most.
//
// Tuned: share; guard against a queue without end
const fullest = 0.98

// parts are the time of an iteration of decodes alone, and what one prefill adds to iterations; where more than one prefill falls on an
// iteration, the mean of what each adds, and where the budget cuts it, what its parts add together.
func (c conditions) parts(law queueing.Law, n float64) (idle, adds float64) {
	seen := n + 1
	if !math.IsNaN(c.runningSD) && n > 0 {
		seen = n + c.runningSD*c.runningSD/n
	}
	seen = max(1, min(seen, c.maxBatch))
	b := queueing.Batch{Decodes: seen, DecodeContext: seen * (c.input + c.output/2)}
	idle = law.IterationTime(b)
	in := c.input * (1 - c.cached)
	if in <= 0 {
		return idle, 0
	}
	together := max(1, c.prefillsAt(n))
	if room := max(c.budget-seen, 1); together*in > room { // the budget cuts them
		together = room / in
	}
	b.Prefills, b.PrefillTokens, b.PrefillContext = max(1, together), together*in, together*c.input
	b.PrefillPairs = together * in * (c.input - in/2)
	return idle, (law.IterationTime(b) - idle) / together
}

// prefillsAt is the number of prefills that fall on an iteration while n run.
func (c conditions) prefillsAt(n float64) float64 {
	if !math.IsNaN(c.prefills) {
		return c.prefills
	}
	return n / c.output
}

// follows is the mean number that run in the steady state of the arrivals, by Little's law: the solution of N = rate · out · ITL(N), which
// is nearly a straight line in N, so that a few secants find it. It is no more than fits, or than would be plausible where that is unknown.
func (c conditions) follows(law queueing.Law) float64 {
	most := min(c.maxBatch, assumedMaxBatch)
	itl := func(n float64) float64 {
		if l, ok := law.(queueing.Phased); ok {
			_, decode := l.Phases(c.input*(1-c.cached), n)
			return decode
		}
		idle, adds := c.parts(law, n)
		return idle + c.prefillsAt(n)*adds
	}
	tokens := c.rate * c.output
	low, high := 0.0, most
	atLow, atHigh := tokens*itl(low)-low, tokens*itl(high)-high
	if atHigh >= 0 {
		return most
	}
	for range 4 {
		n := low + (high-low)*atLow/(atLow-atHigh)
		at := tokens*itl(n) - n
		if math.Abs(at) <= 1e-3*n {
			return n
		}
		if at > 0 {
			low, atLow = n, at
		} else {
			high, atHigh = n, at
		}
	}
	return low + (high-low)*atLow/(atLow-atHigh)
}

// assumedMaxBatch bounds the number that run where the engine's limit is unknown: the default of vLLM on large GPUs.
//
// Tuned: requests; guard against arrivals that no batch sustains: half and twice of it make no difference in TestRealRuns
const assumedMaxBatch = 1024
