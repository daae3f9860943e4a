// Package v1 is version v1 of the arguments of the scheduler plugin, as people write them in a KubeSchedulerConfiguration:
//
//	pluginConfig:
//	- name: Inferno
//	  args:
//	    apiVersion: config.inferno.platform.ai/v1 # optional
//	    kind: InfernoArgs                         # optional
//	    fallback: AnyFeasible
//	    fallbackAfter: 10m
package v1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/llm-inferno/inferno/plugins/apis/config"
)

// SchemeGroupVersion of the arguments as people write them.
var SchemeGroupVersion = schema.GroupVersion{Group: config.Group, Version: "v1"}

// InfernoArgs are the arguments of the plugin Inferno. What is left out gets its default.
type InfernoArgs struct {
	metav1.TypeMeta `json:",inline"`

	// Fallback says what becomes of a pod for which the plan has no room: Wait (the default), or AnyFeasible: after fallbackAfter it may
	// go to any accelerator its model is described for, and an event and a metric say so.
	Fallback *config.FallbackPolicy `json:"fallback,omitempty"`
	// FallbackAfter is how long a pod must have been unschedulable before AnyFeasible applies, such as 10m, and how long at most pods wait for
	// the first plan of their Server while others have plans. Defaults to 5m.
	FallbackAfter *metav1.Duration `json:"fallbackAfter,omitempty"`
	// SyncTimeout bounds how long after its start the plugin holds pods of servers back because it could not read the plans yet, such as
	// 1m; after that they count as having no plan. Defaults to 30s.
	SyncTimeout *metav1.Duration `json:"syncTimeout,omitempty"`
	// GroupTimeout is how long a pod of a replica of several pods keeps a node reserved while others of the replica have none, such as 2m. Defaults
	// to 1m, as the plugin Coscheduling of kubernetes-sigs/scheduler-plugins does.
	GroupTimeout *metav1.Duration `json:"groupTimeout,omitempty"`
}

// DeepCopyObject makes InfernoArgs a runtime.Object.
func (a *InfernoArgs) DeepCopyObject() runtime.Object {
	if a == nil {
		return nil
	}
	return &InfernoArgs{
		TypeMeta: a.TypeMeta, Fallback: clone(a.Fallback), FallbackAfter: clone(a.FallbackAfter), SyncTimeout: clone(a.SyncTimeout), GroupTimeout: clone(a.GroupTimeout),
	}
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// SetDefaults fills in what is left out and nothing else.
func SetDefaults(a *InfernoArgs) {
	if a.Fallback == nil {
		wait := config.FallbackWait
		a.Fallback = &wait
	}
	if a.FallbackAfter == nil {
		a.FallbackAfter = &metav1.Duration{Duration: 5 * time.Minute}
	}
	if a.SyncTimeout == nil {
		a.SyncTimeout = &metav1.Duration{Duration: 30 * time.Second}
	}
	if a.GroupTimeout == nil {
		a.GroupTimeout = &metav1.Duration{Duration: time.Minute}
	}
}

// AddToScheme registers the arguments as people write them, their defaults and their conversion.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion, &InfernoArgs{})
	s.AddTypeDefaultingFunc(&InfernoArgs{}, func(obj any) { SetDefaults(obj.(*InfernoArgs)) })
	if err := s.AddConversionFunc((*InfernoArgs)(nil), (*config.InfernoArgs)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := *a.(*InfernoArgs), b.(*config.InfernoArgs)
		SetDefaults(&in)
		out.Fallback, out.FallbackAfter, out.SyncTimeout, out.GroupTimeout = *in.Fallback, *in.FallbackAfter, *in.SyncTimeout, *in.GroupTimeout
		return nil
	}); err != nil {
		return err
	}
	return s.AddConversionFunc((*config.InfernoArgs)(nil), (*InfernoArgs)(nil), func(a, b any, _ conversion.Scope) error {
		in, out := a.(*config.InfernoArgs), b.(*InfernoArgs)
		out.Fallback, out.FallbackAfter, out.SyncTimeout, out.GroupTimeout = clone(&in.Fallback), clone(&in.FallbackAfter), clone(&in.SyncTimeout), clone(&in.GroupTimeout)
		return nil
	})
}
