// Package v1alpha1 is the one home of every type that crosses a boundary of inferno: the custom resources of the API group
// inferno.platform.ai and the llm-inferno JSON system specification. Where both say the same they share a Go type.
//
// Units at the boundary follow llm-inferno: milliseconds for latencies, requests per minute for rates, cents per hour for cost, GB and GB/s
// for memory. The core works in seconds and requests per second; [Seconds], [PerSecond] and their inverses convert, and
// nothing else does.
//
// +kubebuilder:object:generate=true
// +groupName=inferno.platform.ai
package v1alpha1
