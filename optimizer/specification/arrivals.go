package specification

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
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

// invalid joins the faults; nil where there are none.
func (v *validator) invalid() error {
	if len(v.faults) == 0 {
		return nil
	}
	return &InvalidError{errors.Join(v.faults...)}
}

// CheckArrivals says why a counter cannot be asked for; nil where it can. The error is an [InvalidError].
func CheckArrivals(path string, a *jsonspec.ArrivalCounter) error {
	var v validator
	v.arrivals(path, a)
	return v.invalid()
}

// arrivals is checked strictly, for it becomes a part of a question to Prometheus.
func (v *validator) arrivals(path string, a *jsonspec.ArrivalCounter) {
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
	v.matchers(path+".matchers", p.Matchers)
	v.engines(path+".engines", p.Engines)
	v.access(path+".access", &p.Access)
	return v.invalid()
}

func (v *validator) matchers(path string, labels map[string]jsonspec.LabelValue) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		v.label(fmt.Sprintf("%s[%s]", path, name), name)
	}
}

// knownEngines are those whose metrics can be found under other names.
var knownEngines = []string{v1alpha1.EngineVLLM, v1alpha1.EngineSGLang, v1alpha1.EngineTGI, v1alpha1.EngineTensorRTLLM, v1alpha1.EngineTriton}

func (v *validator) engines(path string, list []v1alpha1.EngineProfile) {
	seen := map[string]bool{}
	for i := range list {
		p, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		v.unique(at+".name", p.Name, seen)
		if !slices.Contains(knownEngines, p.Engine) {
			v.fault(at+".engine", "%q is not allowed, must be one of %s", p.Engine, strings.Join(knownEngines, ", "))
		}
		if p.Prefix != "" {
			v.metric(at+".prefix", string(p.Prefix))
		}
		for _, name := range slices.Sorted(maps.Keys(p.Names)) {
			v.metric(fmt.Sprintf("%s.names[%s]", at, name), name)
			v.metric(fmt.Sprintf("%s.names[%s]", at, name), string(p.Names[name]))
		}
		if p.NamespaceLabel != "" {
			v.label(at+".namespaceLabel", string(p.NamespaceLabel))
		}
		if p.PodLabel != "" {
			v.label(at+".podLabel", string(p.PodLabel))
		}
		for k, label := range p.DistinctLabels {
			v.label(fmt.Sprintf("%s.distinctLabels[%d]", at, k), string(label))
		}
		v.matchers(at+".matchers", p.Matchers)
	}
}

// fileName is one in a directory, which it does not leave.
var fileName = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9._-]*$`)

// access is checked here too: an object that was stored under another definition must not name a file elsewhere.
func (v *validator) access(path string, a *v1alpha1.PrometheusAccess) {
	for _, f := range []struct {
		field string
		name  v1alpha1.FileName
	}{
		{"bearerTokenFile", a.BearerTokenFile}, {"passwordFile", a.PasswordFile}, {"caFile", a.CAFile}, {"certificateFile", a.CertificateFile}, {"keyFile", a.KeyFile},
	} {
		if f.name != "" && !fileName.MatchString(string(f.name)) {
			v.fault(path+"."+f.field, "%q is not allowed, must be the name of a file in the directory of credentials", f.name)
		}
	}
	if a.BearerTokenFile != "" && a.Username != "" {
		v.fault(path, "bearerTokenFile and username are both given: give one of them")
	}
	if (a.Username != "") != (a.PasswordFile != "") {
		v.fault(path, "username and passwordFile are given together")
	}
	if (a.CertificateFile != "") != (a.KeyFile != "") {
		v.fault(path, "certificateFile and keyFile are given together")
	}
}
