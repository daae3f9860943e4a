package specification

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

const (
	// maxCounterLabels of a counter.
	// Tuned: labels; guard against a question that is long to parse
	maxCounterLabels = 16
	// maxLabelValue of a counter.
	// Tuned: bytes; guard against a question that is long to parse
	maxLabelValue = 1024
)

// InvalidError says that a resource is not as it must be, with every fault.
type InvalidError struct{ error }

// Unwrap returns the faults.
func (e *InvalidError) Unwrap() error { return e.error }

// CheckArrivals says why a counter cannot be asked for; nil where it can. The error is an [InvalidError].
func CheckArrivals(path string, a *v1alpha1.ArrivalCounter) error {
	var v validator
	v.arrivals(path, a)
	if len(v.faults) == 0 {
		return nil
	}
	return &InvalidError{errors.Join(v.faults...)}
}

// arrivals is checked strictly, for it becomes a part of a question to Prometheus.
func (v *validator) arrivals(path string, a *v1alpha1.ArrivalCounter) {
	if a == nil {
		return
	}
	v.metric(path+".counter", a.Counter)
	switch n := len(a.Labels); {
	case n == 0:
		v.fault(path+".labels", "is missing: at least one label must tell the server's requests from others")
	case n > maxCounterLabels:
		v.fault(path+".labels", "%d labels are not allowed, must be at most %d", n, maxCounterLabels)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		at := fmt.Sprintf("%s.labels[%s]", path, name)
		v.label(at, name)
		if name == "namespace" {
			v.fault(at, "is not allowed: it is always the server's namespace")
		}
		if n := len(a.Labels[name]); n > maxLabelValue {
			v.fault(at, "%d bytes are not allowed, must be at most %d", n, maxLabelValue)
		}
	}
}

func (v *validator) metric(path, name string) {
	if !metricName.MatchString(name) {
		v.fault(path, "%q is not allowed, must be the name of a metric: letters, digits, _ and :, no digit first", name)
	}
}

// label is the name of a label that series may have been given; those that begin with two underscores are Prometheus' own.
func (v *validator) label(path, name string) {
	switch {
	case !labelName.MatchString(name):
		v.fault(path, "%q is not allowed, must be the name of a label: letters, digits and _, no digit first", name)
	case strings.HasPrefix(name, "__"):
		v.fault(path, "%q is not allowed: names that begin with __ are reserved", name)
	}
}

// namespacePlaceholder stands for a Server's namespace.
const namespacePlaceholder = "$(namespace)"

// OfNamespace is the regular expression that tells which values of a gateway's label are of requests to a namespace. It matches whole values.
func OfNamespace(g v1alpha1.GatewayCounter, namespace string) string {
	value := g.Value
	if value == "" {
		value = namespacePlaceholder
	}
	return strings.ReplaceAll(value, namespacePlaceholder, regexp.QuoteMeta(namespace))
}

// gateways that servers may count by are checked as strictly: without the placeholder, one namespace's requests would be every namespace's.
func (v *validator) gateways(path string, list []v1alpha1.GatewayCounter) {
	for i, g := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.metric(at+".counter", g.Counter)
		if g.Namespace == "" {
			v.fault(at+".namespace", "is missing: it is where the gateway's pods run")
		}
		v.label(at+".label", g.Label)
		if g.Value != "" && !strings.Contains(g.Value, namespacePlaceholder) {
			v.fault(at+".value", "%q is not allowed, must contain %s", g.Value, namespacePlaceholder)
		}
		if _, err := regexp.Compile(OfNamespace(g, "namespace")); err != nil {
			v.fault(at+".value", "%q is not allowed, must be a regular expression: %v", g.Value, err)
		}
	}
}

// CheckPrometheus says why questions to a Prometheus cannot be put as asked for; nil where they can. The error is an [InvalidError].
func CheckPrometheus(path string, p *v1alpha1.PrometheusSource) error {
	var v validator
	v.gateways(path+".gateways", p.Gateways)
	if len(v.faults) == 0 {
		return nil
	}
	return &InvalidError{errors.Join(v.faults...)}
}
