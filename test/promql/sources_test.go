package promql

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// scrapedAs stores a recording of pod a as it is found with other labels of the target, or of the series.
func (p *prometheus) scrapedAs(recording string, change func(*labels.Builder)) {
	p.t.Helper()
	first, last := readPage(p.t, filepath.Join(pages, recording+".begin.prom")), readPage(p.t, filepath.Join(pages, recording+".end.prom"))
	for ago := length; ago >= 0; ago -= scrape {
		app := p.db.Appender(context.Background())
		for _, s := range first.between(last, 1-float64(ago)/float64(length)) {
			b := labels.NewBuilder(s.labels).Set("namespace", "llm").Set("pod", "a").Set("instance", "a:8000").Set("job", "models")
			change(b)
			if _, err := app.Append(0, b.Labels(), end.Add(-ago).UnixMilli(), s.value); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// seen is what is observed of pod a, asked as an Optimizer says.
func (p *prometheus) seen(asked *v1alpha1.PrometheusSource) (v1alpha1.ServerStatus, *jsonspec.Observation) {
	p.t.Helper()
	m, err := observe.ReadMetrics(context.Background(), p.source(asked), end, window)
	if err != nil {
		p.t.Fatal(err)
	}
	o := observe.Observe(&observe.Readings{
		Now: end, Window: window, StaleAfter: 3 * window, Metrics: m, Pods: []corev1.Pod{pod("a", time.Hour)},
		Resources: specification.Resources{Servers: []v1alpha1.Server{counting("llm", "chat", "", nil)}},
	})
	return o.Statuses["llm/chat"], o.Snapshot.System.Servers.Spec[0].Observation
}

// However often Prometheus has the series of a pod, the same is seen as when it has them once, and the pod is named with what they differ in.
func TestCopiesOfSeriesCountOnce(t *testing.T) {
	as := func(pairs ...string) func(*labels.Builder) {
		return func(b *labels.Builder) {
			for i := 0; i < len(pairs); i += 2 {
				b.Set(pairs[i], pairs[i+1])
			}
		}
	}
	for name, c := range map[string]struct {
		copies []func(*labels.Builder)
		differ []string
	}{
		"two Prometheus":                     {[]func(*labels.Builder){as("prometheus_replica", "p-0"), as("prometheus_replica", "p-1")}, []string{"prometheus_replica"}},
		"Thanos' receivers without dedup":    {[]func(*labels.Builder){as("replica", "0", "receive", "true"), as("replica", "1", "receive", "true"), as("replica", "2")}, []string{"receive", "replica"}},
		"a PodMonitor beside ServiceMonitor": {[]func(*labels.Builder){as("job", "llm/pods", "container", "vllm"), as("job", "chat", "service", "chat", "app", "chat")}, []string{"app", "container", "job", "service"}},
		"two ports":                          {[]func(*labels.Builder){as("instance", "a:8000", "endpoint", "http"), as("instance", "a:9000", "endpoint", "metrics")}, []string{"endpoint", "instance"}},
	} {
		for _, recording := range []string{"vllm-0.6", "vllm-0.12", "vllm-0.12-dp2", "sglang-0.5", "tgi-3", "trtllm-1.3", "triton-25.03"} {
			once, several := newPrometheus(t), newPrometheus(t)
			once.scrapedAs(recording, as())
			for _, change := range c.copies {
				several.scrapedAs(recording, change)
			}
			st, o := once.seen(nil)
			st2, o2 := several.seen(nil)
			if diff := cmp.Diff([]any{st.Load, o}, []any{st2.Load, o2}, cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
				t.Errorf("%s, %s: %s", name, recording, diff)
			}
			for p, want := range map[*prometheus][]observe.Copies{
				once: nil, several: {{Pod: types.NamespacedName{Namespace: "llm", Name: "a"}, Times: len(c.copies), Differ: c.differ}},
			} {
				got, err := observe.ReadCopies(context.Background(), p.source(nil), end)
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
					t.Errorf("%s, %s: %v, %s", name, recording, err, diff)
				}
			}
		}
	}
}

// Of a Prometheus that has several clusters only the series of the one that the matchers name are seen, by every question.
func TestMatchers(t *testing.T) {
	p, alone := newPrometheus(t), newPrometheus(t)
	in := func(cluster string) func(*labels.Builder) {
		return func(b *labels.Builder) { b.Set("cluster", cluster) }
	}
	p.scrapedAs("vllm-0.12", in("a"))
	p.scrapedAs("sglang-0.5", in("b"))
	alone.scrapedAs("vllm-0.12", in("a"))
	asked := &v1alpha1.PrometheusSource{Matchers: map[string]jsonspec.LabelValue{"cluster": "a"}}
	st, o := alone.seen(nil)
	st2, o2 := p.seen(asked)
	if diff := cmp.Diff([]any{st.Load, o}, []any{st2.Load, o2}, cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
		t.Error(diff)
	}
	if _, o := p.seen(&v1alpha1.PrometheusSource{Matchers: map[string]jsonspec.LabelValue{"cluster": "c"}}); o.Fault != v1alpha1.ReasonNoMetrics {
		t.Errorf("of another cluster: %s", o.Fault)
	}
	var questions []string
	source, err := observe.NewSource(recorder{p, &questions}, asked)
	if err != nil {
		t.Fatal(err)
	}
	var counters observe.Counters
	observe.ReadMetrics(context.Background(), source, end, window)
	observe.ReadGateways(context.Background(), source, end, window)
	observe.ReadCopies(context.Background(), source, end)
	observe.ReadHistory(context.Background(), source, types.NamespacedName{Namespace: "llm", Name: "chat"}, "inferno", end, 7200, 300)
	counters.Read(context.Background(), source, []v1alpha1.Server{counting("llm", "chat", rqTotal, map[string]jsonspec.LabelValue{"a": "b"})}, end, window)
	if len(questions) < 30 {
		t.Fatalf("%d questions", len(questions))
	}
	for _, q := range questions {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(q)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			if s, is := node.(*parser.VectorSelector); is && !slices.ContainsFunc(s.LabelMatchers, func(m *labels.Matcher) bool {
				return m.Name == "cluster" && m.Type == labels.MatchEqual && m.Value == "a"
			}) {
				t.Errorf("%s selects %s", q, s)
			}
			return nil
		})
	}
}

// A profile finds an engine's series under other names and labels: the same is seen as under its own.
func TestProfiles(t *testing.T) {
	renamed := func(from, to string) func(*labels.Builder) {
		return func(b *labels.Builder) {
			b.Set("__name__", strings.ReplaceAll(b.Get("__name__"), from, to))
		}
	}
	for name, c := range map[string]struct {
		recording string
		change    func(*labels.Builder)
		profile   v1alpha1.EngineProfile
	}{
		"KServe's":      {"vllm-0.12", renamed("vllm:", "kserve_vllm:"), v1alpha1.EngineProfile{Engine: "vLLM", Prefix: "kserve_vllm:"}},
		"Ray's":         {"vllm-0.12", renamed("vllm:", "ray_vllm_"), v1alpha1.EngineProfile{Engine: "vLLM", Prefix: "ray_vllm_", DistinctLabels: []v1alpha1.LabelName{"WorkerId"}}},
		"of ranks":      {"vllm-0.12-dp2", renamed("vllm:", "x:"), v1alpha1.EngineProfile{Engine: "vLLM", Prefix: "x:"}},
		"SGLang's":      {"sglang-0.5", renamed("sglang:", "sglang_"), v1alpha1.EngineProfile{Engine: "SGLang", Prefix: "sglang_"}},
		"TGI's":         {"tgi-3", renamed("tgi_", "hf_tgi_"), v1alpha1.EngineProfile{Engine: "TGI", Prefix: "hf_tgi_"}},
		"TensorRT's":    {"trtllm-1.3", renamed("trtllm_", "nim_"), v1alpha1.EngineProfile{Engine: "TensorRT-LLM", Prefix: "nim_"}},
		"Triton's":      {"triton-25.03", renamed("nv_", "triton_"), v1alpha1.EngineProfile{Engine: "Triton", Prefix: "triton_"}},
		"single names":  {"vllm-0.12", renamed("vllm:time_to_first_token_seconds", "ttft_seconds"), v1alpha1.EngineProfile{Engine: "vLLM", Names: map[string]v1alpha1.MetricName{"vllm:time_to_first_token_seconds": "ttft_seconds"}}},
		"with matchers": {"vllm-0.12", func(b *labels.Builder) { renamed("vllm:", "y:")(b); b.Set("stage", "live") }, v1alpha1.EngineProfile{Engine: "vLLM", Prefix: "y:", Matchers: map[string]jsonspec.LabelValue{"stage": "live"}}},
		"other labels of the pod": {"vllm-0.12", func(b *labels.Builder) {
			b.Set("k8s_namespace_name", b.Get("namespace")).Set("k8s_pod_name", b.Get("pod")).Del("namespace", "pod")
		}, v1alpha1.EngineProfile{Engine: "vLLM", NamespaceLabel: "k8s_namespace_name", PodLabel: "k8s_pod_name"}},
	} {
		own, other := newPrometheus(t), newPrometheus(t)
		own.scrapedAs(c.recording, func(*labels.Builder) {})
		other.scrapedAs(c.recording, c.change)
		c.profile.Name = "p"
		st, o := own.seen(nil)
		st2, o2 := other.seen(&v1alpha1.PrometheusSource{Engines: []v1alpha1.EngineProfile{c.profile}})
		if o.Fault != "" {
			t.Fatal(o.Detail)
		}
		if diff := cmp.Diff([]any{st.Load, o}, []any{st2.Load, o2}, cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got, err := observe.ReadCopies(context.Background(), other.source(&v1alpha1.PrometheusSource{Engines: []v1alpha1.EngineProfile{c.profile}}), end); len(got) > 0 || err != nil {
			t.Errorf("%s: copies %v, %v", name, got, err)
		}
	}
}

// What the flow control of an endpoint picker holds and refuses has come, too; what Dynamo's front end counts comes under its model's name.
func TestWhatGatewaysHold(t *testing.T) {
	p := newPrometheus(t)
	put := func(metric string, perSecond, at float64, pairs ...string) {
		for ago := length; ago >= 0; ago -= scrape {
			l := labels.FromStrings(append([]string{"__name__", metric, "priority", "0", "fairness_id", "f"}, pairs...)...)
			p.scrape("picker", end.Add(-ago), page{metric: sample{labels: l, value: at - perSecond*ago.Seconds(), counter: true}})
		}
	}
	names := []string{"model_name", "chat", "target_model_name", "llama"}
	put("llm_d_epp_request_total", 3, 1000, names...)
	put("inference_objective_request_total", 3, 1000, names...) // the same under its older name
	put("llm_d_epp_flow_control_queue_size", 0.5, 200, names...)
	put("inference_extension_flow_control_queue_size", 0.5, 200, names...)
	put("llm_d_epp_flow_control_requests_total", 1, 5000, append([]string{"outcome", "RejectedCapacity"}, names...)...)
	put("llm_d_epp_flow_control_requests_total", 3, 5000, append([]string{"outcome", "Dispatched"}, names...)...)
	put("dynamo_frontend_requests_started_total", 7, 5000, "model", "qwen", "endpoint", "chat_completions", "request_type", "stream")
	got, err := observe.ReadGateways(context.Background(), p.source(nil), end, window)
	if err != nil {
		t.Fatal(err)
	}
	want := observe.Gateways{{Namespace: "llm", Model: "llama"}: {Rate: 3 + 0.5 + 1, Held: 200}, {Namespace: "llm", Model: "qwen"}: {Rate: 7}}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
}

// What clients gave up and servers refused counts, for every engine that tells of it.
func TestUnservedRequests(t *testing.T) {
	for name, c := range map[string]struct {
		recording string
		extra     map[string][]string // metric and its labels, that rises by 1 a second
		want      float64             // requests a minute beyond those of the recording
	}{
		"HTTP requests of vLLM": {"vllm-0.12", map[string][]string{"http_requests_total": {"handler", "/v1/chat/completions", "method", "POST", "status", "2xx"}}, 0}, // fewer than were completed
		"of other handlers":     {"vllm-0.12", map[string][]string{"http_requests_total": {"handler", "/metrics", "method", "GET", "status", "2xx"}}, 0},
		"vLLM's admission":      {"vllm-0.12", map[string][]string{"vllm:admission_rejections_total": {"reason", "max_num_queued_reqs"}}, 60},
		"SGLang's aborts":       {"sglang-0.5", map[string][]string{"sglang:num_aborted_requests_total": nil}, 60},
		"Triton's cancellations": {"triton-25.03", map[string][]string{
			"nv_inference_request_failure": {"model", "tensorrt_llm", "reason", "CANCELED"},
		}, 60},
		"Triton's errors": {"triton-25.03", map[string][]string{"nv_inference_request_failure": {"model", "tensorrt_llm", "reason", "BACKEND"}}, 0},
	} {
		p := newPrometheus(t)
		p.scrapedAs(c.recording, func(*labels.Builder) {})
		before, _ := p.seen(nil)
		p.rising(1, c.extra)
		if after, _ := p.seen(nil); after.Load.ArrivalRate-before.Load.ArrivalRate < c.want-1 || after.Load.ArrivalRate-before.Load.ArrivalRate > c.want+1 {
			t.Errorf("%s: %v, before %v; want %v more", name, after.Load.ArrivalRate, before.Load.ArrivalRate, c.want)
		}
	}
	// Three requests a second end by HTTP where two are completed; five come where two are and some begin to wait.
	for name, c := range map[string]struct {
		recording, metric string
		pairs             []string
		perSecond         float64
	}{
		"vLLM":   {"vllm-0.12", "http_requests_total", []string{"handler", "/v1/chat/completions", "method", "POST", "status", "2xx"}, 3},
		"SGLang": {"sglang-0.5", "sglang:num_requests_received_total", nil, 5}, "TGI": {"tgi-3", "tgi_request_count", nil, 5},
	} {
		p := newPrometheus(t)
		p.scrapedAs(c.recording, func(*labels.Builder) {})
		p.rising(c.perSecond, map[string][]string{c.metric: c.pairs})
		want := 60 * c.perSecond
		if name == "vLLM" {
			want += 6.8 // that run and wait more than before
		}
		if st, _ := p.seen(nil); st.Load.ArrivalRate < want-1 || st.Load.ArrivalRate > want+1 {
			t.Errorf("%s: %v a minute, want %v", name, st.Load.ArrivalRate, want)
		}
	}
}

// rising stores counters of pod a.
func (p *prometheus) rising(perSecond float64, counters map[string][]string) {
	p.t.Helper()
	for ago := length; ago >= 0; ago -= scrape {
		app := p.db.Appender(context.Background())
		for metric, pairs := range counters {
			l := labels.FromStrings(append([]string{"__name__", metric, "namespace", "llm", "pod", "a", "instance", "a:8000", "job", "models"}, pairs...)...)
			if _, err := app.Append(0, l, end.Add(-ago).UnixMilli(), 10_000-perSecond*ago.Seconds()); err != nil {
				p.t.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			p.t.Fatal(err)
		}
	}
}
