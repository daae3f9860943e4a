package inferno

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"
)

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
