package simulation

import "github.com/llm-inferno/inferno/optimizer/plug"

// Batch is the work of one iteration.
type Batch struct {
	Decodes        int     // sequences in decode, one new token each, and those whose prompts others computed
	DecodeContext  int     // tokens in the KV cache of all decoding sequences, the new ones included
	Prefills       int     // prompts worked on, whole or in part
	PrefillTokens  int     // prompt tokens computed
	PrefillContext int     // tokens in the KV cache of these prompts at the end of the iteration
	PrefillPairs   float64 // pairs of a computed prompt token and a token it attends to
}

// Tokens is the number of tokens computed.
func (b Batch) Tokens() int { return b.Decodes + b.PrefillTokens }

// Context is the number of tokens read from the KV cache.
func (b Batch) Context() int { return b.DecodeContext + b.PrefillContext }

// Sequences is the number of sequences in the iteration.
func (b Batch) Sequences() int { return b.Decodes + b.Prefills }

// StepTime is the truth of a simulated engine: how long an iteration takes
// before noise, in seconds, above zero for every batch that is not empty.
type StepTime interface {
	Seconds(Batch) float64
	// Validate reports every parameter out of range.
	Validate() error
}

// StepTimes are the laws that can be chosen by name, with their parameters as JSON.
func StepTimes() plug.Registry[StepTime] {
	return plug.NewRegistry("step time",
		plug.Of("linear", func() Linear { return Linear{} }, func(l Linear) (StepTime, error) { return l, nil }),
		plug.Of("table", func() Table { return Table{} }, func(t Table) (StepTime, error) { return t, nil }),
		plug.Of("roofline", func() Roofline { return Roofline{} }, func(r Roofline) (StepTime, error) { return r, nil }),
	)
}
