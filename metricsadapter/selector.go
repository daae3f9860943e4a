package metricsadapter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// A query is what a metric selector asks for.
type query struct {
	selector labels.Selector
	level    level
	// server is the one that the selector names, empty where it may match several.
	server string
}

// parseSelector reads a metric selector. A label that no value carries is refused: a negation of it would match every server, and their sum
// is nobody's number of replicas.
func parseSelector(selector labels.Selector) (query, error) {
	if selector == nil {
		selector = labels.Everything()
	}
	q := query{selector: selector}
	requirements, selectable := selector.Requirements()
	if !selectable {
		return q, nil
	}
	var unknown []string
	for _, requirement := range requirements {
		label, known := labelAliases[requirement.Key()]
		if !known {
			unknown = append(unknown, requirement.Key())
			continue
		}
		q.demand(label, requirement)
	}
	if len(unknown) > 0 {
		return q, fmt.Errorf("metric selector %q: no value has the label %s; the labels are %s",
			selector, strings.Join(unknown, ", "), strings.Join(slices.Sorted(maps.Keys(labelAliases)), ", "))
	}
	return q, nil
}

// demand notes what a requirement on a label asks for. That a label be absent asks for no detail by it.
func (q *query) demand(label string, requirement labels.Requirement) {
	if requirement.Operator() == selection.DoesNotExist {
		return
	}
	switch label {
	case labelVariant:
		q.level.byVariant = true
	case labelAccelerator:
		q.level.byAccelerator = true
	case labelServer:
		if values := requirement.Values(); len(values) == 1 && exact(requirement.Operator()) {
			q.server, _ = values.PopAny()
		}
	}
}

func exact(operator selection.Operator) bool {
	return operator == selection.Equals || operator == selection.DoubleEquals || operator == selection.In
}
