package inferno

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
	fwk "k8s.io/kube-scheduler/framework"
)

// PreBindPreFlight skips pods that have nothing to be annotated with, or will be when they are bound.
func (p *Plugin) PreBindPreFlight(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) (*fwk.PreBindPreFlightResult, *fwk.Status) {
	if s := read[*seating](state, placementKey); s == nil || p.bindsFirst() || contains(pod.Annotations, s.annotations) {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return &fwk.PreBindPreFlightResult{AllowParallel: true}, nil
}

// PreBind annotates the pod, before a kubelet can see it, with the accelerator it takes and what the plan says its engine is started with.
func (p *Plugin) PreBind(ctx context.Context, state fwk.CycleState, pod *v1.Pod, nodeName string) *fwk.Status {
	s := read[*seating](state, placementKey)
	if s == nil || p.bindsFirst() || contains(pod.Annotations, s.annotations) {
		return nil
	}
	start := p.clock.Now()
	err := p.annotate(ctx, pod, s.annotations)
	p.cluster.metrics.annotated(p.clock.Since(start), err)
	if err != nil {
		return fwk.AsStatus(fmt.Errorf("annotating pod %s/%s for node %q: %w", pod.Namespace, pod.Name, nodeName, err))
	}
	return nil
}

// patchWith writes annotations with a merge patch, again on a conflict.
func patchWith(client kubernetes.Interface) func(context.Context, *v1.Pod, map[string]string) error {
	return func(ctx context.Context, pod *v1.Pod, annotations map[string]string) error {
		patch, err := annotationPatch(pod.UID, annotations)
		if err != nil {
			return err
		}
		return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			_, err := client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "inferno-scheduler"})
			return err
		})
	}
}
