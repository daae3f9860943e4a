package inferno

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Reserve takes the pod's seat. The quota is checked again under the ledger's lock: pods bound by others may have used it up meanwhile.
func (p *Plugin) Reserve(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	c := read[*cycle](state, cycleKey)
	if c == nil {
		return nil
	}
	if c.decision.Anywhere {
		state.Write(placementKey, &seating{outcome: seats.OutcomeUnplanned, reason: c.decision.Reason})
		return nil
	}
	node, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName)
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("node %q: %w", nodeName, err))
	}
	o, ok := c.optionOn(node)
	if !ok {
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("node %q no longer carries a planned accelerator", nodeName))
	}
	server := p.cluster.plans.server(c.server)
	if !p.cluster.ledger.Take(c.server, server, pod, nodeName, *o) {
		p.cluster.metrics.rejected(rejectedRaced)
		return fwk.NewStatus(fwk.Unschedulable, fmt.Sprintf("the plan's room for Server %s on %s was used up meanwhile", c.server, o.Label))
	}
	if server != nil && len(server.Spec.Variants) > 0 {
		p.cluster.passTurn(c.server) // another variant may have waited for what this pod could have taken and did not
	}
	state.Write(placementKey, &seating{label: o.Label, outcome: o.Outcome, reason: c.decision.Reason, annotations: o.Annotations()})
	klog.FromContext(ctx).V(4).Info("Seated", "pod", klog.KObj(pod), "server", c.server, "node", nodeName, "accelerator", o.Accelerator, "outcome", o.Outcome)
	return nil
}

// Unreserve gives the seat back and wakes a pod that waits for one. Calling it again, or without Reserve, changes nothing.
func (p *Plugin) Unreserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) {
	c := read[*cycle](state, cycleKey)
	if c == nil {
		return
	}
	state.Delete(placementKey)
	p.giveUp(pod, "a pod of its replica lost its node")
	if p.cluster.ledger.Release(c.server, pod.UID) {
		p.cluster.wakeOthers(c.server, placement.GroupOf(pod).Name)
	}
}
