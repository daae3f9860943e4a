package inferno

import (
	"cmp"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// cause of waking a pod, a label of a metric.
type cause string

const (
	causePlanChanged  cause = "plan"
	causeSeatFreed    cause = "seat"
	causeFleetChanged cause = "fleet"
	causeArrived      cause = "arrival"
	causeOverdue      cause = "overdue"
	causeReady        cause = "ready"
	causeTurn         cause = "turn"
	causeGroup        cause = "group"
)

// wake as many of a server's waiting pods as the plan has room for, the longest waiting first, and all of them where no plan limits them.
// A pod that is woken and cannot be placed leaves its room, and the next event wakes one more. Where no quota limits a server, a seat that
// becomes free changes nothing but the node's free resources, for which the scheduler has events of its own.
func (c *cluster) wake(key types.NamespacedName, why cause) {
	c.wakeIf(key, why, "", anyDecision)
}

// wakeOthers wakes those who may have the seat that a group gave back. The group itself would take its nodes again before anybody else could have them.
func (c *cluster) wakeOthers(key types.NamespacedName, group string) {
	c.wakeIf(key, causeSeatFreed, group, anyDecision)
}

func anyDecision(seats.Decision) bool { return true }

// wakeFor wakes pods of servers that may go to one of the accelerators.
func (c *cluster) wakeFor(accelerators []string) {
	if len(accelerators) == 0 {
		return
	}
	for _, key := range c.ledger.ServersWaiting() {
		c.wakeIf(key, causeFleetChanged, "", func(d seats.Decision) bool {
			_, ok := d.Best(accelerators)
			return ok || d.Anywhere
		})
	}
}

// passTurn wakes the pods that are held and whose turn has come: one that came before them is gone, or took what they could not have.
func (c *cluster) passTurn(key types.NamespacedName) {
	if c.held.of(key) > 0 {
		c.wake(key, causeTurn)
	}
}

// wakeIf wakes those whose decision concerns it, and none of the group but, if any.
func (c *cluster) wakeIf(key types.NamespacedName, why cause, but string, concerns func(seats.Decision) bool) {
	if !c.open.Load() {
		return
	}
	// Pods of one revision and variant share a decision.
	type template struct {
		revision seats.Revision
		variant  string
	}
	rooms := map[template]int{}
	seated := map[string]bool{} // groups that are woken for a seat
	var woken []*v1.Pod
	for _, pod := range c.ledger.Waiting(key) {
		if !c.ours(pod) {
			continue
		}
		group := placement.GroupOf(pod).Name
		if group != "" {
			if group == but {
				continue
			}
			switch together := c.ledger.Together(key, pod); {
			case together.Seated:
				woken = append(woken, pod)
				continue
			case together.Missing != "":
				continue
			}
		}
		t := template{seats.RevisionOf(pod), placement.VariantOf(pod)}
		room, known := rooms[t]
		if !known {
			if d := c.decide(key, pod, patient); concerns(d) {
				room = d.Room()
			}
		}
		switch {
		case room == seats.Unlimited && why == causeSeatFreed:
		case room == seats.Unlimited:
			woken = append(woken, pod)
		case room > 0 || seated[group]:
			if why != causeTurn || c.held.has(pod.UID) {
				woken = append(woken, pod)
			}
			if !seated[group] {
				room--
			}
			seated[group] = group != ""
		}
		rooms[t] = room
	}
	c.activate(woken, why)
}

// ours tells whether a waiting pod is for one of this scheduler's profiles and not held back by a gate: waking others would only use up the
// room that those who can use it should be woken for.
func (c *cluster) ours(pod *v1.Pod) bool {
	_, ok := c.profiles.Load(pod.Spec.SchedulerName)
	return ok && len(pod.Spec.SchedulingGates) == 0
}

// activate moves pods to the scheduler's active queue; those that are there, or unknown to it, stay as they are.
func (c *cluster) activate(pods []*v1.Pod, why cause) {
	if len(pods) == 0 {
		return
	}
	m := make(map[string]*v1.Pod, len(pods))
	for _, pod := range pods {
		m[pod.Namespace+"/"+pod.Name] = pod
	}
	c.logger.V(4).Info("Waking pods", "cause", why, "pods", len(pods))
	c.metrics.woken(why, len(pods))
	c.queue.Activate(c.logger, m)
}

// wakeOverdue wakes the waiting pods of a scheduler profile whose patience of d ran out in (from, to].
func (c *cluster) wakeOverdue(profile string, d time.Duration, from, to time.Time) {
	var due []*v1.Pod
	for _, key := range c.ledger.ServersWaiting() {
		for _, pod := range c.ledger.Waiting(key) {
			since, waiting := waitsSince(pod)
			if deadline := since.Add(d); waiting && c.ours(pod) && pod.Spec.SchedulerName == profile && deadline.After(from) && !deadline.After(to) {
				due = append(due, pod)
			}
		}
	}
	slices.SortFunc(due, func(a, b *v1.Pod) int { return cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	c.activate(due, causeOverdue)
}

// waitsSince is when the scheduler first found no place for a pod, or no seat; false where it found one or has not looked.
func waitsSince(pod *v1.Pod) (time.Time, bool) {
	for _, cond := range pod.Status.Conditions {
		if cond.Type == v1.PodScheduled && waits(cond) {
			return cond.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// waits tells whether a condition says of a pod that there is no place for it yet.
func waits(c v1.PodCondition) bool {
	return c.Status == v1.ConditionFalse && (c.Reason == v1.PodReasonUnschedulable || c.Reason == v1alpha1.ReasonNoSeat)
}
