package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of inferno's custom resources, and the prefix of its labels and annotations.
const Group = "inferno.platform.ai"

// GroupVersion of the types in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// TypeMeta of a resource of this package.
func TypeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: GroupVersion.String(), Kind: kind}
}

// AddToScheme registers the custom resources with a scheme.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Accelerator{}, &AcceleratorList{},
		&Model{}, &ModelList{},
		&Estimate{}, &EstimateList{},
		&ServiceClass{}, &ServiceClassList{},
		&Server{}, &ServerList{},
		&Optimizer{}, &OptimizerList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
