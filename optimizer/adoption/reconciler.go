package adoption

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

const (
	// again is how soon a workload is looked at that waits for its load to be measured, or for another autoscaler to go, for these are not watched.
	//
	// Tuned: s; guard against an autoscaler that comes late; at half: twice the requests; at twice: half a minute later
	again = 30 * time.Second
	// seldom is how soon one is looked at that has all it should have.
	//
	// Tuned: s; guard against an autoscaler that somebody deleted, for these are not watched; at half: twice the requests; at twice: it is missed for longer
	seldom = 5 * time.Minute
)

// Reconciler makes the Servers of the labelled workloads of one kind.
type Reconciler struct {
	// Client reads from a cache that has the labelled workloads alone: see [Labelled].
	Client client.Client
	// Direct reads the API server itself, for autoscalers, which are many and of which those of a few namespaces are looked at.
	Direct client.Reader
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Kind is Deployment or StatefulSet.
	Kind string
	// Metrics by which autoscalers read plans.
	Metrics Metrics
	// NodeCosts asks what nodes cost, in cents per hour by name, when an Accelerator is to be made. Nil asks nobody.
	NodeCosts func(context.Context, []v1alpha1.Optimizer) (map[string]float64, error)
}

// Labelled selects the workloads that name a class.
func Labelled() labels.Selector {
	has, err := labels.NewRequirement(v1alpha1.ClassLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // of a constant
	}
	return labels.NewSelector().Add(*has)
}

// Kinds of workloads that may be labelled.
func Kinds() []client.Object { return []client.Object{&appsv1.Deployment{}, &appsv1.StatefulSet{}} }

// Setup the controllers of all kinds.
func Setup(m ctrl.Manager, recorder events.EventRecorder, by Metrics, costs func(context.Context, []v1alpha1.Optimizer) (map[string]float64, error)) error {
	var faults []error
	for _, kind := range []string{"Deployment", "StatefulSet"} {
		r := &Reconciler{Client: m.GetClient(), Direct: m.GetAPIReader(), Events: recorder, Clock: clock.RealClock{}, Kind: kind, Metrics: by, NodeCosts: costs}
		faults = append(faults, r.setup(m))
	}
	return errors.Join(faults...)
}

// object is an empty one of its kind, and list an empty list of such.
func (r *Reconciler) object() client.Object {
	if r.Kind == "Deployment" {
		return &appsv1.Deployment{}
	}
	return &appsv1.StatefulSet{}
}

func (r *Reconciler) list() client.ObjectList {
	if r.Kind == "Deployment" {
		return &appsv1.DeploymentList{}
	}
	return &appsv1.StatefulSetList{}
}

// setup watches the workloads and what decides on them.
func (r *Reconciler) setup(m ctrl.Manager) error {
	written := builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	comesOrGoes := builder.WithPredicates(predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }})
	all := handler.EnqueueRequestsFromMapFunc(r.all)
	return ctrl.NewControllerManagedBy(m).
		Named("adoption-of-"+map[string]string{"Deployment": "deployments", "StatefulSet": "statefulsets"}[r.Kind]).
		For(r.object(), written).
		Watches(&v1alpha1.Server{}, handler.EnqueueRequestsFromMapFunc(r.ofServer), written).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod), comesOrGoes).
		Watches(&corev1.Node{}, all, builder.WithPredicates(predicate.Or[client.Object](predicate.LabelChangedPredicate{}, predicate.Funcs{
			UpdateFunc: func(event.UpdateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		}))).
		Watches(&v1alpha1.ServiceClass{}, all, comesOrGoes).
		Watches(&v1alpha1.Model{}, all, written).
		Watches(&v1alpha1.Accelerator{}, all, written).
		Complete(r)
}

// all labelled workloads.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	list := r.list()
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing workloads")
		return nil
	}
	var requests []reconcile.Request
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		if w, is := o.(client.Object); is {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w)})
		}
		return nil
	})
	return requests
}

// ofServer is the workload that a Server was made of.
func (r *Reconciler) ofServer(_ context.Context, o client.Object) []reconcile.Request {
	if s, is := o.(*v1alpha1.Server); is && Made(s, r.Kind) {
		return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(s)}}
	}
	return nil
}

// ofPod is the workload of a pod that is not told yet that it is a Server's.
func (r *Reconciler) ofPod(ctx context.Context, o client.Object) []reconcile.Request {
	pod, is := o.(*corev1.Pod)
	if !is || pod.Labels[v1alpha1.ServerLabel] != "" {
		return nil
	}
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return nil
	}
	name := owner.Name
	if hash := "-" + pod.Labels["pod-template-hash"]; r.Kind == "Deployment" && len(name) > len(hash) {
		name = name[:len(name)-len(hash)]
	}
	key := client.ObjectKey{Namespace: pod.Namespace, Name: name}
	if !Owns(r.Kind, name, pod) || r.Client.Get(ctx, key, r.object()) != nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

// Reconcile makes what there should be for one workload, and takes it away where its label is gone.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	o := r.object()
	if err := r.Client.Get(ctx, req.NamespacedName, o); apierrors.IsNotFound(err) || err == nil && o.GetLabels()[v1alpha1.ClassLabel] == "" {
		return reconcile.Result{}, r.leave(ctx, req.NamespacedName)
	} else if err != nil {
		return reconcile.Result{}, err
	}
	if o.GetDeletionTimestamp() != nil {
		return reconcile.Result{}, nil // what was made of it goes with it
	}
	w := r.workload(o)
	world, err := r.look(ctx, w)
	if err != nil {
		return reconcile.Result{}, err
	}
	wanted, err := Decide(w, world)
	if err == nil && wanted != nil && len(wanted.Accelerators) > 0 && r.NodeCosts != nil {
		costs, unread := r.NodeCosts(ctx, world.Optimizers)
		if unread != nil {
			ctrl.LoggerFrom(ctx).Error(unread, "taking list prices for Accelerators")
		}
		world.NodeCosts = costs
		wanted, err = Decide(w, world)
	}
	if err != nil {
		return reconcile.Result{}, r.refuse(ctx, o, world.ours(w), err)
	}
	if wanted == nil {
		return reconcile.Result{}, nil
	}
	if err := r.write(ctx, o, w, wanted, world.ours(w)); err != nil {
		return reconcile.Result{}, err
	}
	if wanted.Conditions[0].Status != metav1.ConditionTrue {
		return reconcile.Result{RequeueAfter: again}, nil
	}
	return reconcile.Result{RequeueAfter: seldom}, nil
}

// workload as Decide knows it.
func (r *Reconciler) workload(o client.Object) *Workload {
	w := &Workload{Kind: r.Kind, Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(), Class: o.GetLabels()[v1alpha1.ClassLabel]}
	switch o := o.(type) {
	case *appsv1.Deployment:
		w.Template = &o.Spec.Template
	case *appsv1.StatefulSet:
		w.Template = &o.Spec.Template
	}
	return w
}

// look at what else there is.
func (r *Reconciler) look(ctx context.Context, w *Workload) (*World, error) {
	var (
		nodes        corev1.NodeList
		accelerators v1alpha1.AcceleratorList
		models       v1alpha1.ModelList
		classes      v1alpha1.ServiceClassList
		optimizers   v1alpha1.OptimizerList
		servers      v1alpha1.ServerList
		scalers      autoscalingv2.HorizontalPodAutoscalerList
	)
	if err := r.Client.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	for _, list := range []client.ObjectList{&accelerators, &models, &classes, &optimizers} {
		if err := r.Client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	if err := r.Client.List(ctx, &servers, client.InNamespace(w.Namespace)); err != nil {
		return nil, fmt.Errorf("listing servers: %w", err)
	}
	if err := r.Direct.List(ctx, &scalers, client.InNamespace(w.Namespace)); err != nil {
		return nil, fmt.Errorf("listing autoscalers: %w", err)
	}
	return &World{
		Nodes: nodes.Items, Accelerators: accelerators.Items, Models: models.Items, Classes: classes.Items, Optimizers: optimizers.Items,
		Servers: servers.Items, Autoscalers: scalers.Items, Prices: catalogue.BuiltInPrices(), Metrics: r.Metrics,
	}, nil
}

// refuse a workload: what is wrong with it is said on it, and on the Server that was made of it when it was right.
func (r *Reconciler) refuse(ctx context.Context, o client.Object, before *v1alpha1.Server, fault error) error {
	words := strings.ReplaceAll(fault.Error(), "\n", "; ")
	r.Events.Eventf(o, nil, corev1.EventTypeWarning, v1alpha1.ReasonWorkloadUnreadable, "Adopt", "it is not planned: %s", words)
	if before == nil {
		return nil
	}
	return r.say(ctx, before, metav1.Condition{
		Type: v1alpha1.ConditionAdopted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWorkloadUnreadable,
		Message: fmt.Sprintf("the Server stays as it is, %s %s is not read any more: %s", r.Kind, o.GetName(), words),
	})
}

// write what is wanted. Pods are told before there is a Server, so that no plan is made of some of them.
func (r *Reconciler) write(ctx context.Context, o client.Object, w *Workload, wanted *Wanted, before *v1alpha1.Server) error {
	for i := range wanted.Accelerators {
		if err := r.Client.Create(ctx, &wanted.Accelerators[i]); err != nil && !apierrors.IsAlreadyExists(err) {
			return r.failed(o, "Accelerator", err)
		}
	}
	if wanted.Model != nil {
		if _, err := apply(ctx, r.Client, wanted.Model); err != nil {
			return r.failed(o, "Model", err)
		}
	}
	if err := r.tell(ctx, w.Namespace, w.Name, w.Name); err != nil {
		return r.failed(o, "pods", err)
	}
	if before != nil && before.Spec.Model != wanted.Server.Spec.Model {
		// A Server is of one model: of another it is another.
		return r.Client.Delete(ctx, before, client.Preconditions{UID: &before.UID})
	}
	kept, err := apply(ctx, r.Client, wanted.Server)
	if err != nil {
		return r.failed(o, "Server", err)
	}
	if before == nil {
		r.Events.Eventf(o, nil, corev1.EventTypeNormal, v1alpha1.ReasonAdopted, "Adopt", "Server %s is made of it: %s", w.Name, wanted.Conditions[1].Message)
	}
	if wanted.Autoscaler != nil {
		if _, err := apply(ctx, r.Client, wanted.Autoscaler); err != nil {
			return r.failed(o, "HorizontalPodAutoscaler", err)
		}
	}
	if len(kept) > 0 {
		wanted.Conditions[0].Message += fmt.Sprintf("; as somebody wrote them, and not as the workload has them, are %v", kept)
	}
	var server v1alpha1.Server
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(wanted.Server), &server); err != nil {
		return client.IgnoreNotFound(err) // the cache will have it, and ask again
	}
	return r.say(ctx, &server, wanted.Conditions...)
}

// failed write: said on the workload, and tried again.
func (r *Reconciler) failed(o client.Object, what string, err error) error {
	r.Events.Eventf(o, nil, corev1.EventTypeWarning, v1alpha1.ReasonRefused, "Adopt", "%s: %v", what, err)
	return fmt.Errorf("writing %s of %s %s: %w", what, r.Kind, client.ObjectKeyFromObject(o), err)
}

// tell the pods of a workload whose they are, or, with an empty name, that they are nobody's any more.
func (r *Reconciler) tell(ctx context.Context, namespace, workload, server string) error {
	var pods corev1.PodList
	if err := r.Client.List(ctx, &pods, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	var faults []error
	for i := range pods.Items {
		p := &pods.Items[i]
		has, told := p.Labels[v1alpha1.ServerLabel]
		if !Owns(r.Kind, workload, p) || p.DeletionTimestamp != nil || has == server || server == "" && has != workload || server != "" && told {
			continue
		}
		value := "null"
		if server != "" {
			value = fmt.Sprintf("%q", server)
		}
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, v1alpha1.ServerLabel, value)
		faults = append(faults, client.IgnoreNotFound(r.Client.Patch(ctx, p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))))
	}
	return errors.Join(faults...)
}

// leave a workload that has no label any more, or is gone: what was made of it goes, and its pods are nobody's. What somebody took over stays.
func (r *Reconciler) leave(ctx context.Context, key types.NamespacedName) error {
	var server v1alpha1.Server
	if err := r.Client.Get(ctx, key, &server); err != nil || !Made(&server, r.Kind) {
		return client.IgnoreNotFound(err)
	}
	var scalers autoscalingv2.HorizontalPodAutoscalerList
	if err := r.Direct.List(ctx, &scalers, client.InNamespace(key.Namespace)); err != nil {
		return err
	}
	for i := range scalers.Items {
		h := &scalers.Items[i]
		owner := metav1.GetControllerOf(h)
		if h.Labels[ManagedByLabel] != ManagedBy || owner == nil || owner.Kind != r.Kind || owner.Name != key.Name {
			continue
		}
		if err := r.Client.Delete(ctx, h, client.Preconditions{UID: &h.UID}); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	if err := r.tell(ctx, key.Namespace, key.Name, ""); err != nil {
		return err
	}
	return client.IgnoreNotFound(r.Client.Delete(ctx, &server, client.Preconditions{UID: &server.UID}))
}

// say conditions of a Server, where they are not said yet.
func (r *Reconciler) say(ctx context.Context, s *v1alpha1.Server, conditions ...metav1.Condition) error {
	next := make([]metav1.Condition, 0, 2)
	for _, kind := range []string{v1alpha1.ConditionAdopted, v1alpha1.ConditionAssumed} {
		if c := meta.FindStatusCondition(s.Status.Conditions, kind); c != nil {
			next = append(next, *c)
		}
	}
	before := append([]metav1.Condition{}, next...)
	for _, c := range conditions {
		c.ObservedGeneration, c.LastTransitionTime = s.Generation, metav1.NewTime(r.Clock.Now())
		meta.SetStatusCondition(&next, c)
	}
	if equality.Semantic.DeepEqual(before, next) {
		return nil
	}
	return client.IgnoreNotFound(applyConditions(ctx, r.Client, s, next))
}
