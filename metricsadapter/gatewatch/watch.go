// Package gatewatch tells of pods that wait behind the gate of placement for longer than a replica takes to start. It runs beside the metrics adapter, which
// is there when the optimizer, whose controller lifts gates, is not: a condition and an event of the Server say it, and a metric.
package gatewatch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Cluster is what the watch reads and writes.
type Cluster interface {
	// Pending are the pods of Servers that have no node, of all namespaces.
	Pending(ctx context.Context) ([]corev1.Pod, error)
	// Servers of all namespaces; what is returned is shared and must not be changed.
	Servers() []*v1alpha1.Server
	// SetCondition of a Server; nil removes what was set.
	SetCondition(ctx context.Context, server *v1alpha1.Server, c *metav1.Condition) error
}

// Watch looks again and again.
type Watch struct {
	Cluster Cluster
	Events  events.EventRecorder
	Now     func() time.Time
	// After is how long a pod may wait before it is told of.
	After time.Duration

	overdue *prometheus.GaugeVec
}

// New registers the metric of a watch.
func New(w Watch, registry prometheus.Registerer) (*Watch, error) {
	w.overdue = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "inferno_gates_overdue_pods", Help: "Pods of a server that wait behind their gate for longer than a replica takes to start, by why.",
	}, []string{"namespace", "server", "reason"})
	if err := registry.Register(w.overdue); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return &w, nil
}

// Run looks until the context ends, five times in the time after which is told. What fails is logged, and tried again.
func (w *Watch) Run(ctx context.Context) {
	ticker := time.NewTicker(max(w.After/5, time.Second))
	defer ticker.Stop()
	for {
		if err := w.Look(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Gates were not looked at")
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look tells of the pods that wait for too long, and takes back what was told of others.
func (w *Watch) Look(ctx context.Context) error {
	pods, err := w.Cluster.Pending(ctx)
	if err != nil {
		return fmt.Errorf("listing pods without a node: %w", err)
	}
	now, overdue := w.Now(), map[types.NamespacedName][]string{}
	for i := range pods {
		if key, ours := seats.ServerOf(&pods[i]); ours && seats.Gated(&pods[i]) && !seats.Leaving(&pods[i]) && now.Sub(pods[i].CreationTimestamp.Time) > w.After {
			overdue[key] = append(overdue[key], pods[i].Name)
		}
	}
	w.overdue.Reset()
	var failed []string
	for _, s := range w.Cluster.Servers() {
		next := w.condition(s, overdue[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}], now)
		if next != nil {
			w.overdue.WithLabelValues(s.Namespace, s.Name, next.Reason).Set(float64(len(overdue[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}])))
		}
		before := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionGatesLifted)
		switch {
		case next == nil && before == nil:
			continue
		case next != nil && before != nil && next.Reason == before.Reason && next.Message == before.Message:
			continue
		case next != nil && before != nil && next.Status == before.Status:
			next.LastTransitionTime = before.LastTransitionTime
		}
		if err := w.Cluster.SetCondition(ctx, s, next); err != nil {
			failed = append(failed, err.Error())
			continue
		}
		if next != nil && (before == nil || before.Reason != next.Reason) {
			w.Events.Eventf(s, nil, corev1.EventTypeWarning, next.Reason, "Place", "%s", next.Message)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("saying of %d Servers that their pods wait: %s", len(failed), failed[0])
	}
	return nil
}

// named is the number of pods that a condition names.
//
// Exact: enough to find the workload; inferno gates lists all
const named = 3

// condition of a Server whose pods of these names wait for too long; nil where none does.
func (w *Watch) condition(s *v1alpha1.Server, waiting []string, now time.Time) *metav1.Condition {
	if len(waiting) == 0 {
		return nil
	}
	slices.Sort(waiting)
	some := strings.Join(waiting[:min(named, len(waiting))], ", ")
	if more := len(waiting) - named; more > 0 {
		some += fmt.Sprintf(" and %d more", more)
	}
	c := &metav1.Condition{
		Type: v1alpha1.ConditionGatesLifted, Status: metav1.ConditionFalse, ObservedGeneration: s.Generation, LastTransitionTime: metav1.NewTime(now),
		Message: fmt.Sprintf("pods wait behind the gate %s for more than %v: %s; ", v1alpha1.PlacementGate, w.After, some),
	}
	plan := s.Status.Desired
	if plan != nil && (plan.StaleAfterSeconds == 0 || now.Sub(plan.ConfirmedAt.Time) <= time.Duration(plan.StaleAfterSeconds)*time.Second) {
		c.Reason = v1alpha1.ReasonNoSeat
		c.Message += fmt.Sprintf("the plan has %d replicas, and no seat for these", plan.Replicas)
		return c
	}
	c.Reason = v1alpha1.ReasonGateNotLifted
	why := "there is no plan"
	if plan != nil {
		why = "no cycle has confirmed the plan since " + plan.ConfirmedAt.UTC().Format(time.RFC3339)
	}
	c.Message += why + ": see that the optimizer runs; inferno gates release lifts them without a seat"
	return c
}
