package fitting

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Sibling is what was learned of a model where it runs, which tells something of where it does not.
type Sibling struct {
	// Accelerator by its type in the catalogue, on which the model ran.
	Accelerator string
	// Performance that was learned there, from a law that [Knowledge.Assume] gave. KVTokens is the size of the cache that an engine told; 0, or what
	// was assumed, where none did.
	Performance jsonspec.Performance
}

// akin is the correlation between what two pairs of one model, engine and number of cards on different accelerators do other than the prior says of them, by
// multiplier: measured on the pairs of silicon.csv (TestAkin with -akin), to a twentieth. Of times that hardware decides it is little, of those that engines
// take for a prompt it is much.
var akin = theta{
	overhead: 0.2, weights: 0, compute: 0.15, kv: 0.45, sequence: 0, bunch: 0.25, step: 0, delay: 0.15, spread: 0, room: 0.3, serial: 0.7, prefill: 0.65,
}

// beside is the prior of a pair given what was learned of its sibling. Logarithms of multipliers of siblings are taken to be jointly normal, each with the
// spread of the prior and a correlation ρ, [akin]: of what was learned there that differs from the prior a share of ρ is expected here, and the variance is
// (1 − ρ²)·prior + ρ²·learned. Of the same cards ρ is 1; a sibling of which nothing was learned changes nothing.
func (k Knowledge) beside(s *Sibling, own setting, model string, m jsonspec.ModelProperties, mean, sd theta) (theta, theta, error) {
	if s == nil || s.Performance.Law == nil {
		return mean, sd, nil
	}
	bare := s.Performance
	bare.Law = nil
	properties := jsonspec.AcceleratorProperties{Type: s.Accelerator}
	assumed, err := k.Assume(model, m, s.Accelerator, properties, bare)
	if assumed.Law == nil { // what ran fits, whatever is assumed
		return mean, sd, err
	}
	card, err := k.Accelerators.Card(s.Accelerator, properties)
	if err != nil {
		return mean, sd, err
	}
	_, there, err := k.unmeasured(model, m, card, bare.Accelerators(), bare.Match)
	if err != nil {
		return mean, sd, err
	}
	shares := akin
	if there.kind.accelerator == own.kind.accelerator && there.kind.cards == own.kind.cards && there.stages == own.stages {
		for j := range shares {
			shares[j] = 1
		}
	}
	learned := s.Performance.Law
	for j, name := range multiplierNames {
		off, variance := 0.0, sd[j]*sd[j]
		if was, is := assumed.Law.Parameters[name], learned.Parameters[name]; was > 0 && is > 0 {
			off = math.Log(is / was)
		}
		if i := slices.Index(learned.Order, name); i >= 0 {
			variance = math.Min(variance, learned.Covariance[i][i])
		}
		if j == room && bare.KVTokens > 0 && assumed.KVTokens > 0 && bare.KVTokens != assumed.KVTokens { // an engine told it
			off, variance = math.Log(float64(bare.KVTokens)/float64(assumed.KVTokens)), 0
		}
		share := shares[j]
		mean[j] += share * off
		sd[j] = math.Sqrt((1-share*share)*sd[j]*sd[j] + share*share*variance)
	}
	return mean, sd, nil
}
