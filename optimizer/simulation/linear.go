package simulation

import "errors"

// Linear is the law T = Base + PerToken·tokens + PerContext·context, with the
// tokens computed and the tokens read from the KV cache in the iteration.
type Linear struct {
	Base       float64 `json:"base"`       // s per iteration, above 0
	PerToken   float64 `json:"perToken"`   // s per computed token
	PerContext float64 `json:"perContext"` // s per token read from the KV cache
}

// Seconds implements StepTime.
func (l Linear) Seconds(b Batch) float64 {
	return l.Base + l.PerToken*float64(b.Tokens()) + l.PerContext*float64(b.Context())
}

// Validate implements StepTime.
func (l Linear) Validate() error {
	return errors.Join(
		positive("base", l.Base),
		notNegative("perToken", l.PerToken),
		notNegative("perContext", l.PerContext),
	)
}
