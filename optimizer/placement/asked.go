package placement

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Asks is the one value of a label that a pod asks of its node; empty where it asks for none, or for one of several.
func Asks(spec *corev1.PodSpec, key string) string {
	if value := spec.NodeSelector[key]; value != "" {
		return value
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	asked := ""
	for _, t := range spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		value := ""
		for _, e := range t.MatchExpressions {
			if e.Key == key && e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 {
				value = e.Values[0]
			}
		}
		if value == "" || asked != "" && value != asked {
			return ""
		}
		asked = value
	}
	return asked
}

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
