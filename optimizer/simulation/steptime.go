package simulation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Batch is the work of one iteration.
type Batch struct {
	Decodes        int     // sequences in decode, one new token each
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

var laws = map[string]func() StepTime{
	"linear":   func() StepTime { return new(Linear) },
	"roofline": func() StepTime { return new(Roofline) },
}

// StepTimeNames lists the laws that ParseStepTime knows, sorted.
func StepTimeNames() []string { return slices.Sorted(maps.Keys(laws)) }

// ParseStepTime makes the law of that name from its parameters in JSON or YAML.
// Unknown parameters, duplicates and values out of range are errors.
func ParseStepTime(name string, parameters []byte) (StepTime, error) {
	construct, known := laws[name]
	if !known {
		return nil, fmt.Errorf("step time: %q, want one of %s", name, strings.Join(StepTimeNames(), ", "))
	}
	law := construct()
	if err := yaml.UnmarshalStrict(parameters, law); err != nil {
		return nil, fmt.Errorf("step time %s: %w", name, err)
	}
	if err := law.Validate(); err != nil {
		return nil, fmt.Errorf("step time %s: %w", name, err)
	}
	return law, nil
}
