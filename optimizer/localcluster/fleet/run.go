package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	informers "k8s.io/client-go/informers/core/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Run plays until the context ends, which is no error. A fleet runs once: to
// restart, make a new one.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	f.begun = time.Now()
	err := f.writeFileSD()
	f.mu.Unlock()
	if err != nil {
		return errors.Join(err, f.listener.Close())
	}

	group, ctx := errgroup.WithContext(ctx)
	web := &http.Server{Handler: f.handler(), ReadHeaderTimeout: 10 * time.Second}
	group.Go(func() error {
		if err := web.Serve(f.listener); err != http.ErrServerClosed {
			return fmt.Errorf("fleet: %w", err)
		}
		return nil
	})
	watch := f.newWatch()
	group.Go(func() error { watch.podInformer.RunWithContext(ctx); return nil })
	group.Go(func() error { watch.nodeInformer.RunWithContext(ctx); return nil })
	group.Go(func() error {
		defer web.Close() // scrapes are short and can be repeated
		return f.loop(ctx, watch)
	})
	return group.Wait()
}

// loop keeps the engines at the present and follows the pods.
func (f *Fleet) loop(ctx context.Context, watch *watch) error {
	ticker := time.NewTicker(f.config.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := f.tick(watch); err != nil {
			return err
		}
	}
}

func (f *Fleet) tick(watch *watch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.play(time.Since(f.begun).Seconds())
	if !watch.news() {
		return nil
	}
	pods, err := watch.pods.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	if f.reconcile(pods, watch.nodes.Get) {
		return f.writeFileSD()
	}
	return nil
}

// watch is the fleet's view of the cluster. The fleet goes by the state it finds,
// events only say when to look.
type watch struct {
	podInformer, nodeInformer cache.SharedIndexInformer

	pods    listers.PodLister
	nodes   listers.NodeLister
	changed atomic.Bool
}

func (f *Fleet) newWatch() *watch {
	w := &watch{
		podInformer: informers.NewFilteredPodInformer(f.config.Client, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.LabelSelector = v1alpha1.ServerLabel
		}),
		nodeInformer: informers.NewNodeInformer(f.config.Client, 0, cache.Indexers{}),
	}
	w.pods = listers.NewPodLister(w.podInformer.GetIndexer())
	w.nodes = listers.NewNodeLister(w.nodeInformer.GetIndexer())
	w.changed.Store(true)
	look := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { w.changed.Store(true) },
		DeleteFunc: func(any) { w.changed.Store(true) },
		UpdateFunc: func(before, after any) {
			if differs(before, after) {
				w.changed.Store(true)
			}
		},
	}
	for _, informer := range []cache.SharedIndexInformer{w.podInformer, w.nodeInformer} {
		if _, err := informer.AddEventHandler(look); err != nil {
			panic(fmt.Sprintf("fleet: %v", err)) // only for an informer that has stopped
		}
	}
	return w
}

// news tells whether there may be something new to see since it last said so.
// Before both lists are complete there is not: a pod would lack its node.
func (w *watch) news() bool {
	if !w.podInformer.HasSynced() || !w.nodeInformer.HasSynced() {
		return false
	}
	return w.changed.Swap(false)
}

// differs tells whether an update can matter: heartbeats of nodes do not.
func differs(before, after any) bool {
	b, isNode := before.(*corev1.Node)
	if !isNode {
		return true
	}
	return !labels.Equals(b.Labels, after.(*corev1.Node).Labels)
}
