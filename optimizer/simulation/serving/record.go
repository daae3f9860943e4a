package serving

import (
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Targets are what a client was promised, for each request.
type Targets struct {
	TTFT float64 `json:"ttft"` // time to first token, s
	ITL  float64 `json:"itl"`  // mean interval between the tokens of a request, s
}

// RecordOptions say what is recorded.
type RecordOptions struct {
	Targets Targets
	Window  float64 // width of the windows, s
	Keep    int     // how many windows are kept, the latest ones
	// Scores tells by its arrival time whether a request is in the score; nil for all.
	Scores  func(arrivedAt float64) bool
	Timeout float64 // a first token later than this, s after the arrival, comes too late for the client; 0 for never
	Clients Clients // who send the requests
}

// Validate reports every option out of range.
func (o RecordOptions) Validate() error {
	var faults []error
	for _, field := range []struct {
		name  string
		value float64
	}{{"ttft", o.Targets.TTFT}, {"itl", o.Targets.ITL}, {"window", o.Window}} {
		if !(field.value > 0 && !math.IsInf(field.value, 1)) {
			faults = append(faults, fmt.Errorf("%s: %v s, want a finite time above 0", field.name, field.value))
		}
	}
	if !(o.Timeout >= 0) {
		faults = append(faults, fmt.Errorf("timeout: %v s, want at least 0", o.Timeout))
	}
	if err := o.Clients.Validate(); err != nil {
		faults = append(faults, err)
	}
	if o.Keep < 1 {
		faults = append(faults, fmt.Errorf("keep: %d windows, want at least 1", o.Keep))
	}
	return errors.Join(faults...)
}

// Tally counts what happened in a stretch of time. Latencies and targets are
// those of the requests that completed in it.
type Tally struct {
	Arrivals     int
	InputTokens  int // of the arrivals
	OutputTokens int // of the arrivals
	Completions  int
	Retried      int // requests that started over because their replica went away
	Rejected     int // requests that fit no KV cache
	TimedOut     int // completed requests whose first token came after the timeout
	Abandoned    int // times that a client gave up before its first token
	Resent       int // times that one sent a request again
	Lost         int // requests that were given up for good
	Shed         int // requests that the gateway refused, for good

	MetTTFT int
	MetITL  int
	MetBoth int
	TTFT    Summary
	ITL     Summary // over requests, the mean interval of each
}

// Sent is how often requests were sent, those that were sent again included.
func (t Tally) Sent() int { return t.Arrivals + t.Resent }

// Ended is the number of requests of which it is known what came: completed, or never to be.
func (t Tally) Ended() int { return t.Completions + t.Rejected + t.Lost + t.Shed }

// Attainment is the share of requests that met both targets, of those that were
// completed, rejected, refused or given up for good; ok is false if there were none.
func (t Tally) Attainment() (share float64, ok bool) {
	ended := t.Ended()
	if ended == 0 {
		return 0, false
	}
	return float64(t.MetBoth) / float64(ended), true
}

// Window is what happened in a stretch of time, and the state at its end.
type Window struct {
	Start float64 // s
	Tally
	Queued   int            // requests at the gateway that no replica has taken
	Pending  int            // requests in replicas, running and waiting
	Replicas map[string]int // by what they run on: accelerator, and way where there are several
}

// Report is the record of a server.
type Report struct {
	Targets Targets
	Total   Tally
	Scored  Tally    // of the requests in the score; its arrivals, tokens and retries are not counted
	Windows []Window // closed ones, in order of time

	// The present state.
	Queued   int
	Pending  int
	Replicas map[string]int // as those of a window
}

// recorder sorts what happens into windows.
type recorder struct {
	options  RecordOptions
	total    tally
	scored   tally
	open     tally // of the window in progress
	closed   []Window
	count    int // windows closed so far
	replicas map[string]int
}

func newRecorder(options RecordOptions) *recorder {
	return &recorder{options: options, total: newTally(), scored: newTally(), open: newTally(), replicas: map[string]int{}}
}

// tally is a Tally in the making.
type tally struct {
	Tally
	ttft, itl *sketch
}

func newTally() tally { return tally{ttft: new(sketch), itl: new(sketch)} }

func (t *tally) reset() {
	*t.ttft, *t.itl = sketch{}, sketch{}
	*t = tally{ttft: t.ttft, itl: t.itl}
}

func (t tally) finish() Tally {
	t.Tally.TTFT, t.Tally.ITL = t.ttft.summary(), t.itl.summary()
	return t.Tally
}

func (t *tally) complete(c simulation.Completion, targets Targets, timeout float64) {
	t.Completions++
	t.TimedOut += count(timeout > 0 && c.TTFT() > timeout)
	itl, defined := c.ITL()
	metTTFT, metITL := c.TTFT() <= targets.TTFT, !defined || itl <= targets.ITL
	t.MetTTFT += count(metTTFT)
	t.MetITL += count(metITL)
	t.MetBoth += count(metTTFT && metITL)
	t.ttft.add(c.TTFT())
	if defined {
		t.itl.add(itl)
	}
}

func count(met bool) int {
	if met {
		return 1
	}
	return 0
}

func (r *recorder) arrived(request simulation.Request) {
	for _, t := range r.tallies() {
		t.Arrivals++
		t.InputTokens += request.InputTokens
		t.OutputTokens += request.OutputTokens
	}
}

func (r *recorder) completed(c simulation.Completion) {
	for _, t := range r.tallies() {
		t.complete(c, r.options.Targets, r.options.Timeout)
	}
	if r.options.scores(c.ArrivedAt) {
		r.scored.complete(c, r.options.Targets, r.options.Timeout)
	}
}

func (r *recorder) resent() {
	for _, t := range r.tallies() {
		t.Resent++
	}
}

// abandoned notes that a client gave up, for good where it does not send again.
func (r *recorder) abandoned(arrivedAt float64, again bool) {
	for _, t := range r.tallies() {
		t.Abandoned++
		t.Lost += count(!again)
	}
	if r.options.scores(arrivedAt) {
		r.scored.Lost += count(!again)
	}
}

func (r *recorder) retried(requests int) {
	for _, t := range r.tallies() {
		t.Retried += requests
	}
}

func (o *RecordOptions) scores(arrivedAt float64) bool { return o.Scores == nil || o.Scores(arrivedAt) }

func (r *recorder) rejected(arrivedAt float64) {
	if r.options.scores(arrivedAt) {
		r.scored.Rejected++
	}
	for _, t := range r.tallies() {
		t.Rejected++
	}
}

// shed notes a request that the gateway refused.
func (r *recorder) shed(arrivedAt float64) {
	if r.options.scores(arrivedAt) {
		r.scored.Shed++
	}
	for _, t := range r.tallies() {
		t.Shed++
	}
}

// tallies are those that count what happens now.
func (r *recorder) tallies() [2]*tally { return [2]*tally{&r.total, &r.open} }

func (r *recorder) add(on string, replicas int) {
	r.replicas[on] += replicas
	if r.replicas[on] == 0 {
		delete(r.replicas, on)
	}
}

// windowEnd is when the window in progress is to be closed, s.
func (r *recorder) windowEnd() float64 { return float64(r.count+1) * r.options.Window }

// closeWindow ends the window in progress with so many requests at the gateway
// and in replicas.
func (r *recorder) closeWindow(queued, pending int) {
	r.closed = append(r.closed, Window{
		Start: float64(r.count) * r.options.Window, Tally: r.open.finish(),
		Queued: queued, Pending: pending, Replicas: maps.Clone(r.replicas),
	})
	if excess := len(r.closed) - r.options.Keep; excess > 0 {
		r.closed = r.closed[excess:]
	}
	r.open.reset()
	r.count++
}

// report shares the closed windows with the recorder: those are never changed.
func (r *recorder) report(queued, pending int) Report {
	return Report{
		Targets: r.options.Targets, Total: r.total.finish(), Scored: r.scored.finish(), Windows: r.closed[:len(r.closed):len(r.closed)],
		Queued: queued, Pending: pending, Replicas: maps.Clone(r.replicas),
	}
}
