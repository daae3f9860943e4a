package simulation

// Request is one call to a model server.
type Request struct {
	ID           uint64
	ArrivedAt    float64 // when the client sent it, s; latency counts from here
	InputTokens  int     // tokens of the prompt, at least 1
	OutputTokens int     // tokens it will generate, at least 1
	Session      uint64  // whose turn it is; 0 where requests have nothing to do with each other
}

// Completion is a request that was served, and when what happened to it.
type Completion struct {
	Request

	SubmittedAt  float64 // reached the engine, s; later than ArrivedAt if it waited elsewhere
	ScheduledAt  float64 // start of the first iteration that worked on it, s
	FirstTokenAt float64 // s
	FinishedAt   float64 // last token, s
	CachedTokens int     // prompt tokens found in the prefix cache
	Preemptions  int     // how often it lost its KV cache and was computed again
}

// TTFT is the time to first token, s, from the arrival at the client's side.
func (c Completion) TTFT() float64 { return c.FirstTokenAt - c.ArrivedAt }

// ITL is the mean interval between the tokens of this request, s. It is not
// defined for a request of a single token: ok is false then.
func (c Completion) ITL() (seconds float64, ok bool) {
	if c.OutputTokens < 2 {
		return 0, false
	}
	return (c.FinishedAt - c.FirstTokenAt) / float64(c.OutputTokens-1), true
}

// EndToEnd is the time from arrival to the last token, s.
func (c Completion) EndToEnd() float64 { return c.FinishedAt - c.ArrivedAt }

// Meets tells whether the request met both targets, s: its TTFT, and the mean
// interval between its tokens where there is one.
func (c Completion) Meets(ttft, itl float64) bool {
	mean, defined := c.ITL()
	return c.TTFT() <= ttft && (!defined || mean <= itl)
}
