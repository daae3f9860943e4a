package adoption

import (
	"context"
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// FieldOwner of all that is written here.
const FieldOwner = "inferno-adoption"

// apply an object by server-side apply, but for what somebody else wrote otherwise: these fields are kept, and returned.
func apply(ctx context.Context, c client.Client, o client.Object) (kept []string, err error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	delete(content, "status")
	u := &unstructured.Unstructured{Object: content}
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	for {
		err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u.DeepCopy()), client.FieldOwner(FieldOwner))
		theirs := conflicts(err)
		if len(theirs) == 0 {
			return kept, err
		}
		removed := false
		for _, field := range theirs {
			if remove(content, field) {
				removed, kept = true, append(kept, strings.TrimPrefix(field, "."))
			}
		}
		if !removed {
			return kept, err
		}
	}
}

// conflicts are the fields that somebody else wrote otherwise.
func conflicts(err error) (fields []string) {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			fields = append(fields, cause.Field)
		}
	}
	return fields
}

// remove a field from an object, by its path, such as .spec.maxReplicas; keys of maps may have dots themselves. Of a list that somebody wrote into, all goes.
func remove(content map[string]any, path string) bool {
	for key, value := range content {
		rest, begins := strings.CutPrefix(path, "."+key)
		switch {
		case !begins:
			continue
		case rest == "" || rest[0] == '[':
			delete(content, key)
			return true
		}
		if inner, is := value.(map[string]any); is && rest[0] == '.' && remove(inner, rest) {
			return true
		}
	}
	return false
}

// applyConditions writes conditions of a Server; those of others stay.
func applyConditions(ctx context.Context, c client.Client, s *v1alpha1.Server, conditions []metav1.Condition) error {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&struct {
		Conditions []metav1.Condition `json:"conditions"`
	}{conditions})
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{"status": content}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Server"))
	u.SetName(s.Name)
	u.SetNamespace(s.Namespace)
	u.SetUID(s.UID) // not of another of the same name
	return c.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
}
