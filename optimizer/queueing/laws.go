package queueing

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Names of the registered laws.
const (
	LawWork   = "work"
	LawLinear = "linear"
)

// millisecond converts the unit of model data to that of this package, once, where parameters enter.
const millisecond = 1e-3

// ErrNoParameters says that model data hold no parameters of any law, so that only the prior from physics remains.
var ErrNoParameters = errors.New("no parameters of a service-time law")

// Laws are the registered service-time laws. Options are the law's parameters by name.
func Laws() plug.Registry[Law] {
	return plug.NewRegistry("service-time law",
		plug.Of(LawWork, func() workOptions { return workOptions{} }, workOptions.law),
		plug.Of(LawLinear, func() linearOptions { return linearOptions{} }, linearOptions.law),
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
		return perf.Law.Name, perf.Law.Parameters, nil
	case p != nil:
		return LawWork, map[string]float64{"alpha": p.Alpha, "beta": p.Beta, "gamma": p.Gamma}, nil
	case d != nil && f != nil:
		return LawLinear, map[string]float64{"alpha": d.Alpha, "beta": d.Beta, "gamma": f.Gamma, "delta": f.Delta}, nil
	case d != nil || f != nil:
		return "", nil, errors.New("decodeParms and prefillParms must be given together")
	}
	return "", nil, ErrNoParameters
}

// lawVersions are the versions of parametrisations that were ever changed; the others have version 0.
var lawVersions = map[string]int{LawWork: 0, LawLinear: 0}
