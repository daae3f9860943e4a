package inferno

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// SignPod lets the scheduler reuse results for pods that are not ours, which the plugin treats all alike. A pod of a Server declines: where
// the next one may go depends on the quota that this one takes.
func (p *Plugin) SignPod(_ context.Context, pod *v1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	if _, ours := seats.ServerOf(pod); ours {
		return nil, fwk.NewStatus(fwk.Unschedulable, "the placement of pods of a Server depends on quotas that change with every pod")
	}
	return nil, nil
}
