package observe

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/demand"
)

// query is PromQL that yields a number for every pod, for those versions of an engine that have its metrics. $window, $half and $long stand for
// the window of the measurement, half of it, and the longer one of the lengths of requests; $keys for the labels that tell a pod, $own for those that
// the engine itself tells its series apart by, and $with for the matchers of every selector.
type query struct {
	promql string
	// versions of the engine, empty for all.
	versions string
}

// of selects series: name, or name with matchers.
func of(selector string) string {
	if name, matchers, has := strings.Cut(strings.TrimSuffix(selector, "}"), "{"); has {
		return name + "{" + matchers + ",$with}"
	}
	return selector + "{$with}"
}

// suffixed is a selector of another metric of the same family.
func suffixed(selector, suffix string) string {
	name, matchers, has := strings.Cut(selector, "{")
	if has {
		return name + suffix + "{" + matchers
	}
	return name + suffix
}

// each is an expression with one series for each that an engine of a pod has written. Whatever other labels tell apart are copies of one: those of two
// Prometheus that both scrape, of two monitors or ports of one pod, of the schedulers of all ranks (SGLang,
// github.com/sgl-project/sglang/issues/31896), or of front ends of which one is up to date and the others say zero (vLLM,
// github.com/vllm-project/vllm/pull/28792). The largest is the one that is up to date.
func each(expression string, more ...string) string {
	return fmt.Sprintf("max by (%s) (%s)", strings.Join(append([]string{"$keys", "$own"}, more...), ", "), expression)
}

// rates of a counter over a window, one for each that an engine of a pod has written.
func rates(selector, window string, more ...string) string {
	return each(fmt.Sprintf("rate(%s[%s])", of(selector), window), more...)
}

// mean of a gauge over the window, one for each that an engine of a pod has written.
func averages(selector string) string {
	return each(fmt.Sprintf("avg_over_time(%s[$window])", of(selector)))
}

// rate of a counter, over all engines of a pod.
func rate(selector, versions string) query {
	return query{fmt.Sprintf("sum by ($keys) (%s)", rates(selector, "$window")), versions}
}

// long is a rate over the longer window. Lengths are of requests that finished, and those that finish first after load has risen are the
// short ones.
func long(selector, versions string) query {
	return query{fmt.Sprintf("sum by ($keys) (%s)", rates(selector, "$long")), versions}
}

// level is the mean of a gauge over the window, added up over the engines of a pod.
func level(selector, versions string) query {
	return query{fmt.Sprintf("sum by ($keys) (%s)", averages(selector)), versions}
}

// share is the mean of a gauge over the window, and over the engines of a pod. What is below zero was not measured.
func share(selector, versions string) query {
	return query{fmt.Sprintf("avg by ($keys) (%s >= 0)", averages(selector)), versions}
}

// largest of a gauge over the engines of a pod.
func largest(selector string) string { return fmt.Sprintf("max by ($keys) (%s)", of(selector)) }

// buckets of a histogram as rates.
func buckets(name, window, versions string) query {
	return query{fmt.Sprintf("sum by ($keys, le) (%s)", rates(suffixed(name, "_bucket"), window, "le")), versions}
}

// answered are the HTTP requests for generation that ended at a server of FastAPI, however they ended, but for those that were not valid. The middleware
// counts in the end of each, also where the client is gone (prometheus_fastapi_instrumentator/middleware.py of
// github.com/trallnag/prometheus-fastapi-instrumentator, which vLLM's entrypoints/openai/api_server.py uses): vLLM's own counters leave out what was given up
// (github.com/vllm-project/vllm/issues/31503 and 55634). A page of any such server may have them, so they count only for pods with the engine's gauge.
func answered(gauge string) query {
	const requests = `http_requests_total{handler=~"/v1/(chat/completions|completions|responses|messages)|/generate",method="POST",status!~"4.."}`
	return query{promql: fmt.Sprintf("sum by ($keys) (%s) and on ($keys) count by ($keys) (count_over_time(%s[$window]))",
		rates(requests, "$window", "handler", "method", "status"), of(gauge))}
}

// hits is the share that hits have in queries.
func hits(found, asked, versions string) query {
	return query{fmt.Sprintf("sum by ($keys) (%s) / sum by ($keys) (%s)", rates(found, "$window"), rates(asked, "$window")), versions}
}

// engine is how an inference engine shows what it does. The queries of a quantity are in order of preference: of several versions' names that
// a server exposes at once the first counts. What an engine does not expose has none.
type engine struct {
	name string
	// source of the names.
	source string
	// prefix of the names of its metrics.
	prefix string
	// own are the labels by which the engine tells its series apart: those of one pod that differ in no other are one.
	own           []string
	values        map[Quantity][]query
	distributions map[Distribution][]query
	// arrived is the number of requests that have arrived since a pod began.
	arrived query
	// gauge of running requests, of which each engine of a pod has one.
	gauge string
	// keys are the labels that tell a pod: its namespace and its name.
	keys []string
}

// queue adds what follows from the gauges of running and waiting requests, and the counter of those that left.
func (e engine) queue(runningGauge, waitingGauge, left string) engine {
	e.gauge = of(runningGauge)
	e.arrived = arrived(runningGauge, waitingGauge, left)
	e.values[Running] = []query{level(runningGauge, "")}
	e.values[RunningVariance] = []query{{promql: fmt.Sprintf("sum by ($keys) (%s)", each("stdvar_over_time("+of(runningGauge)+"[$window])"))}}
	e.values[EngineCount] = []query{{promql: fmt.Sprintf("count by ($keys) (%s)", each(of(runningGauge)))}}
	e.values[Waiting] = []query{level(waitingGauge, "")}
	// What is there now and what was there when the window began: the difference came in and did not leave.
	for _, g := range []struct {
		now, then Quantity
		gauge     string
	}{{RunningNow, RunningThen, runningGauge}, {WaitingNow, WaitingThen, waitingGauge}} {
		e.values[g.now] = []query{{promql: fmt.Sprintf("sum by ($keys) (%s)", each(of(g.gauge)))}}
		e.values[g.then] = []query{{promql: fmt.Sprintf("sum by ($keys) (%s)", each(of(g.gauge)+" offset $window"))}}
	}
	e.values[SampleAge] = []query{{promql: fmt.Sprintf("time() - max by ($keys) (timestamp(%s))", of(runningGauge))}}
	return e
}

// arrived is what has arrived since a pod began: what left, runs and waits. It is asked for only of pods whose scrapes fall into half windows
// evenly: of others one half would have more scrapes than the next.
func arrived(runningGauge, waitingGauge, left string) query {
	return query{promql: fmt.Sprintf("(sum by ($keys) (%s) + sum by ($keys) (%s) + sum by ($keys) (%s)) and on ($keys) min by ($keys) (count_over_time(%s[$window])) %% 2 == 0",
		each(of(left)), each(of(runningGauge)), each(of(waitingGauge)), of(runningGauge))}
}

// latency adds the sums, counts and buckets of a histogram of seconds.
func (e engine) latency(sum, count Quantity, d Distribution, name, versions string) engine {
	e.values[sum] = append(e.values[sum], rate(suffixed(name, "_sum"), versions))
	e.values[count] = append(e.values[count], rate(suffixed(name, "_count"), versions))
	e.distributions[d] = append(e.distributions[d], buckets(name, "$window", versions))
	return e
}

// lengths adds the sums, counts and buckets of a histogram of tokens per request.
func (e engine) lengths(sum, count Quantity, d Distribution, name, versions string) engine {
	e.values[sum] = append(e.values[sum], long(suffixed(name, "_sum"), versions))
	e.values[count] = append(e.values[count], long(suffixed(name, "_count"), versions))
	e.distributions[d] = append(e.distributions[d], buckets(name, "$long", versions))
	return e
}

// engines that are understood. A pod is measured by whatever of these it exposes.
func engines() []engine {
	return []engine{vllm(), sglang(), tgi(), tensorRT(), triton()}
}

// empty table of an engine.
func empty(name, prefix, source string, own ...string) engine {
	return engine{name: name, prefix: prefix, source: source, own: own, values: map[Quantity][]query{}, distributions: map[Distribution][]query{}}
}

func vllm() engine {
	e := empty(v1alpha1.EngineVLLM, "vllm:", "vllm/v1/metrics/loggers.py, vllm/engine/metrics.py (V0) of github.com/vllm-project/vllm", "model_name", "engine", "finished_reason")
	e = e.queue("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:request_success_total")
	e = e.latency(TTFTSum, TTFTCount, TTFTDistribution, "vllm:time_to_first_token_seconds", "")
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "vllm:inter_token_latency_seconds", "from 0.10.2")
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "vllm:time_per_output_token_seconds", "to 0.12")
	e = e.lengths(PromptTokens, PromptRequests, PromptDistribution, "vllm:request_prompt_tokens", "")
	e = e.lengths(GenerationTokens, GenerationRequests, GenerationDistribution, "vllm:request_generation_tokens", "")
	e.distributions[RequestITLDistribution] = []query{buckets("vllm:request_time_per_output_token_seconds", "$window", "from 0.8")}
	// Who waits for something else than room, such as a cache that is on its way from a prefill, is no backlog (github.com/vllm-project/vllm/pull/38435).
	e.values[Waiting] = append([]query{level(`vllm:num_requests_waiting_by_reason{reason="capacity"}`, "from April 2026")}, e.values[Waiting]...)
	// Each rank of a replica that fetches a cache (NIXL) counts its own transfer: vllm/distributed/kv_transfer/kv_connector/v1/nixl/stats.py.
	const since = "from November 2025 (github.com/vllm-project/vllm/pull/26811)"
	e.values[TransferSum] = []query{rate("vllm:nixl_xfer_time_seconds_sum", since)}
	e.values[Transfers] = []query{rate("vllm:nixl_xfer_time_seconds_count", since)}
	e.values[TransferBytes] = []query{rate("vllm:nixl_bytes_transferred_sum", since)}
	e.values[Completions] = []query{rate("vllm:request_success_total", "")}
	e.values[Answered] = []query{answered("vllm:num_requests_running")}
	e.values[Refused] = []query{rate("vllm:admission_rejections_total", "after 0.29")}
	e.values[Admissions] = []query{rate("vllm:time_to_first_token_seconds_count", "")}
	e.values[Preemptions] = []query{rate("vllm:num_preemptions_total", "")}
	e.values[PrefillTokens] = []query{rate("vllm:prompt_tokens_total", "")}
	e.values[PrefixHitRate] = []query{
		hits("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total", "from 0.9.2"),
		hits("vllm:gpu_prefix_cache_hits_total", "vllm:gpu_prefix_cache_queries_total", "to 0.11, V1"),
		share("vllm:gpu_prefix_cache_hit_rate", "to 0.10, V0"), // -1 where the cache is off
	}
	e.values[KVUsage] = []query{share("vllm:kv_cache_usage_perc", "from 0.9.2"), share("vllm:gpu_cache_usage_perc", "to 0.11")}
	// The size is in the labels, but for versions that write "None" there.
	e.values[KVTokens] = []query{{promql: "max by ($keys, block_size, num_gpu_blocks) (" + of(`vllm:cache_config_info{block_size=~"[0-9]+",num_gpu_blocks=~"[0-9]+"}`) + ")"}}
	return e
}

func sglang() engine {
	e := empty(v1alpha1.EngineSGLang, "sglang:", "python/sglang/srt/observability/metrics_collector.py, before srt/metrics/collector.py, of github.com/sgl-project/sglang",
		"model_name", "engine_type", "dp_rank", "priority", "is_streaming", "cache_source")
	// Where requests have priorities each has series of its own, and that without one is their sum.
	e = e.queue(`sglang:num_running_reqs{priority=""}`, `sglang:num_queue_reqs{priority=""}`, "sglang:e2e_request_latency_seconds_count")
	e = e.latency(TTFTSum, TTFTCount, TTFTDistribution, "sglang:time_to_first_token_seconds", "")
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "sglang:inter_token_latency_seconds", "from 0.4.7")
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "sglang:time_per_output_token_seconds", "to 0.4.6")
	e.values[Received] = []query{rate("sglang:num_requests_received_total", "from 0.5")}
	e.values[Refused] = []query{rate("sglang:num_aborted_requests_total", "from 0.5")}
	e.values[Completions] = []query{rate("sglang:e2e_request_latency_seconds_count", ""), rate("sglang:num_requests_total", "")}
	e.values[Admissions] = []query{rate("sglang:time_to_first_token_seconds_count", "")}
	e.values[Preemptions] = []query{rate("sglang:num_retracted_requests_total", "from 0.5")}
	e.values[PrefillTokens] = []query{rate("sglang:prompt_tokens_total", "")}
	// There is no histogram of lengths: tokens and requests are counted apart.
	e.values[PromptTokens] = []query{long("sglang:prompt_tokens_total", "")}
	e.values[PromptRequests] = []query{long("sglang:num_requests_total", ""), long("sglang:e2e_request_latency_seconds_count", "")}
	e.values[GenerationTokens] = []query{long("sglang:generation_tokens_total", "")}
	e.values[GenerationRequests] = e.values[PromptRequests]
	e.values[PrefixHitRate] = []query{
		hits("sglang:cached_tokens_total", "sglang:prompt_tokens_total", "from 0.4.4"), share("sglang:cache_hit_rate", ""),
	}
	e.values[KVUsage] = []query{share("sglang:token_usage", "")}
	e.values[KVTokens] = []query{{largest("sglang:max_total_num_tokens"), "from 0.5"}}
	return e
}

func tgi() engine {
	e := empty(v1alpha1.EngineTGI, "tgi_", "router and docs/source/reference/metrics.md of github.com/huggingface/text-generation-inference", "model_id", "method")
	e = e.queue("tgi_batch_current_size", "tgi_queue_size", "tgi_request_success")
	// The mean over the tokens of each request. There is no first token in its metrics, so that TTFT is not measured.
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "tgi_request_mean_time_per_token_duration", "")
	e = e.lengths(PromptTokens, PromptRequests, PromptDistribution, "tgi_request_input_length", "")
	e = e.lengths(GenerationTokens, GenerationRequests, GenerationDistribution, "tgi_request_generated_tokens", "")
	e.values[Completions] = []query{rate("tgi_request_success", "")}
	e.values[Received] = []query{rate("tgi_request_count", "")}
	return e
}

func tensorRT() engine {
	e := empty(v1alpha1.EngineTensorRTLLM, "trtllm_", "tensorrt_llm/metrics/collector.py of github.com/NVIDIA/TensorRT-LLM (trtllm-serve, /prometheus/metrics)",
		"model_name", "engine_type", "finished_reason")
	// What runs and waits is shown since pull request 12545 of March 2026. Before, there are latencies alone, without the prefix.
	e = e.queue("trtllm_num_requests_running", "trtllm_num_requests_waiting", "trtllm_request_success_total")
	e = e.latency(TTFTSum, TTFTCount, TTFTDistribution, "trtllm_time_to_first_token_seconds", "from 1.3")
	e = e.latency(ITLSum, ITLCount, ITLDistribution, "trtllm_time_per_output_token_seconds", "from 1.3")
	e.values[Completions] = []query{rate("trtllm_request_success_total", "from 1.3")}
	// Its histograms are filled when a request has finished; there is no count of first tokens as they come.
	e.values[PromptTokens] = []query{long("trtllm_prompt_tokens_total", "from 1.3")}
	e.values[PromptRequests] = []query{long("trtllm_request_success_total", "from 1.3")}
	e.values[GenerationTokens] = []query{long("trtllm_generation_tokens_total", "from 1.3")}
	e.values[GenerationRequests] = e.values[PromptRequests]
	e.values[PrefixHitRate] = []query{hits("trtllm_prompt_cached_tokens_total", "trtllm_prompt_tokens_total", "from 1.3"), share("trtllm_kv_cache_hit_rate", "from 1.3")}
	e.values[KVUsage] = []query{share("trtllm_kv_cache_utilization", "from 1.3")}
	e.values[KVTokens] = []query{{largest("trtllm_kv_cache_max_blocks") + " * " + largest("trtllm_kv_cache_tokens_per_block"), "from 1.3"}}
	return e
}

func triton() engine {
	e := empty(v1alpha1.EngineTriton, "nv_", "docs/user_guide/metrics.md of github.com/triton-inference-server/server, README of its tensorrtllm_backend",
		"model", "version", "request_type", "kv_cache_block_type")
	e = e.queue(`nv_trt_llm_request_metrics{request_type="scheduled"}`, `nv_trt_llm_request_metrics{request_type="waiting"}`,
		`nv_inference_request_success{model="tensorrt_llm"}`)
	e = e.lengths(PromptTokens, PromptRequests, PromptDistribution, "nv_llm_input_token_len", "from backend 0.16")
	e = e.lengths(GenerationTokens, GenerationRequests, GenerationDistribution, "nv_llm_output_token_len", "from backend 0.16")
	e.values[Completions] = []query{rate(`nv_inference_request_success{model="tensorrt_llm"}`, "")}
	e.values[Refused] = []query{rate(`nv_inference_request_failure{model="tensorrt_llm",reason=~"REJECTED|CANCELED"}`, "from 24.03")}
	e.values[KVUsage] = []query{
		share(`nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction"}`, "from backend 0.18, as is what waits"),
		{promql: "avg by ($keys) (" + averages(`nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used"}`) + ") / avg by ($keys) (" +
			each(of(`nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"}`)) + ")"},
	}
	e.values[KVTokens] = []query{{promql: largest(`nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max"}`) + " * " +
		largest(`nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per"}`)}}
	// The histogram of first responses is in milliseconds and has to be asked for in the model's configuration.
	e.values[TTFTSum] = []query{{rate(`nv_inference_first_response_histogram_ms_sum{model="tensorrt_llm"}`, "").promql + " / 1000", "from 24.11"}}
	e.values[TTFTCount] = []query{rate(`nv_inference_first_response_histogram_ms_count{model="tensorrt_llm"}`, "from 24.11")}
	e.values[Admissions] = e.values[TTFTCount]
	return e
}

// windows replaces what stands for times in queries.
func windows(window time.Duration) *strings.Replacer {
	return strings.NewReplacer("$window", model.Duration(window).String(), "$half", model.Duration(window/2).String(),
		"$long", model.Duration(demand.LengthWindows*window).String(), "$steps", model.Duration((demand.LengthWindows+1)*window).String())
}

// expressions are the queries of all engines joined, one for each quantity and distribution, and one for what has arrived until a time:
// Prometheus answers for each pod with the first that it has series of. They are written for the given window.
func expressions(all []engine, window time.Duration) (values [quantities]string, histograms [distributions]string, arrivals string) {
	in := windows(window)
	var counts []string
	for _, e := range all {
		counts = append(counts, e.arrived.promql)
	}
	arrivals = in.Replace("(" + strings.Join(counts, " or ") + ")")
	for q := range values {
		var parts []string
		for _, e := range all {
			for _, p := range e.values[Quantity(q)] {
				parts = append(parts, in.Replace(p.promql))
			}
		}
		values[q] = strings.Join(parts, " or ")
	}
	for d := range histograms {
		var parts []string
		for _, e := range all {
			// Buckets of two histograms must not be mixed, hence a pod's are all of the first.
			var before []string
			for _, p := range e.distributions[Distribution(d)] {
				promql := in.Replace(p.promql)
				before = append(before, promql)
				if i := len(before) - 1; i > 0 {
					promql = fmt.Sprintf("(%s unless on (namespace, pod) (%s))", promql, strings.Join(before[:i], " or "))
				}
				parts = append(parts, promql)
			}
		}
		histograms[d] = strings.Join(parts, " or ")
	}
	return values, histograms, arrivals
}
