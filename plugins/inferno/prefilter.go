package inferno

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// maxNodeNames is the largest number of node names that PreFilter hands back: beyond it, copying the set costs more than it saves.
const maxNodeNames = 2000

// PreFilter skips pods that belong to no Server. For the others it reads the plan once and names the nodes worth looking at.
func (p *Plugin) PreFilter(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	key, ours := seats.ServerOf(pod)
	if !ours {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	if err := p.cluster.ready(p.args.SyncTimeout.Duration); err != nil {
		p.cluster.metrics.rejected(rejectedUnready)
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, err.Error())
	}
	d := p.cluster.decide(key, pod, p.patience(pod))
	logger := klog.FromContext(ctx)
	logger.V(5).Info("Decided", "pod", klog.KObj(pod), "server", key, "options", len(d.Options), "anywhere", d.Anywhere, "reason", d.Reason)
	if d.Anywhere {
		state.Write(cycleKey, newCycle(p.cluster, key, d, pod))
		return nil, nil
	}
	if len(d.Options) == 0 {
		p.cluster.metrics.rejected(rejectedQuota)
		// No preemption can change what the plan says.
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, d.Reason)
	}
	c := newCycle(p.cluster, key, d, pod)
	if why := p.cluster.keepTogether(c, pod, nodes); why != "" {
		p.cluster.metrics.rejected(rejectedDomain)
		p.giveUp(pod, why)
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, why)
	}
	d = c.decision
	state.Write(cycleKey, c)
	names, few := p.cluster.fleet.carrying(d.Options, maxNodeNames)
	switch {
	case !few:
		return nil, nil
	case names.Len() == 0:
		p.cluster.metrics.rejected(rejectedNode)
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("no node carries an accelerator that the plan of Server %s has room on", key))
	}
	return &fwk.PreFilterResult{NodeNames: names}, nil
}

// PreFilterExtensions is nil: pods that come and go on other nodes change nothing of what the plan says.
func (p *Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }
