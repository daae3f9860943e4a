package simulation

import (
	"errors"
	"fmt"
	"math"
)

// Transformer is what the arithmetic of a model needs to know.
type Transformer struct {
	Parameters        float64 // in all
	ActiveParameters  float64 // that work on a token; all of them if 0
	ExpertParameters  float64 // of all routed experts together, part of Parameters; 0 for a dense model
	ExpertShare       float64 // routed experts per token ÷ routed experts
	BytesPerParameter float64 // 2 for bf16, 1 for fp8
	Layers            int
	Heads             int // of attention
	KVHeads           int
	HeadSize          int
}

// Hardware is what a replica runs on.
type Hardware struct {
	Accelerators int     // per replica
	Memory       float64 // of one, bytes
	Bandwidth    float64 // of its memory, byte/s
	Speed        float64 // at the precision of the model, FLOP/s
}

// What real engines reach, from measurements of vLLM on current accelerators: the
// weights are read at some 80 % of the bandwidth, prefill computes at about a fifth
// of the peak, and an iteration costs some 40 µs a layer beside.
const (
	typicalMemoryEfficiency  = 0.8
	typicalComputeEfficiency = 0.22
	typicalLayerOverhead     = 40e-6
	typicalSequenceOverhead  = 10e-6

	// vLLM uses so much of the memory, and holds the KV cache (2 bytes a number) in
	// blocks of so many tokens.
	memoryUtilization = 0.9
	kvBytes           = 2
	kvBlockSize       = 16
)

// FromPhysics derives a roofline law and the KV cache from data sheets. The result
// is a plausible truth for a pair that nobody measured, to be altered at will.
// The error says which fields are out of range, or that the model does not fit.
func FromPhysics(model Transformer, hardware Hardware) (Roofline, Cache, error) {
	if err := errors.Join(model.validate(), hardware.validate()); err != nil {
		return Roofline{}, Cache{}, err
	}
	n := float64(hardware.Accelerators)
	active := model.ActiveParameters
	if active == 0 {
		active = model.Parameters
	}
	law := Roofline{
		WeightBytes:       (model.Parameters - model.ExpertParameters) * model.BytesPerParameter,
		ExpertBytes:       model.ExpertParameters * model.BytesPerParameter,
		ExpertShare:       model.ExpertShare,
		ActiveParameters:  active,
		KVBytesPerToken:   float64(2 * model.Layers * model.KVHeads * model.HeadSize * kvBytes),
		AttentionFLOP:     float64(4 * model.Layers * model.Heads * model.HeadSize),
		Bandwidth:         n * hardware.Bandwidth,
		Speed:             n * hardware.Speed,
		MemoryEfficiency:  typicalMemoryEfficiency,
		ComputeEfficiency: typicalComputeEfficiency,
		Overhead:          typicalLayerOverhead * float64(model.Layers),
		SequenceOverhead:  typicalSequenceOverhead,
	}
	free := memoryUtilization*n*hardware.Memory - model.Parameters*model.BytesPerParameter
	blocks := math.Floor(free / (law.KVBytesPerToken * kvBlockSize))
	if blocks < 1 {
		return Roofline{}, Cache{}, fmt.Errorf("weights of %.3g bytes do not fit into %.3g bytes of memory beside a KV cache",
			model.Parameters*model.BytesPerParameter, n*hardware.Memory)
	}
	return law, Cache{BlockSize: kvBlockSize, Blocks: int(blocks)}, law.Validate()
}

func (t Transformer) validate() error {
	faults := []error{
		positive("parameters", t.Parameters),
		notNegative("activeParameters", t.ActiveParameters),
		notNegative("expertParameters", t.ExpertParameters),
		positive("bytesPerParameter", t.BytesPerParameter),
		positive("layers", float64(t.Layers)),
		positive("heads", float64(t.Heads)),
		positive("kvHeads", float64(t.KVHeads)),
		positive("headSize", float64(t.HeadSize)),
	}
	if t.ExpertParameters >= t.Parameters || t.ActiveParameters > t.Parameters {
		faults = append(faults, fmt.Errorf("expertParameters %v, activeParameters %v: want less than, and at most, the parameters (%v)",
			t.ExpertParameters, t.ActiveParameters, t.Parameters))
	}
	return errors.Join(faults...)
}

func (h Hardware) validate() error {
	return errors.Join(
		positive("accelerators", float64(h.Accelerators)),
		positive("memory", h.Memory),
		positive("bandwidth", h.Bandwidth),
		positive("speed", h.Speed),
	)
}
