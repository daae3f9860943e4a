package loop

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kubeevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// What Kueue says of a pod that it takes back, before it deletes it: the reason goes on with why, such as DueToPreempted.
const (
	stoppedCondition corev1.PodConditionType = "TerminationTarget"
	evictedReason    string                  = "WorkloadEvicted"
)

// evictedFor is why Kueue takes a pod back, in its words; empty where it does not.
func evictedFor(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == stoppedCondition && c.Status == corev1.ConditionTrue && strings.HasPrefix(c.Reason, evictedReason) {
			return c.Message
		}
	}
	return ""
}

// evictions remember why Kueue last took pods of Servers back: the pods are soon gone, and those that replace them wait. It is safe for concurrent use.
type evictions struct {
	mu   sync.Mutex
	last map[types.NamespacedName]*eviction
}

// eviction is why pods of a Server were taken back, and whether that was said of it.
type eviction struct {
	why  string
	said bool
}

// note why a pod is taken back; false where it is not, or is of no Server.
func (e *evictions) note(p *corev1.Pod) bool {
	why, server := evictedFor(p), p.Labels[v1alpha1.ServerLabel]
	if why == "" || server == "" {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last == nil {
		e.last = map[types.NamespacedName]*eviction{}
	}
	e.last[types.NamespacedName{Namespace: p.Namespace, Name: server}] = &eviction{why: why}
	return true
}

// say why pods of a Server were last taken back, in Kueue's words; empty where none were, or all are admitted again and it was said before.
func (e *evictions) say(server types.NamespacedName, admitted bool) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.last[server]
	if last == nil || admitted && last.said {
		delete(e.last, server)
		return ""
	}
	last.said = true
	return last.why
}

// seen is for a watch of pods: it notes those that Kueue takes back, once each, and lets nothing else through.
func (e *evictions) seen() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(c kubeevent.CreateEvent) bool { return e.notePod(c.Object) },
		UpdateFunc: func(u kubeevent.UpdateEvent) bool {
			old, is := u.ObjectOld.(*corev1.Pod)
			return is && evictedFor(old) == "" && e.notePod(u.ObjectNew)
		},
		DeleteFunc:  func(kubeevent.DeleteEvent) bool { return false },
		GenericFunc: func(kubeevent.GenericEvent) bool { return false },
	}
}

func (e *evictions) notePod(o any) bool {
	p, is := o.(*corev1.Pod)
	return is && e.note(p)
}

// queueAdmits says of a Server which of its pods wait for Kueue, and why it last took one back.
func (e *evictions) queueAdmits(server types.NamespacedName, pods []*corev1.Pod) metav1.Condition {
	var waiting []string
	for _, p := range pods {
		if !e.note(p) && p.DeletionTimestamp == nil && observe.HeldByKueue(p) {
			waiting = append(waiting, p.Name)
		}
	}
	slices.Sort(waiting)
	words := listed(fmt.Sprintf("%d pods wait for Kueue, kubectl get workloads says for what: ", len(waiting)), waiting)
	reason := v1alpha1.ReasonQueueHolds
	if why := e.say(server, len(waiting) == 0); why != "" {
		reason, words = v1alpha1.ReasonQueueEvicted, joined("Kueue took pods back, which is no failure of theirs: "+why, words)
	}
	return sound(v1alpha1.ConditionQueueAdmits, v1alpha1.ReasonQueueAdmits, "Kueue holds none of its pods back", reason, words)
}

// joined are two sentences, of which the second may be empty.
func joined(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}
