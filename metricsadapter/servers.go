package metricsadapter

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Servers is what the provider reads: a local, indexed view of all Servers. What it returns is shared and must not be changed.
type Servers interface {
	// HasSynced tells whether the view has been complete once; before that an absent Server may merely not have arrived.
	HasSynced() bool
	// Get returns the Server of that name.
	Get(namespace, name string) (*v1alpha1.Server, bool)
	// List returns the Servers of a namespace in any order.
	List(namespace string) []*v1alpha1.Server
	// ScaledBy returns the Servers that have the workload as scale target, their own or a variant's, in any order.
	ScaledBy(namespace string, workload schema.GroupResource, name string) []*v1alpha1.Server
}

// ServersResource is the resource of Servers.
var ServersResource = schema.GroupResource{Group: v1alpha1.Group, Resource: "servers"}

// Workload returns the resource that a scale target is of. The plural is guessed from the kind by the rules of English, as Kubernetes' own
// kinds and nearly all others are formed: a discovery client would make an answer depend on a second connection.
func Workload(ref jsonspec.ScaleTargetRef) schema.GroupResource {
	plural, _ := meta.UnsafeGuessKindToResource(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	return plural.GroupResource()
}

// ScaleTargets returns every scale target of a server: its own, then those of its variants.
func ScaleTargets(server *v1alpha1.Server) []jsonspec.ScaleTargetRef {
	var refs []jsonspec.ScaleTargetRef
	if own := server.Spec.ScaleTargetRef; own != nil {
		refs = append(refs, *own)
	}
	for _, variant := range server.Spec.Variants {
		refs = append(refs, variant.ScaleTargetRef)
	}
	return refs
}
