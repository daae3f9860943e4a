package promql

import (
	"context"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/readings"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// names that vLLM shows what a simulated cluster scrapes under.
var names = map[cluster.Quantity]string{
	cluster.Completions: "vllm:request_success_total", cluster.TTFTSum: "vllm:time_to_first_token_seconds_sum", cluster.TTFTCount: "vllm:time_to_first_token_seconds_count",
	cluster.ITLSum: "vllm:inter_token_latency_seconds_sum", cluster.ITLCount: "vllm:inter_token_latency_seconds_count",
	cluster.PromptTokens: "vllm:request_prompt_tokens_sum", cluster.GenerationTokens: "vllm:request_generation_tokens_sum",
	cluster.PrefillTokens: "vllm:prompt_tokens_total", cluster.Preemptions: "vllm:num_preemptions_total",
	cluster.PrefixQueries: "vllm:prefix_cache_queries_total", cluster.PrefixHits: "vllm:prefix_cache_hits_total",
	cluster.Running: "vllm:num_requests_running", cluster.Waiting: "vllm:num_requests_waiting", cluster.KVUsage: "vllm:kv_cache_usage_perc",
}

var histograms = map[cluster.Histogram]string{
	cluster.TTFT: "vllm:time_to_first_token_seconds", cluster.ITL: "vllm:inter_token_latency_seconds", cluster.RequestITL: "vllm:request_time_per_output_token_seconds",
	cluster.Prompts: "vllm:request_prompt_tokens", cluster.Generations: "vllm:request_generation_tokens",
}

// pageOf a sample, as vLLM would show it.
func pageOf(s cluster.Sample) page {
	p := page{}
	put := func(name string, value float64, more ...string) {
		p.put(sample{labels: labels.FromStrings(append([]string{"__name__", name, "engine", "0"}, more...)...), value: value})
	}
	for q, name := range names {
		put(name, s.Value[q])
	}
	put("http_requests_total", s.Value[cluster.Answered], "handler", "/v1/completions", "method", "POST", "status", "2xx")
	put("vllm:request_prompt_tokens_count", s.Value[cluster.Completions])
	put("vllm:request_generation_tokens_count", s.Value[cluster.Completions])
	put("vllm:cache_config_info", 1, "block_size", "1", "num_gpu_blocks", strconv.FormatFloat(s.Value[cluster.KVTokens], 'f', 0, 64))
	for h, name := range histograms {
		bounds, buckets := h.Buckets()
		for i, q := range buckets {
			put(name+"_bucket", s.Value[q], "le", strconv.FormatFloat(bounds[i], 'g', -1, 64))
		}
	}
	return p
}

// watched scales a server out and in, and keeps every view.
type watched struct{ views []*cluster.View }

func (*watched) Interval() float64 { return 30 }
func (*watched) Lag() float64      { return 0 }

func (w *watched) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	w.views = append(w.views, v)
	n := map[bool]int{true: 3, false: 1}[v.Now >= 120 && v.Now < 600]
	return map[string]cluster.Order{"s": {Replicas: n, Parts: []jsonspec.AllocationPart{{Accelerator: "A", Replicas: n}}}}, nil
}

// What the simulation answers in Prometheus' place is what Prometheus answers when it has scraped the same: of pods that are young, busy, idle,
// draining and gone.
func TestTheSimulationAnswersAsPrometheusDoes(t *testing.T) {
	const window = 60
	p, w, last := played(t)
	compared, gone := 0, 0
	for _, v := range w.views {
		asked, err := observe.ReadMetrics(context.Background(), p.source(nil), at(v.Now), window*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range append(last.Pods, last.Departed...) {
			var until cluster.Series
			for _, s := range pod.Series {
				if s.At <= v.Now {
					until = append(until, s)
				}
			}
			want, got := asked[types.NamespacedName{Namespace: "llm", Name: pod.Name}], readings.Metrics(until, v.Now, window)
			if want == nil {
				want = observe.NewPodMetrics()
			}
			if got == nil {
				got = observe.NewPodMetrics()
			}
			if diff := cmp.Diff(want, got, exact()...); diff != "" {
				t.Errorf("%s at %v s (-Prometheus +simulation):\n%s", pod.Name, v.Now, diff)
			}
			compared++
			if n := len(until); n > 0 && until[n-1].Value == nil {
				gone++
			}
		}
	}
	if compared < 60 || gone < 5 {
		t.Errorf("%d answers compared, %d of pods that were gone", compared, gone)
	}
}

// What is asked of the past in one question for many times is what was to be asked at each of them.
func TestThePastIsAsItWasAsked(t *testing.T) {
	const window = time.Minute
	p, _, last := played(t)
	past, err := observe.ReadMetricsOver(context.Background(), p.source(nil), at(0), at(901), window, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(past) != 15 {
		t.Fatalf("%d times, want 15", len(past))
	}
	measured := 0
	for _, then := range past {
		asked, err := observe.ReadMetrics(context.Background(), p.source(nil), then.Time, window)
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range append(last.Pods, last.Departed...) {
			key := types.NamespacedName{Namespace: "llm", Name: pod.Name}
			if diff := cmp.Diff(asked[key], then.Metrics[key], exact()...); diff != "" {
				t.Errorf("%s at %s (-asked then +of the past):\n%s", pod.Name, then.Time, diff)
			}
			if asked[key] != nil {
				measured++
			}
		}
	}
	if measured < 20 {
		t.Errorf("%d measurements compared", measured)
	}
}

// exact comparison of measurements, but for how maps of buckets are held.
func exact() cmp.Options {
	return cmp.Options{
		cmp.Transformer("histogram", func(b interface{ Histogram() map[float64]float64 }) map[float64]float64 { return b.Histogram() }),
		cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 1e-12),
	}
}

// at so many seconds of the simulation.
func at(seconds float64) time.Time {
	return time.Unix(1_700_006_400, 0).Add(time.Duration(seconds * float64(time.Second)))
}

// played is a Prometheus that scraped a simulated cluster, what was seen of it, and the server at the end.
func played(t *testing.T) (*prometheus, *watched, cluster.ServerView) {
	t.Helper()
	w := &watched{}
	c, err := cluster.New(cluster.Config{
		Accelerators: []cluster.Accelerator{{Name: "A", Type: "A", Cards: 1, Price: 100}},
		Pools:        []cluster.Pool{{Type: "A", Cards: 4, Nodes: 1}},
		Truths: []cluster.Truth{{
			Model: "m", Accelerator: "A", Count: 1, StepTime: simulation.Linear{Base: 0.02, PerToken: 1e-4, PerContext: 1e-7}, NoiseCV: 0.1,
			Cache: simulation.Cache{BlockSize: 16, Blocks: 400, PrefixHitRate: 0.25}, // small, so that it preempts
		}},
		Servers: []cluster.Server{{
			Name: "s", Model: "m", Targets: serving.Targets{TTFT: 1, ITL: 0.05}, Balancer: routing.LeastRequests, Limits: simulation.Limits{MaxNumSeqs: 32, MaxNumBatchedTokens: 512},
			Traffic: []cluster.Traffic{{Trace: trace.Constant(4, 300, 100, 1), Until: 700}},
			Clients: serving.Clients{Impatient: 0.5, Patience: 5, Retries: 1, Backoff: 2},
			Initial: cluster.Order{Replicas: 1, Parts: []jsonspec.AllocationPart{{Accelerator: "A", Replicas: 1}}},
		}},
		Times: cluster.Times{Scrape: 15, Sync: 15, StartUp: 60, Drain: 30, Window: 60}, Seed: 5,
	}, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(901); err != nil {
		t.Fatal(err)
	}
	p := newPrometheus(t)
	last := w.views[len(w.views)-1].Servers[0]
	for _, pod := range append(last.Pods, last.Departed...) {
		var before page
		for _, s := range pod.Series {
			if s.Value == nil {
				p.vanish(pod.Name, at(s.At), before)
				continue
			}
			before = pageOf(s)
			p.scrape(pod.Name, at(s.At), before)
		}
	}
	return p, w, last
}
