package observe

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Trim takes out of an object of the API server's, in place, what is never read of it: who wrote which field, what containers run, the images of
// nodes. It is for caches, which hold all pods and nodes of a cluster; what is observed of trimmed objects is what is observed of whole ones.
func Trim(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Pod:
		placement.Trim(o)
		o.Spec.Volumes = nil
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesAttached, o.Status.VolumesInUse = nil, nil, nil
	}
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}
