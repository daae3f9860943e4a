package inferno

import (
	"cmp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// serverOf is the Server a pod belongs to.
func serverOf(pod *v1.Pod) (types.NamespacedName, bool) {
	name := pod.Labels[v1alpha1.ServerLabel]
	return types.NamespacedName{Namespace: pod.Namespace, Name: name}, name != ""
}

// revision tells the pods of one version of a workload's template from those of another.
type revision struct {
	workload string
	hash     string
}

// templateHashes are the labels in which a workload's controller keeps the hash of the pod template; ReplicaSets are named after it.
var templateHashes = []string{"pod-template-hash", "rollouts-pod-template-hash"}

// revisionOf a pod. Pods without a controller are all of one revision.
func revisionOf(pod *v1.Pod) revision {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return revision{}
	}
	for _, key := range templateHashes {
		if hash := pod.Labels[key]; hash != "" {
			if workload, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
				return revision{workload: workload, hash: hash}
			}
		}
	}
	return revision{workload: owner.Kind + "/" + owner.Name}
}

// supersedes tells whether pods of the two revisions stand in for each other during a rollout, so that only one of them counts.
func (r revision) supersedes(other revision) bool {
	return r.workload == other.workload && r.hash != other.hash
}

// leaving tells whether a pod no longer is, or soon will no longer be, a replica.
func leaving(pod *v1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}

// inTurn sorts pods by age, then by name: the order in which they are woken.
func inTurn(pods []*v1.Pod) {
	slices.SortFunc(pods, func(a, b *v1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
}

// variantOf its Server that a pod belongs to, empty for none.
func variantOf(pod *v1.Pod) string { return pod.Labels[v1alpha1.VariantLabel] }
