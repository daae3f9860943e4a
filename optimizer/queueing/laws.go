package queueing

import (
	"errors"
	"fmt"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Names of the registered laws.
const (
	LawWork     = "work"
	LawLinear   = "linear"
	LawRoofline = "roofline"
)

// ErrNoParameters says that model data hold no parameters of any law, so that only the prior from physics remains.
var ErrNoParameters = errors.New("no parameters of a service-time law")

// Laws describe the registered service-time laws, sorted by name.
func Laws() []Description {
	return []Description{
		Describe[Linear](LawLinear, 0),
		Describe[Roofline](LawRoofline, RooflineVersion),
		Describe[Work](LawWork, 0),
	}
}

// LawNamed is the description of the law of that name; the error lists those that there are.
func LawNamed(name string) (Description, error) {
	var known []string
	for _, d := range Laws() {
		if d.Name == name {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return Description{}, fmt.Errorf("service-time law: unknown name %q, allowed are %s", name, strings.Join(known, ", "))
}

// NewLaw builds the law that model data name: perf.Law where it is given, otherwise the reference law whose parameters there are.
// Without any it returns [ErrNoParameters].
func NewLaw(perf jsonspec.Performance) (Law, error) {
	parms, err := ParmsIn(perf)
	if err != nil {
		return nil, err
	}
	d, err := LawNamed(parms.Name)
	if err != nil {
		return nil, err
	}
	if parms.Version != d.Version {
		return nil, fmt.Errorf("law %q: version: %d is not the known version %d", d.Name, parms.Version, d.Version)
	}
	return d.Law(parms.Parameters)
}

// ParmsIn are the law that model data name and its parameters, without those of calibrations; [ErrNoParameters] where there are none.
func ParmsIn(perf jsonspec.Performance) (jsonspec.LawParms, error) {
	switch p, d, f := perf.PerfParms, perf.DecodeParms, perf.PrefillParms; {
	case perf.Law != nil:
		own := *perf.Law
		own.Parameters = ofLaw(own.Parameters)
		return own, nil
	case p != nil:
		return jsonspec.LawParms{Name: LawWork, Parameters: map[string]float64{"alpha": p.Alpha, "beta": p.Beta, "gamma": p.Gamma}}, nil
	case d != nil && f != nil:
		return jsonspec.LawParms{Name: LawLinear, Parameters: map[string]float64{"alpha": d.Alpha, "beta": d.Beta, "gamma": f.Gamma, "delta": f.Delta}}, nil
	case d != nil || f != nil:
		return jsonspec.LawParms{}, errors.New("decodeParms and prefillParms must be given together")
	}
	return jsonspec.LawParms{}, ErrNoParameters
}

// Calibration is the prefix of parameters that belong not to a law but to the calibration of its predictions on measured points.
const Calibration = "calibration."

// ofLaw are the parameters of the law itself.
func ofLaw(all map[string]float64) map[string]float64 {
	own := make(map[string]float64, len(all))
	for name, v := range all {
		if !strings.HasPrefix(name, Calibration) {
			own[name] = v
		}
	}
	return own
}

// RooflineVersion is the version of the parametrisation of [Roofline].
//
// Exact: it is a name.
const RooflineVersion = 1
