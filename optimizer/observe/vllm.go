package observe

import (
	"fmt"
	"strings"
)

// quantity is one thing that is measured of every pod.
type quantity int

const (
	completions quantity = iota
	running
	waiting
	waitingNow
	waitingThen
	promptTokens
	promptRequests
	generationTokens
	generationRequests
	ttftSum
	ttftCount
	itlSum
	itlCount
	kvUsage
	sampleAge
	quantities // how many there are
)

// vLLM's metric names, the current one first and then what older versions call it.
// Source: vllm/v1/metrics/loggers.py and docs/usage/metrics of github.com/vllm-project/vllm (Apache-2.0).
var (
	itlNames     = []string{"vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"}
	kvUsageNames = []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"}
)

// queries are the PromQL expressions, one for each quantity, that yield one sample for every pod. Counters are taken as rates over the
// window, gauges as means over it; lengths of requests, which change slowly, over a longer one.
func queries(window, longWindow string) [quantities]string {
	rateOver := func(window, suffix string, names ...string) string {
		return firstOf(names, func(name string) string {
			return fmt.Sprintf("sum by (namespace, pod) (rate(%s%s[%s]))", name, suffix, window)
		})
	}
	rate := func(suffix string, names ...string) string { return rateOver(window, suffix, names...) }
	long := func(suffix string, names ...string) string { return rateOver(longWindow, suffix, names...) }
	mean := func(aggregate string, names ...string) string {
		return firstOf(names, func(name string) string {
			return fmt.Sprintf("%s by (namespace, pod) (avg_over_time(%s[%s]))", aggregate, name, window)
		})
	}
	return [quantities]string{
		completions: rate("", "vllm:request_success_total"),
		running:     mean("sum", "vllm:num_requests_running"),
		waiting:     mean("sum", "vllm:num_requests_waiting"),
		// What waits now and what waited when the window began: the difference came in and was not admitted.
		waitingNow:  "sum by (namespace, pod) (vllm:num_requests_waiting)",
		waitingThen: fmt.Sprintf("sum by (namespace, pod) (vllm:num_requests_waiting offset %s)", window),
		// Lengths are of requests that finished. Those that finish first after load has risen are the short ones, hence the long window.
		promptTokens:       long("_sum", "vllm:request_prompt_tokens"),
		promptRequests:     long("_count", "vllm:request_prompt_tokens"),
		generationTokens:   long("_sum", "vllm:request_generation_tokens"),
		generationRequests: long("_count", "vllm:request_generation_tokens"),
		ttftSum:            rate("_sum", "vllm:time_to_first_token_seconds"),
		ttftCount:          rate("_count", "vllm:time_to_first_token_seconds"),
		itlSum:             rate("_sum", itlNames...),
		itlCount:           rate("_count", itlNames...),
		kvUsage:            mean("avg", kvUsageNames...),
		sampleAge:          "time() - max by (namespace, pod) (timestamp(vllm:num_requests_running))",
	}
}

// firstOf asks for the first metric that is there.
func firstOf(names []string, expression func(string) string) string {
	parts := make([]string, len(names))
	for i, n := range names {
		parts[i] = expression(n)
	}
	return strings.Join(parts, " or ")
}
