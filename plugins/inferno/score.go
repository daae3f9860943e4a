package inferno

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

func newCycle(c *cluster, key types.NamespacedName, d seats.Decision, pod *v1.Pod) *cycle {
	s := &cycle{server: key, kinds: c.fleet.kinds(), decision: d, cards: map[string]int64{}}
	requests := placement.Requests(pod)
	for _, o := range d.Options {
		s.cards[o.Kind.ResourceName] = int64(placement.Cards(requests, o.Kind))
	}
	return s
}

// PreScore skips pods that PreFilter skipped or has nothing to say about.
func (p *Plugin) PreScore(_ context.Context, state fwk.CycleState, _ *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	if c := read[*cycle](state, cycleKey); c == nil || c.decision.Anywhere {
		return fwk.NewStatus(fwk.Skip)
	}
	return nil
}

// Score prefers the accelerator on which the plan is least fulfilled, then nodes where the pod destroys the least room for larger replicas.
func (p *Plugin) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	c := read[*cycle](state, cycleKey)
	if c == nil {
		return 0, nil
	}
	o, ok := c.optionOn(node)
	if !ok {
		return rawScore(fieldMax, placement.Harm{Lost: fieldMax, Left: fieldMax}), nil
	}
	resource := v1.ResourceName(o.Kind.ResourceName)
	capacity := node.GetAllocatable().GetScalarResources()[resource]
	free := capacity - node.GetRequested().GetScalarResources()[resource]
	request := c.cards[o.Kind.ResourceName]
	at, _ := c.domainOn(o, node.Node())
	return rawScore(o.Rank*(len(c.within[o.Accelerator].names)+1)+at, placement.HarmOf(free, request, capacity)), nil
}

// ScoreExtensions normalises the scores.
func (p *Plugin) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore keeps the order of the scores and gives the best node, the first by name among equals, the maximum.
func (p *Plugin) NormalizeScore(_ context.Context, _ fwk.CycleState, _ *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	normalise(scores)
	return nil
}
