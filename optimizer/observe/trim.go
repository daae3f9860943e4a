package observe

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Trimmer makes objects of the API server's small, for caches, which hold all pods and nodes of a cluster; what is observed of trimmed objects is what is
// observed of whole ones. The zero value is ready. It is safe for concurrent use.
type Trimmer struct {
	mu sync.Mutex
	// parts that pods have had lately, by what they say.
	parts map[[sha256.Size]byte]any
}

// mostParts that are known at a time: pods of one workload have the same and come one after the other, so that those of few workloads are enough.
//
// Tuned: parts; guard against a cluster that makes ever new ones, for what only this knows of is kept until all is forgotten together
const mostParts = 4096

// Trim takes out of an object, in place, what is never read of it: who wrote which field, what containers run, the images of nodes. What a pod has from
// its template it shares with others that have the same: it is not to be changed.
func (t *Trimmer) Trim(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Pod:
		placement.Trim(o)
		o.Spec.Volumes = nil
		unify(t, &o.Labels)
		unify(t, &o.Annotations)
		unify(t, &o.OwnerReferences)
		unify(t, &o.Spec.InitContainers)
		unify(t, &o.Spec.Containers)
		unify(t, &o.Spec.Tolerations)
		unify(t, &o.Spec.NodeSelector)
		unify(t, &o.Spec.Affinity)
	case *corev1.Node:
		o.Status.Images, o.Status.VolumesAttached, o.Status.VolumesInUse = nil, nil, nil
	}
	if m, err := meta.Accessor(object); err == nil {
		m.SetManagedFields(nil)
	}
	return object, nil
}

// unify a part with that of objects that have the same.
func unify[T any](t *Trimmer, part *T) {
	text, err := json.Marshal(part)
	if err != nil { // of a quantity beyond all bounds
		return
	}
	key := sha256.Sum256(fmt.Appendf(text, "%T", part))
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.parts[key]; ok {
		*part = known.(T)
		return
	}
	if t.parts == nil || len(t.parts) >= mostParts {
		t.parts = map[[sha256.Size]byte]any{}
	}
	t.parts[key] = *part
}
