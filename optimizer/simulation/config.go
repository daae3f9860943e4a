package simulation

import (
	"errors"
	"fmt"
	"math"
)

// Limits are what an engine is started with and a planner may choose.
type Limits struct {
	MaxNumSeqs          int `json:"maxNumSeqs"`          // most sequences in one iteration
	MaxNumBatchedTokens int `json:"maxNumBatchedTokens"` // most tokens computed in one iteration
}

// Validate reports every limit an engine would refuse to start with. Like vLLM
// it wants a budget that lets every running sequence decode.
func (l Limits) Validate() error {
	var faults []error
	if l.MaxNumSeqs < 1 {
		faults = append(faults, fmt.Errorf("maxNumSeqs: %d, want at least 1", l.MaxNumSeqs))
	}
	if l.MaxNumBatchedTokens < max(l.MaxNumSeqs, 1) {
		faults = append(faults, fmt.Errorf("maxNumBatchedTokens: %d, want at least maxNumSeqs (%d)",
			l.MaxNumBatchedTokens, l.MaxNumSeqs))
	}
	return errors.Join(faults...)
}

// Cache describes the KV cache of an engine.
type Cache struct {
	BlockSize int `json:"blockSize"` // tokens per block
	Blocks    int `json:"blocks"`    // blocks in all

	// PrefixHitRate is the share of every prompt that is found in the cache and
	// need not be computed, 0 to below 1, in whole blocks. Blocks shared between
	// requests are counted for each of them. Of a request of a session nothing is
	// found but where its last turn was computed here and its blocks are left.
	PrefixHitRate float64 `json:"prefixHitRate,omitempty"`
}

// Validate reports every field out of range.
func (c Cache) Validate() error {
	var faults []error
	if c.BlockSize < 1 {
		faults = append(faults, fmt.Errorf("blockSize: %d, want at least 1", c.BlockSize))
	}
	if c.Blocks < 1 {
		faults = append(faults, fmt.Errorf("blocks: %d, want at least 1", c.Blocks))
	}
	if !(c.PrefixHitRate >= 0 && c.PrefixHitRate < 1) {
		faults = append(faults, fmt.Errorf("prefixHitRate: %v, want 0 to below 1", c.PrefixHitRate))
	}
	return errors.Join(faults...)
}

// Config is what an Engine is built from.
type Config struct {
	Limits
	Cache

	StepTime StepTime

	// RequestOverhead is the time between the submission of a request and its place
	// in the queue, s: parsing, tokenisation, transport.
	RequestOverhead float64

	// NoiseCV is the coefficient of variation by which every iteration is
	// multiplied (log-normal with mean 1), 0 to 1; 0 is no noise.
	NoiseCV float64
	Seed    uint64

	// KeepsCaches says that the caches of completed requests are held until it is let go of them ([Engine.LetGo]): what computes prompts for others sends them.
	KeepsCaches bool

	Hooks Hooks
}

// Validate reports every field out of range.
func (c Config) Validate() error {
	faults := []error{c.Limits.Validate(), c.Cache.Validate()}
	if c.StepTime == nil {
		faults = append(faults, errors.New("stepTime: missing"))
	} else if err := c.StepTime.Validate(); err != nil {
		faults = append(faults, fmt.Errorf("stepTime: %w", err))
	}
	if err := notNegative("requestOverhead", c.RequestOverhead); err != nil {
		faults = append(faults, err)
	}
	if !(c.NoiseCV >= 0 && c.NoiseCV <= 1) {
		faults = append(faults, fmt.Errorf("noiseCV: %v, want 0 to 1", c.NoiseCV))
	}
	return errors.Join(faults...)
}

// Hooks are called as an engine goes, in order of time. A nil hook is skipped.
// They must not call the engine.
type Hooks struct {
	// Iteration is called at the end of every iteration.
	Iteration func(start, end float64, batch Batch)
	// FirstToken is called when a request yields its first token, so many seconds
	// after it was submitted.
	FirstToken func(at, seconds float64, request Request)
	// TokenInterval is called with intervals between successive tokens of a
	// request: count sequences of this iteration had waited so many seconds.
	TokenInterval func(at, seconds float64, count int)
	// Completed is called with every request that is done.
	Completed func(Completion)
	// Abandoned is called with every request whose client gave up.
	Abandoned func(Request)
}

func positive(name string, value float64) error {
	if value > 0 && !math.IsInf(value, 1) {
		return nil
	}
	return fmt.Errorf("%s: %v, want a finite number above 0", name, value)
}

func notNegative(name string, value float64) error {
	if value >= 0 && !math.IsInf(value, 1) {
		return nil
	}
	return fmt.Errorf("%s: %v, want a finite number of at least 0", name, value)
}

func fraction(name string, value float64) error {
	if value > 0 && value <= 1 {
		return nil
	}
	return fmt.Errorf("%s: %v, want above 0 to 1", name, value)
}
