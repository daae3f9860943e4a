package loop

import (
	"context"
	"fmt"

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
	var reader client.Reader = c.Client
	if c.Direct != nil {
		reader = c.Direct
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	k, err := readKueue(ctx, reader)
	if err != nil {
		c.shareFaults = append(c.shareFaults, fmt.Sprintf("spec.sharesFrom: %s: %v", v1alpha1.SharesFromKueue, err))
		return
	}
	var faults []string
	r.Resources.Shares, r.Resources.Cohorts, faults = k.Shares(r.Resources.Accelerators, r.Nodes)
	c.shareFaults = append(c.shareFaults, faults...)
}

// readKueue reads Kueue's resources in the newest version that the API server has.
func readKueue(ctx context.Context, reader client.Reader) (k observe.Kueue, err error) {
	for _, version := range []string{"v1beta2", "v1beta1"} {
		k = observe.Kueue{}
		err = listAs(ctx, reader, version, "ClusterQueue", &k.ClusterQueues)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err == nil {
			if err = listAs(ctx, reader, version, "Cohort", &k.Cohorts); meta.IsNoMatchError(err) {
				err = nil // an older Kueue has cohorts by name alone
			}
		}
		if err == nil {
			err = listAs(ctx, reader, version, "LocalQueue", &k.LocalQueues)
		}
		if err == nil {
			err = listAs(ctx, reader, version, "ResourceFlavor", &k.ResourceFlavors)
		}
		return k, err
	}
	return k, fmt.Errorf("its resources are not installed: %w", err)
}

// listAs lists resources of Kueue as far as a type knows them.
func listAs[T any](ctx context.Context, reader client.Reader, version, kind string, into *[]T) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: "kueue.x-k8s.io", Version: version, Kind: kind + "List"})
	if err := reader.List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		var x T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &x); err != nil {
			return fmt.Errorf("%s %s: %w", kind, list.Items[i].GetName(), err)
		}
		*into = append(*into, x)
	}
	return nil
}
