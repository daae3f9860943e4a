package inferno

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Permit has a pod of a group wait, its node reserved, until all others of the group have one, for groupTimeout at most: they are bound together, or none is.
// The first that finds no node gives all of theirs back (PostFilter), so that of two groups which compete for the last nodes one gets them.
func (p *Plugin) Permit(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) (*fwk.Status, time.Duration) {
	c, group := read[*cycle](state, cycleKey), placement.GroupOf(pod)
	if c == nil || c.decision.Anywhere || group.Name == "" {
		return nil, 0
	}
	have := p.cluster.ledger.Together(c.server, pod).OnNodes
	if have >= group.Size {
		p.ofGroup(pod, func(other fwk.WaitingPod) { other.Allow(Name) })
		return nil, 0
	}
	p.cluster.wakeGroup(c.server, pod)
	return fwk.NewStatus(fwk.Wait, fmt.Sprintf("%d of the %d pods of its replica %s have a node", have, group.Size, group.Name)), p.args.GroupTimeout.Duration
}

// giveUp the nodes of all of a pod's group that wait for it.
func (p *Plugin) giveUp(pod *v1.Pod, reason string) {
	if placement.GroupOf(pod).Name != "" {
		p.ofGroup(pod, func(other fwk.WaitingPod) { other.Reject(Name, reason) })
	}
}

// ofGroup calls do for the other pods of a pod's group that wait in Permit.
func (p *Plugin) ofGroup(pod *v1.Pod, do func(fwk.WaitingPod)) {
	key, _ := seats.ServerOf(pod)
	group := placement.GroupOf(pod)
	p.handle.IterateOverWaitingPods(func(w fwk.WaitingPod) {
		other := w.GetPod()
		if is, _ := seats.ServerOf(other); is == key && placement.GroupOf(other).Name == group.Name && other.UID != pod.UID {
			do(w)
		}
	})
}

// wakeGroup wakes those of a pod's group that have no node yet: what it waits for.
func (c *cluster) wakeGroup(key types.NamespacedName, pod *v1.Pod) {
	c.activate(slices.DeleteFunc(c.ledger.Together(key, pod).Pods, func(other *v1.Pod) bool {
		return other.UID == pod.UID || other.Spec.NodeName != "" || !c.ours(other) || c.ledger.HasSeat(key, other.UID)
	}), causeGroup)
}
