package queueing

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Description is what a service-time law says of itself. Nothing else knows its parameters: performance data are read and written by it, estimators
// learn by it, and benchmark points are fitted by it.
type Description struct {
	// Name in performance data.
	Name string
	// Version of the parameters: data of another one are refused.
	Version int
	// Fresh is a law of the kind whose parameters are all 0, and where each of them is kept: what is written there is the law's.
	Fresh func() (Law, []Parameter)
	// Value of a law that is fresh: one of its own, which nobody changes any more.
	Value func(fresh Law) Law
	// same is a fresh law with the parameters of that one; nil where that is of another kind.
	same func(Law) []Parameter
}

// Parameter of a service-time law.
type Parameter struct {
	// Name in performance data.
	Name string
	// At is where the law keeps it, in the units of this package.
	At *float64
	// Unit of performance data in those of this package: [Millisecond] for times, else 1.
	Unit  float64
	Range Range
	// With is the parameter by whose factor estimators scale it: its own name, or that of another of which it is a share that traffic cannot tell
	// apart. Empty where traffic from outside does not show it: it stays as given.
	With string
	// Like are the physical scales whose sum it is of the size of, as far as fits may begin there: overhead, weights, experts, compute, attention, kv
	// or sequence, in the sense of [Roofline]. A law is fitted by them if all of its parameters have some.
	Like []string
}

// Millisecond converts the unit of performance data to that of this package.
//
// Exact: a thousandth of a second.
const Millisecond = 1e-3

// Range is what a parameter may be.
type Range int

const (
	// AtLeastZero is from 0 on.
	AtLeastZero Range = iota
	// AboveZero is what leaves no iteration without time.
	AboveZero
	// ShareOfOne is from 0 to 1.
	ShareOfOne
)

// String says what is allowed.
func (r Range) String() string { return [...]string{"at least 0", "above 0", "0 to 1"}[r] }

// check a value, in any unit.
func (r Range) check(name string, v float64) error {
	low, high := 0.0, math.MaxFloat64
	switch r {
	case AboveZero:
		low = math.SmallestNonzeroFloat64
	case ShareOfOne:
		high = 1
	}
	return within(name, v, low, high, r.String())
}

// Described is a law that can be described: a pointer to it lists its parameters.
type Described[L any] interface {
	*L
	Law
	Parameters() []Parameter
}

// Describe a law of that name and version of its parameters.
func Describe[L Law, P Described[L]](name string, version int) Description {
	return Description{
		Name: name, Version: version,
		Fresh: func() (Law, []Parameter) {
			l := P(new(L))
			return l, l.Parameters()
		},
		Value: func(l Law) Law { return *l.(P) },
		same: func(l Law) []Parameter {
			own, ok := l.(L)
			if !ok {
				return nil
			}
			return P(&own).Parameters()
		},
	}
}

// Law of parameters in the units of performance data. What is left out is 0; the error joins every fault.
func (d Description) Law(parameters map[string]float64) (Law, error) {
	law, known := d.Fresh()
	var faults []error
	left := maps.Clone(parameters)
	for _, p := range known {
		*p.At = parameters[p.Name] * p.Unit
		faults = append(faults, p.Range.check(p.Name, parameters[p.Name]))
		delete(left, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		faults = append(faults, fmt.Errorf("%s: is no parameter, known are %s", name, strings.Join(d.names(), ", ")))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("service-time law: parameters of %q: %w", d.Name, err)
	}
	return d.Value(law), nil
}

func (d Description) names() []string {
	_, known := d.Fresh()
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.Name
	}
	return names
}

// ParmsOf writes a law as performance data, the inverse of [NewLaw]; the error is for one that no description knows.
func ParmsOf(law Law) (jsonspec.LawParms, error) {
	for _, d := range Laws() {
		own := d.same(law)
		if own == nil {
			continue
		}
		parms := jsonspec.LawParms{Name: d.Name, Version: d.Version, Parameters: make(map[string]float64, len(own))}
		for _, p := range own {
			parms.Parameters[p.Name] = *p.At / p.Unit
		}
		return parms, nil
	}
	return jsonspec.LawParms{}, fmt.Errorf("law %T describes itself nowhere", law)
}
