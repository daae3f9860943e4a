package gates

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// atOnce bounds the requests to the API server that are under way for one Server.
//
// Tuned: requests; guard against an API server that has no time for others
const atOnce = 32

// Reconciler lifts the gates of the pods of one Server at a time.
type Reconciler struct {
	Client client.Client
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Registry takes the controller's metrics.
	Registry prometheus.Registerer

	metrics *metrics
	// desks of the Servers that have pods to place, by name.
	desks sync.Map
	// domains is held while room in domains is given away: none is promised twice.
	domains sync.Mutex
}

// SetupWithManager watches Servers, their pods, and Accelerators.
func (r *Reconciler) SetupWithManager(m ctrl.Manager) error {
	r.metrics = newMetrics(r.Registry)
	planned := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool { return !samePlan(e.ObjectOld, e.ObjectNew) }}
	return ctrl.NewControllerManagedBy(m).
		Named("gates").
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		For(&v1alpha1.Server{}, builder.WithPredicates(planned)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(serverOf)).
		Watches(&v1alpha1.Accelerator{}, handler.EnqueueRequestsFromMapFunc(r.servers), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// samePlan tells whether two states of a Server have the same seats.
func samePlan(before, after client.Object) bool {
	a, isServer := before.(*v1alpha1.Server)
	b, still := after.(*v1alpha1.Server)
	if !isServer || !still || (a.Status.Desired == nil) != (b.Status.Desired == nil) {
		return false
	}
	return equality.Semantic.DeepEqual(a.Spec.Variants, b.Spec.Variants) && (a.Status.Desired == nil || slices.Equal(a.Status.Desired.Parts, b.Status.Desired.Parts))
}

// serverOf a pod, where it has one.
func serverOf(_ context.Context, o client.Object) []reconcile.Request {
	if pod, is := o.(*corev1.Pod); is {
		if key, ours := seats.ServerOf(pod); ours {
			return []reconcile.Request{{NamespacedName: key}}
		}
	}
	return nil
}

// servers are all there are.
func (r *Reconciler) servers(ctx context.Context, _ client.Object) []reconcile.Request {
	var list v1alpha1.ServerList
	if err := r.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing servers")
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// Reconcile lifts the gates that the plan of a Server has seats for. What could not be written is tried again.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var pods corev1.PodList
	mine := []client.ListOption{client.InNamespace(req.Namespace), client.MatchingLabels{v1alpha1.ServerLabel: req.Name}, client.UnsafeDisableDeepCopy}
	if err := r.Client.List(ctx, &pods, mine...); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the pods of Server %s: %w", req.NamespacedName, err)
	}
	if !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return seats.Gated(&p) || seats.Let(&p) }) {
		r.desks.Delete(req.NamespacedName)
		r.metrics.waits(req.NamespacedName, 0)
		return reconcile.Result{}, nil
	}
	v, err := r.look(ctx, req.NamespacedName, pods.Items)
	if err != nil {
		return reconcile.Result{}, err
	}
	if v.server != nil && v.server.Status.Desired != nil && slices.ContainsFunc(v.server.Status.Desired.Parts, func(p jsonspec.AllocationPart) bool { return p.TopologyKey != "" }) {
		r.domains.Lock()
		defer r.domains.Unlock()
		if v.places, err = r.places(ctx, v.kinds); err != nil {
			return reconcile.Result{}, err
		}
	}
	a := decide(v.snapshot)
	var group errgroup.Group
	group.SetLimit(atOnce)
	faults := make([]error, len(a.lift)+len(a.remove)) // one that fails stops no other
	lifted := make([]*corev1.Pod, len(a.lift))
	for i := range a.lift {
		group.Go(func() error { lifted[i], faults[i] = r.lift(ctx, v, a.lift[i]); return nil })
	}
	for i, pod := range a.remove {
		group.Go(func() error { faults[len(a.lift)+i] = r.remove(ctx, pod); return nil })
	}
	_ = group.Wait()
	for i, pod := range lifted { // Events come when all gates are lifted: they are as much work for the API server.
		if pod != nil {
			r.Events.Eventf(pod, nil, corev1.EventTypeNormal, v1alpha1.ReasonSeated, "Place", "a seat on %s of the plan of Server %s", a.lift[i].option.Label, v.key)
		}
	}
	for _, w := range v.desk.news(a.waiting) {
		r.Events.Eventf(w.pod, nil, corev1.EventTypeNormal, v1alpha1.ReasonGated, "Place", "no seat: %s", w.reason)
	}
	r.metrics.waits(req.NamespacedName, len(a.waiting))
	var next reconcile.Result
	if a.crowded {
		next.RequeueAfter = lookAgain
	}
	return next, errors.Join(faults...)
}

// look at a Server, its pods and what their nodes carry.
func (r *Reconciler) look(ctx context.Context, key types.NamespacedName, pods []corev1.Pod) (*view, error) {
	var accelerators v1alpha1.AcceleratorList
	if err := r.Client.List(ctx, &accelerators); err != nil {
		return nil, fmt.Errorf("listing accelerators: %w", err)
	}
	kept, _ := r.desks.LoadOrStore(key, &desk{})
	v := &view{snapshot: snapshot{key: key, kinds: catalogue.ClassifierOf(accelerators.Items)}, seen: map[string]map[string]string{}, desk: kept.(*desk)}
	v.labels = func(node string) map[string]string { return v.seen[node] }
	var server v1alpha1.Server
	if err := r.Client.Get(ctx, key, &server); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Server %s: %w", key, err)
	} else if err == nil {
		v.server = &server
	}
	v.pods = v.desk.latest(pods)
	for _, pod := range v.pods {
		name := pod.Spec.NodeName
		if _, known := v.seen[name]; name == "" || known {
			continue
		}
		var node corev1.Node
		if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, &node); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading node %s: %w", name, err)
		}
		v.seen[name] = node.Labels
	}
	return v, nil
}

// view is a snapshot with the labels of the nodes that the pods are on, and the Server's desk.
type view struct {
	snapshot
	seen map[string]map[string]string
	desk *desk
}

// lift the gate of a pod for its seat; nil where it is gone, or another has its name.
func (r *Reconciler) lift(ctx context.Context, v *view, l lift) (*corev1.Pod, error) {
	more := append(placement.Requirements(v.kinds, l.option.Kind, v.seen), l.domain...)
	patch, err := liftPatch(l.pod, letGo(l.option.Annotations(), len(more)), placement.Required(&l.pod.Spec, more))
	if err != nil {
		return nil, err
	}
	pod := l.pod.DeepCopy()
	err = r.Client.Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, patch))
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil, nil
	case err != nil:
		r.Events.Eventf(l.pod, nil, corev1.EventTypeWarning, v1alpha1.ReasonGated, "Place", "its gate cannot be lifted: %v", err)
		return nil, fmt.Errorf("lifting the gate of pod %s: %w", client.ObjectKeyFromObject(l.pod), err)
	}
	v.desk.note(pod)
	r.metrics.let(l.option.Label, r.Clock.Since(l.pod.CreationTimestamp.Time))
	ctrl.LoggerFrom(ctx).V(1).Info("gate lifted", "pod", client.ObjectKeyFromObject(pod), "accelerator", l.option.Label)
	return pod, nil
}

// remove a pod that has lost its seat, unless it has found a node meanwhile: whoever made it makes another, with a gate.
func (r *Reconciler) remove(ctx context.Context, pod *corev1.Pod) error {
	err := r.Client.Delete(ctx, pod.DeepCopy(), client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case err != nil:
		return fmt.Errorf("removing pod %s, which has no seat any more: %w", client.ObjectKeyFromObject(pod), err)
	}
	r.metrics.removed.Inc()
	r.Events.Eventf(pod, nil, corev1.EventTypeNormal, v1alpha1.ReasonSeatTakenBack, "Place", "the plan took back its seat on %s before it had a node", pod.Annotations[v1alpha1.AcceleratorAnnotation])
	return nil
}
