package simulation

// sequence is a request inside an engine.
//
// A decoding sequence is not touched in every iteration: all of them advance by
// one token each time, so that what it has generated and what it holds follow
// from the number of the iteration in which it joined.
type sequence struct {
	request     Request
	submittedAt float64

	scheduled    bool
	scheduledAt  float64
	firstTokenAt float64
	lastTokenAt  float64 // kept up to date only while not decoding

	cached      int
	preemptions int

	generated int // tokens generated when it joined the decodes, or was preempted
	target    int // tokens to prefill: the prompt, and after a preemption what it had generated
	computed  int // tokens in the KV cache, while in prefill

	abandoned bool // its client is gone

	filled bool    // others computed its prompt
	hereAt float64 // when its cache is here, then

	decoding bool
	joined   int64 // number of its first decode iteration
	finishes int64 // number of the iteration that yields its last token
}

// contextAfter is the number of tokens in the KV cache after that iteration.
func (s *sequence) contextAfter(iteration int64) int {
	if !s.decoding {
		return s.computed
	}
	return s.target + int(iteration-s.joined+1)
}

func (s *sequence) completion(finishedAt float64) Completion {
	return Completion{
		Request:      s.request,
		SubmittedAt:  s.submittedAt,
		ScheduledAt:  s.scheduledAt,
		FirstTokenAt: s.firstTokenAt,
		FinishedAt:   finishedAt,
		CachedTokens: s.cached,
		Preemptions:  s.preemptions,
	}
}
