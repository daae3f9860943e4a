package observe

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// What Kueue writes to pods, and how its resources say things.
const (
	kueueGate         = "kueue.x-k8s.io/admission"
	kueueManagedLabel = "kueue.x-k8s.io/managed"
	// kueueWorkloadLabel of pods that go together names their Workload.
	kueueWorkloadLabel = "kueue.x-k8s.io/prebuilt-workload-name"
	workloadFinished   = "Finished"
	neverPreempts      = "Never"
)

// HeldByKueue says whether a pod waits for Kueue to admit it.
func HeldByKueue(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == kueueGate })
}

// HasOthers says whether more has some of the quotas than the pods of Servers: then Workloads are needed.
func (k *Kueue) HasOthers(pods []corev1.Pod) bool {
	reserving := 0
	for i := range k.ClusterQueues {
		reserving += k.ClusterQueues[i].Status.ReservingWorkloads
	}
	for i := range pods {
		if p := &pods[i]; p.Labels[v1alpha1.ServerLabel] != "" && p.Labels[kueueManagedLabel] != "" && !HeldByKueue(p) {
			reserving--
		}
	}
	return reserving > 0
}

// held are the cards of each type, by ClusterQueue, that workloads have which are no pods of Servers and do not give way to these. In a queue of Servers those of a
// lower priority give way, where the queue says so.
func (k *Kueue) held(pods []corev1.Pod, c *catalogue.Classifier, nodes []corev1.Node) map[string]map[string]int {
	ours := k.ours(pods)
	priorities := k.priorities(ours)
	held, kinds := map[string]map[string]int{}, map[string][]catalogue.Kind{}
	for _, f := range k.ResourceFlavors {
		kinds[f.Name] = k.kinds(f.Name, c, nodes)
	}
	for i := range k.Workloads {
		w := &k.Workloads[i]
		if ours[i] || w.Status.Admission == nil || meta.IsStatusConditionTrue(w.Status.Conditions, workloadFinished) {
			continue
		}
		queue := w.Status.Admission.ClusterQueue
		if priority, shared := priorities[queue]; shared && w.Spec.Priority < priority && k.preempts(queue) {
			continue
		}
		for _, set := range w.Status.Admission.PodSetAssignments {
			for name, flavor := range set.Flavors {
				of := kinds[flavor]
				if len(of) != 1 {
					continue // such a quota bounds nothing
				}
				if held[queue] == nil {
					held[queue] = map[string]int{}
				}
				held[queue][of[0].Type] += placement.Cards(corev1.ResourceList{corev1.ResourceName(name): set.ResourceUsage[name]}, of[0])
			}
		}
	}
	return held
}

// ours says of each Workload whether it is of pods of a Server.
func (k *Kueue) ours(pods []corev1.Pod) []bool {
	uids, names := map[types.UID]bool{}, map[types.NamespacedName]bool{}
	for i := range pods {
		if p := &pods[i]; p.Labels[v1alpha1.ServerLabel] != "" {
			uids[p.UID] = true
			if name := p.Labels[kueueWorkloadLabel]; name != "" {
				names[types.NamespacedName{Namespace: p.Namespace, Name: name}] = true
			}
		}
	}
	ours := make([]bool, len(k.Workloads))
	for i := range k.Workloads {
		w := &k.Workloads[i]
		ours[i] = names[types.NamespacedName{Namespace: w.Namespace, Name: w.Name}]
		for _, owner := range w.OwnerReferences {
			ours[i] = ours[i] || uids[owner.UID]
		}
	}
	return ours
}

// priorities are the highest of the pods of Servers, by ClusterQueue; queues that none is in are left out.
func (k *Kueue) priorities(ours []bool) map[string]int32 {
	highest := map[string]int32{}
	for i := range k.Workloads {
		w := &k.Workloads[i]
		if !ours[i] {
			continue
		}
		for _, l := range k.LocalQueues {
			if l.Namespace != w.Namespace || l.Name != w.Spec.QueueName {
				continue
			}
			if before, known := highest[l.Spec.ClusterQueue]; !known || w.Spec.Priority > before {
				highest[l.Spec.ClusterQueue] = w.Spec.Priority
			}
		}
	}
	return highest
}

// preempts says whether pods of a higher priority take the place of others within a ClusterQueue.
func (k *Kueue) preempts(name string) bool {
	return slices.ContainsFunc(k.ClusterQueues, func(q ClusterQueue) bool {
		within := q.Spec.Preemption.WithinClusterQueue
		return q.Name == name && within != "" && within != neverPreempts
	})
}
