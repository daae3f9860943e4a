package fitting

import (
	"errors"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Pair is a model on an accelerator of which there are no measurements.
type Pair struct {
	// Model names the model; where Architecture is nil it is looked up by it.
	Model        string
	Architecture *jsonspec.Architecture
	Card         Accelerator
	// Cards of a replica, at least 1, that share it by tensor parallelism.
	Cards     int
	Precision Precision
	// Engine is "vllm", "sglang" or "trtllm"; empty where unknown.
	Engine string
}

// PriorOf is the law that physics and experience give a pair, with the number of tokens that its KV cache holds in its field KVTokens.
func (k Knowledge) PriorOf(p Pair) queueing.Roofline {
	known := k
	if p.Architecture != nil {
		known.Architectures = Architectures{p.Model: *p.Architecture}
	}
	s := known.settingOn(Group{
		"model": p.Model, "precision": string(p.Precision), "engine": p.Engine, "tensor_parallel": fmt.Sprint(max(1, p.Cards)),
	}, p.Card)
	mean, _ := k.Experience.prior(s.kind, s.vague)
	return s.law(mean)
}

// balance is the FLOP per byte of memory bandwidth of a card whose FLOP/s are not known: that of an H100 in bf16.
//
// Tuned: FLOP/byte; derived from an H100, 989e12 FLOP/s and 3.35e12 bytes/s; at half: prompts of such a card are taken to need twice the time; at twice: half
// of it
const balance = 295

// Card describes one card of an accelerator: what its properties say, and what the catalogue knows of its type where they say nothing. The
// error says what is missing.
func (a Accelerators) Card(name string, p jsonspec.AcceleratorProperties) (Accelerator, error) {
	kind := p.Type
	if kind == "" {
		kind = name
	}
	card, _ := a.Find(kind)
	card.Name = kind
	cards := float64(max(1, p.Multiplicity))
	if p.MemSize > 0 {
		card.Memory = p.MemSize * giga / cards
	}
	if p.MemBW > 0 {
		card.Bandwidth = p.MemBW * giga / cards
	}
	if card.BF16 == 0 {
		card.BF16 = balance * card.Bandwidth
	}
	var faults []error
	for _, f := range []struct {
		field string
		value float64
	}{{"memSize", card.Memory}, {"memBW", card.Bandwidth}} {
		if !(f.value > 0) || math.IsInf(f.value, 0) {
			faults = append(faults, fmt.Errorf("accelerator %q: %s: %v is not above 0, and the catalogue does not know the type", name, f.field, f.value))
		}
	}
	return card, errors.Join(faults...)
}
