package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Groups of other projects, whose resources the API server of the tests does not have.
var foreignGroups = map[string]bool{"cert-manager.io": true, "monitoring.coreos.com": true, "keda.sh": true}

// manifestsAreAccepted has the API server look at all that an installation applies, without keeping it but for the PriorityClass: defaults,
// validation, admission. Pods of the Deployments are tried as well, in a namespace that enforces the pod security standard restricted, for
// Deployments are not held to it.
func manifestsAreAccepted(t *testing.T, s *system, samples string) {
	ctx := t.Context()
	for _, dir := range []string{"overlays/default", "overlays/own-certificate", samples} {
		t.Run(dir, func(t *testing.T) {
			tried, pods := 0, 0
			for _, o := range kustomized(t, s, dir) {
				gvk := o.GroupVersionKind()
				if foreignGroups[gvk.Group] {
					continue
				}
				tried++
				if err := s.ensureNamespace(ctx, o.GetNamespace()); err != nil {
					t.Fatal(err)
				}
				if err := s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.DryRunAll, client.ForceOwnership, client.FieldOwner("dry-run")); err != nil {
					t.Errorf("%s %s: %v", gvk.Kind, o.GetName(), err)
				}
				if gvk.Kind == "PriorityClass" { // pods of the Deployments name it, so it has to be there
					if err := s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.ForceOwnership, client.FieldOwner("e2e")); err != nil {
						t.Fatal(err)
					}
				}
				if gvk.Kind != "Deployment" || o.GetNamespace() != "inferno-system" {
					continue
				}
				pods++
				if err := s.tryPodOf(ctx, o); err != nil {
					t.Errorf("a pod of %s: %v", o.GetName(), err)
				}
			}
			if tried == 0 {
				t.Error("nothing was tried")
			}
			if strings.HasPrefix(dir, "overlays/") && pods != 3 {
				t.Errorf("pods of %d Deployments were tried, there are 3", pods)
			}
		})
	}
}

// kustomized are the objects of a kustomization.
func kustomized(t *testing.T, s *system, dir string) []*unstructured.Unstructured {
	t.Helper()
	stream, err := s.Kustomize(t.Context(), "../../manifests/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(o); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// ensureNamespace makes a namespace that is missing, as strict as the one of the manifests.
func (s *system) ensureNamespace(ctx context.Context, name string) error {
	if name == "" || name == "default" {
		return nil
	}
	ns := &corev1.Namespace{ObjectMeta: named(name)}
	ns.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	if err := s.Client.Create(ctx, ns); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

// tryPodOf a Deployment has the API server admit a pod of its template, in a namespace that enforces the standard restricted.
func (s *system) tryPodOf(ctx context.Context, deployment *unstructured.Unstructured) error {
	const strict = "restricted"
	if err := s.ensureNamespace(ctx, strict); err != nil {
		return err
	}
	template, found, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil || !found {
		return fmt.Errorf("no template: %w", err)
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName("try")
	pod.SetNamespace(strict)
	account, _, _ := unstructured.NestedString(template, "spec", "serviceAccountName")
	if account != "" {
		sa := &corev1.ServiceAccount{ObjectMeta: named(account)}
		sa.Namespace = strict
		if err := s.Client.Create(ctx, sa); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return s.Client.Create(ctx, pod, client.DryRunAll)
}
