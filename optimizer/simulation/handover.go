package simulation

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// release of blocks at a time.
type release struct {
	at     float64
	blocks int
}

// Receive queues a request whose prompt another engine computed. Its KV cache is here at the given time, s, and until then it waits without standing in the
// way of others, as in vLLM's scheduler. What is left to compute is the last token of its prompt, which yields the first one generated. It is told of at the time
// of submission, as Submit is.
func (e *Engine) Receive(at, hereAt float64, request Request) error {
	if !(hereAt >= at && !math.IsInf(hereAt, 1)) {
		return fmt.Errorf("request %d: its cache is here at %v s, want a finite time of at least %v s", request.ID, hereAt, at)
	}
	s, err := e.submit(at, request)
	if err != nil {
		return err
	}
	s.filled, s.hereAt = true, max(hereAt, at+e.config.RequestOverhead)
	i := sort.Search(len(e.arriving), func(i int) bool { return e.arriving[i].hereAt > s.hereAt })
	e.arriving = slices.Insert(e.arriving, i, s)
	return nil
}

// Recall takes away a request whose cache is not here yet, because the one that sends it is gone; false where there is none.
func (e *Engine) Recall(id uint64) (Request, bool) {
	i := slices.IndexFunc(e.arriving, func(s *sequence) bool { return s.request.ID == id })
	if i < 0 {
		return Request{}, false
	}
	request := e.arriving[i].request
	e.spare = append(e.spare, e.arriving[i])
	e.arriving = slices.Delete(e.arriving, i, i+1)
	return request, true
}

// Keeps is the number of completed requests whose caches are still held ([Config.KeepsCaches]).
func (e *Engine) Keeps() int { return len(e.kept) + len(e.releases) }

// LetGo of the cache of a completed request at a time, s, when it was sent. Of one that is not kept it does nothing.
func (e *Engine) LetGo(at float64, id uint64) {
	blocks, kept := e.kept[id]
	if !kept {
		return
	}
	delete(e.kept, id)
	i := sort.Search(len(e.releases), func(i int) bool { return e.releases[i].at > at })
	e.releases = slices.Insert(e.releases, i, release{at, blocks})
}

// keep the cache of a completed request, which holds so many tokens.
func (e *Engine) keep(s *sequence, held int) {
	if e.kept == nil {
		e.kept = map[uint64]int{}
	}
	e.kept[s.request.ID] = e.blocks(held)
	e.freeBlocks -= e.blocks(held)
}

// due takes up what has happened elsewhere by a time: caches that are here, ahead of what waits, and those that were sent.
func (e *Engine) due(at float64) {
	n := sort.Search(len(e.arriving), func(i int) bool { return e.arriving[i].hereAt > at })
	for i := n - 1; i >= 0; i-- {
		e.waiting.pushFront(e.arriving[i])
	}
	e.arriving = slices.Delete(e.arriving, 0, n)
	e.free(at)
}

// free the caches that were sent by a time.
func (e *Engine) free(at float64) {
	n := sort.Search(len(e.releases), func(i int) bool { return e.releases[i].at > at })
	for _, r := range e.releases[:n] {
		e.freeBlocks += r.blocks
	}
	e.releases = slices.Delete(e.releases, 0, n)
}

// roomAt is when so many blocks will be free where nothing runs: at once but for the caches that are kept; +Inf where it is not known.
func (e *Engine) roomAt(blocks int) float64 {
	at, free := math.Inf(-1), e.freeBlocks
	for _, r := range e.releases {
		if free >= blocks {
			return at
		}
		at, free = r.at, free+r.blocks
	}
	if free < blocks {
		return math.Inf(1)
	}
	return at
}

// takeOver adds a sequence whose cache others filled to the iteration: it computes one token, as a decode does.
func (e *Engine) takeOver(s *sequence) {
	e.freeBlocks -= e.blocks(s.target)
	s.computed = s.target
	e.prefilled = append(e.prefilled, s)
	e.batch.Decodes++
	e.batch.DecodeContext += s.target
}
