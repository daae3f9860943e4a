package observe

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// quotaPrefix begins the names under which a ResourceQuota limits extended resources.
const quotaPrefix = "requests."

// capByQuota lowers the most replicas of a server to what the quotas of its namespace leave it: their limits, less what all other pods use of
// them, by the fewest cards that a replica of it can take of that resource. Several servers of a namespace may each still be planned up to
// what is left; what the first takes is gone for the others in the next cycle.
func (r *Readings) capByQuota(v *view, s *v1alpha1.Server, pods []*corev1.Pod, system *jsonspec.System, e *jsonspec.ServerEntry) {
	own := corev1.ResourceList{}
	for _, p := range pods {
		add(own, placement.Requests(p))
	}
	for i := range r.Quotas {
		q := &r.Quotas[i]
		// A quota with scopes speaks of some pods only, of which it is not known whether they are the server's.
		if q.Namespace != s.Namespace || len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue
		}
		for name, hard := range q.Status.Hard {
			resource, limits := strings.CutPrefix(string(name), quotaPrefix)
			least := v.leastCards(system, e.Model, resource)
			if !limits || least == 0 {
				continue
			}
			used, held := q.Status.Used[name], own[corev1.ResourceName(resource)]
			left := max(hard.Value()-used.Value()+held.Value(), 0)
			capAt(e, int(left)/least)
		}
	}
}

// capAt lowers the most replicas of a server. Zero stands for no bound: of a server that may not have one replica the pods are refused, and it is seen that
// they are.
func capAt(e *jsonspec.ServerEntry, most int) {
	if e.MaxNumReplicas == 0 || most < e.MaxNumReplicas {
		e.MaxNumReplicas = max(most, 1)
	}
}

// leastCards is the smallest number of cards under a resource name that a replica of a model takes; 0 where it can run on others, which the
// quota does not limit, or on none.
func (v *view) leastCards(s *jsonspec.System, model, resource string) int {
	least := 0
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		k, known := v.classifier.Kind(m.Acc)
		if m.Name != model || !known {
			continue
		}
		if k.ResourceName != resource {
			return 0
		}
		if n := m.Accelerators() * k.Multiplicity; least == 0 || n < least {
			least = n
		}
	}
	return least
}
