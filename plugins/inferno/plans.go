package inferno

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// plans are the custom resources that the plugin reads.
//
// They have informers of their own instead of being declared to the scheduler by EventsToRegister: the scheduler would then start only
// when the custom resource definitions are installed, and it would wake pods before the cache that the plugin reads has the news.
type plans struct {
	servers      cache.SharedIndexInformer
	accelerators cache.SharedIndexInformer
	models       cache.SharedIndexInformer
}

// newPlans makes informers that are not started yet.
func newPlans(config *rest.Config) (*plans, error) {
	client, err := restClient(config)
	if err != nil {
		return nil, err
	}
	return &plans{
		servers:      informer(client, "servers", &v1alpha1.Server{}),
		accelerators: informer(client, "accelerators", &v1alpha1.Accelerator{}),
		models:       informer(client, "models", &v1alpha1.Model{}),
	}, nil
}

// restClient for inferno's API group. The scheduler's own configuration speaks protobuf, which custom resources do not.
func restClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c := rest.CopyConfig(config)
	c.APIPath = "/apis"
	c.GroupVersion = &v1alpha1.GroupVersion
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", v1alpha1.GroupVersion, err)
	}
	return client, nil
}

func informer(client cache.Getter, resource string, example runtime.Object) cache.SharedIndexInformer {
	lw := cache.NewListWatchFromClient(client, resource, metav1.NamespaceAll, fields.Everything())
	return cache.NewSharedIndexInformer(lw, example, 0, cache.Indexers{})
}

// run the informers until the context ends.
func (p *plans) run(ctx context.Context) {
	for _, i := range []cache.SharedIndexInformer{p.servers, p.accelerators, p.models} {
		go i.RunWithContext(ctx)
	}
}

// server with a name, nil where there is none.
func (p *plans) server(key types.NamespacedName) *v1alpha1.Server {
	return get[*v1alpha1.Server](p.servers, key.String())
}

// confirmed tells whether an optimizer plans: whether some plan may still be followed.
func (p *plans) confirmed(now time.Time) bool {
	return slices.ContainsFunc(p.servers.GetStore().List(), func(obj any) bool {
		s, ok := obj.(*v1alpha1.Server)
		return ok && s.Status.Desired != nil && s.Status.Desired.Fresh(now)
	})
}

// measured are the accelerators for which a model has performance data, given or learned.
func (p *plans) measured(model string) []string {
	m := get[*v1alpha1.Model](p.models, model)
	if m == nil {
		return nil
	}
	var names []string
	for _, d := range m.Spec.Performance {
		names = append(names, d.Accelerator)
	}
	return append(names, m.Status.LearnedOn...)
}

// allAccelerators are all Accelerator resources.
func (p *plans) allAccelerators() []*v1alpha1.Accelerator {
	var list []*v1alpha1.Accelerator
	for _, obj := range p.accelerators.GetStore().List() {
		if a, ok := obj.(*v1alpha1.Accelerator); ok {
			list = append(list, a)
		}
	}
	return list
}

func get[T any](i cache.SharedIndexInformer, key string) T {
	obj, _, _ := i.GetStore().GetByKey(key)
	t, _ := obj.(T)
	return t
}
