package config

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group of the arguments.
const Group = "config.inferno.platform.ai"

// SchemeGroupVersion of the arguments as the plugin uses them.
var SchemeGroupVersion = schema.GroupVersion{Group: Group, Version: runtime.APIVersionInternal}

// FallbackPolicy says what becomes of a pod for which the plan has no room.
type FallbackPolicy string

const (
	// FallbackWait leaves the pod pending until the plan or the cluster has room for it.
	FallbackWait FallbackPolicy = "Wait"
	// FallbackAnyFeasible lets the pod go to any accelerator its model is described for, once it has waited long enough.
	FallbackAnyFeasible FallbackPolicy = "AnyFeasible"
)

// FallbackPolicies are all policies, sorted.
func FallbackPolicies() []FallbackPolicy { return []FallbackPolicy{FallbackAnyFeasible, FallbackWait} }

// InfernoArgs are the arguments of the plugin Inferno.
type InfernoArgs struct {
	metav1.TypeMeta

	// Fallback says what becomes of a pod for which the plan has no room.
	Fallback FallbackPolicy
	// FallbackAfter is how long a pod must have been unschedulable before AnyFeasible applies, and how long at most pods wait for the first
	// plan of their Server while others have plans. More than zero.
	FallbackAfter metav1.Duration
	// SyncTimeout bounds how long after its start the plugin holds pods back because it could not read the plans yet; after that they
	// count as having no plan. Not negative.
	SyncTimeout metav1.Duration
	// GroupTimeout is how long a pod of a replica of several pods keeps a node reserved while others of the replica have none. More than zero.
	GroupTimeout metav1.Duration
}

// DeepCopyObject makes InfernoArgs a runtime.Object.
func (a *InfernoArgs) DeepCopyObject() runtime.Object {
	if a == nil {
		return nil
	}
	c := *a
	return &c
}

// AddToScheme registers the arguments as the plugin uses them.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion, &InfernoArgs{})
	return nil
}
