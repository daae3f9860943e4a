package gates

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// liftPatch is a strategic merge patch that lets a pod go, and no other that has taken its name: its seat and limits as annotations, what its node must have
// as required affinity, and the gate taken away. Affinity is left out where it is nil.
func liftPatch(pod *corev1.Pod, annotations map[string]string, required *corev1.NodeSelector) ([]byte, error) {
	spec := map[string]any{"schedulingGates": []any{map[string]any{"$patch": "delete", "name": v1alpha1.PlacementGate}}}
	if required != nil {
		spec["affinity"] = map[string]any{"nodeAffinity": map[string]any{"requiredDuringSchedulingIgnoredDuringExecution": required}}
	}
	metadata := map[string]any{"uid": pod.UID}
	if len(annotations) > 0 {
		metadata["annotations"] = annotations
	}
	return json.Marshal(map[string]any{"metadata": metadata, "spec": spec})
}

// letGo are the annotations of a pod that gets a seat, and so many requirements of its node.
func letGo(seat map[string]string, requirements int) map[string]string {
	all := maps.Clone(seat)
	all[v1alpha1.PlacementAnnotation] = v1alpha1.PlacementGates
	all[v1alpha1.PlacementRequirementsAnnotation] = strconv.Itoa(requirements)
	return all
}

// Release lifts the gate of a pod without a seat: it goes wherever its template lets it. That it is gone is no error.
func Release(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	patch, err := liftPatch(pod, nil, nil)
	if err != nil {
		return err
	}
	if err := c.Patch(ctx, pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, patch)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("lifting the gate of pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	return nil
}
