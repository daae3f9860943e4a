package apiserver

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// scaledByIndex finds Servers by their scale targets.
const scaledByIndex = "scaledBy"

// serverCache is a watched cache of all Servers, reduced to what the provider reads.
type serverCache struct {
	informer cache.SharedIndexInformer
}

var _ metricsadapter.Servers = (*serverCache)(nil)

// newServerCache returns a cache that fills once its informer runs.
func newServerCache(client dynamic.Interface) (*serverCache, error) {
	informer := dynamicinformer.NewFilteredDynamicInformer(client, v1alpha1.GroupVersion.WithResource("servers"), metav1.NamespaceAll, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc, scaledByIndex: scaledByKeys}, nil).Informer()
	if err := informer.SetTransform(toServer); err != nil {
		return nil, fmt.Errorf("prepare the cache of Servers: %w", err)
	}
	return &serverCache{informer: informer}, nil
}

// HasSynced implements metricsadapter.Servers.
func (c *serverCache) HasSynced() bool { return c.informer.HasSynced() }

// Get implements metricsadapter.Servers.
func (c *serverCache) Get(namespace, name string) (*v1alpha1.Server, bool) {
	item, found, err := c.informer.GetIndexer().GetByKey(cache.NewObjectName(namespace, name).String())
	if err != nil || !found {
		return nil, false
	}
	server, is := item.(*v1alpha1.Server)
	return server, is
}

// List implements metricsadapter.Servers.
func (c *serverCache) List(namespace string) []*v1alpha1.Server {
	return c.byIndex(cache.NamespaceIndex, namespace)
}

// ScaledBy implements metricsadapter.Servers.
func (c *serverCache) ScaledBy(namespace string, workload schema.GroupResource, name string) []*v1alpha1.Server {
	return c.byIndex(scaledByIndex, scaledByKey(namespace, workload, name))
}

// all Servers of the cluster, in any order.
func (c *serverCache) all() []*v1alpha1.Server {
	return asServers(c.informer.GetIndexer().List())
}

func (c *serverCache) byIndex(index, key string) []*v1alpha1.Server {
	items, err := c.informer.GetIndexer().ByIndex(index, key)
	if err != nil { // only an index that does not exist fails
		return nil
	}
	return asServers(items)
}

func asServers(items []any) []*v1alpha1.Server {
	servers := make([]*v1alpha1.Server, 0, len(items))
	for _, item := range items {
		if server, is := item.(*v1alpha1.Server); is {
			servers = append(servers, server)
		}
	}
	return servers
}

func scaledByKey(namespace string, workload schema.GroupResource, name string) string {
	return namespace + "/" + workload.String() + "/" + name
}

func scaledByKeys(item any) ([]string, error) {
	server, is := item.(*v1alpha1.Server)
	if !is {
		return nil, nil
	}
	var keys []string
	for _, ref := range metricsadapter.ScaleTargets(server) {
		keys = append(keys, scaledByKey(server.Namespace, metricsadapter.Workload(ref), ref.Name))
	}
	return keys, nil
}

// toServer turns what the watch delivers into a Server that holds no more than the provider reads. A Server that does not decode keeps its
// name and says why it has no plan: it must neither stop the watch of all others nor look as if it did not exist.
func toServer(item any) (any, error) {
	u, is := item.(*unstructured.Unstructured)
	if !is {
		return item, nil // a Server already, or the tombstone of one
	}
	server := &v1alpha1.Server{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, server); err != nil {
		server = &v1alpha1.Server{Status: v1alpha1.ServerStatus{Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionPlanned, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidSpec, Message: err.Error(),
		}}}}
	}
	trimmed := &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), Labels: u.GetLabels(),
		},
		Spec: v1alpha1.ServerSpec{ServerBinding: server.Spec.ServerBinding},
		Status: v1alpha1.ServerStatus{
			Current: server.Status.Current, ReadyReplicas: server.Status.ReadyReplicas, Desired: server.Status.Desired,
		},
	}
	for _, kind := range []string{v1alpha1.ConditionPlanned, v1alpha1.ConditionGatesLifted} {
		if c := meta.FindStatusCondition(server.Status.Conditions, kind); c != nil {
			trimmed.Status.Conditions = append(trimmed.Status.Conditions, *c)
		}
	}
	return trimmed, nil
}
