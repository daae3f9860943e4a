package observe

import (
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What a pod has in hand is what runs and what waits. A pod that is not ready, not measured, or not lately, is not idle: it is not known.
func TestInHand(t *testing.T) {
	nan := math.NaN()
	for name, tt := range map[string]struct {
		change           func(*corev1.Pod, *PodMetrics)
		requests, warmth float64
	}{
		"busy":                      {func(*corev1.Pod, *PodMetrics) {}, 7, 0.5},
		"idle":                      {func(_ *corev1.Pod, m *PodMetrics) { m.Set(RunningNow, 0); m.Set(WaitingNow, 0) }, 0, 0.5},
		"its queue is not shown":    {func(_ *corev1.Pod, m *PodMetrics) { m.Set(WaitingNow, nan) }, 5, 0.5},
		"its cache is not shown":    {func(_ *corev1.Pod, m *PodMetrics) { m.Set(PrefixHitRate, nan) }, 7, nan},
		"its requests are not":      {func(_ *corev1.Pod, m *PodMetrics) { m.Set(RunningNow, nan) }, nan, 0.5},
		"not ready":                 {func(p *corev1.Pod, _ *PodMetrics) { p.Status.Conditions = nil }, nan, nan},
		"old samples":               {func(_ *corev1.Pod, m *PodMetrics) { m.Set(SampleAge, 1e4) }, nan, nan},
		"no sample says how old":    {func(_ *corev1.Pod, m *PodMetrics) { m.Set(SampleAge, nan) }, nan, nan},
		"Prometheus has none of it": {func(p *corev1.Pod, _ *PodMetrics) { p.Name = "other" }, nan, nan},
	} {
		r := readings(func(*Readings) {})
		key := types.NamespacedName{Namespace: "llm", Name: "chat-1"}
		m := r.Metrics[key]
		m.Set(RunningNow, 5)
		m.Set(WaitingNow, 2)
		m.Set(PrefixHitRate, 0.5)
		var pod *corev1.Pod
		for i := range r.Pods {
			if r.Pods[i].Name == key.Name {
				pod = &r.Pods[i]
			}
		}
		tt.change(pod, m)
		o := &Observation{hands: map[types.UID]inHand{}}
		r.inHand([]*corev1.Pod{pod}, o.hands)
		if requests, warmth := o.InHand(pod); !same(requests, tt.requests) || !same(warmth, tt.warmth) {
			t.Errorf("%s: %v requests, warmth %v, want %v and %v", name, requests, warmth, tt.requests, tt.warmth)
		}
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
