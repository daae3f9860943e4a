package inferno

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Filter passes the nodes that carry an accelerator the pod may go to.
func (p *Plugin) Filter(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	c := read[*cycle](state, cycleKey)
	if c == nil || c.decision.Anywhere {
		return nil
	}
	o, ok := c.optionOn(node)
	if !ok {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node carries no accelerator that the plan has room on")
	}
	if _, in := c.domainOn(o, node.Node()); !in {
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "node is in no domain by "+c.within[o.Accelerator].key+" that has room for all pods of the replica, or has others of them")
	}
	return nil
}

// optionOn a node: the accelerator the pod takes there. Nodes with the same label have the same names, and so the same option.
func (c *cycle) optionOn(node fwk.NodeInfo) (*seats.Option, bool) {
	names := c.kinds.Names(node.Node().Labels)
	if len(names) == 0 {
		return nil, false
	}
	var known []choice
	if p := c.choices.Load(); p != nil {
		known = *p
	}
	for i := range known {
		if known[i].names == &names[0] {
			return known[i].option, known[i].option != nil
		}
	}
	var chosen *seats.Option
	if o, ok := c.decision.Best(names); ok {
		chosen = &o
	}
	if len(known) < mostChoices {
		// Of two that note something at once one is lost, and noted again by the next.
		next := append(slices.Clip(known), choice{&names[0], chosen})
		c.choices.Store(&next)
	}
	return chosen, chosen != nil
}
