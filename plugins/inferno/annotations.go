package inferno

import (
	"encoding/json"
	"strconv"

	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// annotationsFor a pod that takes an option. What the plan leaves to the engine (0) is not written, so that a default in the pod template
// stays.
func annotationsFor(o option) map[string]string {
	a := map[string]string{v1alpha1.AcceleratorAnnotation: o.label}
	if o.part == nil {
		return a
	}
	if o.part.MaxBatchSize > 0 {
		a[v1alpha1.MaxNumSeqsAnnotation] = strconv.Itoa(o.part.MaxBatchSize)
	}
	if o.part.MaxBatchedTokens > 0 {
		a[v1alpha1.MaxNumBatchedTokensAnnotation] = strconv.Itoa(o.part.MaxBatchedTokens)
	}
	return a
}

// contains tells whether all of want stand in have.
func contains(have, want map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// annotationPatch is a JSON merge patch that sets annotations on the pod with this UID and on no other that has taken its name.
func annotationPatch(uid types.UID, annotations map[string]string) ([]byte, error) {
	metadata := map[string]any{"annotations": annotations}
	if uid != "" {
		metadata["uid"] = uid
	}
	return json.Marshal(map[string]any{"metadata": metadata})
}
