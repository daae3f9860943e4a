package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Source is a Prometheus, with what all questions to it have in common.
type Source struct {
	querier Querier
	// with are the matchers of every selector.
	with     string
	engines  []engine
	gateways []v1alpha1.GatewayCounter
}

// NewSource asks as an Optimizer says; nil says nothing. The error is a [specification.InvalidError].
func NewSource(q Querier, p *v1alpha1.PrometheusSource) (*Source, error) {
	if p == nil {
		p = &v1alpha1.PrometheusSource{}
	}
	if err := specification.CheckPrometheus("spec.prometheus", p); err != nil {
		return nil, err
	}
	s := &Source{querier: q, with: matchers(p.Matchers), gateways: p.Gateways}
	for i := range p.Engines {
		s.engines = append(s.engines, profiled(&p.Engines[i], s.with))
	}
	for _, e := range engines() {
		s.engines = append(s.engines, e.written(podLabels, s.with))
	}
	return s, nil
}

// PartialError says that Prometheus left out a part of an answer.
type PartialError struct{ warnings []string }

func (e *PartialError) Error() string {
	return "a part of the answer is missing: " + strings.Join(e.warnings, "; ")
}

// ask for series of one type. An answer that is not whole is none: what it lacks would be taken for load that has gone.
func ask(ctx context.Context, s *Source, t model.ValueType, expression string, now time.Time, take func(Series)) error {
	answer, err := s.querier.Query(ctx, expression, now, take)
	if err != nil {
		return fmt.Errorf("query %q: %w", expression, err)
	}
	if missing := partial(answer.Warnings); len(missing) > 0 {
		return fmt.Errorf("query %q: %w", expression, &PartialError{missing})
	}
	if answer.Type != t {
		return fmt.Errorf("query %q: answered with a %s, not a %s", expression, answer.Type, t)
	}
	return nil
}

// partial are the warnings of stores that did not answer. Those about the samples themselves, which any pod can cause, are Prometheus' annotations, and
// say so (util/annotations of github.com/prometheus/prometheus).
func partial(warnings []string) (missing []string) {
	for _, w := range warnings {
		if !strings.HasPrefix(w, "PromQL warning:") && !strings.HasPrefix(w, "PromQL info:") {
			missing = append(missing, w)
		}
	}
	return missing
}

// matchers of labels that must be equal, in PromQL.
func matchers(labels map[string]jsonspec.LabelValue) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		all = append(all, matcher(name, "=", string(labels[name])))
	}
	return strings.Join(all, ",")
}

// selecting writes the matchers of every selector into a question.
func (s *Source) selecting(promql string) string { return selecting(promql, s.with) }

func selecting(promql, with string) string {
	return strings.NewReplacer(",$with}", prefixed(",", with)+"}", "{$with}", braced(with)).Replace(promql)
}

// podLabels tell a pod, on series as the usual scrape configurations leave them.
var podLabels = []string{"namespace", "pod"}

// written is an engine whose queries are of series with labels and matchers.
func (e engine) written(keys []string, with string) engine {
	e.keys = keys
	labels := strings.NewReplacer("$keys", strings.Join(keys, ", "), "$own", strings.Join(e.own, ", "))
	return e.rewritten(func(promql string) string { return selecting(labels.Replace(promql), with) })
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func braced(s string) string {
	if s == "" {
		return ""
	}
	return "{" + s + "}"
}

// rewritten is an engine all of whose queries are changed.
func (e engine) rewritten(change func(string) string) engine {
	all := func(queries []query) []query {
		out := slices.Clone(queries)
		for i := range out {
			out[i].promql = change(out[i].promql)
		}
		return out
	}
	values, histograms := e.values, e.distributions
	e.values, e.distributions = map[Quantity][]query{}, map[Distribution][]query{}
	for q, queries := range values {
		e.values[q] = all(queries)
	}
	for d, queries := range histograms {
		e.distributions[d] = all(queries)
	}
	e.arrived.promql = change(e.arrived.promql)
	e.gauge = change(e.gauge)
	return e
}

// profiled is an engine as a profile says that its series are.
func profiled(p *v1alpha1.EngineProfile, with string) engine {
	all := engines()
	e := all[slices.IndexFunc(all, func(e engine) bool { return e.name == p.Engine })]
	e.name = p.Name
	e.own = slices.Clone(e.own)
	for _, label := range p.DistinctLabels {
		e.own = append(e.own, string(label))
	}
	e = e.rewritten(renamed(e.prefix, p))
	keys := []string{cmp.Or(string(p.NamespaceLabel), podLabels[0]), cmp.Or(string(p.PodLabel), podLabels[1])}
	if theirs := matchers(p.Matchers); theirs != "" {
		with = strings.Join(slices.DeleteFunc([]string{theirs, with}, func(s string) bool { return s == "" }), ",")
	}
	e = e.written(keys, with)
	if slices.Equal(keys, podLabels) {
		return e
	}
	gauge := e.gauge
	e = e.rewritten(func(promql string) string {
		for i, key := range keys {
			promql = fmt.Sprintf("label_replace(%s, %q, \"$1\", %q, \"(.*)\")", promql, podLabels[i], key)
		}
		return fmt.Sprintf("max by (namespace, pod, le, block_size, num_gpu_blocks) (%s)", promql)
	})
	e.gauge = gauge
	return e
}

// renamed replaces the names of an engine's metrics.
func renamed(prefix string, p *v1alpha1.EngineProfile) func(string) string {
	name := regexp.MustCompile(`(^|[^a-zA-Z0-9_:"])(` + regexp.QuoteMeta(prefix) + `[a-zA-Z0-9_:]+)`)
	return func(promql string) string {
		return name.ReplaceAllStringFunc(promql, func(found string) string {
			i := strings.Index(found, prefix)
			return found[:i] + nameOf(found[i:], prefix, p)
		})
	}
}

// nameOf a metric under a profile: the one that it is given, as that of its family, or with the profile's prefix.
func nameOf(metric, prefix string, p *v1alpha1.EngineProfile) string {
	if name, given := p.Names[metric]; given {
		return string(name)
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if family, is := strings.CutSuffix(metric, suffix); is {
			if name, given := p.Names[family]; given {
				return string(name) + suffix
			}
		}
	}
	return cmp.Or(string(p.Prefix), prefix) + strings.TrimPrefix(metric, prefix)
}
