package metricsadapter

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// A value is one answer about one part of one server.
type value struct {
	server   *v1alpha1.Server
	labels   labels.Set
	quantity resource.Quantity
	time     metav1.Time
}

// values of the metric for those parts of the server that the query selects; none where it selects none.
func (q query) values(m metric, server *v1alpha1.Server, now time.Time) ([]value, *fault) {
	var selected []value
	for _, s := range q.level.scopes(server) {
		set := s.labels(server)
		if !q.selector.Matches(set) {
			continue
		}
		if f := checkPlan(server, now); f != nil {
			return nil, f
		}
		quantity, err := m.value(server, s)
		if err != nil {
			return nil, &fault{OutcomeNoValue, fmt.Sprintf("%s of server %s: %v", m.name, describe(server, s), err)}
		}
		selected = append(selected, value{server, set, quantity, server.Status.Desired.ConfirmedAt})
	}
	return selected, nil
}

// checkPlan says why the server's plan cannot be followed.
func checkPlan(server *v1alpha1.Server, now time.Time) *fault {
	name := describe(server, scope{})
	plan := server.Status.Desired
	if plan == nil {
		return &fault{OutcomeNoPlan, fmt.Sprintf("server %s has no plan yet%s", name, whyUnplanned(server))}
	}
	if !plan.Fresh(now) {
		return &fault{OutcomeStalePlan, fmt.Sprintf("the plan of server %s is stale: last confirmed at %s, to be followed for %d s%s",
			name, plan.ConfirmedAt.UTC().Format(time.RFC3339), plan.StaleAfterSeconds, whyUnplanned(server))}
	}
	return nil
}

// whyUnplanned quotes the server's condition, where it says something.
func whyUnplanned(server *v1alpha1.Server) string {
	condition := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionPlanned)
	if condition == nil || condition.Status != metav1.ConditionFalse {
		return ""
	}
	return fmt.Sprintf(" (%s: %s)", condition.Reason, condition.Message)
}

// describe names a part of a server to a person.
func describe(server *v1alpha1.Server, s scope) string {
	name := server.Namespace + "/" + server.Name
	if s.variant != "" {
		name += ", variant " + s.variant
	}
	if s.accelerator != "" {
		name += ", accelerator " + s.accelerator
	}
	return name
}
