package queueing

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Names of the registered laws.
const (
	LawWork     = "work"
	LawLinear   = "linear"
	LawRoofline = "roofline"
)

// millisecond converts the unit of model data to that of this package, once, where parameters enter.
//
// Exact: a thousandth of a second.
const millisecond = 1e-3

// ErrNoParameters says that model data hold no parameters of any law, so that only the prior from physics remains.
var ErrNoParameters = errors.New("no parameters of a service-time law")

// Laws are the registered service-time laws. Options are the law's parameters by name.
func Laws() plug.Registry[Law] {
	return plug.NewRegistry("service-time law",
		plug.Of(LawWork, func() workOptions { return workOptions{} }, workOptions.law),
		plug.Of(LawLinear, func() linearOptions { return linearOptions{} }, linearOptions.law),
		plug.Of(LawRoofline, func() rooflineOptions { return rooflineOptions{} }, rooflineOptions.law),
	)
}

// NewLaw builds the law that model data name: perf.Law where it is given, otherwise the reference law whose parameters there are.
// Without any it returns [ErrNoParameters].
func NewLaw(perf v1alpha1.Performance) (Law, error) {
	name, parameters, err := lawParameters(perf)
	if err != nil {
		return nil, err
	}
	options, err := json.Marshal(parameters)
	if err != nil { // NaN and infinity cannot be written
		return nil, fmt.Errorf("parameters of law %q: %w", name, err)
	}
	return Laws().New(name, options)
}

func lawParameters(perf v1alpha1.Performance) (name string, parameters map[string]float64, err error) {
	switch p, d, f := perf.PerfParms, perf.DecodeParms, perf.PrefillParms; {
	case perf.Law != nil:
		if v, known := lawVersions[perf.Law.Name]; known && perf.Law.Version != v {
			return "", nil, fmt.Errorf("law %q: version: %d is not the known version %d", perf.Law.Name, perf.Law.Version, v)
		}
		return perf.Law.Name, ofLaw(perf.Law.Parameters), nil
	case p != nil:
		return LawWork, map[string]float64{"alpha": p.Alpha, "beta": p.Beta, "gamma": p.Gamma}, nil
	case d != nil && f != nil:
		return LawLinear, map[string]float64{"alpha": d.Alpha, "beta": d.Beta, "gamma": f.Gamma, "delta": f.Delta}, nil
	case d != nil || f != nil:
		return "", nil, errors.New("decodeParms and prefillParms must be given together")
	}
	return "", nil, ErrNoParameters
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

// lawVersions are the versions of parametrisations that were ever changed; the others have version 0.
var lawVersions = map[string]int{LawWork: 0, LawLinear: 0, LawRoofline: RooflineVersion}
