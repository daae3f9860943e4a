package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// counts of a server's replicas: pods that are ready, replicas that the Deployment asks for, and those of the plan, surge apart.
type counts struct{ ready, asked, planned int }

func (c counts) String() string {
	return fmt.Sprintf("%d ready, %d asked for, %d planned", c.ready, c.asked, c.planned)
}

// moment is when counts became what they are.
type moment struct {
	at time.Time
	counts
}

// history of a server's replicas, change by change: it is told by watches, so that nothing is missed between two looks however slow the machine.
type history struct {
	of   string
	stop context.CancelFunc

	mu       sync.Mutex
	ready    map[types.UID]bool
	now      counts
	complete bool
	moments  []moment
}

// watchReplicas of a server from now on.
func (s *system) watchReplicas(name string) *history {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	h := &history{of: name, stop: cancel, ready: map[types.UID]bool{}}
	watch, err := cache.New(s.Config(), cache.Options{Scheme: s.Client.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(cancel)
	go func() { _ = watch.Start(ctx) }()
	var synced []toolscache.InformerSynced
	for _, o := range []client.Object{&corev1.Pod{}, &appsv1.Deployment{}, &v1alpha1.Server{}} {
		informer, err := watch.GetInformer(ctx, o)
		if err != nil {
			s.t.Fatal(err)
		}
		registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: h.see, UpdateFunc: func(_, o any) { h.see(o) }, DeleteFunc: h.miss,
		})
		if err != nil {
			s.t.Fatal(err)
		}
		synced = append(synced, registration.HasSynced)
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		s.t.Fatal("the watches of pods, Deployments and Servers ended before they began")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complete = true
	h.moments = []moment{{time.Now(), h.now}}
	return h
}

// see an object that came or changed.
func (h *history) see(o any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o := o.(type) {
	case *corev1.Pod:
		if o.Labels[v1alpha1.ServerLabel] == h.of {
			h.setReady(o.UID, serves(o))
		}
	case *appsv1.Deployment:
		if o.Name == h.of {
			h.now.asked = int(*o.Spec.Replicas)
		}
	case *v1alpha1.Server:
		if o.Name == h.of && o.Status.Desired != nil {
			h.now.planned = 0
			for _, p := range o.Status.Desired.Parts {
				h.now.planned += p.Replicas
			}
		}
	}
	h.note()
}

// miss an object that is gone.
func (h *history) miss(o any) {
	if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = last.Obj
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := o.(*corev1.Pod); ok {
		h.setReady(p.UID, false)
		h.note()
	}
}

func (h *history) setReady(uid types.UID, ready bool) {
	if h.ready[uid] == ready {
		return
	}
	h.ready[uid] = ready
	h.now.ready--
	if ready {
		h.now.ready += 2
	}
}

func (h *history) note() {
	if h.complete && h.moments[len(h.moments)-1].counts != h.now {
		h.moments = append(h.moments, moment{time.Now(), h.now})
	}
}

// end of the history: the counts with which it began, and the least of each.
func (h *history) end() (first, least counts) {
	h.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	first = h.moments[0].counts
	least = first
	for _, m := range h.moments {
		least = counts{min(least.ready, m.ready), min(least.asked, m.asked), min(least.planned, m.planned)}
	}
	return first, least
}

// String tells the history, a line for every change.
func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, m := range h.moments {
		fmt.Fprintf(&b, "\n  %s %s", m.at.Format("15:04:05.000"), m.counts)
	}
	return b.String()
}

// serves tells whether a pod is ready and is to stay.
func serves(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
