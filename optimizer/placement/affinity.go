package placement

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// Requirements that a node must meet to carry an accelerator: the node selector of the Accelerator where that alone tells its nodes from those of all others,
// and its product label else. Of the labels in which products stand it is the first that a
// node of other pods has, for some clouds have their own.
func Requirements(kinds *catalogue.Classifier, kind catalogue.Kind, nodes map[string]map[string]string) []corev1.NodeSelectorRequirement {
	var list []corev1.NodeSelectorRequirement
	for _, key := range slices.Sorted(maps.Keys(kind.NodeSelector)) {
		list = append(list, corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{kind.NodeSelector[key]}})
	}
	if len(list) > 0 && !slices.ContainsFunc(kinds.Kinds(), func(other catalogue.Kind) bool { return other.Type != kind.Type && compatible(kind, other) }) {
		return list
	}
	keys := catalogue.ProductLabels(kind.ResourceName)
	label := keys[0]
	if i := slices.IndexFunc(keys, func(key string) bool {
		for _, labels := range nodes {
			if slices.Contains(kind.ProductNames, labels[key]) {
				return true
			}
		}
		return false
	}); i >= 0 {
		label = keys[i]
	}
	return append(list, corev1.NodeSelectorRequirement{Key: label, Operator: corev1.NodeSelectorOpIn, Values: slices.Sorted(slices.Values(kind.ProductNames))})
}

// compatible tells whether a node could meet the node selectors of both kinds.
func compatible(a, b catalogue.Kind) bool {
	for key, value := range a.NodeSelector {
		if other, has := b.NodeSelector[key]; has && other != value {
			return false
		}
	}
	return true
}

// Required is what a pod asks of its node with requirements that each of its terms is to have besides. The API server allows a pod that is gated to ask more of
// nodes than it did, not less, and no further terms. The pod's spec stays as it is.
func Required(pod *corev1.PodSpec, more []corev1.NodeSelectorRequirement) *corev1.NodeSelector {
	var had []corev1.NodeSelectorTerm
	if a := pod.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		had = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	}
	if len(had) == 0 {
		return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: more}}}
	}
	terms := make([]corev1.NodeSelectorTerm, len(had))
	for i := range had {
		terms[i] = had[i]
		if empty := len(had[i].MatchExpressions)+len(had[i].MatchFields) == 0; !empty { // an empty term selects nothing, and is to do so still
			terms[i].MatchExpressions = slices.Concat(had[i].MatchExpressions, more)
		}
	}
	return &corev1.NodeSelector{NodeSelectorTerms: terms}
}
