package inferno

import (
	"context"
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// notices tell users why pods are held. The scheduler says nothing of such pods, so a pod gets a condition PodScheduled, False with the reason
// NoSeat, and an event; again only where the reason has changed. The condition also keeps how long the pod has waited, for fallbackAfter. Node
// autoscalers look for the reason Unschedulable, and so take no notice.
type notices struct {
	plugin *Plugin
	client kubernetes.Interface
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

func newNotices(p *Plugin, client kubernetes.Interface) *notices {
	return &notices{p, client, workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]())}
}

// about a pod that is held. It does not wait for the API server.
func (n *notices) about(pod *v1.Pod) {
	n.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
}

// run until the context ends. What could not be written is tried again.
func (n *notices) run(ctx context.Context) {
	go func() {
		<-ctx.Done()
		n.queue.ShutDown()
	}()
	for {
		key, done := n.queue.Get()
		if done {
			return
		}
		if err := n.write(ctx, key); err != nil {
			klog.FromContext(ctx).V(2).Info("A pod is not told why it waits; it is tried again", "pod", key, "err", err)
			n.queue.AddRateLimited(key)
		} else {
			n.queue.Forget(key)
		}
		n.queue.Done(key)
	}
}

func (n *notices) write(ctx context.Context, key types.NamespacedName) error {
	pod := n.plugin.cluster.pod(key)
	if pod == nil || !n.plugin.cluster.pending(pod) || !n.plugin.cluster.held.has(pod.UID) {
		return nil
	}
	server, _ := seats.ServerOf(pod)
	reason, wait := n.plugin.holds(server, pod)
	if wait != waitSeat {
		return nil
	}
	patch, changed, err := noSeatPatch(pod, reason, metav1.NewTime(n.plugin.clock.Now()))
	if err != nil || !changed {
		return err
	}
	_, err = n.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "inferno-scheduler"}, "status")
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil: // a conflict, too: the pod may have a node by now
		return fmt.Errorf("writing the condition PodScheduled of pod %s: %w", key, err)
	}
	n.plugin.handle.EventRecorder().Eventf(pod, nil, v1.EventTypeNormal, v1alpha1.ReasonNoSeat, actionScheduling, "no seat: %s", reason)
	return nil
}

// noSeatPatch is the condition of a pod that is held for a reason, of the pod in this version and no later one, or false where it has it. As for
// any condition, its time changes with its status alone.
func noSeatPatch(pod *v1.Pod, reason string, now metav1.Time) (patch []byte, changed bool, err error) {
	next := v1.PodCondition{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1alpha1.ReasonNoSeat, Message: reason, LastTransitionTime: now}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type != v1.PodScheduled:
		case c.Status == next.Status && c.Reason == next.Reason && c.Message == next.Message:
			return nil, false, nil
		case c.Status == next.Status && waits(c):
			next.LastTransitionTime = c.LastTransitionTime
		}
	}
	patch, err = json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   map[string]any{"conditions": []v1.PodCondition{next}},
	})
	return patch, true, err
}
