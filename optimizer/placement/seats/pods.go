package seats

import (
	"cmp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// ServerOf is the Server a pod belongs to.
func ServerOf(pod *v1.Pod) (types.NamespacedName, bool) {
	name := pod.Labels[v1alpha1.ServerLabel]
	return types.NamespacedName{Namespace: pod.Namespace, Name: name}, name != ""
}

// Revision tells the pods of one version of a workload's template from those of another.
type Revision struct {
	workload string
	hash     string
}

// templateHashes are the labels in which a workload's controller keeps the hash of the pod template; ReplicaSets are named after it.
var templateHashes = []string{"pod-template-hash", "rollouts-pod-template-hash"}

// RevisionOf a pod. Pods without a controller are all of one revision.
func RevisionOf(pod *v1.Pod) Revision {
	if set := pod.Labels[placement.LWSName]; set != "" {
		return Revision{workload: "LeaderWorkerSet/" + set, hash: pod.Labels[placement.LWSRevision]}
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return Revision{}
	}
	for _, key := range templateHashes {
		if hash := pod.Labels[key]; hash != "" {
			if workload, ok := strings.CutSuffix(owner.Name, "-"+hash); ok {
				return Revision{workload: workload, hash: hash}
			}
		}
	}
	return Revision{workload: owner.Kind + "/" + owner.Name}
}

// supersedes tells whether pods of the two revisions stand in for each other during a rollout, so that only one of them counts.
func (r Revision) supersedes(other Revision) bool {
	return r.workload == other.workload && r.hash != other.hash
}

// Leaving tells whether a pod no longer is, or soon will no longer be, a replica.
func Leaving(pod *v1.Pod) bool {
	return pod.DeletionTimestamp != nil || pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed
}

// compareTurns orders pods by age, then by name: the order in which they are woken.
func compareTurns(a, b *v1.Pod) int {
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

// Runs says which variant of its model the pods of a variant of a server run; empty for a model that has none, and without a server.
func Runs(server *v1alpha1.Server, variant string) string {
	if server == nil {
		return ""
	}
	return server.Spec.Runs(variant)
}

// Gated tells whether a pod waits for the gate of placement to be lifted.
func Gated(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g v1.PodSchedulingGate) bool { return g.Name == v1alpha1.PlacementGate })
}

// Let tells whether a pod without a node has a seat, because its gate was lifted for it.
func Let(pod *v1.Pod) bool {
	return pod.Spec.NodeName == "" && pod.Annotations[v1alpha1.PlacementAnnotation] == v1alpha1.PlacementGates && !Gated(pod)
}
