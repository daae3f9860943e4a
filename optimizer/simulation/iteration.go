package simulation

import (
	"fmt"
	"slices"
)

// start schedules an iteration at the given time and computes its end.
func (e *Engine) start(at float64) {
	e.iteration++
	e.startedAt = at
	e.batch = Batch{}
	e.prefilled = e.prefilled[:0]

	e.due(at)
	e.growDecodes()
	budget := e.config.MaxNumBatchedTokens - e.decodes
	if e.partial != nil {
		budget -= e.continuePrefill(budget)
	}
	// After a preemption nobody is admitted, as in vLLM: whoever was preempted is
	// at the head and needs more than what its going has left.
	e.admit(budget)

	seconds := e.config.StepTime.Seconds(e.batch) * e.noise.factor()
	if !(seconds > 0) || e.batch.Tokens() == 0 {
		panic(fmt.Sprintf("simulation: iteration of %v s for %+v", seconds, e.batch))
	}
	e.endsAt = at + seconds
	e.inProgress = true
	e.counters.PeakBlocks = max(e.counters.PeakBlocks, e.config.Blocks-e.freeBlocks)
	e.counters.PeakBatchedTokens = max(e.counters.PeakBatchedTokens, e.batch.Tokens())
}

// growDecodes gives every decoding sequence room for one more token. Where there
// is none the youngest sequences are preempted until the others fit, which they
// do at the latest when one is left (see check).
func (e *Engine) growDecodes() {
	slot := int(e.iteration % int64(e.config.BlockSize))
	for e.crossing[slot] > e.freeBlocks {
		e.preempt(e.running[len(e.running)-1])
	}
	e.freeBlocks -= e.crossing[slot]
	e.context += e.decodes
	e.batch.Decodes = e.decodes
	e.batch.DecodeContext = e.context
}

// continuePrefill computes the next chunk of the unfinished prompt and returns
// its tokens. It is the youngest sequence, so without memory it preempts itself:
// then the result is 0.
func (e *Engine) continuePrefill(budget int) (used int) {
	s := e.partial
	chunk := min(budget, s.target-s.computed)
	if e.blocks(s.computed+chunk)-e.blocks(s.computed) > e.freeBlocks {
		e.preempt(s)
		return 0
	}
	e.prefill(s, chunk)
	return chunk
}

// admit takes waiting sequences, in order, while budget, seats and memory last.
// A sequence must find memory for its whole prompt even if only a chunk of it is
// computed now, otherwise half-computed prompts would evict each other.
func (e *Engine) admit(budget int) {
	for budget > 0 && len(e.running) < e.config.MaxNumSeqs && e.waiting.len() > 0 {
		s := e.waiting.at(0)
		if e.queuedAt(s) > e.startedAt || e.blocks(s.target) > e.freeBlocks {
			return
		}
		e.waiting.popFront()
		e.running = append(e.running, s)
		if !s.scheduled {
			s.scheduled, s.scheduledAt = true, e.startedAt
		}
		if s.filled && s.preemptions == 0 {
			e.takeOver(s)
			budget--
			continue
		}
		e.lookUpPrefix(s)
		chunk := min(budget, s.target-s.computed)
		e.prefill(s, chunk)
		budget -= chunk
	}
}

// lookUpPrefix starts the prefill of a sequence with the blocks of its prompt
// that are in the prefix cache. At least one token is left to compute.
func (e *Engine) lookUpPrefix(s *sequence) {
	prompt, hit := s.request.InputTokens, 0
	if session := s.request.Session; session == 0 || e.prefixes.take(session, e.freeBlocks) {
		hit = int(e.config.PrefixHitRate * float64(prompt))
	}
	hit -= hit % e.config.BlockSize
	e.freeBlocks -= e.blocks(hit)
	s.computed, s.cached = hit, hit
	e.counters.PrefixQueries += int64(prompt)
	e.counters.PrefixHits += int64(hit)
}

// prefill adds a chunk of a prompt to the iteration.
func (e *Engine) prefill(s *sequence, chunk int) {
	before, after := s.computed, s.computed+chunk
	e.freeBlocks -= e.blocks(after) - e.blocks(before)
	s.computed = after
	if after == s.target {
		e.prefilled = append(e.prefilled, s)
		e.partial = nil
	} else {
		e.partial = s
	}
	e.batch.Prefills++
	e.batch.PrefillTokens += chunk
	e.batch.PrefillContext += after
	// The i-th token attends to itself and the i−1 before it.
	e.batch.PrefillPairs += float64(chunk) * (float64(before+after) + 1) / 2
}

// preempt takes the last running sequence out of the batch, frees its memory and
// puts it back at the head of the queue, to be computed again.
func (e *Engine) preempt(s *sequence) {
	e.running = e.running[:len(e.running)-1]
	if s.decoding {
		held := s.contextAfter(e.iteration - 1)
		s.generated += int(e.iteration - s.joined)
		s.lastTokenAt = e.freeAt
		e.leave(s, held)
	} else {
		e.freeBlocks += e.blocks(s.computed)
		e.partial = nil
	}
	s.target = s.request.InputTokens + s.generated
	s.computed = 0
	s.preemptions++
	e.counters.Preemptions++
	e.waiting.pushFront(s)
}

// finish ends the iteration in progress: every sequence in it that is done with
// its prompt has one more token.
func (e *Engine) finish(done []Completion) []Completion {
	at := e.endsAt
	e.inProgress = false
	e.freeAt = at
	e.clock = max(e.clock, at)
	if hook := e.config.Hooks.TokenInterval; hook != nil && e.decodes > 0 {
		hook(at, at-e.startedAt, e.decodes)
	}
	for i := len(e.running) - 1; i >= 0 && e.abandoned > 0; i-- {
		if s := e.running[i]; s.abandoned {
			e.prefilled = slices.DeleteFunc(e.prefilled, func(p *sequence) bool { return p == s })
			e.drop(i)
		}
	}
	e.account(at - e.startedAt)
	for _, s := range e.prefilled {
		e.join(s, at)
	}
	if e.nextFinish <= e.iteration {
		done = e.collect(at, done)
	}
	if hook := e.config.Hooks.Iteration; hook != nil {
		hook(e.startedAt, at, e.batch)
	}
	return done
}

func (e *Engine) account(seconds float64) {
	c := &e.counters
	c.Iterations++
	c.ComputedTokens += int64(e.batch.Tokens())
	c.GenerationTokens += int64(e.decodes + len(e.prefilled))
	c.BusySeconds += seconds
	c.SequenceSeconds += seconds * float64(e.batch.Sequences())
}

// join records the token that the end of a prefill yields and makes the sequence
// one of the decoding ones, even if that token was its last (see collect).
func (e *Engine) join(s *sequence, at float64) {
	if s.generated == 0 {
		s.firstTokenAt = at
		e.counters.PromptTokens += int64(s.request.InputTokens)
		if hook := e.config.Hooks.FirstToken; hook != nil {
			hook(at, at-s.submittedAt, s.request)
		}
	} else if hook := e.config.Hooks.TokenInterval; hook != nil {
		hook(at, at-s.lastTokenAt, 1)
	}
	s.generated++
	s.decoding = true
	s.joined = e.iteration + 1
	s.finishes = e.iteration + int64(s.request.OutputTokens-s.generated)
	e.nextFinish = min(e.nextFinish, s.finishes)
	e.decodes++
	e.context += s.target
	e.crossing[e.slot(s)]++
}

// leave removes a decoding sequence that holds so many tokens from the sums.
func (e *Engine) leave(s *sequence, held int) {
	e.crossing[e.slot(s)]--
	e.decodes--
	e.context -= held
	e.freeBlocks += e.blocks(held)
	s.decoding = false
}

// collect takes out the sequences whose last token this iteration has yielded,
// and finds out when the next one is due.
func (e *Engine) collect(at float64, done []Completion) []Completion {
	e.nextFinish = noFinish
	kept := e.running[:0]
	for _, s := range e.running {
		if s.decoding && s.finishes <= e.iteration {
			completion := s.completion(at)
			if hook := e.config.Hooks.Completed; hook != nil {
				hook(completion)
			}
			done = append(done, completion)
			held := s.contextAfter(e.iteration)
			e.leave(s, held)
			if e.config.KeepsCaches {
				e.keep(s, held)
			}
			if session := s.request.Session; session != 0 {
				e.prefixes.keep(session, e.blocks(held))
			}
			e.spare = append(e.spare, s)
			e.counters.Completed++
			continue
		}
		kept = append(kept, s)
		if s.decoding {
			e.nextFinish = min(e.nextFinish, s.finishes)
		}
	}
	clear(e.running[len(kept):])
	e.running = kept
	return done
}

// slot is the index, modulo the block size, of the iterations in which a decoding
// sequence needs a new block: those that find its last block full.
func (e *Engine) slot(s *sequence) int {
	size := int64(e.config.BlockSize)
	return int(((s.joined-int64(s.target))%size + size) % size)
}

// blocks is the number of blocks that hold so many tokens.
func (e *Engine) blocks(tokens int) int {
	return (tokens + e.config.BlockSize - 1) / e.config.BlockSize
}
