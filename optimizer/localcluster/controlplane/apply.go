package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

// FieldManager owns the fields of what a plane applies.
const FieldManager = "inferno-controlplane"

// A resource that the API server does not know yet may be a moment away: its definition was only just accepted.
const (
	applyPatience = time.Minute
	applyPause    = 100 * time.Millisecond
)

// Apply applies every object of a stream of YAML or JSON documents, server side: namespaces and resource definitions
// first, and the rest, in the order given, once the definitions are established. Objects that are refused do not keep
// the others back; all errors are returned together.
func (p *Plane) Apply(ctx context.Context, manifests []byte) error {
	objects, err := decodeObjects(manifests)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	a, err := p.newApplier()
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	slices.SortStableFunc(objects, func(x, y *unstructured.Unstructured) int { return applyPhase(x) - applyPhase(y) })
	var errs []error
	for _, object := range objects {
		if err := a.apply(ctx, object); err != nil {
			errs = append(errs, fmt.Errorf("apply %s %s: %w", object.GetKind(), objectName(object), err))
		}
	}
	return errors.Join(errs...)
}

// ApplyFS applies every object in the .yaml, .yml and .json files of a file tree, such as os.DirFS or an embedded one,
// in the order of their paths. It skips kustomizations; for those there is [Plane.Kustomize].
func (p *Plane) ApplyFS(ctx context.Context, fsys fs.FS) error {
	var manifests bytes.Buffer
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(name)) {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		if _, err := decodeObjects(data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		manifests.WriteString("\n---\n")
		manifests.Write(data)
		return nil
	})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return p.Apply(ctx, manifests.Bytes())
}

// Kustomize returns the objects that the kustomization in dir describes, for [Plane.Apply].
func (p *Plane) Kustomize(ctx context.Context, dir string) ([]byte, error) {
	kubectl, err := p.Kubectl(ctx)
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, kubectl, "kustomize", "--load-restrictor=LoadRestrictionsNone", dir)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+p.admin)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w: %s", dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// decodeObjects reads all documents of a stream and opens the lists among them. All faults are returned together.
func decodeObjects(manifests []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	var errs []error
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for document := 1; ; document++ {
		var content map[string]any
		err := decoder.Decode(&content)
		if errors.Is(err, io.EOF) {
			return objects, errors.Join(errs...)
		}
		if err != nil {
			// The decoder does not find the next document after a fault.
			return nil, errors.Join(append(errs, fmt.Errorf("document %d: %w", document, err))...)
		}
		if len(content) == 0 {
			continue
		}
		of, err := openLists(&unstructured.Unstructured{Object: content})
		if err != nil {
			errs = append(errs, fmt.Errorf("document %d: %w", document, err))
		}
		objects = append(objects, of...)
	}
}

// openLists returns the object, or the objects in it when it is a list, without kustomizations.
func openLists(object *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	if object.IsList() {
		var items []*unstructured.Unstructured
		err := object.EachListItem(func(item runtime.Object) error {
			of, err := openLists(item.(*unstructured.Unstructured))
			items = append(items, of...)
			return err
		})
		return items, err
	}
	var errs []error
	if object.GetAPIVersion() == "" {
		errs = append(errs, errors.New("apiVersion is missing"))
	}
	if object.GetKind() == "" {
		errs = append(errs, errors.New("kind is missing"))
	}
	if object.GetKind() == "Kustomization" {
		return nil, nil
	}
	if object.GetName() == "" {
		errs = append(errs, errors.New("metadata.name is missing"))
	}
	return []*unstructured.Unstructured{object}, errors.Join(errs...)
}

// applyPhase orders what others need before those that need it.
func applyPhase(object *unstructured.Unstructured) int {
	switch object.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	}
	return 2
}

func objectName(object *unstructured.Unstructured) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func (p *Plane) newApplier() (*applier, error) {
	client, err := dynamic.NewForConfig(p.config)
	if err != nil {
		return nil, err
	}
	discovery, err := discovery.NewDiscoveryClientForConfig(p.config)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(discovery))
	return &applier{client: client, mapper: mapper}, nil
}

// apply applies one object, and waits for a resource definition until it is established.
func (a *applier) apply(ctx context.Context, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeoutCause(ctx, applyPatience, fmt.Errorf("not accepted within %v", applyPatience))
	defer cancel()
	for {
		applied, err := a.tryApply(ctx, object)
		if err == nil && (applyPhase(object) != 1 || isEstablished(applied)) {
			return nil
		}
		if err != nil && !isPassing(err) {
			return err
		}
		if meta.IsNoMatchError(err) {
			a.mapper.Reset()
		}
		select {
		case <-time.After(applyPause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (a *applier) tryApply(ctx context.Context, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	gvk := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	client := dynamic.ResourceInterface(a.client.Resource(mapping.Resource))
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		client = a.client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	return client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
}

// isPassing says whether an error may go away by waiting: the resource may be about to exist. A missing namespace has a
// name in the error's details and stays an error.
func isPassing(err error) bool {
	var status apierrors.APIStatus
	if errors.As(err, &status) && apierrors.IsNotFound(err) {
		details := status.Status().Details
		return details == nil || details.Kind != "namespaces"
	}
	return meta.IsNoMatchError(err) || apierrors.IsServiceUnavailable(err)
}

func isEstablished(crd *unstructured.Unstructured) bool {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return false
	}
	return slices.ContainsFunc(conditions, func(c any) bool {
		condition, ok := c.(map[string]any)
		return ok && condition["type"] == "Established" && condition["status"] == "True"
	})
}
