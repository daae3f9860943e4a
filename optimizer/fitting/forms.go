package fitting

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// form is a law to fit: its parameters as logarithms, their prior, and how they make the law.
type form struct {
	names    []string
	mean, sd []float64
	law      func(x []float64) queueing.Law
	// split is what answers instead of a law where roles have workers of their own; nil where they have not.
	split func(x []float64) answers
}

// answers are the latencies that are expected of a point, in seconds; NaN for what cannot be predicted.
type answers func(p Point) (itl, ttft float64)

// at these parameters.
func (l form) at(x []float64) answers {
	if l.split != nil {
		return l.split(x)
	}
	law := l.law(x)
	return func(p Point) (itl, ttft float64) { return predicted(law, p) }
}

// LawNames are the laws that can be fitted: [queueing.Roofline], and those whose parameters all say which physical scales they are like.
func LawNames() []string {
	var names []string
	for _, d := range queueing.Laws() {
		if _, parameters := d.Fresh(); d.Name == queueing.LawRoofline || !slices.ContainsFunc(parameters, func(p queueing.Parameter) bool { return len(p.Like) == 0 }) {
			names = append(names, d.Name)
		}
	}
	return names
}

// vague is the spread of the logarithm of a parameter of the reference laws around its physical scale: a factor of 10 either way.
//
// Tuned: logarithm; measured by the law work on other points of silicon.csv, 31.2 and 63.4 % off in ITL and TTFT; at half: 31.7, 64.3 %; at twice: 32.6, 63.2 %
const vague = 2.3

func (s setting) form(name string, experience *Experience) (form, error) {
	if name == queueing.LawRoofline || name == "" {
		mean, sd := experience.prior(s.kind, s.vague)
		return form{names: multiplierNames[:], mean: mean[:], sd: sd[:], law: s.roofline}, nil
	}
	d, err := queueing.LawNamed(name)
	if err != nil || !slices.Contains(LawNames(), name) {
		return form{}, fmt.Errorf("law: %q cannot be fitted, allowed are %s", name, strings.Join(LawNames(), ", "))
	}
	scales := map[string]float64{
		"overhead": s.overhead, "weights": s.weights, "experts": s.experts, "compute": s.compute, "attention": s.attention, "kv": s.kv, "sequence": sequenceScale,
	}
	var f form
	_, parameters := d.Fresh()
	for _, p := range parameters {
		scale := 0.0
		for _, like := range p.Like {
			scale += scales[like]
		}
		f.names, f.mean, f.sd = append(f.names, p.Name), append(f.mean, math.Log(scale)), append(f.sd, vague)
	}
	f.law = func(x []float64) queueing.Law {
		law, parameters := d.Fresh()
		for i, p := range parameters {
			*p.At = math.Exp(x[i])
		}
		return d.Value(law)
	}
	return f, nil
}

// roofline is the law with these multipliers.
func (s setting) roofline(x []float64) queueing.Law { return s.physics.law(theta(x)) }
