package manifests

import (
	"bufio"
	"bytes"
	"fmt"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

func bufioReader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }

// identify names an object by kind, namespace and name.
func identify(object runtime.Object) string {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return err.Error()
	}
	return reference(object.GetObjectKind().GroupVersionKind().Kind, accessor.GetNamespace(), accessor.GetName())
}

func reference(kind, namespace, name string) string {
	return fmt.Sprintf("%s %s/%s", kind, namespace, name)
}

// of returns the objects of a type.
func of[T runtime.Object](objects []runtime.Object) []T {
	var found []T
	for _, object := range objects {
		if typed, is := object.(T); is {
			found = append(found, typed)
		}
	}
	return found
}

// containers of a deployment, also those that run before the others.
func containers(d *apps.Deployment) []core.Container {
	return append(append([]core.Container{}, d.Spec.Template.Spec.InitContainers...), d.Spec.Template.Spec.Containers...)
}
