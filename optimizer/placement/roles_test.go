package placement

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// The labels of pods as the controllers of other projects write them, those of versions and templates left out.
func TestVariantOf(t *testing.T) {
	const component, part, kserve = "app.kubernetes.io/component", "app.kubernetes.io/part-of", "kserve.io/component"
	for _, c := range []struct {
		name   string
		labels map[string]string
		want   string
	}{
		{"none", nil, ""},
		{"ours", map[string]string{v1alpha1.VariantLabel: "big"}, "big"},
		{"ours before theirs", map[string]string{v1alpha1.VariantLabel: "tokens", "llm-d.ai/role": "prefill"}, "tokens"},
		{"llm-d, prefill", map[string]string{"llm-d.ai/inference-serving": "true", "llm-d.ai/model": "m", "llm-d.ai/role": "prefill"}, "prefill"},
		{"llm-d, decode", map[string]string{"llm-d.ai/inference-serving": "true", "llm-d.ai/model": "m", "llm-d.ai/role": "decode"}, "decode"},
		{"llm-d, both", map[string]string{"llm-d.ai/role": "both"}, ""},
		{"llm-d, both by its newer name", map[string]string{"llm-d.ai/role": "prefill-decode"}, ""},
		{"llm-d, encode", map[string]string{"llm-d.ai/role": "encode"}, ""},
		{"llm-d, encode and prefill", map[string]string{"llm-d.ai/role": "encode-prefill"}, ""},
		{"KServe, main", map[string]string{component: "llminferenceservice-workload", part: "llminferenceservice", kserve: "workload", "llm-d.ai/role": "decode"}, "decode"},
		{"KServe, main alone", map[string]string{component: "llminferenceservice-workload", part: "llminferenceservice", kserve: "workload", "llm-d.ai/role": "both"}, ""},
		{"KServe, prefill", map[string]string{component: "llminferenceservice-workload-prefill", part: "llminferenceservice", kserve: "workload", "llm-d.ai/role": "prefill"}, "prefill"},
		{"KServe, leader of prefill", map[string]string{component: "llminferenceservice-workload-leader-prefill", kserve: "workload", "llm-d.ai/role": "prefill"}, "prefill"},
		{"KServe, worker of prefill", map[string]string{component: "llminferenceservice-workload-worker-prefill", part: "llminferenceservice"}, "prefill"},
		{"KServe, worker of main", map[string]string{component: "llminferenceservice-workload-worker", part: "llminferenceservice"}, ""},
		{"KServe, router", map[string]string{component: "llminferenceservice-router-scheduler", part: "llminferenceservice"}, ""},
		{"Dynamo, prefill", map[string]string{"nvidia.com/dynamo-component": "VllmPrefillWorker", "nvidia.com/dynamo-component-type": "prefill"}, "prefill"},
		{"Dynamo, decode of before", map[string]string{"nvidia.com/dynamo-component-type": "worker", "nvidia.com/dynamo-sub-component-type": "decode"}, "decode"},
		{"Dynamo, both", map[string]string{"nvidia.com/dynamo-component-type": "worker"}, ""},
		{"Dynamo, frontend", map[string]string{"nvidia.com/dynamo-component-type": "frontend"}, ""},
		{"DisaggregatedSet", map[string]string{
			"app": "chat-0-prefill", "disaggregatedset.x-k8s.io/name": "chat", "disaggregatedset.x-k8s.io/role": "prefill", "disaggregatedset.x-k8s.io/slice": "0", LWSName: "chat-0-5f7-prefill",
		}, "prefill"},
		{"DisaggregatedSet, a role of another name", map[string]string{"disaggregatedset.x-k8s.io/role": "encode"}, ""},
		{"two that agree", map[string]string{"disaggregatedset.x-k8s.io/role": "decode", "nvidia.com/dynamo-component-type": "decode"}, "decode"},
		{"two that disagree", map[string]string{"disaggregatedset.x-k8s.io/role": "decode", "llm-d.ai/role": "prefill"}, ""},
	} {
		if got := VariantOf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: c.labels}}); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
