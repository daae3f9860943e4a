package placement

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Unseat takes out of a spec what the lifting of its pod's gate has put behind its required node affinity, as its annotations say: what is left is what other
// pods of the template ask of nodes.
func Unseat(spec *corev1.PodSpec, annotations map[string]string) {
	n, err := strconv.Atoi(annotations[v1alpha1.PlacementRequirementsAnnotation])
	if err != nil || n < 1 || spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	var terms []corev1.NodeSelectorTerm
	for _, t := range required.NodeSelectorTerms {
		t.MatchExpressions = t.MatchExpressions[:max(len(t.MatchExpressions)-n, 0)]
		if len(t.MatchExpressions)+len(t.MatchFields) > 0 {
			terms = append(terms, t)
		}
	}
	if required.NodeSelectorTerms = terms; len(terms) == 0 {
		spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
	}
}
