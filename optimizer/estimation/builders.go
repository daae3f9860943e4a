package estimation

import "github.com/llm-inferno/inferno/optimizer/queueing"

// builder makes laws from their parameters in the units of package queueing, without the detour over JSON that [queueing.NewLaw] takes. maker
// returns a function whose laws hold until its next call: a large one is made anew in the same place, a hundred times in an update.
type builder struct {
	parameters []parameter
	maker      func() func(v []float64) queueing.Law
}

// each makes every law for itself.
func each(law func(v []float64) queueing.Law) func() func(v []float64) queueing.Law {
	return func() func(v []float64) queueing.Law { return law }
}

// parameter of a law with the factor from the unit of model data to that of package queueing.
type parameter struct {
	name string
	unit float64
}

// slot is where a parameter comes from: its value times the exponential of a state, or the value alone where state is negative.
type slot struct {
	state int
	value float64
}

const (
	millisecond = 1e-3
	plain       = 1
)

// builders of the laws that can be learned.
var builders = map[string]builder{
	queueing.LawWork: {
		[]parameter{{"alpha", millisecond}, {"beta", millisecond}, {"gamma", millisecond}},
		each(func(v []float64) queueing.Law { return queueing.Work{Alpha: v[0], Beta: v[1], Gamma: v[2]} }),
	},
	queueing.LawLinear: {
		[]parameter{{"alpha", millisecond}, {"beta", millisecond}, {"gamma", millisecond}, {"delta", millisecond}},
		each(func(v []float64) queueing.Law {
			return queueing.Linear{Alpha: v[0], Beta: v[1], Gamma: v[2], Delta: v[3]}
		}),
	},
	queueing.LawRoofline: {
		[]parameter{
			{"overhead", millisecond}, {"weights", millisecond}, {"experts", millisecond}, {"share", plain}, {"spread", plain},
			{"compute", millisecond}, {"attention", millisecond}, {"kv", millisecond}, {"sequence", millisecond}, {"prefill", millisecond},
			{"delay", millisecond}, {"bunch", plain}, {"step", plain}, {"serial", plain}, {"kvTokens", plain},
		},
		func() func(v []float64) queueing.Law {
			law := new(queueing.Roofline)
			return func(v []float64) queueing.Law {
				*law = queueing.Roofline{
					Overhead: v[0], Weights: v[1], Experts: v[2], Share: v[3], Spread: v[4], Compute: v[5], Attention: v[6], KV: v[7],
					Sequence: v[8], Prefill: v[9], Delay: v[10], Bunch: v[11], Step: v[12], Serial: v[13], KVTokens: v[14],
				}
				return law
			}
		},
	},
}
