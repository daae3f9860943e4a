package estimation

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// form is a service-time law as an estimator sees it: a vector of logarithms with a prior. Every state but the last scales one or more
// parameters of the law together; the last is the logarithm of what the law misses in TTFT.
type form struct {
	law     string
	version int
	given   map[string]float64 // parameters of the law as given, in its units
	states  []state
	prior   gaussian
	basis   string // digest of what was given
}

// state is one element of the vector.
type state struct {
	name string
	// parameters that it scales; the first is the one whose logarithm the state is.
	parameters []string
}

// ttftState is the name of the last state, among those parameters that are no law's.
const ttftState = queueing.Calibration + "ttft"

// learnable are the states of each law in order. What traffic from outside cannot show (how closed-loop clients bunch, how much the KV cache
// holds, how experts are routed) is not among them and stays as given.
var learnable = map[string][]state{
	queueing.LawWork:   {{"alpha", []string{"alpha"}}, {"beta", []string{"beta"}}, {"gamma", []string{"gamma"}}},
	queueing.LawLinear: {{"alpha", []string{"alpha"}}, {"beta", []string{"beta"}}, {"gamma", []string{"gamma"}}, {"delta", []string{"delta"}}},
	queueing.LawRoofline: {
		{"overhead", []string{"overhead"}}, {"weights", []string{"weights", "experts"}}, {"compute", []string{"compute", "attention"}},
		{"kv", []string{"kv"}}, {"sequence", []string{"sequence"}}, {"prefill", []string{"prefill"}}, {"delay", []string{"delay"}},
	},
}

// newForm reads model data. [queueing.ErrNoParameters] is returned where they hold no law.
func newForm(given v1alpha1.Performance, o Options) (*form, error) {
	if _, err := queueing.NewLaw(given); err != nil {
		return nil, err
	}
	f := &form{}
	var order []string
	var covariance [][]float64
	switch w, d, p := given.PerfParms, given.DecodeParms, given.PrefillParms; {
	case given.Law != nil:
		f.law, f.version, order, covariance = given.Law.Name, given.Law.Version, given.Law.Order, given.Law.Covariance
		f.given = map[string]float64{}
		for name, v := range given.Law.Parameters {
			if !strings.HasPrefix(name, queueing.Calibration) {
				f.given[name] = v
			}
		}
	case w != nil:
		f.law, f.given = queueing.LawWork, map[string]float64{"alpha": w.Alpha, "beta": w.Beta, "gamma": w.Gamma}
	default:
		f.law, f.given = queueing.LawLinear, map[string]float64{"alpha": d.Alpha, "beta": d.Beta, "gamma": p.Gamma, "delta": p.Delta}
	}
	known, ok := learnable[f.law]
	if !ok {
		return nil, fmt.Errorf("law %q cannot be learned online; use the estimator %q", f.law, EstimatorFixed)
	}
	for _, s := range known {
		own := state{name: s.name}
		for _, name := range s.parameters {
			if f.given[name] > 0 { // what is given as zero has no logarithm and stays zero
				own.parameters = append(own.parameters, name)
			}
		}
		if len(own.parameters) > 0 {
			f.states = append(f.states, own)
		}
	}
	f.states = append(f.states, state{name: ttftState})
	if err := f.setPrior(order, covariance, o); err != nil {
		return nil, err
	}
	f.basis = f.digest(order, covariance)
	return f, nil
}

// setPrior sets mean and covariance. Where the data say how sure they are, the prior is as sure as that and as one machine is like another;
// otherwise it is as wide as the options say. All parameters of a law are times on the same machine, so part of the uncertainty is common.
func (f *form) setPrior(order []string, covariance [][]float64, o Options) error {
	n := len(f.states)
	f.prior = newGaussian(n)
	own, common := o.Spread, o.Level
	rows := map[string]int{}
	if len(covariance) > 0 {
		if err := squareOf(covariance, len(order)); err != nil {
			return err
		}
		own, common = math.Min(own, fittedSpread), math.Min(common, fittedLevel)
		for i, name := range order {
			rows[name] = i
		}
	}
	for i, s := range f.states[:n-1] {
		for j, t := range f.states[:n-1] {
			v := common * common
			if i == j {
				v += own * own
			}
			a, knownA := rows[s.name]
			b, knownB := rows[t.name]
			if knownA && knownB {
				v += (covariance[a][b] + covariance[b][a]) / 2
			}
			f.prior.cov[i*n+j] = v
		}
	}
	f.prior.cov[n*n-1] = ttftSpread * ttftSpread
	for i, s := range f.states[:n-1] {
		f.prior.mean[i] = math.Log(f.given[s.parameters[0]])
	}
	return nil
}

func squareOf(m [][]float64, n int) error {
	if len(m) != n {
		return fmt.Errorf("law: covariance: has %d rows, must have one for each of the %d names in order", len(m), n)
	}
	for i, row := range m {
		if len(row) != n {
			return fmt.Errorf("law: covariance[%d]: has %d elements, must have %d", i, len(row), n)
		}
		for j, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("law: covariance[%d][%d]: %v is not a finite number", i, j, v)
			}
		}
		if row[i] < 0 {
			return fmt.Errorf("law: covariance[%d][%d]: variance %v is below 0", i, i, row[i])
		}
	}
	return nil
}

// digest is the basis by which what was learned is recognised as belonging to what was given.
func (f *form) digest(order []string, covariance [][]float64) string {
	h := fnv.New64a()
	number := func(v float64) { h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))) }
	text := func(s string) {
		number(float64(len(s)))
		io.WriteString(h, s)
	}
	text(f.law)
	number(float64(f.version))
	for _, name := range slices.Sorted(maps.Keys(f.given)) {
		text(name)
		number(f.given[name])
	}
	for _, name := range order {
		text(name)
	}
	for _, row := range covariance {
		for _, v := range row {
			number(v)
		}
	}
	return strconv.FormatUint(h.Sum64(), 16)
}

// parameters of a distribution, its medians, in the law's units, with the state that is no law's.
func (f *form) parameters(g gaussian) map[string]float64 {
	n := len(f.states)
	all := maps.Clone(f.given)
	for i, s := range f.states[:n-1] {
		factor := math.Exp(g.mean[i]) / f.given[s.parameters[0]]
		for _, name := range s.parameters {
			all[name] = f.given[name] * factor
		}
	}
	all[ttftState] = math.Exp(g.mean[n-1])
	return all
}

// vector is the inverse of parameters; ok is false where a parameter is missing, not positive or not finite.
func (f *form) vector(parameters map[string]float64) (x []float64, ok bool) {
	n := len(f.states)
	x = make([]float64, n)
	for i, s := range f.states {
		value := parameters[ttftState]
		if i < n-1 {
			value = parameters[s.parameters[0]]
		}
		x[i] = math.Log(value)
		if math.IsNaN(x[i]) || math.IsInf(x[i], 0) {
			return nil, false
		}
	}
	return x, true
}

// names of the states in order.
func (f *form) names() []string {
	names := make([]string, len(f.states))
	for i, s := range f.states {
		names[i] = s.name
	}
	return names
}

// laws returns a function that makes the law at a vector, which holds until the next call.
func (f *form) laws() func(x []float64) queueing.Law {
	b := builders[f.law]
	slots := make([]slot, len(b.parameters))
	for i, p := range b.parameters {
		slots[i] = slot{state: -1, value: f.given[p.name] * p.unit}
	}
	for k, s := range f.states[:len(f.states)-1] {
		for i, p := range b.parameters {
			if slices.Contains(s.parameters, p.name) {
				slots[i] = slot{state: k, value: slots[i].value / f.given[s.parameters[0]]}
			}
		}
	}
	values, factors := make([]float64, len(slots)), make([]float64, len(f.states)-1)
	law := b.maker()
	return func(x []float64) queueing.Law {
		for i := range factors {
			factors[i] = math.Exp(x[i])
		}
		for i, s := range slots {
			values[i] = s.value
			if s.state >= 0 {
				values[i] *= factors[s.state]
			}
		}
		return law(values)
	}
}

// performance is what was given with the law at a vector instead of its own.
func (f *form) performance(given v1alpha1.Performance, g gaussian) v1alpha1.Performance {
	own := f.parameters(g)
	delete(own, ttftState)
	given.PerfParms, given.DecodeParms, given.PrefillParms = nil, nil, nil
	given.Law = &v1alpha1.LawParms{Name: f.law, Version: f.version, Parameters: own, Order: f.names(), Covariance: g.rows()}
	return given
}
