package loop

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// FieldOwner of everything the loop writes.
const FieldOwner = "inferno-optimizer"

// applyStatus writes the status of a resource by server-side apply: what we own is set, what others own stays.
func applyStatus(ctx context.Context, c client.Client, kind string, o client.Object, status any) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return fmt.Errorf("status of %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetName(o.GetName())
	u.SetNamespace(o.GetNamespace())
	// An object that was deleted and made again meanwhile is not the one that was looked at.
	u.SetUID(o.GetUID())
	if err := c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the status of %s %s: %w", kind, client.ObjectKeyFromObject(o), err)
	}
	return nil
}

// setDeletionCost writes the deletion cost of a pod, or removes it where that is empty.
func setDeletionCost(ctx context.Context, c client.Client, p *corev1.Pod, cost string) error {
	value := "null"
	if cost != "" {
		value = fmt.Sprintf("%q", cost)
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, deletionCostAnnotation, value)
	if err := c.Patch(ctx, p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the deletion cost of pod %s: %w", client.ObjectKeyFromObject(p), err)
	}
	return nil
}
