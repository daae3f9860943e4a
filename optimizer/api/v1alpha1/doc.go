// Package v1alpha1 has inferno's custom resources, of the API group inferno.platform.ai, and the labels and annotations by which it reads and writes others'.
// Package jsonspec has what the decision core is asked and answers; optimizer/specification converts between them.
//
// +kubebuilder:object:generate=true
// +groupName=inferno.platform.ai
package v1alpha1
