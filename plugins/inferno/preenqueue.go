package inferno

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// PreEnqueue holds pods for which the plan has no seat: the scheduler does not try them, so that they are not reported as unschedulable, and no
// node autoscaler buys for them. As many pods pass as the plan has room for, those that wait longest first. What is held is woken when its turn
// has come (wake.go).
//
// It is called under the lock of the scheduler's queue, so that it must not wake pods itself.
func (p *Plugin) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	key, ours := seats.ServerOf(pod)
	if !ours || len(pod.Spec.SchedulingGates) > 0 { // what has a gate is held for that
		return nil
	}
	// First held, then asked: whoever changes what the answer depends on looks afterwards who is held.
	c := p.cluster
	c.held.add(key, pod.UID)
	reason, wait := p.holds(key, pod)
	switch wait {
	case waitNot:
		c.held.remove(pod.UID)
		return nil
	case waitSeat:
		p.notices.about(pod)
	case waitCount:
		if !c.pending(pod) {
			c.held.remove(pod.UID) // gone, and the ledger has done with it
		}
	case waitStart:
	}
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, reason)
}

// wait is what a pod is held for.
type wait int

const (
	waitNot   wait = iota // it may pass
	waitStart             // the plugin has just started
	waitCount             // the ledger has not heard of the pod
	waitSeat              // the plan has no seat for it
)

// holds says what a pod of a server has to wait for, and why.
func (p *Plugin) holds(key types.NamespacedName, pod *v1.Pod) (reason string, w wait) {
	c := p.cluster
	if err := c.ready(p.args.SyncTimeout.Duration); err != nil {
		return err.Error(), waitStart
	}
	together := c.ledger.Together(key, pod)
	if together.Seated || c.ledger.HasSeat(key, pod.UID) {
		return "", waitNot
	}
	d := c.decide(key, pod, p.patience(pod))
	room := d.Room()
	if room == seats.Unlimited {
		return "", waitNot
	}
	server := c.plans.server(key)
	ahead, counted := c.ledger.Ahead(key, pod, room, func(other *v1.Pod) bool {
		return c.ours(other) && (placement.VariantOf(other) == placement.VariantOf(pod) || d.Contends(server, placement.VariantOf(other)))
	})
	switch {
	case !counted:
		return "the pod is not counted yet", waitCount
	case together.Missing != "":
		return together.Missing, waitSeat
	case room == 0:
		return d.Reason, waitSeat
	case ahead >= room:
		return fmt.Sprintf("Server %s: the plan has room for %d more, and as many pods have waited longer", key, room), waitSeat
	}
	return "", waitNot
}

// pending tells whether the API server has the pod, without a node, as far as is known.
func (c *cluster) pending(pod *v1.Pod) bool {
	now := c.pod(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	return now != nil && now.UID == pod.UID && now.Spec.NodeName == "" && !seats.Leaving(now)
}

// pod as the API server has it, as far as is known; nil where there is none.
func (c *cluster) pod(key types.NamespacedName) *v1.Pod {
	obj, _, _ := c.pods.GetByKey(key.String())
	pod, _ := obj.(*v1.Pod)
	return pod
}
