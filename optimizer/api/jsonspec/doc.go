// Package jsonspec has the types of the llm-inferno JSON system specification: what the decision core is asked and answers. Their names and units are
// those of llm-inferno: milliseconds for latencies, requests per minute for rates, cents per hour for cost, GB and GB/s for memory.
//
// The core works in seconds and requests per second; [Seconds], [PerSecond] and their inverses convert, and nothing else does.
//
// +kubebuilder:object:generate=true
package jsonspec
