package observe

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

func TestHistogram(t *testing.T) {
	inf := math.Inf(1)
	h := histogram{0.1: 0, 0.2: 4, 0.4: 8, inf: 10}
	for _, c := range []struct{ q, want float64 }{{0, 0.1}, {0.2, 0.15}, {0.4, 0.2}, {0.6, 0.3}, {0.8, 0.4}, {0.9, 0.4}, {1, 0.4}} {
		if got := h.quantile(c.q); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("quantile %v is %v, want %v", c.q, got, c.want)
		}
	}
	for name, h := range map[string]histogram{"nil": nil, "empty": {}, "nothing counted": {1: 0, inf: 0}, "not a number": {1: math.NaN(), math.NaN(): 3}} {
		if got := h.quantile(0.5); !math.IsNaN(got) {
			t.Errorf("%s: quantile %v", name, got)
		}
		if got := h.sd(1); !math.IsNaN(got) {
			t.Errorf("%s: sd %v", name, got)
		}
	}
	// Evenly between 0 and 6, and evenly between 6 and 12 beyond the last bound.
	if got := (histogram{6: 5}).sd(3); math.Abs(got-math.Sqrt(3)) > 1e-12 {
		t.Errorf("sd %v, want that of a uniform distribution, √3", got)
	}
	if got := (histogram{6: 5, inf: 10}).sd(6); math.Abs(got-math.Sqrt(12)) > 1e-12 {
		t.Errorf("sd %v, want √12", got)
	}
	// All in one wide cell: nearly constant where the mean is at its edge, as far apart as can be never.
	if got := (histogram{1000: 0, 2000: 7}).sd(1000); !(got < 1e-3) {
		t.Errorf("sd %v of what is all at a bound", got)
	}
	if got := (histogram{1000: 0, 2000: 7}).sd(1024); !(got > 0 && got < 50) {
		t.Errorf("sd %v of prompts of 1024 tokens, want little", got)
	}
	if got := (histogram{6: 5}).sd(100); !math.IsNaN(got) {
		t.Errorf("sd %v around a mean that the cells contradict", got)
	}
	// Counts that fall, as of pods scraped at different moments, are levelled.
	if got := (histogram{1: 5, 2: 4, 3: 5, inf: 5}).quantile(1); got != 1 {
		t.Errorf("quantile %v, want 1", got)
	}
	merge := merged([]histogram{nil, {1: 2, 2: 3, inf: 4}, {2: 1, inf: 1}, {}})
	if diff := cmp.Diff(histogram{2: 4, inf: 5}, merge); diff != "" {
		t.Error(diff)
	}
	if merged([]histogram{nil, {}}) != nil {
		t.Error("a sum of nothing")
	}
}

// The standard deviation of drawn lengths is found again in buckets of 1, 2, 5, 10, … to within a tenth, whatever their distribution.
func TestDeviationInCoarseBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for name, draw := range map[string]func() float64{
		"exponential": func() float64 { return 1 + 700*rng.ExpFloat64() },
		"lognormal":   func() float64 { return 1100 * math.Exp(0.8*rng.NormFloat64()-0.32) },
		"uniform":     func() float64 { return 2000 * rng.Float64() },
		"gamma":       func() float64 { return 400 * (rng.ExpFloat64() + rng.ExpFloat64()) },
	} {
		const n = 20000
		h, sum, squares := histogram{}, 0.0, 0.0
		for range n {
			x := draw()
			sum, squares = sum+x, squares+x*x
			for _, bound := range simulation.TokenBuckets {
				if x <= bound {
					h[bound]++
				} else {
					h[bound] += 0
				}
			}
		}
		h[math.Inf(1)] = n
		mean := sum / n
		if want, got := math.Sqrt(squares/n-mean*mean), h.sd(mean); math.Abs(got/want-1) > 0.1 {
			t.Errorf("%s: standard deviation %.1f, want %.1f", name, got, want)
		}
	}
}

// grouped observes pods that were ready for so long, with their metrics.
func grouped(t *testing.T, pods map[string]func(*corev1.Pod, *PodMetrics)) []jsonspec.ObservedGroup {
	t.Helper()
	o := Observe(readings(func(r *Readings) {
		r.Pods, r.Metrics = nil, Metrics{}
		for name, change := range pods {
			m := sampled(nil)
			p := pod(name, "a", 2, ours, func(p *corev1.Pod) {
				p.Annotations = map[string]string{v1alpha1.MaxNumSeqsAnnotation: "64"}
				change(p, m)
			})
			r.Pods = append(r.Pods, p)
			r.Metrics[types.NamespacedName{Namespace: "llm", Name: name}] = m
		}
	}))
	return o.Snapshot.System.Servers.Spec[0].Observation.Groups
}

// Replicas are together that are alike, and only those that were there, and measured, for the whole window.
func TestGroups(t *testing.T) {
	plain := func(*corev1.Pod, *PodMetrics) {}
	groups := grouped(t, map[string]func(*corev1.Pod, *PodMetrics){
		"a": plain, "b": plain,
		"other limits": func(p *corev1.Pod, _ *PodMetrics) { p.Annotations[v1alpha1.MaxNumSeqsAnnotation] = "32" },
		"young": func(p *corev1.Pod, _ *PodMetrics) {
			p.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-window / 2))
		},
		"unready":      func(p *corev1.Pod, _ *PodMetrics) { p.Status.Conditions[0].Status = corev1.ConditionFalse },
		"stale":        func(_ *corev1.Pod, m *PodMetrics) { m.values[SampleAge] = 1e4 },
		"unmeasured":   func(_ *corev1.Pod, m *PodMetrics) { *m = *NewPodMetrics() },
		"on no card":   func(p *corev1.Pod, _ *PodMetrics) { p.Spec.NodeName = "unknown" },
		"going away":   func(p *corev1.Pod, _ *PodMetrics) { p.DeletionTimestamp = &metav1.Time{Time: now} },
		"has finished": func(p *corev1.Pod, _ *PodMetrics) { p.Status.Phase = corev1.PodFailed },
		"false claim":  func(_ *corev1.Pod, m *PodMetrics) { m.values[Running] = 65 },
	})
	if len(groups) != 2 || groups[0].MaxBatchSize != 32 || groups[0].Replicas != 1 || groups[1].MaxBatchSize != 64 || groups[1].Replicas != 2 {
		t.Errorf("groups %+v", groups)
	}
}

// A mean over replicas is one over tokens, as ITL is; what some did not measure is taken from the others, and what none did is missing.
func TestMeasuresOfAGroup(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	groups := grouped(t, map[string]func(*corev1.Pod, *PodMetrics){
		"busy": func(_ *corev1.Pod, m *PodMetrics) {
			m.values[Running], m.values[RunningVariance], m.values[ITLCount], m.values[ITLSum] = 30, 16, 300, 9
			m.values[KVTokens], m.values[PrefixHitRate], m.values[PromptTokens], m.values[PromptRequests] = 1000, 0.5, 300, 3
		},
		"calm": func(_ *corev1.Pod, m *PodMetrics) {
			m.values[Running], m.values[RunningVariance], m.values[ITLCount], m.values[ITLSum] = 10, 8, 100, 1
			m.values[KVTokens], m.values[PrefixHitRate], m.values[PromptTokens], m.values[PromptRequests], m.values[KVUsage] = 800, 0.1, 100, 1, inf
		},
		"blind": func(_ *corev1.Pod, m *PodMetrics) {
			for q := range m.values {
				if Quantity(q) != SampleAge {
					m.values[q] = nan
				}
			}
		},
	})
	if len(groups) != 1 {
		t.Fatalf("groups %+v", groups)
	}
	n := func(v float64) *float64 { return &v }
	want := jsonspec.ObservedGroup{
		Accelerator: "h100", MaxBatchSize: 64, Replicas: 3, Engines: 1, WindowSeconds: 60, AgeSeconds: 1,
		Running: n(25), RunningSD: n(math.Sqrt(14)), Waiting: n(1), Admissions: n(120), Throughput: n(120), InputTokens: n(100), OutputTokens: n(50),
		PrefixHitRate: n(0.4), KVUsage: n(0.5), KVTokens: n(800), ITL: &jsonspec.ObservedLatency{Mean: 25}, TTFT: &jsonspec.ObservedLatency{Mean: 500}, Requests: n(240),
	}
	if diff := cmp.Diff(want, groups[0], cmpopts.EquateApprox(1e-5, 0)); diff != "" {
		t.Error(diff)
	}
}

// Whatever Prometheus answers, the observation can be written, and holds no number that is none.
func FuzzReadMetrics(f *testing.F) {
	f.Add("0.5", "16", "2000", 1.0)
	f.Add("+Inf", "NaN", "-1", math.Inf(1))
	f.Add("rubbish", "1e300", "1e300", math.NaN())
	f.Fuzz(func(t *testing.T, le, blockSize, blocks string, value float64) {
		q := prometheus(func(string) (model.Value, error) {
			return model.Vector{{Metric: model.Metric{
				"namespace": "llm", "pod": "chat-1", "le": model.LabelValue(le), "block_size": model.LabelValue(blockSize), "num_gpu_blocks": model.LabelValue(blocks),
			}, Value: model.SampleValue(value)}}, nil
		})

		m, err := ReadMetrics(context.Background(), source(t, q), now, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		o := Observe(readings(func(r *Readings) { r.Metrics = m }))
		if _, err := json.Marshal(o.Snapshot); err != nil {
			t.Fatalf("%v", err)
		}
	})
}
