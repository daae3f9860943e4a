package promql

import (
	"context"
	"maps"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/prometheus/model/labels"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const (
	pages  = "../data/metrics"
	window = time.Minute
	scrape = 15 * time.Second
	length = 300 * time.Second
)

var end = time.Unix(1_700_000_000, 0)

// play stores 300 s of a recording as scrapes of a pod, up to the end.
func (p *prometheus) play(pod, recording string) {
	p.playChanged(pod, recording, func(all page) page { return all })
}

// playChanged plays a recording of whose pages something is changed.
func (p *prometheus) playChanged(pod, recording string, change func(page) page) {
	first := change(readPage(p.t, filepath.Join(pages, recording+".begin.prom")))
	last := change(readPage(p.t, filepath.Join(pages, recording+".end.prom")))
	for ago := length; ago >= 0; ago -= scrape {
		p.scrape(pod, end.Add(-ago), first.between(last, 1-float64(ago)/float64(length)))
	}
}

func pod(name string, readyFor time.Duration) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "llm", Name: name, Labels: map[string]string{v1alpha1.ServerLabel: "chat"},
			Annotations: map[string]string{v1alpha1.AcceleratorAnnotation: "h100", v1alpha1.MaxNumSeqsAnnotation: "256"},
		},
		Spec: corev1.PodSpec{NodeName: "node"},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(end.Add(-readyFor)),
		}}},
	}
}

// look observes the server "chat" of those pods at a time.
func (p *prometheus) look(at time.Time, pods ...corev1.Pod) (v1alpha1.ServerStatus, *jsonspec.Observation) {
	p.t.Helper()
	m, err := observe.ReadMetrics(context.Background(), p.source(nil), at, window)
	if err != nil {
		p.t.Fatal(err)
	}
	o := observe.Observe(&observe.Readings{
		Now: at, Window: window, StaleAfter: 3 * window, Metrics: m, Pods: pods,
		Resources: specification.Resources{
			Servers: []v1alpha1.Server{{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "chat"}, Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "c"}}},
		},
	})
	return o.Statuses["llm/chat"], o.Snapshot.System.Servers.Spec[0].Observation
}

func number(v float64) *float64 { return &v }

// Of every version of every engine the same traffic is seen, but for what it does not show.
func TestEveryEngine(t *testing.T) {
	full := jsonspec.ObservedGroup{
		Accelerator: "h100", MaxBatchSize: 256, Replicas: 1, Engines: 1, WindowSeconds: 60,
		// The gauges rise in a straight line, and are scraped 45, 30, 15 and 0 s ago.
		Running: number(11.7), RunningSD: number(0.2236), Waiting: number(32.75), Admissions: number(120), Throughput: number(120), Preemptions: number(0),
		InputTokens: number(100), OutputTokens: number(50), AdmittedTokens: number(100), InputTokensSD: number(65.419), OutputTokensSD: number(35.547),
		PrefixHitRate: number(0.25), KVUsage: number(0.5), KVTokens: number(32000), Requests: number(120),
		TTFT: &jsonspec.ObservedLatency{Mean: 300, P90: number(500), P99: number(725)},
		ITL:  &jsonspec.ObservedLatency{Mean: 20, P90: number(33.333), P99: number(48.333)},
	}
	twice := full
	twice.Engines = 2
	for _, v := range []**float64{&twice.Running, &twice.Waiting, &twice.Admissions, &twice.Throughput} {
		*v = number(**v / 2)
	}
	twice.RunningSD = number(0.1118)
	twice.Preemptions = number(0)
	sglang := full // no histograms of lengths, no preemptions, other buckets
	sglang.InputTokensSD, sglang.OutputTokensSD, sglang.Preemptions = nil, nil, nil
	sglang.TTFT = &jsonspec.ObservedLatency{Mean: 300, P90: number(500), P99: number(590)}
	older := sglang
	older.KVTokens = nil
	sglang.Preemptions = number(0) // retracted requests
	tgi := full                    // no first tokens and no cache
	tgi.Admissions, tgi.AdmittedTokens, tgi.Preemptions, tgi.PrefixHitRate, tgi.KVUsage, tgi.KVTokens, tgi.Requests, tgi.TTFT = nil, nil, nil, nil, nil, nil, nil, nil
	trtllm := sglang // nothing of a request before it has finished
	trtllm.Admissions, trtllm.AdmittedTokens, trtllm.Preemptions = nil, nil, nil
	trtllm.TTFT = full.TTFT
	triton := full // no intervals between tokens
	triton.AdmittedTokens, triton.Preemptions, triton.PrefixHitRate, triton.ITL = nil, nil, nil, nil
	triton.InputTokensSD, triton.OutputTokensSD = number(68.306), number(37.702)
	triton.TTFT = &jsonspec.ObservedLatency{Mean: 300}

	for _, c := range []struct {
		recording string
		want      jsonspec.ObservedGroup
		// arrivals per minute: what came in, and what waits or runs more than before.
		arrivals float64
	}{
		{"vllm-0.6", full, 126.8}, {"vllm-0.8", full, 126.8}, {"vllm-0.10.2", full, 126.8}, {"vllm-0.12", full, 126.8}, {"vllm-0.12-dp2", twice, 126.8},
		{"sglang-0.4", older, 126.8}, {"sglang-0.5", sglang, 126.8}, {"tgi-3", tgi, 126.8}, {"trtllm-1.3", trtllm, 126.8}, {"triton-25.03", triton, 126.8},
	} {
		t.Run(c.recording, func(t *testing.T) {
			p := newPrometheus(t)
			p.play("a", c.recording)
			st, o := p.look(end, pod("a", time.Hour))
			if o.Fault != "" {
				t.Fatal(o.Fault, o.Detail)
			}
			near := cmpopts.EquateApprox(2e-3, 1e-9)
			if diff := cmp.Diff([]jsonspec.ObservedGroup{c.want}, o.Groups, near); diff != "" {
				t.Error(diff)
			}
			if transfers := c.recording == "vllm-0.12"; transfers != (st.Transfer != nil) || transfers && !cmp.Equal(*st.Transfer, v1alpha1.MeasuredTransfer{Time: 40, Bytes: 100 * 131072, Bandwidth: 0.32768}, near) {
				t.Errorf("transfer %+v", st.Transfer)
			}
			if diff := cmp.Diff(c.arrivals, st.Load.ArrivalRate, near); diff != "" {
				t.Error("arrivals a minute: " + diff)
			}
		})
	}
}

// Arrivals that come in every other half of a minute only are dispersed: of m a half on average the variance is 2 m², hence CV² = 2 m. Those at
// equal distances are not, and nothing is said where steps hold unequal numbers of scrapes.
func TestBurstsAreSeen(t *testing.T) {
	const half = window / 2
	inBursts := func(ago time.Duration) time.Duration {
		return ago - min(ago%(2*half), half) + max(ago%(2*half)-half, 0)
	}
	steady := func(ago time.Duration) time.Duration { return ago }
	for _, recording := range []string{"vllm-0.6", "vllm-0.12", "vllm-0.12-dp2", "sglang-0.5", "tgi-3", "trtllm-1.3", "triton-25.03"} {
		first, last := readPage(t, filepath.Join(pages, recording+".begin.prom")), readPage(t, filepath.Join(pages, recording+".end.prom"))
		for _, c := range []struct {
			name  string
			left  func(ago time.Duration) time.Duration
			every time.Duration
			want  *float64
		}{
			{"bursts", inBursts, scrape, number(math.Sqrt(126.8))}, {"every 30 s", inBursts, half, number(math.Sqrt(126.8))},
			{"steady", steady, scrape, number(0)}, {"every 20 s", inBursts, 20 * time.Second, nil},
		} {
			p := newPrometheus(t)
			for ago := length; ago >= 0; ago -= c.every {
				p.scrape("a", end.Add(-ago), first.between(last, 1-float64(c.left(ago))/float64(length)))
			}
			_, o := p.look(end, pod("a", time.Hour))
			if diff := cmp.Diff(c.want, o.ArrivalCV, cmpopts.EquateApprox(2e-3, 0.02)); diff != "" {
				t.Errorf("%s, %s: %s", recording, c.name, diff)
			}
		}
	}
}

// Histories are read back from what the optimizer showed, under whichever label its namespace ended up, without the gaps, and nothing that others show
// as the optimizer's.
func TestHistoryIsReadBack(t *testing.T) {
	for _, label := range []string{"namespace", "exported_namespace"} {
		p := newPrometheus(t)
		for i := range 4 * 60 {
			if i >= 60 && i < 120 {
				continue // the optimizer was away
			}
			app := p.db.Appender(context.Background())
			for series, rate := range map[[2]string]float64{{"chat", "inferno"}: float64(i / 60), {"other", "inferno"}: 100, {"chat", "forger"}: 1e6} {
				if series[1] == "forger" && label == "namespace" {
					continue // its own namespace is what a target cannot choose
				}
				l := labels.NewBuilder(labels.FromStrings("__name__", observe.ArrivalRateMetric, "server", series[0], "pod", "optimizer", "namespace", series[1])).Set(label, "llm").Labels()
				if _, err := app.Append(0, l, end.Add(time.Duration(i-239)*scrape).UnixMilli(), rate); err != nil {
					t.Fatal(err)
				}
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := observe.ReadHistory(context.Background(), p.source(nil), types.NamespacedName{Namespace: "llm", Name: "chat"}, "inferno", end, 7200, 300)
		if err != nil {
			t.Fatal(err)
		}
		// An hour of scrapes, of which the second quarter is missing, in windows that end at multiples of five minutes and hold a part of two
		// quarters then.
		var rates []float64
		for _, s := range got {
			rates = append(rates, math.Round(s.Rate))
		}
		if diff := cmp.Diff([]float64{0, 0, 0, 0, 2, 2, 2, 2, 3, 3}, rates); diff != "" {
			t.Errorf("%s: %v: %s", label, rates, diff)
		}
	}
}

// What processes of one engine say alike, or what only one of them says, is counted once; what is written in place of a number is none.
func TestCopiesCountOnce(t *testing.T) {
	for _, c := range []struct {
		name, recording string
		change          func(page) page
		want            func(*jsonspec.ObservedGroup)
	}{
		{"schedulers of all ranks", "sglang-0.5", func(p page) page {
			return p.copies(gauges("sglang:"), "tp_rank", 1, "0", "1", "2", "3")
		}, nil},
		{"priorities", "sglang-0.5", func(p page) page {
			return p.copies(gauges("sglang:num_"), "priority", 0.5, "", "1", "2")
		}, nil},
		{"front ends", "vllm-0.10.2", func(p page) page {
			return p.copies(gauges("vllm:kv_cache_usage_perc"), "pid", 0, "271", "272", "273")
		}, nil},
		{"a cache usage that cannot be", "vllm-0.12", func(p page) page {
			return p.set("vllm:kv_cache_usage_perc", -0.4)
		}, func(g *jsonspec.ObservedGroup) { g.KVUsage = nil }},
		{"an older backend", "triton-25.03", func(p page) page {
			return p.without("request_type", "waiting").without("kv_cache_block_type", "fraction")
		}, func(g *jsonspec.ObservedGroup) { g.Waiting = nil }},
		{"no number of blocks", "vllm-0.12", func(p page) page {
			return p.relabel("vllm:cache_config_info", "num_gpu_blocks", "None")
		}, func(g *jsonspec.ObservedGroup) { g.KVTokens = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			groups := func(change func(page) page) []jsonspec.ObservedGroup {
				p := newPrometheus(t)
				p.playChanged("a", c.recording, change)
				_, o := p.look(end, pod("a", time.Hour))
				if o.Fault != "" || len(o.Groups) != 1 {
					t.Fatal(o.Fault, o.Detail, o.Groups)
				}
				return o.Groups
			}
			want := groups(func(p page) page { return p })
			if c.want != nil {
				c.want(&want[0])
			}
			if diff := cmp.Diff(want, groups(c.change), cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A pod that serves two models is two engines: what they do is added up, and a batch is that of one. Adapters are served under their model's name, and are
// in its numbers.
func TestModelsOfOnePod(t *testing.T) {
	group := func(change func(page) page) jsonspec.ObservedGroup {
		p := newPrometheus(t)
		p.playChanged("a", "vllm-0.12", change)
		_, o := p.look(end, pod("a", time.Hour))
		if o.Fault != "" || len(o.Groups) != 1 {
			t.Fatal(o.Fault, o.Detail, o.Groups)
		}
		return o.Groups[0]
	}
	every := func(sample) bool { return true }
	one := group(func(p page) page { return p })
	two := group(func(p page) page { return p.copies(every, "model_name", 1, "base", "other") })
	want := one
	want.Engines, *want.Requests = 2, 2**one.Requests
	if diff := cmp.Diff(want, two, cmpopts.EquateApprox(1e-9, 1e-9)); diff != "" {
		t.Error(diff)
	}
}

// What waits for something else than room, such as caches that come from a prefill, is no backlog where vLLM tells it apart; what came in it is all the same.
func TestDeferredRequestsAreNoBacklog(t *testing.T) {
	observed := func(change func(page) page) (*jsonspec.Observation, float64) {
		p := newPrometheus(t)
		p.playChanged("a", "vllm-0.12", change)
		st, o := p.look(end, pod("a", time.Hour))
		if o.Fault != "" {
			t.Fatal(o.Fault, o.Detail)
		}
		return o, st.Load.ArrivalRate
	}
	all, arrivals := observed(func(p page) page { return p })
	third, same := observed(func(p page) page {
		told := maps.Clone(p)
		for key, s := range p {
			if s.labels.Get("__name__") == "vllm:num_requests_waiting" {
				for reason, share := range map[string]float64{"capacity": 1. / 3, "deferred": 2. / 3} {
					l := labels.NewBuilder(s.labels).Set("__name__", "vllm:num_requests_waiting_by_reason").Set("reason", reason).Labels()
					told[key+reason] = sample{labels: l, value: share * s.value}
				}
			}
		}
		return told
	})
	if got, want := *third.Waiting, *all.Waiting/3; math.Abs(got-want) > 1e-3*want || same != arrivals {
		t.Errorf("%v wait of which %v want room, want %v; %v arrive, want %v", *all.Waiting, got, want, same, arrivals)
	}
}

// Every recording is of a version that some test names, so that none lies there unread.
func TestEveryPageIsRead(t *testing.T) {
	files, err := filepath.Glob(pages + "/*.prom")
	if err != nil || len(files) != 20 {
		t.Errorf("%d pages, %v; want two of each of 10 recordings: %s", len(files), err, strings.Join(files, " "))
	}
}

// A counter that begins again, as that of a container that was restarted does, loses nothing but what happened in between two scrapes.
func TestCounterReset(t *testing.T) {
	p := newPrometheus(t)
	first, last := readPage(t, pages+"/vllm-0.12.begin.prom"), readPage(t, pages+"/vllm-0.12.end.prom")
	var start page
	for ago := length; ago >= 0; ago -= scrape {
		now := first.between(last, 1-float64(ago)/float64(length))
		if ago <= 30*time.Second { // restarted 40 s ago
			if start == nil {
				start = first.between(last, 1-40.0/300)
			}
			now = now.since(start)
		}
		p.scrape("a", end.Add(-ago), now)
	}
	_, o := p.look(end, pod("a", time.Hour))
	// Between the scrapes 45 and 30 s ago 5 s of requests are lost: 10 of 120.
	if g := o.Groups[0]; *g.Throughput < 95 || *g.Throughput > 121 || *g.Preemptions != 0 {
		t.Errorf("%v requests a minute after a restart, want nearly 120", *g.Throughput)
	}
}

// Series of pods that are gone, and samples that are old, are not believed.
func TestGoneAndStale(t *testing.T) {
	p := newPrometheus(t)
	p.play("a", "vllm-0.12")
	p.vanish("a", end.Add(time.Second), readPage(t, pages+"/vllm-0.12.end.prom"))
	if _, o := p.look(end.Add(2*time.Second), pod("a", time.Hour)); o.Fault != v1alpha1.ReasonNoMetrics || len(o.Groups) > 0 {
		t.Errorf("a pod whose series have ended: fault %q, groups %v", o.Fault, o.Groups)
	}
	q := newPrometheus(t)
	q.play("a", "vllm-0.12")
	if _, o := q.look(end.Add(4*time.Minute), pod("a", time.Hour)); o.Fault != v1alpha1.ReasonStaleMetrics || len(o.Groups) > 0 {
		t.Errorf("samples of four minutes ago: fault %q, groups %v", o.Fault, o.Groups)
	}
	if _, o := newPrometheus(t).look(end, pod("a", time.Hour)); o.Fault != v1alpha1.ReasonNoMetrics {
		t.Errorf("an empty Prometheus: fault %q", o.Fault)
	}
}

// A pod younger than the window brings its load but teaches nothing; pods of unlike engines make one server.
func TestYoungAndMixed(t *testing.T) {
	p := newPrometheus(t)
	p.play("a", "vllm-0.12")
	p.play("b", "sglang-0.5")
	p.play("c", "tgi-3")
	st, o := p.look(end, pod("a", time.Hour), pod("b", time.Hour), pod("c", 20*time.Second))
	if o.Fault != "" || len(o.Groups) != 1 || o.Groups[0].Replicas != 2 {
		t.Errorf("fault %q, groups %+v; want one of two replicas", o.Fault, o.Groups)
	}
	// Of the three pods first tokens are counted on two, completions on all.
	if l := st.Load; l.Throughput < 359 || l.Throughput > 361 {
		t.Errorf("%v requests a minute are completed, want 360", l.Throughput)
	}
}

// What comes to the endpoint picker of a gateway is read under all names that its counter has had.
func TestGateways(t *testing.T) {
	for _, name := range []string{
		"llm_d_epp_request_total", "llm_d_router_epp_request_total", "inference_objective_request_total", "inference_model_request_total",
	} {
		p := newPrometheus(t)
		for ago := length; ago >= 0; ago -= scrape {
			l := labels.FromStrings("__name__", name, "model_name", "chat", "target_model_name", "llama", "priority", "1")
			p.scrape("picker", end.Add(-ago), page{name: sample{labels: l, value: 1000 - 3*ago.Seconds(), counter: true}})
		}
		got, err := observe.ReadGateways(context.Background(), p.source(nil), end, window)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(observe.Gateways{{Namespace: "llm", Model: "llama"}: {Rate: 3}}, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
