package queueing

import (
	"errors"
	"math"
)

// StateDependent is the reference model "mm1k-state-dependent": a birth–death queue of finite room in which n requests in service complete
// at the rate that a steady batch of n has. It knows means only.
//
// A request takes c prefill iterations and `out` decode iterations, the c + out iterations of a batch of B all take the time T(B) of an
// iteration over the mean work of B requests, so that a batch completes μ(B) = B / ((c + out)·T(B)) requests per second. Latencies are
// those of the mean batch N. A KV cache that holds fewer requests than the batch blocks those beyond, as a smaller batch would. Assumptions
// and limits are in docs/models.md. Source: llm-inferno queue-analysis v0.8, which knows no KV cache.
type StateDependent struct{}

// ModelStateDependent is the registered name of [StateDependent].
const ModelStateDependent = "mm1k-state-dependent"

// stabilityMargin keeps MaxRate below the completion rate of a full batch, as the reference does.
//
// Tuned: share; guard against a queue that grows without end, derived from llm-inferno: half and twice of it make no difference
const stabilityMargin = 1e-3

// SeesBudget implements [Model].
func (StateDependent) SeesBudget() bool { return false }

// Replica implements [Model].
func (m StateDependent) Replica(law Law, requests Requests, limits Limits) (Replica, error) {
	return m.Reuse(nil, law, requests, limits)
}

// Reuse implements [Reuser].
func (StateDependent) Reuse(old Replica, law Law, requests Requests, limits Limits) (Replica, error) {
	if err := errors.Join(requests.Validate(), limits.Validate()); err != nil {
		return nil, err
	}
	r, ok := old.(*stateDependent)
	if !ok {
		r = new(stateDependent)
	}
	places := min(limits.MaxBatch, limits.room(requests))
	times := r.times
	if cap(times) < places {
		times = make([]float64, places)
	}
	*r = stateDependent{
		work:  work{law: law, input: requests.InputTokens * (1 - requests.PrefixHitRate), output: requests.OutputTokens},
		cut:   prefillCut{input: requests.InputTokens * (1 - requests.PrefixHitRate), output: requests.OutputTokens, budget: float64(limits.MaxBatchedTokens)},
		times: times[:places],
		room:  places,
		queue: limits.MaxQueue,
	}
	r.work.cached = requests.InputTokens - r.work.input
	for i := range r.times {
		r.times[i] = r.serviceTime(float64(i+1)) / float64(i+1)
	}
	return r, nil
}

type stateDependent struct {
	work  work
	cut   prefillCut
	times []float64 // seconds between completions of a batch of i+1
	room  int       // most requests that run at a time, whatever the batch
	queue int
}

// MaxRate implements [Replica].
func (r *stateDependent) MaxRate() float64 {
	return (1 - stabilityMargin) / r.times[len(r.times)-1]
}

// Resize implements [Resizer].
func (r *stateDependent) Resize(maxBatch int) { r.times = r.times[:min(maxBatch, r.room)] }

// Open implements [Replica].
func (r *stateDependent) Open(rate float64) (Prediction, error) {
	if err := validRate(rate); err != nil {
		return Prediction{}, err
	}
	o := birthDeath(rate, r.times, r.queue)
	service := o.inService / o.throughput
	response := o.inSystem / o.throughput
	p := Prediction{
		Rate:       rate,
		Throughput: o.throughput,
		Response:   response,
		Wait:       math.Max(0, response-service),
		InService:  o.inService,
		MaxRate:    r.MaxRate(),
	}
	var itl, first float64
	p.Prefill, itl, first = r.latencies(o.inService, service)
	p.ITL, p.RequestITL = meanOnly(itl), meanOnly(itl)
	p.TTFT = meanOnly(p.Wait + p.Prefill + first)
	return p, nil
}

// serviceTime is the time in service of each of b requests that run together.
func (r *stateDependent) serviceTime(b float64) float64 {
	if l, ok := r.work.law.(Phased); ok {
		prefill, decode := l.Phases(r.work.input, b)
		return prefill + decode*phasedDecodes(r.work)
	}
	c := r.cut.iterations(b)
	return (c + r.work.output) * r.work.iteration(b, c)
}

// latencies of a request at a mean batch of n, given its mean service time: its prefill, its inter-token latency, and what comes after the
// prefill before the first token.
func (r *stateDependent) latencies(n, service float64) (prefill, itl, first float64) {
	if l, ok := r.work.law.(Phased); ok {
		prefill, itl = l.Phases(r.work.input, n)
		if r.work.input == 0 {
			return prefill, itl, itl
		}
		return prefill, itl, 0 // the prefill yields the first token
	}
	c := r.cut.iterations(min(max(math.Round(n), 1), float64(len(r.times))))
	prefill = c*math.Max(0, r.work.others(n-1, c)) + r.work.ownPrefill(c)
	// Where the law is not linear, the parts of the mean batch do not add up to its whole, and less than nothing may be left.
	itl = math.Max((service-prefill)/r.work.output, r.work.law.IterationTime(Batch{Decodes: 1}))
	return prefill, itl, itl
}

// phasedDecodes is the number of decode iterations of a request whose prefill yields the first token: at least one where there is no
// prefill.
func phasedDecodes(w work) float64 {
	if w.input == 0 {
		return w.output
	}
	return math.Max(0, w.output-1)
}

// work is the work of one request, spread evenly over its iterations.
type work struct {
	law           Law
	input, output float64 // tokens to prefill and to generate
	cached        float64 // prompt tokens found in the prefix cache: read, not computed
}

// iteration is the time of an iteration that holds the mean work of b requests which each take c prefill iterations.
func (w work) iteration(b, c float64) float64 {
	share := b / (c + w.output)
	return w.law.IterationTime(Batch{
		Decodes:        share * w.output,
		DecodeContext:  share * w.output * (w.cached + w.input + (w.output+1)/2),
		PrefillTokens:  share * w.input,
		PrefillContext: share * (w.cached*c + w.input*(c+1)/2),
		Prefills:       share * c,
		PrefillPairs:   share * w.input * (w.cached + w.input/2),
	})
}

// others is the time of an iteration due to b requests besides one's own. Below zero requests it goes on in a straight line, because the
// mean batch may be below one.
func (w work) others(b, c float64) float64 {
	if b >= 0 {
		return w.iteration(b, c)
	}
	empty := w.iteration(0, c)
	return empty + b*(w.iteration(1, c)-empty)
}

// ownPrefill is the time that a request's own prefill adds to its c prefill iterations.
func (w work) ownPrefill(c float64) float64 {
	chunk := Batch{
		PrefillTokens: w.input / c, PrefillContext: w.cached + w.input/c*(c+1)/2,
		Prefills: 1, PrefillPairs: w.input / c * (w.cached + w.input/2),
	}
	return c * (w.law.IterationTime(chunk) - w.law.IterationTime(Batch{}))
}

// prefillCut says into how many iterations a token budget cuts prompts.
type prefillCut struct {
	input, output, budget float64 // tokens
}

// iterations is the smallest whole number m ≥ 1 of prefill iterations at which a batch of b fits the token budget M on average:
//
//	(m + out)·(M − in/m) ≥ b·(in + out).
//
// The left side grows with m, so m is the positive root of a quadratic, rounded up.
func (p prefillCut) iterations(b float64) float64 {
	if p.fits(1, b) {
		return 1
	}
	half := (p.budget*p.output - p.input - b*(p.input+p.output)) / 2
	root := math.Sqrt(half*half + p.budget*p.input*p.output)
	if half > 0 { // the same root without cancellation
		root = p.input * p.output / (half + root)
	} else {
		root = (root - half) / p.budget
	}
	m := math.Max(1, math.Ceil(root))
	for !p.fits(m, b) { // rounding may be one off
		m++
	}
	for m > 1 && p.fits(m-1, b) {
		m--
	}
	return m
}

func (p prefillCut) fits(m, b float64) bool {
	return math.Floor((m+p.output)*(p.budget-p.input/m)/(p.input+p.output)) >= b
}

// meanOnly is a quantity of which only the mean is known.
func meanOnly(mean float64) Quantity {
	nan := math.NaN()
	return Quantity{Mean: mean, P50: nan, P90: nan, P95: nan, P99: nan}
}
