// Package gates places the pods of Servers without a scheduler of inferno's. Such pods are made with a scheduling gate. When the plan of their Server has a
// seat for one, one patch gives it the labels that its node must have, writes the limits that its engine is started with, and takes the gate away. Any
// scheduler then finds it a node, and any node autoscaler buys the accelerator that was planned; for a pod without a seat nobody buys anything.
//
// Which pod gets which seat is what the scheduler plugin would say: both ask package seats.
package gates

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// snapshot is what is known of a Server when its gates are looked at.
type snapshot struct {
	key types.NamespacedName
	// server is nil where it does not exist.
	server *v1alpha1.Server
	kinds  *catalogue.Classifier
	// labels of a node; nil where the node is not known.
	labels func(node string) map[string]string
	// pods that bear the Server's label, in any order.
	pods []*corev1.Pod
	// places for pods like one on nodes that carry an accelerator, by the nodes' value of a label, less those that are promised to pods which were let go.
	places func(pod *corev1.Pod, kind catalogue.Kind, key string) map[string]int
}

// actions are what is to be done with the pods of a Server.
type actions struct {
	// lift the gates of these.
	lift []lift
	// remove these: the plan took their seat back before they had a node, and what a pod without a gate asks of nodes cannot be changed.
	remove []*corev1.Pod
	// waiting pods have no seat, each for a reason.
	waiting []wait
	// crowded says that some wait for room in a domain, which other pods and nodes may make.
	crowded bool
}

// lift is a pod that gets a seat.
type lift struct {
	pod    *corev1.Pod
	option seats.Option
	// domain is what its node must have besides, for the pods of its replica to be in one; empty where they need not.
	domain []corev1.NodeSelectorRequirement
}

// wait is a pod that has no seat.
type wait struct {
	pod    *corev1.Pod
	reason string
}

// decide which pods get a seat, the oldest first, and which lose theirs; those of a group all together. The same snapshot gives the same actions.
func decide(s snapshot) actions {
	locate := func(pod *corev1.Pod, node string) string {
		kind, _ := placement.Holds(s.kinds, s.kinds.Names(s.labels(node)), pod)
		return kind.Name
	}
	ledger := seats.NewLedger(locate)
	for _, p := range s.pods {
		ledger.Observe(p)
	}
	a := actions{remove: s.takenBack(ledger, locate)}
	given := domains{of: map[string]string{}, taken: map[[2]string]int{}}
	for _, p := range ledger.Waiting(s.key) {
		if !seats.Gated(p) {
			continue // another's to place
		}
		if reason := s.unplanned(); reason != "" {
			a.waiting = append(a.waiting, wait{p, reason})
			continue
		}
		together := ledger.Together(s.key, p)
		if together.Missing != "" {
			a.waiting = append(a.waiting, wait{p, together.Missing})
			continue
		}
		d := seats.Decide(seats.Situation{
			Key: s.key, Server: s.server, Kinds: s.kinds, Seated: ledger.Seated(s.key, seats.RevisionOf(p)), Held: together.Held,
			Variant: placement.VariantOf(p), Requests: placement.Requests(p), Others: together.Others(p),
		})
		o, domain, reason := s.choose(d, p, together, given)
		if reason != "" {
			a.waiting, a.crowded = append(a.waiting, wait{p, reason}), a.crowded || len(d.Options) > 0
			continue
		}
		if !ledger.Take(s.key, s.server, p, "", o) {
			a.waiting = append(a.waiting, wait{p, fmt.Sprintf("its replica %s has its seat on %q, which no Accelerator describes", placement.GroupOf(p).Name, together.Held)})
			continue
		}
		a.lift = append(a.lift, lift{p, o, domain})
	}
	return a
}

// domains that groups are given in one decision: by the name of the group, and how many pods each takes, by label and value.
type domains struct {
	of    map[string]string
	taken map[[2]string]int
}

// choose the best option of a decision that there is room for in some domain, where its replicas must each be in one; a reason where there is none.
func (s *snapshot) choose(d seats.Decision, p *corev1.Pod, together seats.Together, given domains) (o seats.Option, of []corev1.NodeSelectorRequirement, reason string) {
	group := placement.GroupOf(p)
	reason = cmp.Or(d.Reason, "the plan has no seat for it")
	for _, o := range d.InOrder() {
		key := o.Domain(group)
		if key == "" {
			return o, nil, ""
		}
		var value string
		if value, reason = s.domain(p, group, o.Kind, key, together, given); reason == "" {
			return o, []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}}}, ""
		}
	}
	return o, nil, reason
}

// domain of a pod's group by a label: where others of it are or were let go to, else one with room for all of them.
func (s *snapshot) domain(p *corev1.Pod, group placement.Group, kind catalogue.Kind, key string, together seats.Together, given domains) (value, reason string) {
	if value, reason = together.Domain(key, group, func(node, key string) string { return s.labels(node)[key] }); value != "" || reason != "" {
		return value, reason
	}
	for _, other := range together.Pods {
		if value := placement.Asks(&other.Spec, key); value != "" && seats.Let(other) {
			return value, ""
		}
	}
	if value := given.of[group.Name]; value != "" {
		return value, ""
	}
	places := s.places(p, kind, key)
	for value := range places {
		places[value] -= given.taken[[2]string{key, value}]
	}
	values, reason := seats.Domains(key, group, places)
	if reason != "" {
		return "", reason
	}
	given.of[group.Name] = values[0]
	given.taken[[2]string{key, values[0]}] += group.Size
	return values[0], ""
}

// unplanned says why no pod of the Server has a seat; empty where it has a plan.
func (s *snapshot) unplanned() string {
	switch {
	case s.server == nil:
		return fmt.Sprintf("Server %s does not exist", s.key)
	case s.server.Status.Desired == nil:
		return fmt.Sprintf("Server %s has no plan yet", s.key)
	}
	return ""
}

// takenBack takes out of the ledger, and returns, the pods with a seat and without a node that are beyond what the plan has for their accelerator, the
// youngest first. Without a plan all keep theirs.
func (s *snapshot) takenBack(ledger *seats.Ledger, locate func(*corev1.Pod, string) string) []*corev1.Pod {
	if s.unplanned() != "" {
		return nil
	}
	type way struct{ accelerator, variant string } // of the model
	quota := map[way]int{}
	for _, part := range s.server.Status.Desired.Parts {
		if kind, known := s.kinds.Kind(part.Accelerator); known {
			quota[way{kind.Name, part.Variant}] += part.Now()
		}
	}
	pending := slices.DeleteFunc(slices.Clone(s.pods), func(p *corev1.Pod) bool { return seats.Leaving(p) || !seats.Let(p) })
	slices.SortFunc(pending, func(a, b *corev1.Pod) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(b.Name, a.Name))
	})
	var back []*corev1.Pod
	for _, p := range pending {
		at := way{locate(p, ""), s.server.Spec.Runs(placement.VariantOf(p))}
		if !ledger.HasSeat(s.key, p.UID) || ledger.Seated(s.key, seats.RevisionOf(p)).Of(s.server, at.accelerator, at.variant) <= quota[at] {
			continue
		}
		together, replica := ledger.Together(s.key, p), []*corev1.Pod{p}
		switch {
		case together.OnNodes > 0:
			continue // its group runs, or begins to
		case len(together.Pods) > 0:
			replica = together.Pods
		}
		for _, p := range replica {
			if seats.Let(p) {
				ledger.Forget(p.UID)
				back = append(back, p)
			}
		}
	}
	return back
}
