package placement

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Group is a replica that several pods make up together. They get their seat, which is one, all at once or not at all.
type Group struct {
	// Name is the group's own in the namespace; empty for a pod that is a replica by itself.
	Name string
	// Size is how many pods make up the replica; 0 where what the pod says of it is no number from 1 on.
	Size int
	// Exclusive is the label by which a LeaderWorkerSet asks for a domain of its group's own; empty where it does not.
	Exclusive string
}

// Labels and annotations of the pods of a LeaderWorkerSet (leaderworkerset.x-k8s.io/v1).
const (
	// LWSName is the name of the LeaderWorkerSet.
	LWSName = "leaderworkerset.sigs.k8s.io/name"
	// LWSGroup is the number of the pod's group, from 0 on.
	LWSGroup = "leaderworkerset.sigs.k8s.io/group-index"
	// LWSWorker is the number of the pod in its group: 0 of its leader.
	LWSWorker = "leaderworkerset.sigs.k8s.io/worker-index"
	// LWSRevision is the hash of the template that the pod was made from.
	LWSRevision = "leaderworkerset.sigs.k8s.io/template-revision-hash"
	// LWSSize, an annotation, is how many pods a group has.
	LWSSize = "leaderworkerset.sigs.k8s.io/size"
	// LWSExclusive, an annotation, is the key of a label: the leader goes to a domain by it that no other group is in. Workers are made when the leader has a
	// node, and for its domain.
	LWSExclusive = "leaderworkerset.sigs.k8s.io/exclusive-topology"
)

// GroupOf a pod: what its own labels say, or those of a LeaderWorkerSet. A replica of one pod is no group.
func GroupOf(pod *corev1.Pod) Group {
	name, size, exclusive := pod.Labels[v1alpha1.GroupLabel], pod.Annotations[v1alpha1.GroupSizeAnnotation], ""
	if set := pod.Labels[LWSName]; name == "" && set != "" && pod.Annotations[LWSSize] != "" {
		name, size = "LeaderWorkerSet/"+set+"/"+pod.Labels[LWSGroup], pod.Annotations[LWSSize]
		exclusive = pod.Annotations[LWSExclusive]
	}
	n, err := strconv.Atoi(size)
	switch {
	case name == "" || n == 1:
		return Group{}
	case err != nil || n < 1:
		return Group{Name: name}
	}
	return Group{Name: name, Size: n, Exclusive: exclusive}
}

// Missing says what a group has to wait for while only so many of its pods are there; empty where it is whole.
func (g Group) Missing(pods int) string {
	switch {
	case g.Name == "" || g.Size > 0 && pods >= g.Size:
		return ""
	case g.Size == 0:
		return fmt.Sprintf("its replica %s is a group of pods, and annotation %s does not say of how many: a number from 1 on", g.Name, v1alpha1.GroupSizeAnnotation)
	case g.Exclusive != "":
		return fmt.Sprintf("its replica %s has %d of its %d pods, and its LeaderWorkerSet makes no others before these have a node (annotation %s); name %s as topologyKey in the Model instead",
			g.Name, pods, g.Size, LWSExclusive, g.Exclusive)
	}
	return fmt.Sprintf("its replica %s has %d of its %d pods", g.Name, pods, g.Size)
}

// Leaders leave out, of pods sorted by name, those that are not the first of their group: a replica of several pods is counted, measured and ready as its first
// pod is. A LeaderWorkerSet says which pod leads, and its workers, which go after their leader, are then no replica.
func Leaders(pods []*corev1.Pod) []*corev1.Pod {
	type name struct{ namespace, group string }
	led := map[name]bool{}
	var leaders []*corev1.Pod
	for _, p := range pods {
		of := name{p.Namespace, GroupOf(p).Name}
		if of.group != "" && (led[of] || works(p)) {
			continue
		}
		leaders = append(leaders, p)
		led[of] = true
	}
	return leaders
}

// LeftOver tells whether a pod is a worker of a LeaderWorkerSet that was there before the leader of its group: it is of the replica which that one replaces, and goes.
// Workers are made when their leader is there, and both replicas have one name.
func LeftOver(p, leader *corev1.Pod) bool {
	return works(p) && leader.Labels[LWSName] != "" && leader.Labels[LWSWorker] == "0" && p.CreationTimestamp.Before(&leader.CreationTimestamp)
}

// works tells whether a LeaderWorkerSet says that a pod is a worker.
func works(p *corev1.Pod) bool {
	number := p.Labels[LWSWorker]
	return p.Labels[LWSName] != "" && number != "" && number != "0"
}
