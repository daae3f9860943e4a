package inferno

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// cluster is what the plugin knows of the cluster. All profiles of a scheduler share it, so that they share one count of seats.
type cluster struct {
	fleet   *fleet
	ledger  *seats.Ledger
	held    *heldPods
	pods    cache.Store
	plans   *plans
	queue   fwk.PodActivator
	metrics *pluginMetrics
	logger  klog.Logger
	clock   clock.PassiveClock
	started time.Time
	// counted tells whether all pods and nodes of the first lists were handled; read, whether all custom resources were.
	counted, read []cache.InformerSynced
	// profiles of this scheduler that use the plugin, by name.
	profiles sync.Map
	// open is set once pods are placed by what is known.
	open atomic.Bool
}

// readyPoll is how often a plugin that starts looks whether it can begin.
const readyPoll = 50 * time.Millisecond

// newCluster watches pods and nodes through the scheduler's informers, and the custom resources through those of plans, which it starts.
func newCluster(ctx context.Context, shared informers.SharedInformerFactory, p *plans, queue fwk.PodActivator, m *pluginMetrics, c clock.PassiveClock) (*cluster, error) {
	cl := &cluster{fleet: newFleet(), held: newHeldPods(m), plans: p, queue: queue, metrics: m, logger: klog.FromContext(ctx).WithName(Name), clock: c, started: c.Now()}
	cl.ledger = seats.NewLedger(cl.fleet.locate)

	var faults []error
	pods := shared.Core().V1().Pods().Informer()
	faults = append(faults, pods.SetTransform(trim))
	cl.pods = pods.GetStore()
	watch := func(i cache.SharedIndexInformer, h cache.ResourceEventHandler) cache.InformerSynced {
		registration, err := i.AddEventHandler(h)
		if err != nil {
			faults = append(faults, err)
			return nil
		}
		return registration.HasSynced
	}
	cl.counted = []cache.InformerSynced{
		watch(pods, handlers(cl.podChanged, cl.podDeleted)),
		watch(shared.Core().V1().Nodes().Informer(), handlers(cl.nodeChanged, cl.nodeDeleted)),
	}
	cl.read = []cache.InformerSynced{
		watch(p.servers, handlers(cl.serverChanged, cl.serverDeleted)),
		watch(p.accelerators, handlers(cl.acceleratorChanged, func(a *v1alpha1.Accelerator) { cl.acceleratorChanged(nil, a) })),
		p.models.HasSynced,
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("watching the cluster: %w", err)
	}
	p.run(ctx)
	return cl, nil
}

// trim what the cache of the scheduler keeps of a pod. The scheduler itself leaves out only who wrote which field.
func trim(object any) (any, error) {
	if pod, is := object.(*v1.Pod); is {
		placement.Trim(pod)
	}
	return object, nil
}

// handlers of one type of object. changed gets nil for the old object of an addition.
func handlers[T any](changed func(before, after *T), deleted func(*T)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if after, ok := obj.(*T); ok {
				changed(nil, after)
			}
		},
		UpdateFunc: func(before, after any) {
			b, _ := before.(*T)
			if a, ok := after.(*T); ok {
				changed(b, a)
			}
		},
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if before, ok := obj.(*T); ok {
				deleted(before)
			}
		},
	}
}

// ready returns an error while what the plugin knows is not good enough to decide by: always before pods and nodes are counted, and before
// the plans are read for at most patience since the start.
func (c *cluster) ready(patience time.Duration) error {
	if !synced(c.counted) {
		return errors.New("pods and nodes are not counted yet")
	}
	if !synced(c.read) && c.clock.Since(c.started) < patience {
		return errors.New("plans are not read yet")
	}
	return nil
}

func synced(all []cache.InformerSynced) bool {
	return !slices.ContainsFunc(all, func(one cache.InformerSynced) bool { return !one() })
}

// wakeWhenReady wakes all waiting pods when what the plugin knows becomes good enough to decide by.
func (c *cluster) wakeWhenReady(ctx context.Context, patience time.Duration) {
	for c.ready(patience) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyPoll):
		}
	}
	if !synced(c.read) {
		c.logger.Error(nil, "Plans cannot be read: pods of servers are placed as if there were none until they can", "waited", patience)
	}
	c.open.Store(true)
	for _, key := range c.ledger.ServersWaiting() {
		c.activate(slices.DeleteFunc(c.ledger.Waiting(key), func(pod *v1.Pod) bool { return !c.ours(pod) }), causeReady)
	}
}

// patience of a pod with the plan.
type patience int

const (
	patient   patience = iota // it waits for the plan
	impatient                 // it waited for fallbackAfter
	overdue                   // it did, and the fallback applies
)

// decide where a pod of a server may go.
func (c *cluster) decide(key types.NamespacedName, pod *v1.Pod, has patience) seats.Decision {
	s := seats.Situation{
		Key: key, Server: c.plans.server(key), Kinds: c.fleet.kinds(), Carried: c.fleet.carried, Seated: c.ledger.Seated(key, seats.RevisionOf(pod)),
		Variant: placement.VariantOf(pod), Requests: placement.Requests(pod), Overdue: has == overdue,
	}
	together := c.ledger.Together(key, pod)
	s.Held, s.Others = together.Held, together.Others(pod)
	if seats.Let(pod) {
		s.Held = pod.Annotations[v1alpha1.AcceleratorAnnotation]
	}
	if s.Server != nil {
		s.Measured = c.plans.measured(s.Server.Spec.Model)
		s.Expected = s.Server.Status.Desired == nil && has == patient && c.plans.confirmed(c.clock.Now())
	}
	return seats.Decide(s)
}

func (c *cluster) podChanged(before, pod *v1.Pod) {
	for _, e := range c.ledger.Observe(pod) {
		c.follow(e)
	}
	if pod.Spec.NodeName != "" || seats.Leaving(pod) {
		c.held.remove(pod.UID)
	}
	if before != nil && len(before.Spec.SchedulingGates) > 0 {
		c.arrived(pod)
	}
}

func (c *cluster) podDeleted(pod *v1.Pod) {
	c.follow(c.ledger.Forget(pod.UID))
	c.held.remove(pod.UID)
}

// follow up on a change of the ledger.
func (c *cluster) follow(e seats.Effect) {
	switch {
	case e.Freed:
		c.wake(e.Server, causeSeatFreed)
	case e.Withdrew:
		c.passTurn(e.Server)
	case e.Arrived != nil:
		c.arrived(e.Arrived)
	}
}

// arrived follows up on a pod that is new to the ledger, or whose gate is. The scheduler may have looked at it before, and held it until it is counted, or
// before the ledger heard of the seat that was freed for it.
func (c *cluster) arrived(pod *v1.Pod) {
	if !c.open.Load() {
		return
	}
	waited := []*v1.Pod{pod}
	if key, _ := seats.ServerOf(pod); placement.GroupOf(pod).Name != "" {
		waited = c.ledger.Together(key, pod).Pods // it may be whom the others wait for
	}
	c.activate(slices.DeleteFunc(waited, func(pod *v1.Pod) bool { return !c.ours(pod) || !c.held.has(pod.UID) }), causeArrived)
}

func (c *cluster) nodeChanged(_, node *v1.Node) {
	if !c.fleet.setNode(node) {
		return
	}
	c.ledger.Relocate(node.Name)
	c.wakeFor(c.fleet.on(node.Name))
}

func (c *cluster) nodeDeleted(node *v1.Node) {
	// The seats on it stay until their pods go: they may well come back with the node.
	c.fleet.deleteNode(node.Name)
}

func (c *cluster) serverChanged(before, server *v1alpha1.Server) {
	if before != nil && samePlan(before, server) {
		return
	}
	c.wake(types.NamespacedName{Namespace: server.Namespace, Name: server.Name}, causePlanChanged)
}

func (c *cluster) serverDeleted(server *v1alpha1.Server) {
	c.wake(types.NamespacedName{Namespace: server.Namespace, Name: server.Name}, causePlanChanged)
}

// samePlan tells whether two states of a Server place pods alike.
func samePlan(a, b *v1alpha1.Server) bool {
	if (a.Status.Desired == nil) != (b.Status.Desired == nil) {
		return false
	}
	if a.Status.Desired != nil && !slices.Equal(a.Status.Desired.Parts, b.Status.Desired.Parts) {
		return false
	}
	return a.Spec.Model == b.Spec.Model && equality.Semantic.DeepEqual(a.Spec.Variants, b.Spec.Variants)
}

func (c *cluster) acceleratorChanged(before, after *v1alpha1.Accelerator) {
	if before != nil && equality.Semantic.DeepEqual(before.Spec, after.Spec) && equality.Semantic.DeepEqual(before.Annotations, after.Annotations) {
		return
	}
	c.fleet.setAccelerators(c.plans.allAccelerators())
	c.ledger.Relocate("")
	for _, key := range c.ledger.ServersWaiting() {
		c.wake(key, causeFleetChanged)
	}
}
