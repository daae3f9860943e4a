package inferno

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// PostBind reports where the pod went.
func (p *Plugin) PostBind(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) {
	s := read[*seating](state, placementKey)
	if s == nil {
		return
	}
	p.cluster.metrics.placed(s.label, s.outcome)
	report(p.handle.EventRecorder(), pod, *s)
}
