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

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// form is a service-time law as an estimator sees it: a vector of logarithms with a prior. Every state but the last scales one or more
// parameters of the law together; the last is the logarithm of what the law misses in TTFT.
type form struct {
	law    queueing.Description
	given  map[string]float64 // parameters of the law as given, in the units of performance data
	states []state
	prior  gaussian
	basis  string // digest of what was given
}

// state is one element of the vector.
type state struct {
	name string
	// parameters that it scales; the first is the one whose logarithm the state is.
	parameters []string
}

// ttftState is the name of the last state, among those parameters that are no law's.
const ttftState = queueing.Calibration + "ttft"

// statesOf a law in order: parameters that are scaled together are one, those that it says traffic does not show are none, and what is given as zero
// has no logarithm and stays zero.
func statesOf(law queueing.Description, given map[string]float64) []state {
	var states []state
	_, parameters := law.Fresh()
	for _, p := range parameters {
		if p.With == "" || given[p.Name] == 0 {
			continue
		}
		if i := slices.IndexFunc(states, func(s state) bool { return s.name == p.With }); i >= 0 {
			states[i].parameters = append(states[i].parameters, p.Name)
		} else {
			states = append(states, state{p.With, []string{p.Name}})
		}
	}
	return states
}

// newForm reads model data. [queueing.ErrNoParameters] is returned where they hold no law.
func newForm(given jsonspec.Performance, o Options) (*form, error) {
	if _, err := queueing.NewLaw(given); err != nil {
		return nil, err
	}
	parms, err := queueing.ParmsIn(given)
	if err != nil {
		return nil, err
	}
	law, err := queueing.LawNamed(parms.Name)
	if err != nil {
		return nil, err
	}
	f := &form{law: law, given: parms.Parameters, states: statesOf(law, parms.Parameters)}
	if len(f.states) == 0 {
		return nil, fmt.Errorf("law %q: traffic shows none of its parameters; use the estimator %q", law.Name, EstimatorFixed)
	}
	f.states = append(f.states, state{name: ttftState})
	if err := f.setPrior(parms.Order, parms.Covariance, o); err != nil {
		return nil, err
	}
	f.basis = f.digest(parms.Order, parms.Covariance)
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
	text(f.law.Name)
	number(float64(f.law.Version))
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

// laws returns a function that makes the law at a vector, which holds until the next call: it is made anew in the same place, a hundred times in an
// update.
func (f *form) laws() func(x []float64) queueing.Law {
	law, parameters := f.law.Fresh()
	type slot struct {
		at    *float64
		state int
		each  float64 // value for each unit of the state's exponential
	}
	var slots []slot
	for _, p := range parameters {
		*p.At = f.given[p.Name] * p.Unit
		for k, s := range f.states[:len(f.states)-1] {
			if slices.Contains(s.parameters, p.Name) {
				slots = append(slots, slot{p.At, k, *p.At / f.given[s.parameters[0]]})
			}
		}
	}
	factors := make([]float64, len(f.states)-1)
	return func(x []float64) queueing.Law {
		for i := range factors {
			factors[i] = math.Exp(x[i])
		}
		for _, s := range slots {
			*s.at = s.each * factors[s.state]
		}
		return law
	}
}

// performance is what was given with the law at a vector instead of its own.
func (f *form) performance(given jsonspec.Performance, g gaussian) jsonspec.Performance {
	own := f.parameters(g)
	delete(own, ttftState)
	given.PerfParms, given.DecodeParms, given.PrefillParms = nil, nil, nil
	given.Law = &jsonspec.LawParms{Name: f.law.Name, Version: f.law.Version, Parameters: own, Order: f.names(), Covariance: g.rows()}
	return given
}
