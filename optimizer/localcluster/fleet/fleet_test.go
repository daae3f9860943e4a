package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

const product = "NVIDIA-H100-80GB-HBM3"

func config() Config {
	law := simulation.Linear{Base: 0.005, PerToken: 1e-5}
	cache := simulation.Cache{BlockSize: 16, Blocks: 2000}
	return Config{
		Client: fake.NewClientset(),
		Servers: []Server{
			{Namespace: "llm", Name: "chat", Model: "llama", Targets: serving.Targets{TTFT: 1, ITL: 0.05}},
			{Namespace: "llm", Name: "code", Model: "qwen", Targets: serving.Targets{TTFT: 1, ITL: 0.05}},
		},
		Truths: []Truth{
			{Model: "llama", Accelerator: "H100", StepTime: law, Cache: cache},
			{Model: "llama", Accelerator: "L40S", StepTime: simulation.Linear{Base: 0.02, PerToken: 5e-5}, Cache: cache},
			{Model: "qwen", Accelerator: "H100", StepTime: law, Cache: cache},
		},
		Accelerators: map[string]string{product: "H100", "NVIDIA-L40S": "L40S", "AMD_Instinct_MI300X_OAM": "MI300X"},
		Traffic:      []Traffic{{Trace: trace.Constant(50, 200, 20, 1), Shares: []trace.Share{{Server: "llm/chat", Weight: 3}, {Server: "llm/code", Weight: 1}}}},
	}
}

func node(name, label, value string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: value}}}
}

func readyPod(name, server, node string, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name, UID: types.UID("uid-of-" + name),
			Labels: map[string]string{v1alpha1.ServerLabel: server}, Annotations: annotations},
		Spec:   corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func nodes(all ...*corev1.Node) func(string) (*corev1.Node, error) {
	return func(name string) (*corev1.Node, error) {
		for _, n := range all {
			if n.Name == name {
				return n, nil
			}
		}
		return nil, fmt.Errorf("node %s is not known", name)
	}
}

func newFleet(t testing.TB, c Config) *Fleet {
	t.Helper()
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.listener.Close() })
	return f
}

func TestPodsComeAndGo(t *testing.T) {
	f := newFleet(t, config())
	where := nodes(node("n1", "nvidia.com/gpu.product", product), node("n2", "nvidia.com/gpu.product", "NVIDIA-L40S"))
	replicas := func() string { return fmt.Sprint(f.Report().Servers["llm/chat"].Replicas) }

	f.play(1)
	if r := f.Report().Servers["llm/chat"]; r.Queued == 0 || r.Total.Arrivals != r.Queued {
		t.Fatalf("without pods %d of %d requests wait at the gateway, want all", r.Queued, r.Total.Arrivals)
	}
	a, b := readyPod("a", "chat", "n1", nil), readyPod("b", "chat", "n2", nil)
	unready := readyPod("c", "chat", "n1", nil)
	unready.Status.Conditions[0].Status = corev1.ConditionFalse
	pending := readyPod("d", "chat", "", nil)
	if !f.reconcile([]*corev1.Pod{b, pending, a, unready}, where) || replicas() != "map[H100:1 L40S:1]" {
		t.Fatalf("replicas %s, want the two pods that are Ready", replicas())
	}
	if f.reconcile([]*corev1.Pod{a, b}, where) {
		t.Error("the same pods again count as a change")
	}
	f.play(3)

	going := b.DeepCopy()
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	if f.reconcile([]*corev1.Pod{a, going}, where) || replicas() != "map[H100:1]" || f.pods[key(b)] == nil {
		t.Errorf("replicas %s, want no more the one that terminates, whose metrics are still there", replicas())
	}
	f.play(3.5)
	if !f.reconcile([]*corev1.Pod{a}, where) || f.pods[key(b)] != nil {
		t.Error("a pod that is gone is still played")
	}
	again := a.DeepCopy()
	again.UID, again.Spec.NodeName = "another", "n2"
	f.play(4)
	before := f.pods[key(a)]
	if !f.reconcile([]*corev1.Pod{again}, where) || replicas() != "map[L40S:1]" || f.pods[key(a)] == before {
		t.Errorf("replicas %s, want a pod of the same name but another UID to begin anew", replicas())
	}
	f.play(5)
	r := f.Report().Servers["llm/chat"]
	if r.Total.Retried == 0 || r.Total.Completions == 0 || r.Total.Completions+r.Pending+r.Queued != r.Total.Arrivals {
		t.Errorf("%+v, want some retries and every request accounted for", r)
	}
	if got := len(r.Windows); got != 5 {
		t.Errorf("%d windows in 5 s, want 5", got)
	}
}

// Pods that llm-d labels so compute prompts for others, or decode: a request goes through both, with the time that its cache takes, and counts where it ends. Without either
// role nothing is served.
func TestPodsOfRoles(t *testing.T) {
	c := config()
	const transfer = 0.2
	link := serving.Link{Bandwidth: 1e9, TokenBytes: transfer * 1e9 / 200} // of the 200 tokens of each prompt
	for _, role := range []string{"prefill", "decode"} {
		truth := c.Truths[0]
		truth.Role, truth.Link = role, link
		c.Truths = append(c.Truths, truth)
	}
	f := newFleet(t, c)
	at := nodes(node("h", "nvidia.com/gpu.product", product))
	of := func(name, role string) *corev1.Pod {
		p := readyPod(name, "chat", "h", nil)
		p.Labels["llm-d.ai/role"] = role
		return p
	}
	f.reconcile([]*corev1.Pod{of("p", "prefill")}, at)
	f.play(2)
	if r := f.Report().Servers["llm/chat"]; r.Total.Completions != 0 || r.Total.Arrivals == 0 {
		t.Errorf("without a replica that decodes %d of %d requests are served", r.Total.Completions, r.Total.Arrivals)
	}
	f = newFleet(t, c)
	f.reconcile([]*corev1.Pod{of("p", "prefill"), of("d", "decode")}, at)
	f.play(10)
	r := f.Report()
	if total := r.Servers["llm/chat"].Total; total.Completions == 0 || total.TTFT.Mean < transfer {
		t.Errorf("%d requests are served, TTFT %v s, want more than %v", total.Completions, total.TTFT.Mean, transfer)
	}
	if len(r.Faults) > 0 {
		t.Errorf("faults %v", r.Faults)
	}
}

// A replica of several pods serves as its leader, while all of its pods are ready.
func TestPodsOfGroups(t *testing.T) {
	f := newFleet(t, config())
	at := nodes(node("h", "nvidia.com/gpu.product", product))
	of := func(name, group string) *corev1.Pod {
		p := readyPod(name, "chat", "h", map[string]string{v1alpha1.GroupSizeAnnotation: "2"})
		p.Labels[v1alpha1.GroupLabel] = group
		return p
	}
	played := func(pods ...*corev1.Pod) string {
		f.reconcile(pods, at)
		return fmt.Sprint(slices.SortedFunc(maps.Keys(f.pods), compareNames))
	}
	leader, worker, half := of("a", "one"), of("a-1", "one"), of("b", "two")
	elsewhere := of("a-1", "one")
	elsewhere.Namespace = "other"
	for _, tt := range []struct {
		pods []*corev1.Pod
		want string
	}{{[]*corev1.Pod{leader, worker, half}, "[llm/a]"}, {[]*corev1.Pod{leader, half, elsewhere}, "[]"}, {[]*corev1.Pod{leader, worker}, "[llm/a]"}} {
		if got := played(tt.pods...); got != tt.want {
			t.Errorf("of %d pods %s serve, want %s", len(tt.pods), got, tt.want)
		}
	}
}

func TestPodsThatCannotBePlayed(t *testing.T) {
	f := newFleet(t, config())
	where := nodes(
		node("n1", "nvidia.com/gpu.product", product), node("amd", "amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM"),
		node("odd", "nvidia.com/gpu.product", "GeForce"), node("bare", "x", "y"))
	pods := []*corev1.Pod{
		readyPod("unknown-server", "other", "n1", nil),
		readyPod("unknown-node", "chat", "nowhere", nil),
		readyPod("unknown-product", "chat", "odd", map[string]string{v1alpha1.MaxNumSeqsAnnotation: "0", v1alpha1.MaxNumBatchedTokensAnnotation: "many"}),
		readyPod("no-product", "chat", "bare", nil),
		readyPod("no-truth", "chat", "amd", nil),
		readyPod("small-budget", "chat", "n1", map[string]string{v1alpha1.MaxNumSeqsAnnotation: "512", v1alpha1.MaxNumBatchedTokensAnnotation: "256"}),
		readyPod("fine", "chat", "n1", map[string]string{v1alpha1.MaxNumSeqsAnnotation: "48", v1alpha1.MaxNumBatchedTokensAnnotation: "512"}),
		readyPod("half", "chat", "n1", map[string]string{v1alpha1.MaxNumSeqsAnnotation: "48"}),
	}
	f.reconcile(pods, where)
	faults := f.Report().Faults
	for pod, wants := range map[string][]string{
		"llm/unknown-server":  {"server llm/other is not one"},
		"llm/unknown-node":    {"node nowhere is not known"},
		"llm/unknown-product": {`product "GeForce"`, `max-num-seqs: "0", want`, `max-num-batched-tokens: "many", want`},
		"llm/no-product":      {"none of the product labels"},
		"llm/no-truth":        {"no truth for llama on MI300X"},
		"llm/small-budget":    {"maxNumBatchedTokens: 256, want at least maxNumSeqs (512)"},
	} {
		for _, want := range wants {
			if !strings.Contains(faults[pod], want) {
				t.Errorf("%s: %q does not say %q", pod, faults[pod], want)
			}
		}
	}
	if len(faults) != 6 || len(f.pods) != 2 {
		t.Errorf("%d faults, %d pods; want 6 and 2", len(faults), len(f.pods))
	}
	limits := func(name string) simulation.Limits {
		return f.pods[types.NamespacedName{Namespace: "llm", Name: name}].config.Limits
	}
	if diff := cmp.Diff([]simulation.Limits{{MaxNumSeqs: 48, MaxNumBatchedTokens: 512}, {MaxNumSeqs: 48, MaxNumBatchedTokens: 8192}},
		[]simulation.Limits{limits("fine"), limits("half")}); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
	f.reconcile(nil, where)
	if faults := f.Report().Faults; len(faults) != 0 {
		t.Errorf("faults of pods that are gone: %v", faults)
	}
}

// The page of a pod agrees with what the recorder saw of its requests.
func TestMetricsPage(t *testing.T) {
	f := newFleet(t, config())
	f.reconcile([]*corev1.Pod{readyPod("a", "chat", "n1", nil)}, nodes(node("n1", "nvidia.com/gpu.product", product)))
	f.play(20)
	families := scrape(t, f, "a")
	total := f.Report().Servers["llm/chat"].Total
	stats := func(name string) *dto.Metric {
		family, present := families[name]
		if !present {
			t.Fatalf("no %s on the page", name)
		}
		for _, m := range family.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["model_name"] != "llama" || labels["engine"] != "0" {
				t.Fatalf("%s has labels %v, want model_name llama and engine 0", name, labels)
			}
			if reason, present := labels["finished_reason"]; present && reason != "stop" {
				continue
			}
			return m
		}
		t.Fatalf("no sample of %s", name)
		return nil
	}
	for _, name := range []string{"time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds",
		"request_prompt_tokens", "request_generation_tokens", "request_time_per_output_token_seconds"} {
		if got := stats("vllm:" + name).Histogram.GetSampleCount(); got < uint64(total.Completions) || got > uint64(total.Arrivals) {
			t.Errorf("%s counts %d, want %d completions and at most %d arrivals", name, got, total.Completions, total.Arrivals)
		}
	}
	if got := stats("vllm:request_success_total").Counter.GetValue(); got != float64(total.Completions) || got == 0 {
		t.Errorf("%v requests succeeded, want %d", got, total.Completions)
	}
	// Poisson arrivals at an empty gateway: the engine's TTFT is the client's.
	ttft := stats("vllm:time_to_first_token_seconds").Histogram
	if got := ttft.GetSampleSum() / float64(ttft.GetSampleCount()); math.Abs(got/total.TTFT.Mean-1) > 0.01 {
		t.Errorf("mean TTFT %v s, clients saw %v s", got, total.TTFT.Mean)
	}
	intervals := stats("vllm:inter_token_latency_seconds").Histogram.GetSampleCount()
	generated := stats("vllm:generation_tokens_total").Counter.GetValue()
	if first := ttft.GetSampleCount(); float64(intervals+first) != generated {
		t.Errorf("%d intervals and %d first tokens, but %v tokens", intervals, first, generated)
	}
	running, waiting := stats("vllm:num_requests_running").Gauge.GetValue(), stats("vllm:num_requests_waiting").Gauge.GetValue()
	if int(running+waiting) != total.Arrivals-total.Completions {
		t.Errorf("%v running and %v waiting, want %d in all", running, waiting, total.Arrivals-total.Completions)
	}
	info := map[string]string{}
	for _, l := range stats("vllm:cache_config_info").Label {
		info[l.GetName()] = l.GetValue()
	}
	if info["block_size"] != "16" || info["num_gpu_blocks"] != "2000" {
		t.Errorf("cache_config_info %v, want blocks of 16, 2000 of them", info)
	}
	for _, name := range []string{"vllm:kv_cache_usage_perc", "vllm:num_preemptions_total", "vllm:prompt_tokens_total",
		"vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:iteration_tokens_total"} {
		stats(name)
	}
}

func scrape(t *testing.T, f *Fleet, pod string) map[string]*dto.MetricFamily {
	t.Helper()
	response := request(t, f, "/pods/llm/"+pod+"/metrics")
	if response.code != http.StatusOK {
		t.Fatalf("scrape: %d %s", response.code, response.body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(response.body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

type answer struct {
	code int
	body string
}

// request asks the handler of a fleet, whether that runs or not.
func request(t *testing.T, f *Fleet, path string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &recorder{header: http.Header{}, code: http.StatusOK}
	f.handler().ServeHTTP(w, r)
	return answer{w.code, w.body.String()}
}

type recorder struct {
	header http.Header
	code   int
	body   strings.Builder
}

func (r *recorder) Header() http.Header               { return r.header }
func (r *recorder) WriteHeader(code int)              { r.code = code }
func (r *recorder) Write(content []byte) (int, error) { return r.body.Write(content) }

func TestDiscovery(t *testing.T) {
	c := config()
	c.FileSD = filepath.Join(t.TempDir(), "targets.json")
	f := newFleet(t, c)
	if got := request(t, f, "/sd"); got.body != "[]" {
		t.Errorf("without pods the list is %q, want []", got.body)
	}
	f.reconcile([]*corev1.Pod{readyPod("a", "chat", "n1", nil)}, nodes(node("n1", "nvidia.com/gpu.product", product)))
	if err := f.writeFileSD(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(c.FileSD)
	if err != nil {
		t.Fatal(err)
	}
	address := f.listener.Addr().String()
	want := []targetGroup{{Targets: []string{address}, Labels: map[string]string{
		"__metrics_path__": "/pods/llm/a/metrics", "instance": "llm/a", "namespace": "llm", "pod": "a", "node": "n1",
		"server": "chat", "accelerator": "H100"}}}
	for name, content := range map[string]string{"http": request(t, f, "/sd").body, "file": string(file)} {
		var got []targetGroup
		if err := json.Unmarshal([]byte(content), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := request(t, f, "/pods/llm/b/metrics"); got.code != http.StatusNotFound {
		t.Errorf("the page of an unknown pod answers %d, want 404", got.code)
	}
	snippet, err := f.ScrapeConfig("fleet", 1500*time.Millisecond)
	wantSnippet := fmt.Sprintf("- http_sd_configs:\n  - refresh_interval: 1s500ms\n    url: http://%s/sd\n  job_name: fleet\n  scrape_interval: 1s500ms\n  scrape_timeout: 1s500ms\n", address)
	if diff := cmp.Diff(wantSnippet, string(snippet)); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestTrafficCanBeReplaced(t *testing.T) {
	f := newFleet(t, config())
	f.play(10)
	before := f.Report().Servers["llm/chat"].Total.Arrivals
	if err := f.SetTraffic(nil); err != nil {
		t.Fatal(err)
	}
	f.play(20)
	if got := f.Report().Servers["llm/chat"].Total.Arrivals; got != before {
		t.Errorf("%d arrivals after the traffic was stopped", got-before)
	}
	if err := f.SetTraffic([]Traffic{{Trace: trace.Constant(10, 100, 10, 0), Shares: []trace.Share{{Server: "llm/chat", Weight: 1}}}}); err != nil {
		t.Fatal(err)
	}
	f.play(30)
	if got := f.Report().Servers["llm/chat"].Total.Arrivals - before; got < 99 || got > 100 {
		t.Errorf("%d arrivals in 10 s at 10 per second", got)
	}
	if err := f.SetTraffic([]Traffic{{Trace: trace.Constant(10, 100, 10, 0), Shares: []trace.Share{{Server: "chat", Weight: 1}}}}); err == nil {
		t.Error("a share of an unknown server is accepted")
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	c := config()
	c.Client = nil
	c.Listen = "nowhere"
	c.Defaults = simulation.Limits{MaxNumSeqs: 100, MaxNumBatchedTokens: 10}
	c.Servers = append(c.Servers, c.Servers[0], Server{Namespace: "llm", Name: "x", Model: "mystery", Balancer: "magic"})
	c.Truths = append(c.Truths, c.Truths[0], Truth{Model: "y", Accelerator: "z"})
	c.Traffic = append(c.Traffic, Traffic{Shares: []trace.Share{{Server: "llm/none", Weight: 1}}})
	_, err := New(c)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"client: missing", "listen: ", "defaults: maxNumBatchedTokens: 10", "servers[2]: llm/chat is there twice",
		`servers[3]: no truth for model "mystery"`, `"magic"`, "ttft: 0 s", "truths[3]: llama on H100 is there twice",
		"truths[4] (y on z)", "stepTime: missing", `traffic[1]: share of "llm/none"`, "trace: missing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

// The whole fleet against an API server, a fake one, and a restart.
func TestRun(t *testing.T) {
	c := config()
	ctx := t.Context()
	create := func(p *corev1.Pod) {
		if _, err := c.Client.CoreV1().Pods("llm").Create(ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Client.CoreV1().Nodes().Create(ctx, node("n1", "nvidia.com/gpu.product", product), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	create(readyPod("a", "chat", "n1", nil))
	create(readyPod("b", "code", "n1", nil))
	for range 2 {
		f, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		running, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- f.Run(running) }()

		until(t, "both servers complete requests", func() bool {
			r := f.Report()
			return r.Servers["llm/chat"].Total.Completions > 0 && r.Servers["llm/code"].Total.Completions > 0
		})
		until(t, "the page of a pod counts", func() bool {
			response, err := http.Get(f.MetricsURL("llm", "a"))
			if err != nil {
				return false
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			return response.StatusCode == http.StatusOK && strings.Contains(string(body), "vllm:request_success_total")
		})
		if err := c.Client.CoreV1().Pods("llm").Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		until(t, "the deleted pod is gone and its requests wait", func() bool {
			r := f.Report().Servers["llm/chat"]
			return len(r.Replicas) == 0 && r.Queued > 0
		})
		create(readyPod("a", "chat", "n1", nil))
		until(t, "a new pod takes them", func() bool { return f.Report().Servers["llm/chat"].Queued == 0 })
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if _, err := http.Get(f.URL() + "/sd"); err == nil {
			t.Error("the listener is still open")
		}
		var csv strings.Builder
		if err := f.Report().WriteCSV(&csv); err != nil || !strings.HasPrefix(csv.String(), "seconds,server,") {
			t.Errorf("%v\n%s", err, csv.String())
		}
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
