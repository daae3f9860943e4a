package queueing

// Work is the reference service-time law: an iteration takes
//
//	α + β · computed tokens + γ · KV tokens read.
//
// Each decode computes one token. Source: llm-inferno queue-analysis v0.8.
type Work struct {
	// Alpha is the time of an empty iteration in seconds, above 0.
	Alpha float64
	// Beta is the time of computing one token in seconds, at least 0.
	Beta float64
	// Gamma is the time of reading one KV token in seconds, at least 0.
	Gamma float64
}

// IterationTime implements [Law].
func (w Work) IterationTime(b Batch) float64 {
	return w.Alpha + w.Beta*(b.Decodes+b.PrefillTokens) + w.Gamma*(b.DecodeContext+b.PrefillContext)
}

// Parameters implements [Described].
func (w *Work) Parameters() []Parameter {
	return []Parameter{
		{"alpha", &w.Alpha, Millisecond, AboveZero, "alpha", []string{"overhead", "weights", "experts"}},
		{"beta", &w.Beta, Millisecond, AtLeastZero, "beta", []string{"compute"}},
		{"gamma", &w.Gamma, Millisecond, AtLeastZero, "gamma", []string{"kv"}},
	}
}
