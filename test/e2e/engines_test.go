package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// engines show, of the ready pods of all Servers, what vLLM would. Their counters grow with time alone, so that a slow machine changes no rate.
type engines struct {
	client        client.Client
	file, address string

	mu    sync.Mutex
	pods  map[string]shown    // by namespace/pod
	on    map[string]string   // accelerators, likewise
	count map[string]*counter // by path of the page
	ready map[shown]int       // pods, by server and variant
	play  play
}

// play is what the engines show, and to whom.
type play struct {
	// rate of requests by namespace/server, in 1/s.
	rate map[string]float64
	// slow is a factor on the latencies of a server; 1 where absent.
	slow map[string]float64
	// idle pods, by namespace/pod, get no requests: the others of their server get them.
	idle map[string]bool
	// cluster that samples are labelled with.
	cluster string
	// twice has every pod scraped by two jobs.
	twice bool
	// elsewhere is another cluster with pods of the same names and ten times their requests; none where empty.
	elsewhere string
}

// shown is whose replica a pod is, by namespace/server, and of which variant.
type shown struct{ server, variant string }

// counter of one page: requests, and the seconds of their first and further tokens.
type counter struct {
	at                  time.Time
	requests, ttft, itl float64
}

// law of an accelerator at the lengths of requests below: the time of an iteration without load and with each request that runs, in s, as the Model says.
var laws = map[string]struct{ base, each float64 }{"h100": {0.007, 0.00011}, "l40s": {0.0242, 0.00031}}

const (
	tokensIn, tokensOut = 200, 100
	rediscovery         = 300 * time.Millisecond
)

// startEngines until the test ends.
func (s *system) startEngines(p play) *engines {
	s.t.Helper()
	ctx, out := s.t.Context(), s.t.Output()
	e := &engines{client: s.Client, file: filepath.Join(s.TargetsDir(), "engines.json"), pods: map[string]shown{}, count: map[string]*counter{}, ready: map[shown]int{}, play: p}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{cluster}/{namespace}/{pod}", e.page)
	server := httptest.NewServer(mux)
	s.t.Cleanup(server.Close)
	e.address = strings.TrimPrefix(server.URL, "http://")
	go func() {
		for ctx.Err() == nil {
			if err := e.discover(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(out, "engines:", err)
			}
			time.Sleep(rediscovery)
		}
	}()
	return e
}

// change what is shown.
func (e *engines) change(change func(*play)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.play)
}

// discover the pods, and tell Prometheus of them.
func (e *engines) discover(ctx context.Context) error {
	var list corev1.PodList
	if err := e.client.List(ctx, &list, client.HasLabels{v1alpha1.ServerLabel}); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pods, e.on, e.ready = map[string]shown{}, map[string]string{}, map[shown]int{}
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	groups := []group{}
	target := func(p *corev1.Pod, cluster, job string) {
		groups = append(groups, group{[]string{e.address}, map[string]string{
			"__metrics_path__": "/" + cluster + "/" + p.Namespace + "/" + p.Name, "instance": p.Namespace + "/" + p.Name,
			"namespace": p.Namespace, "pod": p.Name, "cluster": cluster, "job": job,
		}})
	}
	for i := range list.Items {
		p := &list.Items[i]
		if !serves(p) {
			continue
		}
		of := shown{p.Namespace + "/" + p.Labels[v1alpha1.ServerLabel], p.Labels[v1alpha1.VariantLabel]}
		accelerator, _, _ := strings.Cut(p.Spec.NodeName, "-")
		e.pods[p.Namespace+"/"+p.Name], e.on[p.Namespace+"/"+p.Name] = of, accelerator
		e.ready[of]++
		target(p, e.play.cluster, "pods")
		if e.play.twice {
			target(p, e.play.cluster, "monitors")
		}
		if e.play.elsewhere != "" {
			target(p, e.play.elsewhere, "pods")
		}
	}
	data, err := json.Marshal(groups)
	if err != nil {
		return err
	}
	// Prometheus never reads half of it.
	part := e.file + ".part"
	return errors.Join(os.WriteFile(part, data, 0o600), os.Rename(part, e.file))
}

// idleOf counts the idle pods of a server's variant.
func (e *engines) idleOf(variant shown) int {
	n := 0
	for pod, of := range e.pods {
		if of == variant && e.play.idle[pod] {
			n++
		}
	}
	return n
}

// page of one pod.
func (e *engines) page(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	pod, serves := e.pods[r.PathValue("namespace")+"/"+r.PathValue("pod")]
	if !serves {
		http.NotFound(w, r)
		return
	}
	// Every request comes to a pod of each variant: those of the tests are of one, or are roles.
	rate := e.play.rate[pod.server] / float64(e.ready[pod]-e.idleOf(pod))
	if e.play.idle[r.PathValue("namespace")+"/"+r.PathValue("pod")] {
		rate = 0
	}
	if r.PathValue("cluster") == e.play.elsewhere {
		rate *= 10
	}
	slow := 1.0
	if f, ok := e.play.slow[pod.server]; ok {
		slow = f
	}
	// Of rate × tokensOut × itl requests that run, each adds to the itl.
	law, out := laws[e.on[r.PathValue("namespace")+"/"+r.PathValue("pod")]], float64(tokensOut)
	if pod.variant == prefills {
		out = 1 // the first token, and whoever decodes says the rest
	}
	itl := slow * law.base / max(1-law.each*rate*tokensOut, 0.1)
	ttft := 2 * itl
	now, c := time.Now(), e.count[r.URL.Path]
	if c == nil {
		c = &counter{at: now}
		e.count[r.URL.Path] = c
	}
	n := rate * now.Sub(c.at).Seconds()
	c.at, c.requests, c.ttft, c.itl = now, c.requests+n, c.ttft+n*ttft, c.itl+n*(out-1)*itl
	const labels = `{model_name="llama",engine="0"}`
	for _, m := range []struct {
		name  string
		value float64
	}{
		{"num_requests_running", rate * (ttft + (out-1)*itl)}, {"num_requests_waiting", 0}, {"kv_cache_usage_perc", 0.1},
		{"request_success_total", c.requests},
		{"time_to_first_token_seconds_sum", c.ttft}, {"time_to_first_token_seconds_count", c.requests},
		{"inter_token_latency_seconds_sum", c.itl}, {"inter_token_latency_seconds_count", c.requests * (out - 1)},
		{"request_prompt_tokens_sum", c.requests * tokensIn}, {"request_prompt_tokens_count", c.requests},
		{"request_generation_tokens_sum", c.requests * out}, {"request_generation_tokens_count", c.requests},
	} {
		fmt.Fprintf(w, "vllm:%s%s %g\n", m.name, labels, m.value)
	}
}
