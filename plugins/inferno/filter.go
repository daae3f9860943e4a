package inferno

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// Filter passes the nodes that carry an accelerator the pod may go to.
func (p *Plugin) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	c := read[*cycle](state, cycleKey)
	if c == nil || c.decision.anywhere {
		return nil
	}
	if _, ok := c.optionOn(node); !ok {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node carries no accelerator that the plan has room on")
	}
	return nil
}

// optionOn a node: the accelerator the pod takes there.
func (c *cycle) optionOn(node fwk.NodeInfo) (option, bool) {
	return c.decision.best(c.kinds.Names(node.Node().Labels))
}
