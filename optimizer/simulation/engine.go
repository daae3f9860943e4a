package simulation

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// noFinish is a number that no iteration reaches.
const noFinish = math.MaxInt64

// Engine is one replica of a model server. It is not safe for concurrent use.
type Engine struct {
	config Config
	noise  noise

	clock     float64 // nothing may be submitted before
	freeAt    float64 // end of the last iteration
	submitted float64 // time of the latest submission

	waiting queue[*sequence]
	running []*sequence // in order of admission
	partial *sequence   // the one in running whose prompt is not finished, always the last

	arriving []*sequence    // whose caches others send, by when they are here
	kept     map[uint64]int // blocks of the caches of completed requests, where they are kept, until it is known when they go
	releases []release      // of them, by time

	// The iteration in progress, if any.
	inProgress bool
	startedAt  float64
	endsAt     float64
	batch      Batch
	prefilled  []*sequence // finish their prompt in it
	abandoned  int         // of those in it, how many whose clients are gone

	// Over the decoding sequences, so that an iteration costs the same however
	// many there are.
	iteration  int64 // number of the latest iteration
	decodes    int
	context    int   // tokens in their KV cache
	crossing   []int // how many need a new block in iterations of number ≡ index, modulo the block size
	nextFinish int64 // no sequence finishes in an iteration before this one

	freeBlocks int
	prefixes   prefixes
	counters   Counters
	spare      []*sequence
}

// Counters only grow over the life of an engine.
type Counters struct {
	Submitted         int64
	Completed         int64
	Abandoned         int64 // given up before their first token
	Preemptions       int64
	Iterations        int64
	PromptTokens      int64   // of prompts that were finished, cached ones included, recomputation not
	GenerationTokens  int64   // generated
	PrefixQueries     int64   // prompt tokens looked up in the prefix cache
	PrefixHits        int64   // of these, found
	ComputedTokens    int64   // tokens that went through iterations, recomputation included
	BusySeconds       float64 // time spent in iterations
	SequenceSeconds   float64 // time spent in iterations, times their sequences
	PeakBlocks        int     // most blocks ever in use
	PeakBatchedTokens int     // most tokens ever in an iteration
}

// Stats is the state of an engine.
type Stats struct {
	Counters
	Running    int // sequences in the batch
	Waiting    int // sequences in the queue
	UsedBlocks int
	Blocks     int
}

// CacheUsage is the share of KV blocks in use, 0 to 1.
func (s Stats) CacheUsage() float64 { return float64(s.UsedBlocks) / float64(s.Blocks) }

// ErrTooLong is wrapped in the error of Submit for a request that can never be
// served, because its tokens do not fit into the whole KV cache.
var ErrTooLong = errors.New("request does not fit into the KV cache")

// New makes an idle engine at time 0. The error lists every field of the
// configuration that is out of range.
func New(config Config) (*Engine, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Engine{
		config:     config,
		noise:      newNoise(config.NoiseCV, config.Seed),
		crossing:   make([]int, config.BlockSize),
		nextFinish: noFinish,
		freeBlocks: config.Blocks,
	}, nil
}

// Submit queues a request at the given time, s, which is neither before the
// time the engine was advanced to nor before an earlier submission. Latency
// counts from the arrival of the request, which is not later.
func (e *Engine) Submit(at float64, request Request) error {
	s, err := e.submit(at, request)
	if err == nil {
		e.waiting.pushBack(s)
	}
	return err
}

func (e *Engine) submit(at float64, request Request) (*sequence, error) {
	if err := e.check(at, request); err != nil {
		return nil, fmt.Errorf("request %d: %w", request.ID, err)
	}
	s := e.allocate()
	s.request, s.submittedAt, s.target = request, at, request.InputTokens
	e.submitted = at
	e.counters.Submitted++
	return s, nil
}

func (e *Engine) check(at float64, r Request) error {
	var faults []error
	if earliest := max(e.clock, e.submitted); !(at >= earliest && !math.IsInf(at, 1)) {
		faults = append(faults, fmt.Errorf("submission time: %v s, want at least %v s", at, earliest))
	}
	if !(r.ArrivedAt <= at) {
		faults = append(faults, fmt.Errorf("arrivedAt: %v s, want at most the submission time %v s", r.ArrivedAt, at))
	}
	if r.InputTokens < 1 {
		faults = append(faults, fmt.Errorf("inputTokens: %d, want at least 1", r.InputTokens))
	}
	if r.OutputTokens < 1 {
		faults = append(faults, fmt.Errorf("outputTokens: %d, want at least 1", r.OutputTokens))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	// The last token is never stored: nothing follows that would attend to it.
	capacity := e.config.Blocks * e.config.BlockSize
	if r.InputTokens > capacity-r.OutputTokens+1 {
		return fmt.Errorf("%d + %d tokens in %d blocks of %d: %w",
			r.InputTokens, r.OutputTokens, e.config.Blocks, e.config.BlockSize, ErrTooLong)
	}
	return nil
}

// Advance runs the engine up to the given time, s, and appends the requests that
// completed until then, in order of completion, to done. An iteration that
// would start at that very time does not start yet: requests may still be
// submitted for it. Times before the present change nothing; +Inf runs until all
// is done.
func (e *Engine) Advance(to float64, done []Completion) []Completion {
	for {
		var stepped bool
		if done, stepped = e.Step(to, done); !stepped {
			if !math.IsInf(to, 1) {
				e.clock = max(e.clock, to)
			}
			e.free(e.clock)
			return done
		}
	}
}

// Step runs the engine to the end of one iteration, if one ends by the given
// time, and tells whether it did. Clients that wait for an answer before they
// send the next request are simulated with it.
func (e *Engine) Step(limit float64, done []Completion) ([]Completion, bool) {
	if !e.inProgress {
		start := e.nextStart()
		if start >= limit {
			return done, false
		}
		e.start(start)
	}
	if e.endsAt > limit {
		return done, false
	}
	return e.finish(done), true
}

// Now is the time up to which the engine was simulated, s.
func (e *Engine) Now() float64 { return e.clock }

// Pending is the number of requests in the engine, running and waiting.
func (e *Engine) Pending() int { return len(e.running) + e.waiting.len() + len(e.arriving) }

// Stats returns the present state.
func (e *Engine) Stats() Stats {
	return Stats{
		Counters:   e.counters,
		Running:    len(e.running),
		Waiting:    e.waiting.len() + len(e.arriving),
		UsedBlocks: e.config.Blocks - e.freeBlocks,
		Blocks:     e.config.Blocks,
	}
}

// Abort stops all work at once, as when a pod is lost, and returns the requests
// that were not finished: the running ones in order of admission, then the
// waiting ones, then those whose caches were to come. The engine is idle and empty
// afterwards.
func (e *Engine) Abort() []Request {
	lost := make([]Request, 0, e.Pending())
	for _, s := range e.running {
		lost = append(lost, s.request)
	}
	for i := range e.waiting.len() {
		lost = append(lost, e.waiting.at(i).request)
	}
	for _, s := range e.arriving {
		lost = append(lost, s.request)
	}
	config, counters := e.config, e.counters
	*e = Engine{
		config: config, noise: e.noise, counters: counters,
		clock: e.clock, submitted: e.submitted, freeAt: e.clock, iteration: e.iteration,
		crossing:   make([]int, config.BlockSize),
		nextFinish: noFinish,
		freeBlocks: config.Blocks,
	}
	return lost
}

// Abandon takes away a request whose client gave up before its first token: from the queue at once, from the batch when the iteration in progress ends, as
// an engine that is told between two steps. It is false where the request is not there, or has its first token.
func (e *Engine) Abandon(id uint64) bool {
	for i := e.waiting.len() - 1; i >= 0; i-- { // who gives up came lately
		if s := e.waiting.at(i); s.request.ID == id {
			if s.generated > 0 {
				return false
			}
			e.waiting.remove(i)
			e.abandon(s)
			return true
		}
	}
	if i := slices.IndexFunc(e.arriving, func(s *sequence) bool { return s.request.ID == id }); i >= 0 {
		e.abandon(e.arriving[i])
		e.arriving = slices.Delete(e.arriving, i, i+1)
		return true
	}
	for i, s := range e.running {
		if s.request.ID != id {
			continue
		}
		if s.decoding || s.generated > 0 || s.abandoned {
			return false
		}
		s.abandoned = true
		e.abandoned++
		if !e.inProgress {
			e.drop(i)
		}
		return true
	}
	return false
}

// drop takes a sequence whose client is gone out of the batch, in which it is not decoding.
func (e *Engine) drop(i int) {
	s := e.running[i]
	e.running = slices.Delete(e.running, i, i+1)
	e.freeBlocks += e.blocks(s.computed)
	if e.partial == s {
		e.partial = nil
	}
	e.abandoned--
	e.abandon(s)
}

func (e *Engine) abandon(s *sequence) {
	e.counters.Abandoned++
	if hook := e.config.Hooks.Abandoned; hook != nil {
		hook(s.request)
	}
	e.spare = append(e.spare, s)
}

// nextStart is when the next iteration may begin, +Inf when there is no work.
func (e *Engine) nextStart() float64 {
	if len(e.running) > 0 {
		return e.freeAt
	}
	var next *sequence
	if e.waiting.len() > 0 {
		next = e.waiting.at(0)
	}
	if len(e.arriving) > 0 && (next == nil || e.arriving[0].hereAt < e.queuedAt(next)) {
		next = e.arriving[0]
	}
	if next == nil {
		return math.Inf(1)
	}
	return max(e.freeAt, e.clock, e.queuedAt(next), e.roomAt(e.blocks(next.target)))
}

// queuedAt is when a sequence came to the queue, ready to be scheduled.
func (e *Engine) queuedAt(s *sequence) float64 {
	if s.filled {
		return s.hereAt
	}
	return s.submittedAt + e.config.RequestOverhead
}

func (e *Engine) allocate() *sequence {
	if last := len(e.spare) - 1; last >= 0 {
		s := e.spare[last]
		e.spare = e.spare[:last]
		*s = sequence{}
		return s
	}
	return new(sequence)
}
