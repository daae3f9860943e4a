package inferno

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// EventsToRegister are the events of the scheduler's own queue that can help a pod the plugin rejected. Changes of plans, and seats that
// become free, are not among them: the plugin wakes exactly the pods concerned (wake.go) once it has taken note of the change itself.
func (p *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeLabel}, QueueingHintFn: p.afterNodeChange},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.UpdateNodeAllocatable | fwk.UpdateNodeTaint}, QueueingHintFn: p.afterRoomChange},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete}, QueueingHintFn: p.afterRoomChange},
		{Event: fwk.ClusterEvent{Resource: fwk.TargetPod, ActionType: fwk.UpdatePodLabel | fwk.UpdatePodScaleDown}, QueueingHintFn: p.afterPodChange},
	}, nil
}

// afterNodeChange queues a pod when a node begins to carry an accelerator that the plan has room on for it.
func (p *Plugin) afterNodeChange(_ klog.Logger, pod *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	node, ok := after.(*v1.Node)
	if !ok {
		return fwk.Queue, fmt.Errorf("got a %T, want a node", after)
	}
	key, ours := seats.ServerOf(pod)
	if !ours {
		return fwk.Queue, nil
	}
	kinds := p.cluster.fleet.kinds()
	names := kinds.Names(node.Labels)
	old, ok := before.(*v1.Node)
	same, group := ok && old != nil && slices.Equal(kinds.Names(old.Labels), names), placement.GroupOf(pod)
	if same && group.Name == "" {
		return fwk.QueueSkip, nil
	}
	d := p.cluster.decide(key, pod, p.patience(pod))
	o, fits := d.Best(names)
	if domain := o.Domain(group); same && (domain == "" || old.Labels[domain] == node.Labels[domain]) || !fits && !d.Anywhere {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// afterRoomChange queues a pod of a group that must be in one domain when there is more room on a node: PreFilter may have found none with room for all.
func (p *Plugin) afterRoomChange(_ klog.Logger, pod *v1.Pod, _, _ any) (fwk.QueueingHint, error) {
	key, ours := seats.ServerOf(pod)
	group := placement.GroupOf(pod)
	if !ours || group.Name == "" {
		return fwk.QueueSkip, nil
	}
	for _, o := range p.cluster.decide(key, pod, p.patience(pod)).Options {
		if o.Domain(group) != "" {
			return fwk.Queue, nil
		}
	}
	return fwk.QueueSkip, nil
}

// afterPodChange queues a pod when what the plugin reads of it changed.
func (p *Plugin) afterPodChange(_ klog.Logger, _ *v1.Pod, before, after any) (fwk.QueueingHint, error) {
	a, isPod := before.(*v1.Pod)
	b, stillPod := after.(*v1.Pod)
	if !isPod || !stillPod {
		return fwk.Queue, fmt.Errorf("got %T and %T, want pods", before, after)
	}
	if a.Labels[v1alpha1.ServerLabel] != b.Labels[v1alpha1.ServerLabel] || placement.VariantOf(a) != placement.VariantOf(b) {
		return fwk.Queue, nil
	}
	if seats.RevisionOf(a) != seats.RevisionOf(b) {
		return fwk.Queue, nil
	}
	if before, after := placement.Requests(a), placement.Requests(b); !sameCards(p.cluster, before, after) {
		return fwk.Queue, nil
	}
	return fwk.QueueSkip, nil
}

func sameCards(c *cluster, a, b v1.ResourceList) bool {
	return !slices.ContainsFunc(c.fleet.kinds().Kinds(), func(k catalogue.Kind) bool { return placement.Cards(a, k) != placement.Cards(b, k) })
}
