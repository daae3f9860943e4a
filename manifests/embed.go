// Package manifests carries what inferno is installed with: definitions, accounts and their rights, APIServices, and kustomizations of the
// programs. The kustomizations are for kubectl; the functions here serve programs that install without it, such as a local control plane.
package manifests

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"path"

	"sigs.k8s.io/yaml"
)

// Files are all manifests.
//
//go:embed adapter apiservices base components crd namespace optimizer overlays rbac samples scheduler
var Files embed.FS

// Names that the manifests and the programs agree on.
const (
	// Namespace that inferno is installed into.
	Namespace = "inferno-system"
	// OptimizerAccount, AdapterAccount and SchedulerAccount are the service accounts of the programs.
	OptimizerAccount = "inferno-optimizer"
	AdapterAccount   = "inferno-adapter"
	SchedulerAccount = "inferno-scheduler"
	// AdapterHost is the name that the certificate of the adapter must be for.
	AdapterHost = "inferno-adapter." + Namespace + ".svc"
)

// CRDs returns the definitions of the custom resources.
func CRDs() []byte { return mustStream("crd/inferno.platform.ai_*.yaml") }

// RBAC returns the namespace, the service accounts of the programs, one each, and what they may do.
func RBAC() []byte {
	return mustStream("namespace/namespace.yaml", "rbac/adapter.yaml", "rbac/optimizer.yaml", "rbac/scheduler.yaml", "rbac/users.yaml")
}

// Samples returns sample Accelerators, Models, ServiceClasses, an Optimizer, and Servers with their Deployments and autoscalers.
func Samples() []byte {
	return mustStream("samples/namespace.yaml", "samples/cluster.yaml", "samples/*-*.yaml")
}

// SchedulerConfig returns the configuration of the scheduler, for its flag --config.
func SchedulerConfig() []byte {
	return mustStream("scheduler/config.yaml")
}

// Local returns all that a control plane needs whose programs run beside its API server and not in pods: [CRDs], [RBAC], and APIServices
// that lead to an adapter at the port of localhost. The adapter's certificate is for [AdapterHost], issued by an authority in caBundle (PEM).
func Local(port int, caBundle []byte) ([]byte, error) {
	external, err := ExternalMetricsAPI(port, caBundle)
	if err != nil {
		return nil, err
	}
	custom, err := CustomMetricsAPI(port, caBundle)
	if err != nil {
		return nil, err
	}
	return Join(CRDs(), RBAC(), mustStream("overlays/local/service.yaml"), external, custom), nil
}

// ExternalMetricsAPI returns the APIService of external.metrics.k8s.io, leading to the port of the adapter's service and trusting the
// authorities in caBundle (PEM).
func ExternalMetricsAPI(port int, caBundle []byte) ([]byte, error) {
	return apiServices("apiservices/external.yaml", port, caBundle)
}

// CustomMetricsAPI is like [ExternalMetricsAPI] for the versions of custom.metrics.k8s.io.
func CustomMetricsAPI(port int, caBundle []byte) ([]byte, error) {
	return apiServices("components/custom-metrics/custom-*.yaml", port, caBundle)
}

// Join makes one stream of several.
func Join(streams ...[]byte) []byte { return bytes.Join(streams, []byte("---\n")) }

func apiServices(pattern string, port int, caBundle []byte) ([]byte, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port of the adapter: %d; must be from 1 to 65535", port)
	}
	names, err := fs.Glob(Files, pattern)
	if err != nil {
		return nil, err
	}
	var services [][]byte
	for _, name := range names {
		service, err := apiService(name, port, caBundle)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		services = append(services, service)
	}
	return Join(services...), nil
}

// apiService returns the APIService in the file, led to the port and trusting the authority.
func apiService(name string, port int, caBundle []byte) ([]byte, error) {
	data, err := Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var service struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Metadata   map[string]any `json:"metadata"`
		Spec       map[string]any `json:"spec"`
	}
	if err := yaml.UnmarshalStrict(data, &service); err != nil {
		return nil, err
	}
	reference, is := service.Spec["service"].(map[string]any)
	if !is {
		return nil, fmt.Errorf("spec.service: %v; must name the adapter's service", service.Spec["service"])
	}
	reference["port"] = port
	service.Spec["caBundle"] = base64.StdEncoding.EncodeToString(caBundle)
	return yaml.Marshal(service)
}

// mustStream returns the embedded files that the patterns match as one stream, in the order of the patterns and of their names. A pattern
// without a match is a mistake in this package.
func mustStream(patterns ...string) []byte {
	var files [][]byte
	for _, pattern := range patterns {
		names, err := fs.Glob(Files, path.Clean(pattern))
		if err != nil || len(names) == 0 {
			panic(fmt.Sprintf("manifests: %q matches no embedded file (%v)", pattern, err))
		}
		for _, name := range names {
			data, err := Files.ReadFile(name)
			if err != nil {
				panic(fmt.Sprintf("manifests: %v", err))
			}
			files = append(files, data)
		}
	}
	return Join(files...)
}
