package loop

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// readShares reads Kueue's resources where they are asked for. That these cannot be read is a fault of the shares, and no plan waits for them longer than
// for Prometheus.
func (c *cycle) readShares(ctx context.Context, r *observe.Readings) {
	if c.optimizer.Spec.SharesFrom != v1alpha1.SharesFromKueue {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	k, err := readKueue(ctx, c.direct(), r.Pods)
	if err != nil {
		c.shareFaults = append(c.shareFaults, fmt.Sprintf("spec.sharesFrom: %s: %v", v1alpha1.SharesFromKueue, err))
		return
	}
	var faults []string
	r.Resources.Shares, r.Resources.Cohorts, faults = k.Shares(r.Resources.Accelerators, r.Nodes, r.Pods)
	c.shareFaults = append(c.shareFaults, faults...)
}

// direct reads what no cache is kept of.
func (c *cycle) direct() client.Reader {
	if c.Direct != nil {
		return c.Direct
	}
	return c.Client
}

// readKueue reads Kueue's resources in the newest version that the API server has. Of Workloads there may be many: they are read where others than the pods of
// Servers have some of a quota.
func readKueue(ctx context.Context, reader client.Reader, pods []corev1.Pod) (k observe.Kueue, err error) {
	for _, version := range []string{"v1beta2", "v1beta1"} {
		k = observe.Kueue{}
		of := func(kind string) schema.GroupVersionKind {
			return schema.GroupVersionKind{Group: "kueue.x-k8s.io", Version: version, Kind: kind}
		}
		err = listAs(ctx, reader, of("ClusterQueue"), &k.ClusterQueues)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err == nil {
			if err = listAs(ctx, reader, of("Cohort"), &k.Cohorts); meta.IsNoMatchError(err) {
				err = nil // an older Kueue has cohorts by name alone
			}
		}
		if err == nil {
			err = listAs(ctx, reader, of("LocalQueue"), &k.LocalQueues)
		}
		if err == nil {
			err = listAs(ctx, reader, of("ResourceFlavor"), &k.ResourceFlavors)
		}
		if err == nil && k.HasOthers(pods) {
			err = listAs(ctx, reader, of("Workload"), &k.Workloads)
		}
		return k, err
	}
	return k, fmt.Errorf("its resources are not installed: %w", err)
}

// listAs lists resources of others as far as a type knows them.
func listAs[T any](ctx context.Context, reader client.Reader, kind schema.GroupVersionKind, into *[]T, options ...client.ListOption) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if err := reader.List(ctx, &list, options...); err != nil {
		return err
	}
	for i := range list.Items {
		var x T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &x); err != nil {
			return fmt.Errorf("%s %s: %w", kind.Kind, list.Items[i].GetName(), err)
		}
		*into = append(*into, x)
	}
	return nil
}
