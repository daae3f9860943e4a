package inferno

import (
	"context"
	"maps"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// PostFilter keeps a pod from preempting others for a seat that another of its server has preempted for: that one has a node nominated, and takes its seat
// when the victims are gone. It comes before the preemption, which looks only where this leaves the pod an option.
func (p *Plugin) PostFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	c := read[*cycle](state, cycleKey)
	if c == nil || c.decision.Anywhere {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	p.giveUp(pod, "no node has room for a pod of its replica")
	nominated, err := p.nominated(c, pod)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	d := c.decision
	d.Options = maps.Clone(d.Options)
	for accelerator, n := range nominated {
		if o := d.Options[accelerator]; o.Quota != seats.Unlimited && o.Left <= n {
			delete(d.Options, accelerator)
		}
	}
	if len(d.Options) == 0 {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "others of its server have nodes nominated for all that the plan has room for")
	}
	next := newCycle(p.cluster, c.server, d, pod)
	next.within = c.within
	state.Write(cycleKey, next)
	return nil, fwk.NewStatus(fwk.Unschedulable)
}

// nominated counts the other pods of a server that have a node nominated and no seat, by the accelerator that they will take there.
func (p *Plugin) nominated(c *cycle, pod *v1.Pod) (map[string]int, error) {
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, n := range nodes {
		for _, other := range p.handle.NominatedPodsForNode(n.Node().Name) {
			key, ours := seats.ServerOf(other.GetPod())
			if !ours || key != c.server || other.GetPod().UID == pod.UID || p.cluster.ledger.HasSeat(key, other.GetPod().UID) {
				continue
			}
			if o, ok := c.optionOn(n); ok {
				count[o.Accelerator]++
			}
		}
	}
	return count, nil
}
