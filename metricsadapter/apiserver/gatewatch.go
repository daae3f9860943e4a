package apiserver

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"github.com/llm-inferno/inferno/metricsadapter/gatewatch"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// gates is the cluster as the watch of gates has it.
type gates struct {
	pods    kubernetes.Interface
	dynamic dynamic.Interface
	servers *serverCache
}

// watchGates returns what tells of gates that nobody lifts for so long; nil where that is not to be told.
func watchGates(config *rest.Config, client dynamic.Interface, servers *serverCache, after time.Duration, registry prometheus.Registerer) (func(context.Context), error) {
	if after == 0 {
		return nil, nil
	}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create the client of the API server: %w", err)
	}
	known := runtime.NewScheme()
	if err := scheme.AddToScheme(known); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(known); err != nil {
		return nil, err
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: typed.EventsV1()})
	w, err := gatewatch.New(gatewatch.Watch{
		Cluster: &gates{typed, client, servers}, Events: broadcaster.NewRecorder(known, name), Now: time.Now, After: after,
	}, registry)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) {
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			return // it was shut down
		}
		defer broadcaster.Shutdown()
		if cache.WaitForCacheSync(ctx.Done(), servers.HasSynced) {
			w.Run(ctx)
		}
	}, nil
}

// Pending implements gatewatch.Cluster.
func (g *gates) Pending(ctx context.Context) ([]corev1.Pod, error) {
	list, err := g.pods.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: v1alpha1.ServerLabel, FieldSelector: "spec.nodeName=,status.phase=Pending"})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Servers implements gatewatch.Cluster.
func (g *gates) Servers() []*v1alpha1.Server { return g.servers.all() }

// SetCondition implements gatewatch.Cluster, by server-side apply: of the status the adapter owns this condition alone.
func (g *gates) SetCondition(ctx context.Context, s *v1alpha1.Server, c *metav1.Condition) error {
	conditions := []any{} // never nothing: a status of which nothing is left would be null, which is refused
	if c != nil {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
		if err != nil {
			return err
		}
		conditions = append(conditions, content)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": conditions}}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Server"))
	u.SetNamespace(s.Namespace)
	u.SetName(s.Name)
	u.SetUID(s.UID)
	_, err := g.dynamic.Resource(v1alpha1.GroupVersion.WithResource("servers")).Namespace(s.Namespace).ApplyStatus(ctx, s.Name, u, metav1.ApplyOptions{FieldManager: name, Force: true})
	if err != nil {
		return fmt.Errorf("writing the status of Server %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}

var _ gatewatch.Cluster = (*gates)(nil)
