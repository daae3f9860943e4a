package fitting

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Assumed is the performance of a pair that nobody gave, from physics and experience with other pairs.
type Assumed struct {
	// Performance with the law and, as its covariance, how wide the prior is.
	jsonspec.Performance
	// KVTokens that the cache of a replica probably holds, for as long as no engine says it.
	KVTokens int
	// From says what it rests on, for people.
	From string
}

// Assume completes what is given of a model on an accelerator, which names no law. The error says what is missing, or that the weights do not fit, with
// what is assumed if they do all the same.
func (k Knowledge) Assume(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties, given jsonspec.Performance) (Assumed, error) {
	card, err := k.Accelerators.Card(accelerator, a)
	if err != nil {
		return Assumed{}, err
	}
	cards := given.Accelerators() * max(1, a.Multiplicity)
	group, s, err := k.unmeasured(model, m, card, cards, given.Match)
	if err != nil {
		return Assumed{}, err
	}
	var full error
	if !s.fits {
		full = tooLarge(model, s.bytes, group["precision"], cards, card)
	}
	mean, sd := k.Experience.prior(s.kind, s.vague)
	law := s.law(mean)
	parms, err := queueing.ParmsOf(law)
	if err != nil {
		return Assumed{}, err
	}
	unsure(&parms, sd)
	given.Acc, given.Law = accelerator, &parms
	from := "the architecture given"
	if m.Architecture == nil {
		from = "the catalogue's architecture"
		if s.vague > 0 {
			from = "an architecture guessed from its name"
		}
	}
	return Assumed{given, int(math.Min(law.KVTokens, math.MaxInt32)), fmt.Sprintf("%s, in %s on %d × %s", from, precisionName(group["precision"]), cards, card.Name)}, full
}

// unsure states how wide the priors of a law's multipliers are, those that traffic tells of.
func unsure(parms *jsonspec.LawParms, sd theta) {
	learned := []int{overhead, weights, compute, kv, sequence, prefill, delay}
	for i, m := range learned {
		row := make([]float64, len(learned))
		row[i] = sd[m] * sd[m]
		parms.Order, parms.Covariance = append(parms.Order, multiplierNames[m]), append(parms.Covariance, row)
	}
}

// TooLarge says that weights do not fit.
type TooLarge struct{ what string }

// Error implements error.
func (t *TooLarge) Error() string { return t.what }

func tooLarge(model string, bytes float64, precision string, cards int, card Accelerator) *TooLarge {
	return &TooLarge{fmt.Sprintf("the weights of %s take %.0f GB in %s, of which %d × %s hold %.0f GB beside what an engine needs",
		model, bytes/giga, precisionName(precision), cards, card.Name, float64(cards)*(card.Memory*usedMemory-reserve)/giga)}
}

// CardsFor are as few of 1, 2, 4 and 8 accelerators as hold a model with a cache; 1 where nothing is known of the accelerator, or none do.
func (k Knowledge) CardsFor(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties) int {
	card, err := k.Accelerators.Card(accelerator, a)
	if err != nil {
		return 1
	}
	for n := 1; n <= 8; n *= 2 {
		if _, s, err := k.unmeasured(model, m, card, n*max(1, a.Multiplicity), nil); err == nil && s.fits {
			return n
		}
	}
	return 1
}

// unmeasured is the setting of a pair of which there are no measurements: what it matches, as far as that is said, else as the model's name has it. All cards of a
// stage share each layer. The error is of stages that do not share the cards out.
func (k Knowledge) unmeasured(model string, m jsonspec.ModelProperties, card Accelerator, cards int, match map[string]string) (Group, setting, error) {
	name := model
	if m.ServedName != "" {
		name = m.ServedName
	}
	if m.Architecture != nil {
		k.Architectures = Architectures{name: *m.Architecture}
	}
	precision := match["precision"]
	if precision == "" {
		precision = string(PrecisionOf(name))
	}
	stages, err := matchedDegree(match, "pipeline_parallel", 1)
	if err == nil && cards%stages != 0 {
		err = fmt.Errorf("match.pipeline_parallel: %d stages do not share the %d cards of a replica evenly", stages, cards)
	}
	if err != nil {
		return nil, setting{}, err
	}
	g := Group{"model": name, "precision": precision, "engine": match["engine"], "tensor_parallel": fmt.Sprint(cards / stages), "pipeline_parallel": fmt.Sprint(stages)}
	return g, k.settingOn(g, card.wired(cards/stages)), nil
}

// giga bytes.
//
// Exact: a billion.
const giga = 1e9

// Names of weights by their precision, as publishers write them.
var (
	eightBits = regexp.MustCompile(`(?i)(fp8|w8a8|int8|8bit)`)
	fourBits  = regexp.MustCompile(`(?i)(fp4|awq|gptq|int4|w4a16|4bit)`)
)

// PrecisionOf weights as the name of a model or of a quantisation says it; empty where it says nothing.
func PrecisionOf(name string) Precision {
	switch {
	case fourBits.MatchString(name):
		return "int4"
	case eightBits.MatchString(name):
		return "fp8"
	}
	return ""
}

func precisionName(p string) string {
	if p == "" {
		return "bf16"
	}
	return p
}

// Draws are n laws that a pair may have by what is known of it, likeliest first, the others drawn from the prior: the same multiples of its spreads for
// every pair, so that pairs are told apart by what they are. What was learned of a sibling, which may be nil, moves and narrows the prior. The field KVTokens
// of each is the size of the cache. The error is that of Assume.
func (k Knowledge) Draws(model string, m jsonspec.ModelProperties, accelerator string, a jsonspec.AcceleratorProperties, given jsonspec.Performance, sibling *Sibling, n int) ([]queueing.Roofline, error) {
	if _, err := k.Assume(model, m, accelerator, a, given); err != nil {
		return nil, err
	}
	card, err := k.Accelerators.Card(accelerator, a)
	if err != nil {
		return nil, err
	}
	_, s, err := k.unmeasured(model, m, card, given.Accelerators()*max(1, a.Multiplicity), given.Match)
	if err != nil {
		return nil, err
	}
	mean, sd := k.Experience.prior(s.kind, s.vague)
	if mean, sd, err = k.beside(sibling, s, model, m, mean, sd); err != nil {
		return nil, err
	}
	source := rand.New(rand.NewPCG(1, 2))
	laws := make([]queueing.Roofline, n)
	for i := range laws {
		drawn := mean
		for j := range drawn {
			if z := source.NormFloat64(); i > 0 {
				drawn[j] += z * sd[j]
			}
		}
		laws[i] = s.law(drawn)
	}
	return laws, nil
}

// Heads of attention that a model has, over which tensor parallelism splits it; guess says that they are guessed from its name.
func (k Knowledge) Heads(model string, m jsonspec.ModelProperties) (heads int, guess bool) {
	if m.Architecture != nil {
		return m.Architecture.NumAttentionHeads, false
	}
	a, guess := k.Architectures.Find(model)
	return a.NumAttentionHeads, guess
}
