package fitting

import (
	"fmt"
	"math"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// form is a law to fit: its parameters as logarithms, their prior, and how they make the law.
type form struct {
	names    []string
	mean, sd []float64
	law      func(x []float64) queueing.Law
}

// LawNames are the laws that can be fitted.
func LawNames() []string { return []string{queueing.LawLinear, queueing.LawRoofline, queueing.LawWork} }

// vague is the spread of the logarithm of a parameter of the reference laws around its physical scale: a factor of 10 either way.
const vague = 2.3

func (s setting) form(name string, experience *Experience) (form, error) {
	switch name {
	case queueing.LawRoofline, "":
		mean, sd := experience.prior(s.kind, s.vague)
		return form{multiplierNames[:], mean[:], sd[:], s.roofline}, nil
	case queueing.LawWork:
		return logarithmic([]string{"alpha", "beta", "gamma"}, []float64{s.overhead + s.weights + s.experts, s.compute, s.kv},
			func(v []float64) queueing.Law { return queueing.Work{Alpha: v[0], Beta: v[1], Gamma: v[2]} }), nil
	case queueing.LawLinear:
		return logarithmic([]string{"alpha", "beta", "gamma", "delta"}, []float64{s.overhead + s.weights + s.experts, sequenceScale, s.overhead, s.compute},
			func(v []float64) queueing.Law {
				return queueing.Linear{Alpha: v[0], Beta: v[1], Gamma: v[2], Delta: v[3]}
			}), nil
	}
	return form{}, fmt.Errorf("law: %q cannot be fitted, allowed are %s", name, strings.Join(LawNames(), ", "))
}

// roofline is the law with these multipliers.
func (s setting) roofline(x []float64) queueing.Law { return s.physics.law(theta(x)) }

// logarithmic is a form with vague priors around scales.
func logarithmic(names []string, scales []float64, law func(v []float64) queueing.Law) form {
	f := form{names: names, law: func(x []float64) queueing.Law {
		v := make([]float64, len(x))
		for i := range x {
			v[i] = math.Exp(x[i])
		}
		return law(v)
	}}
	for _, s := range scales {
		f.mean = append(f.mean, math.Log(s))
		f.sd = append(f.sd, vague)
	}
	return f
}
