// Package page shows the metrics of a simulated engine as vLLM would.
package page

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Buckets as in vLLM, vllm/v1/metrics/loggers.py, beside those of package simulation.
var (
	latencyBuckets = []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680}
	stepBuckets    = []float64{1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}
)

// Page is what vLLM shows of one engine. Times count from when the request
// reached the engine: what it waited for at a gateway no engine knows.
type Page struct {
	registry *prometheus.Registry
	labels   prometheus.Labels

	success          prometheus.Counter
	answered         prometheus.Counter
	ttft             prometheus.Histogram
	interval         prometheus.Histogram
	perToken         prometheus.Histogram
	endToEnd         prometheus.Histogram
	queueTime        prometheus.Histogram
	prefillTime      prometheus.Histogram
	decodeTime       prometheus.Histogram
	inferenceTime    prometheus.Histogram
	promptTokens     prometheus.Histogram
	generationTokens prometheus.Histogram
	stepTokens       prometheus.Histogram
}

// New makes the page of an engine that serves the model.
func New(model string) *Page {
	p := &Page{registry: prometheus.NewRegistry(), labels: prometheus.Labels{"model_name": model, "engine": "0"}}
	p.ttft = p.histogram("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", simulation.TTFTBuckets)
	p.interval = p.histogram("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", simulation.IntervalBuckets)
	p.perToken = p.histogram("vllm:request_time_per_output_token_seconds", "Histogram of the mean time per output token of a request in seconds.", simulation.IntervalBuckets)
	p.endToEnd = p.histogram("vllm:e2e_request_latency_seconds", "Histogram of end to end request latency in seconds.", latencyBuckets)
	p.queueTime = p.histogram("vllm:request_queue_time_seconds", "Histogram of time in the queue in seconds.", latencyBuckets)
	p.prefillTime = p.histogram("vllm:request_prefill_time_seconds", "Histogram of time in prefill in seconds.", latencyBuckets)
	p.decodeTime = p.histogram("vllm:request_decode_time_seconds", "Histogram of time in decode in seconds.", latencyBuckets)
	p.inferenceTime = p.histogram("vllm:request_inference_time_seconds", "Histogram of time in prefill and decode in seconds.", latencyBuckets)
	p.promptTokens = p.histogram("vllm:request_prompt_tokens", "Prompt tokens of a request.", simulation.TokenBuckets)
	p.generationTokens = p.histogram("vllm:request_generation_tokens", "Generated tokens of a request.", simulation.TokenBuckets)
	p.stepTokens = p.histogram("vllm:iteration_tokens_total", "Tokens of an iteration.", stepBuckets)
	success := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vllm:request_success_total", Help: "Requests that were served, by the reason for which they ended.", ConstLabels: p.labels,
	}, []string{"finished_reason"})
	p.registry.MustRegister(success)
	for _, reason := range []string{"abort", "length", "stop"} {
		p.success = success.WithLabelValues(reason) // simulated requests end by themselves: the last one, stop
	}
	answered := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "Requests by method, status and handler."}, []string{"handler", "method", "status"})
	p.registry.MustRegister(answered)
	p.answered = answered.WithLabelValues("/v1/completions", "POST", "2xx")
	return p
}

// Registry holds all metrics of the page.
func (p *Page) Registry() *prometheus.Registry { return p.registry }

// Attach shows the state and the counters of the engine, and what it was started
// with.
func (p *Page) Attach(engine *simulation.Engine, config simulation.Config) {
	stats := engine.Stats
	p.gauge("vllm:num_requests_running", "Requests in the batch.", func() float64 { return float64(stats().Running) })
	p.gauge("vllm:num_requests_waiting", "Requests in the queue.", func() float64 { return float64(stats().Waiting) })
	p.gauge("vllm:kv_cache_usage_perc", "Share of the KV cache in use; 1 is all of it.", func() float64 { return stats().CacheUsage() })
	p.counter("vllm:num_preemptions_total", "Preemptions.", func() float64 { return float64(stats().Preemptions) })
	p.counter("vllm:prompt_tokens_total", "Prompt tokens processed.", func() float64 { return float64(stats().PromptTokens) })
	p.counter("vllm:generation_tokens_total", "Tokens generated.", func() float64 { return float64(stats().GenerationTokens) })
	p.counter("vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", func() float64 { return float64(stats().PrefixQueries) })
	p.counter("vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", func() float64 { return float64(stats().PrefixHits) })

	// vLLM itself leaves model_name out here. One label more harms no query.
	labels := prometheus.Labels{
		"block_size":             strconv.Itoa(config.BlockSize),
		"num_gpu_blocks":         strconv.Itoa(config.Blocks),
		"enable_prefix_caching":  pythonBool(config.PrefixHitRate > 0),
		"gpu_memory_utilization": "0.9",
		"cache_dtype":            "auto",
	}
	for name, value := range p.labels {
		labels[name] = value
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "vllm:cache_config_info", Help: "What the KV cache was configured with.", ConstLabels: labels})
	info.Set(1)
	p.registry.MustRegister(info)
}

func pythonBool(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// Hooks fill the histograms.
func (p *Page) Hooks() simulation.Hooks {
	return simulation.Hooks{
		Iteration:  func(_, _ float64, batch simulation.Batch) { p.stepTokens.Observe(float64(batch.Tokens())) },
		FirstToken: func(_, seconds float64, _ simulation.Request) { p.ttft.Observe(seconds) },
		TokenInterval: func(_, seconds float64, count int) {
			for range count {
				p.interval.Observe(seconds)
			}
		},
		Completed: p.completed,
		Abandoned: func(simulation.Request) { p.answered.Inc() },
	}
}

func (p *Page) completed(c simulation.Completion) {
	p.success.Inc()
	p.answered.Inc()
	p.endToEnd.Observe(c.FinishedAt - c.SubmittedAt)
	p.queueTime.Observe(c.ScheduledAt - c.SubmittedAt)
	p.prefillTime.Observe(c.FirstTokenAt - c.ScheduledAt)
	p.decodeTime.Observe(c.FinishedAt - c.FirstTokenAt)
	p.inferenceTime.Observe(c.FinishedAt - c.ScheduledAt)
	p.promptTokens.Observe(float64(c.InputTokens))
	p.generationTokens.Observe(float64(c.OutputTokens))
	// vLLM observes 0 for a request of one token.
	mean, _ := c.ITL()
	p.perToken.Observe(mean)
}

func (p *Page) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, ConstLabels: p.labels})
	p.registry.MustRegister(h)
	return h
}

func (p *Page) gauge(name, help string, value func() float64) {
	p.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: p.labels}, value))
}

func (p *Page) counter(name, help string, value func() float64) {
	p.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: p.labels}, value))
}
