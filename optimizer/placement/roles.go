package placement

import (
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// roleLabels are the labels by which other projects say of a pod whether it computes prompts or decodes, and what their values mean. Values that are not
// listed say neither: what does both, frontends, routers, encoders.
var roleLabels = []struct {
	key   string
	roles map[string]string
}{
	// llm-d, and the LLMInferenceService of KServe: prefill, decode, prefill-decode, both, and encode with each of them. Source: llm-d/llm-d-router
	// pkg/epp/framework/plugins/scheduling/filter/bylabel/roles.go at 533a218; kserve/kserve v0.20 pkg/constants/constants.go and
	// pkg/controller/v1alpha2/llmisvc/workload_single_node.go. What encodes and prefills is not known to decode, and sized as neither.
	{"llm-d.ai/role", apart},
	// KServe's workers of several nodes, which have no role where there is a leader. Those of the main workload decode or do both, which their labels do not
	// say. Source: kserve/kserve v0.20 pkg/constants/constants.go and pkg/controller/v1alpha2/llmisvc/workload_multi_node.go.
	{"app.kubernetes.io/component", map[string]string{
		"llminferenceservice-workload-prefill":        jsonspec.RolePrefill,
		"llminferenceservice-workload-leader-prefill": jsonspec.RolePrefill,
		"llminferenceservice-workload-worker-prefill": jsonspec.RolePrefill,
	}},
	// NVIDIA Dynamo: prefill or decode, or worker with the second label. Source: ai-dynamo/dynamo deploy/operator/internal/consts/consts.go at 0367e40.
	{"nvidia.com/dynamo-component-type", apart},
	{"nvidia.com/dynamo-sub-component-type", apart},
	// The DisaggregatedSet of LeaderWorkerSet, which gives it to the pods of leaders and workers; its roles have any names. Source: kubernetes-sigs/lws
	// v0.9.0 api/disaggregatedset/v1/disaggregatedset_types.go and pkg/controllers/disaggregatedset/lws_manager.go.
	{"disaggregatedset.x-k8s.io/role", apart},
}

// apart are the names of roles that are ours, too.
var apart = map[string]string{jsonspec.RolePrefill: jsonspec.RolePrefill, jsonspec.RoleDecode: jsonspec.RoleDecode}

// RoleOf a pod by what labels of other projects say of it, empty where none says it or two disagree; and what they say, in words.
func RoleOf(pod *corev1.Pod) (role, said string) {
	var words []string
	agree := true
	for _, l := range roleLabels {
		r := l.roles[pod.Labels[l.key]]
		if r == "" {
			continue
		}
		agree = agree && (role == "" || role == r)
		role, words = r, append(words, l.key+": "+pod.Labels[l.key])
	}
	if !agree {
		role = ""
	}
	return role, strings.Join(words, ", ")
}

// VariantOf its Server that a pod says it is of: the name of one by the label that is ours, or else the role that labels of other projects give it. Empty for
// none. What a Server means by it is ServerBinding.Meant.
func VariantOf(pod *corev1.Pod) string {
	if name := pod.Labels[v1alpha1.VariantLabel]; name != "" {
		return name
	}
	role, _ := RoleOf(pod)
	return role
}
