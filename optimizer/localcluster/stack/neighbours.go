package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// neighbourManifests are those that a neighbour is installed with: of the module that its program at a path is built from, as the kustomization in a folder of it has them.
func (s *Stack) neighbourManifests(ctx context.Context, path, module, folder string) ([]*unstructured.Unstructured, error) {
	source, err := controlplane.Source(ctx, path, module)
	if err != nil {
		return nil, err
	}
	data, err := s.Kustomize(ctx, filepath.Join(source, folder))
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", module, folder, err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// atLocalhost are the objects of a neighbour whose programs run beside the control plane and not in pods: its Deployments are left out, and what the API server asks
// of its Services it asks at these ports of localhost, by Service. Services that are not named are left out, with what asks them. APIServices trust the authority in
// caBundle (PEM).
func atLocalhost(objects []*unstructured.Unstructured, ports map[string]int, caBundle []byte) ([]byte, error) {
	var streams [][]byte
	for _, o := range objects {
		if !lead(o, ports, caBundle) {
			continue
		}
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, err
		}
		streams = append(streams, data)
	}
	return manifests.Join(streams...), nil
}

// lead what asks Services to localhost; false where the object is left out.
func lead(o *unstructured.Unstructured, ports map[string]int, caBundle []byte) bool {
	spec, _ := o.Object["spec"].(map[string]any)
	switch o.GetKind() {
	case "Deployment":
		return false
	case "Service":
		o.Object["spec"] = map[string]any{"type": "ExternalName", "externalName": "localhost"}
		return ports[o.GetName()] > 0
	case "APIService":
		spec["caBundle"] = caBundle
		return leadReference(spec, ports)
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		webhooks, _ := o.Object["webhooks"].([]any)
		for _, w := range webhooks {
			config, _, _ := unstructured.NestedMap(w.(map[string]any), "clientConfig")
			if !leadReference(config, ports) {
				return false
			}
			w.(map[string]any)["clientConfig"] = config
		}
	case "CustomResourceDefinition":
		config, converts, _ := unstructured.NestedMap(spec, "conversion", "webhook", "clientConfig")
		if converts && leadReference(config, ports) {
			_ = unstructured.SetNestedMap(spec, config, "conversion", "webhook", "clientConfig") // which is there
		}
	}
	return true
}

// leadReference leads the Service of an owner to the port of localhost; false where none is known.
func leadReference(owner map[string]any, ports map[string]int) bool {
	service, _ := owner["service"].(map[string]any)
	name, _ := service["name"].(string)
	if ports[name] == 0 {
		return false
	}
	service["port"] = int64(ports[name])
	return true
}

// freePorts are as many as there are places for them.
func (s *Stack) freePorts(places ...*int) error {
	var errs []error
	for _, place := range places {
		port, err := s.FreePort()
		*place = port
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
