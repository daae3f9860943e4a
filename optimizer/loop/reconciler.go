// Package loop is the live loop around the decision core: it reads the cluster and Prometheus, decides, and writes plans, conditions, events,
// metrics and a decision log. An Optimizer resource drives it.
package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// minimalGap between two cycles, however often something changes.
const minimalGap = time.Second

// tolerableSkew of two clocks: what is measured is asked for by the clock of Prometheus, so that only ages of pods are off.
// Tuned: s; guard against a clock that is wrong, which Prometheus and the nodes keep to the second
const tolerableSkew = 10 * time.Second

// Reconciler runs cycles as the Optimizer resource says.
type Reconciler struct {
	Client client.Client
	// Direct reads the API server itself, for what is read seldom: the templates of workloads without pods. Nil reads none.
	Direct client.Reader
	Events events.EventRecorder
	Clock  clock.PassiveClock
	Log    *DecisionLog
	// Querier gives the Prometheus of an Optimizer; without a URL it is the one the process was started with.
	Querier func(*v1alpha1.PrometheusSource) (observe.Querier, error)
	// QueryTimeout bounds what one cycle waits for Prometheus.
	QueryTimeout time.Duration
	// Namespace that the loop runs in, whose series of its own it reads back; empty where it is not known.
	Namespace string
	// Gates says that gates of pods are lifted beside the loop.
	Gates bool
	// Registry takes the loop's metrics.
	Registry prometheus.Registerer

	metrics *metrics
	state   control.State
	// estimates were there in the last cycle: what each is about, by name.
	estimates map[string]learnedPair
	// karpenter is what was last read of Karpenter's resources; nil where they are not asked for.
	karpenter *observe.Karpenter
	// evicted are pods that Kueue takes back.
	evicted evictions
	// recalled are the servers whose histories were read back.
	recalled map[string]bool
	seen     observe.Sightings
	counters observe.Counters
	last     time.Time
	number   int64
	due      deadline
}

// deadline is when something should have happened; the zero time where nothing is to happen. It is safe for concurrent use.
type deadline struct{ at atomic.Int64 }

func (d *deadline) expect(by time.Time) {
	if by.IsZero() {
		d.at.Store(0)
		return
	}
	d.at.Store(by.UnixNano())
}

// missed deadline; false where there is none, or it is to come.
func (d *deadline) missed(now time.Time) (time.Time, bool) {
	at := d.at.Load()
	return time.Unix(0, at), at != 0 && now.UnixNano() > at
}

// SetupWithManager watches the Optimizer, and what a plan depends on: a change of what is asked for runs a cycle at once.
func (r *Reconciler) SetupWithManager(m ctrl.Manager) error {
	r.metrics = newMetrics(r.Registry)
	asked := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(m).
		Named("optimizer").
		WithOptions(controller.Options{RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](minimalGap, defaultInterval)}).
		For(&v1alpha1.Optimizer{}, builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.Server{}, handler.EnqueueRequestsFromMapFunc(r.optimizers), asked).
		Watches(&v1alpha1.Model{}, handler.EnqueueRequestsFromMapFunc(r.optimizers), asked).
		Watches(&v1alpha1.ServiceClass{}, handler.EnqueueRequestsFromMapFunc(r.optimizers), asked).
		Watches(&v1alpha1.Accelerator{}, handler.EnqueueRequestsFromMapFunc(r.optimizers), asked).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.optimizers), builder.WithPredicates(r.evicted.seen())).
		Complete(r)
}

// optimizers asks for a cycle of every Optimizer.
func (r *Reconciler) optimizers(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.OptimizerList
	if err := r.Client.List(ctx, &list); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing optimizers")
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = types.NamespacedName{Name: list.Items[i].Name}
	}
	return requests
}

// Alive is nil while cycles end when they are due, and where none is: in a process that does not lead, without an Optimizer, or while it is suspended.
func (r *Reconciler) Alive() error {
	if due, missed := r.due.missed(r.Clock.Now()); missed {
		return fmt.Errorf("a cycle should have ended by %s", due.UTC().Format(time.RFC3339))
	}
	return nil
}

// patience with a cycle that hangs: so much that a process that takes its place can still confirm the plans in time.
func patience(o *v1alpha1.Optimizer) time.Duration {
	return max(staleAfter(o)/2, shortestPatience)
}

// shortestPatience with a cycle.
//
// Tuned: s; guard against a restart for nothing: a cycle may wait for Prometheus and an API server for as long as its timeouts let it
const shortestPatience = time.Minute

// Reconcile runs a cycle, and asks for the next one after the interval.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.OptimizerList
	if err := r.Client.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	i := slices.IndexFunc(list.Items, func(o v1alpha1.Optimizer) bool { return o.Name == req.Name })
	if i < 0 {
		if len(list.Items) == 0 {
			r.due.expect(time.Time{})
		}
		return reconcile.Result{}, nil
	}
	o := &list.Items[i]
	if first := Oldest(list.Items); first.Name != o.Name {
		return reconcile.Result{}, r.setReady(ctx, o, nil, metav1.ConditionFalse, "Superseded", fmt.Sprintf("the optimizer %q is older and drives the loop; delete one of them", first.Name))
	}
	if o.Spec.Mode == v1alpha1.ModeSuspended {
		r.due.expect(time.Time{})
		return reconcile.Result{}, r.setReady(ctx, o, nil, metav1.ConditionFalse, v1alpha1.ReasonSuspended, "spec.mode is Suspended: plans stay as they are")
	}
	if wait := minimalGap - r.Clock.Since(r.last); wait > 0 && !r.last.IsZero() {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	stages, err := r.stages(o)
	if err != nil {
		r.due.expect(time.Time{})
		return reconcile.Result{}, r.setReady(ctx, o, nil, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, err.Error())
	}
	return r.cycle(ctx, o, stages), nil
}

func (r *Reconciler) stages(o *v1alpha1.Optimizer) (*control.Stages, error) {
	system, _ := specification.FromResources(specification.Resources{Optimizer: o})
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	return stages, nil
}

// cycle runs one cycle and reports it.
func (r *Reconciler) cycle(ctx context.Context, o *v1alpha1.Optimizer, stages *control.Stages) reconcile.Result {
	r.last = r.Clock.Now()
	r.number++
	r.due.expect(r.last.Add(patience(o)))
	c := &cycle{Reconciler: r, optimizer: o, stages: stages, watch: stopwatch{now: r.Clock.Now}}
	c.report = v1alpha1.CycleReport{
		Number: r.number, Time: metav1.NewTime(r.last), ID: fmt.Sprintf("%s-%d", strings.ReplaceAll(r.last.UTC().Format("20060102T150405.000"), ".", ""), r.number),
	}
	log := ctrl.LoggerFrom(ctx).WithValues("cycle", c.report.ID)
	err := c.run(ctrl.LoggerInto(ctx, log))
	status, reason, message := metav1.ConditionTrue, v1alpha1.ReasonCycleSucceeded, "cycles run"
	if err != nil {
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonCycleFailed, err.Error()
		log.Error(err, "cycle")
	} else if words := c.degraded(); words != "" {
		reason, message = v1alpha1.ReasonCycleDegraded, words
	}
	if c.unread != nil {
		log.Error(c.unread, "reading Prometheus; set spec.prometheus.url of the Optimizer, or prometheus.url of the chart, to where it answers")
	}
	for _, refused := range c.refused {
		log.Error(errors.New(refused), "writing")
	}
	result := map[string]string{v1alpha1.ReasonCycleSucceeded: "succeeded", v1alpha1.ReasonCycleDegraded: "degraded", v1alpha1.ReasonCycleFailed: "failed"}[reason]
	r.metrics.cycles.WithLabelValues(result).Inc()
	log.Info("cycle", "result", result, "servers", c.report.Servers, "held", c.report.Held, "unserved", c.report.Unserved, "refused", len(c.refused),
		"changed", c.report.Changed, "costCentsPerHour", c.report.TotalCost, "solver", c.report.Solver, "stages", stageWords(c.report.Stages))
	if err := r.setReady(ctx, o, &c.report, status, reason, message, c.conditions...); err != nil {
		log.Error(err, "writing")
	}
	// Whatever went wrong, the next cycle is due after the interval: sooner, measurements would be of less time than forecasts take them for, and later,
	// plans would be stale.
	wait := max(interval(o)-r.Clock.Since(r.last), minimalGap)
	r.due.expect(r.Clock.Now().Add(wait + patience(o)))
	return reconcile.Result{RequeueAfter: wait}
}

// degraded says what a cycle could not do; empty where there is nothing.
func (c *cycle) degraded() string {
	var words []string
	if c.skew.Abs() > tolerableSkew {
		words = append(words, fmt.Sprintf("the clock of Prometheus is %s ahead of the optimizer's (negative: behind); one of them is wrong", c.skew.Round(time.Second)))
	}
	if c.report.Held > 0 || c.report.Unserved > 0 {
		words = append(words, fmt.Sprintf("%d servers cannot be observed, %d are not served as their targets need", c.report.Held, c.report.Unserved))
	}
	if c.unread != nil {
		words = append(words, fmt.Sprintf("Prometheus cannot be read (%v): see that spec.prometheus.url, or prometheus.url of the chart, is where it answers", c.unread))
	}
	if n := len(c.refused); n > 0 {
		words = append(words, fmt.Sprintf("%d writes failed, see the condition %s", n, v1alpha1.ConditionWritten))
	}
	return strings.Join(words, "; ")
}

func stageWords(stages []v1alpha1.StageTime) string {
	words := make([]string, len(stages))
	for i, s := range stages {
		words[i] = fmt.Sprintf("%s %.1f ms", s.Name, s.Milliseconds)
	}
	return strings.Join(words, ", ")
}

// Oldest of several Optimizers, ties by name: the one that drives.
func Oldest(list []v1alpha1.Optimizer) *v1alpha1.Optimizer {
	first := &list[0]
	for i := range list {
		o := &list[i]
		if c := o.CreationTimestamp.Compare(first.CreationTimestamp.Time); c < 0 || (c == 0 && o.Name < first.Name) {
			first = o
		}
	}
	return first
}

// setReady writes the status of an Optimizer with what else is to be said; a nil report leaves that of the last cycle.
func (r *Reconciler) setReady(
	ctx context.Context, o *v1alpha1.Optimizer, report *v1alpha1.CycleReport, status metav1.ConditionStatus, reason, message string, others ...metav1.Condition,
) error {
	next := o.Status
	next.ObservedGeneration = o.Generation
	next.ReconciledAt = o.Annotations[v1alpha1.ReconcileAnnotation]
	next.Conditions = slices.Clone(o.Status.Conditions)
	if report != nil {
		next.LastCycle = report
	}
	for _, c := range append(others, metav1.Condition{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}) {
		before := meta.FindStatusCondition(o.Status.Conditions, c.Type)
		if c.Status == metav1.ConditionFalse && (before == nil || before.Reason != c.Reason) {
			r.Events.Eventf(o, nil, corev1.EventTypeWarning, c.Reason, "Reconcile", "%s", c.Message)
		}
		c.ObservedGeneration, c.LastTransitionTime = o.Generation, metav1.NewTime(r.Clock.Now())
		meta.SetStatusCondition(&next.Conditions, c)
	}
	if equality.Semantic.DeepEqual(o.Status, next) {
		return nil
	}
	return client.IgnoreNotFound(applyStatus(ctx, r.Client, "Optimizer", o, &next))
}
