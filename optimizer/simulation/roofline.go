package simulation

import (
	"errors"
	"fmt"
	"math"
)

// Roofline is the law of an engine that either waits for memory or computes,
// whichever takes longer:
//
//	T = Overhead + SequenceOverhead·sequences + max(bytes / B, operations / F)
//
//	bytes      = WeightBytes + ExpertBytes·(1 − (1 − ExpertShare)^tokens) + KVBytesPerToken·context
//	operations = 2·ActiveParameters·tokens + AttentionFLOP·(prefill pairs + decode context)
//
// with B and F the bandwidth and the speed of all accelerators of a replica, each
// times its efficiency. The kink is where one overtakes the other: small batches
// wait for the weights, large prompts for the arithmetic. Of a mixture of experts
// only those are read that some token of the iteration chose; the term assumes
// that tokens choose independently.
//
// After Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009.
type Roofline struct {
	WeightBytes      float64 `json:"weightBytes"`           // read in every iteration
	ExpertBytes      float64 `json:"expertBytes,omitempty"` // all experts together; 0 for a dense model
	ExpertShare      float64 `json:"expertShare,omitempty"` // experts per token ÷ experts
	ActiveParameters float64 `json:"activeParameters"`      // parameters that work on a token
	KVBytesPerToken  float64 `json:"kvBytesPerToken"`
	AttentionFLOP    float64 `json:"attentionFLOP,omitempty"` // per pair of tokens; 4·layers·heads·head size

	Bandwidth         float64 `json:"bandwidth"`         // byte/s, all accelerators of the replica
	Speed             float64 `json:"speed"`             // FLOP/s, likewise
	MemoryEfficiency  float64 `json:"memoryEfficiency"`  // reached share of Bandwidth, above 0 to 1
	ComputeEfficiency float64 `json:"computeEfficiency"` // reached share of Speed, above 0 to 1

	Overhead         float64 `json:"overhead"`                   // s per iteration
	SequenceOverhead float64 `json:"sequenceOverhead,omitempty"` // s per sequence in the iteration
}

// Seconds implements StepTime.
func (r Roofline) Seconds(b Batch) float64 {
	tokens := float64(b.Tokens())
	bytes := r.WeightBytes + r.KVBytesPerToken*float64(b.Context())
	if r.ExpertBytes > 0 {
		bytes += r.ExpertBytes * -math.Expm1(tokens*math.Log1p(-r.ExpertShare))
	}
	operations := 2*r.ActiveParameters*tokens + r.AttentionFLOP*(b.PrefillPairs+float64(b.DecodeContext))
	return r.Overhead + r.SequenceOverhead*float64(b.Sequences()) +
		max(bytes/(r.Bandwidth*r.MemoryEfficiency), operations/(r.Speed*r.ComputeEfficiency))
}

// Validate implements StepTime.
func (r Roofline) Validate() error {
	faults := []error{
		positive("weightBytes", r.WeightBytes),
		notNegative("expertBytes", r.ExpertBytes),
		positive("activeParameters", r.ActiveParameters),
		notNegative("kvBytesPerToken", r.KVBytesPerToken),
		notNegative("attentionFLOP", r.AttentionFLOP),
		positive("bandwidth", r.Bandwidth),
		positive("speed", r.Speed),
		fraction("memoryEfficiency", r.MemoryEfficiency),
		fraction("computeEfficiency", r.ComputeEfficiency),
		notNegative("overhead", r.Overhead),
		notNegative("sequenceOverhead", r.SequenceOverhead),
	}
	if r.ExpertBytes > 0 && !(r.ExpertShare > 0 && r.ExpertShare < 1) {
		faults = append(faults, fmt.Errorf("expertShare: %v, want between 0 and 1 where there are expertBytes", r.ExpertShare))
	}
	return errors.Join(faults...)
}
