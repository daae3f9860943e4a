// Package manifests carries what inferno is installed with. The Helm chart in the directory chart is the source of it all; the overlays are
// rendered from it, for kubectl, and the functions here serve programs that install without either, such as a local control plane.
package manifests

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"path"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Files are what is applied as it is: definitions, rendered overlays, samples.
//
//go:embed chart/files overlays samples samples-before-1.37 samples-gateway
var Files embed.FS

// Names that the manifests and the programs agree on, where the release is called inferno.
const (
	// Namespace that inferno is installed into.
	Namespace = "inferno-system"
	// OptimizerAccount, AdapterAccount and SchedulerAccount are the service accounts of the programs.
	OptimizerAccount = "inferno-optimizer"
	AdapterAccount   = "inferno-adapter"
	SchedulerAccount = "inferno-scheduler"
	// AdapterService is the adapter's, and AdapterHost the name that its certificate must be for.
	AdapterService = "inferno-adapter"
	AdapterHost    = AdapterService + "." + Namespace + ".svc"
)

// installed is the overlay that the functions below take their objects from.
const installed = "overlays/default/inferno.yaml"

// CRDs returns the definitions of the custom resources.
func CRDs() []byte { return mustStream("chart/files/crds/inferno.platform.ai_*.yaml") }

// RBAC returns the namespace, the service accounts of the programs, one each, and what they and users may do.
func RBAC() []byte {
	return mustKinds("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
}

// Policies returns the admission policies that keep tenants from writing what plans rely on.
func Policies() []byte {
	return mustKinds("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
}

// PodPolicies returns the policy by which pods of labelled workloads get what a pod of a Server needs (Kubernetes 1.36).
func PodPolicies() []byte { return mustStream("overlays/default/adoption.yaml") }

// Defaults returns the Optimizer and the ServiceClasses that an installation begins with.
func Defaults() []byte { return mustStream("overlays/default/optimizer.yaml") }

// Samples returns sample Accelerators, Models, ServiceClasses, an Optimizer, and Servers with their Deployments and autoscalers.
func Samples() []byte {
	return mustStream("samples/namespace.yaml", "samples/cluster.yaml", "samples/*-*.yaml")
}

// SchedulerConfig returns the configuration of the scheduler, for its flag --config.
func SchedulerConfig() []byte {
	var found struct{ Data map[string]string }
	if err := yaml.Unmarshal(mustKinds("ConfigMap"), &found); err != nil || found.Data["config.yaml"] == "" {
		panic(fmt.Sprintf("manifests: %s has no configuration of a scheduler (%v)", installed, err))
	}
	return []byte(found.Data["config.yaml"])
}

// Local returns all that a control plane needs whose programs run beside its API server and not in pods: [CRDs], [RBAC], and APIServices of these APIs of metrics,
// external or custom, that lead to an adapter at the port of localhost. The adapter's certificate is for [AdapterHost], issued by an authority in caBundle (PEM).
func Local(port int, caBundle []byte, apis ...string) ([]byte, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("port of the adapter: %d; must be from 1 to 65535", port)
	}
	service, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": AdapterService, "namespace": Namespace},
		"spec": map[string]any{"type": "ExternalName", "externalName": "localhost"},
	})
	if err != nil {
		return nil, err
	}
	at := ServiceReference{Name: AdapterService, Namespace: Namespace, Port: port}
	objects := [][]byte{CRDs(), RBAC(), service}
	for _, api := range apis {
		services, err := MetricsAPI(api, at, caBundle)
		if err != nil {
			return nil, err
		}
		objects = append(objects, services)
	}
	return Join(objects...), nil
}

// ServiceReference names the service that answers for an API.
type ServiceReference struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Port      int    `json:"port"`
}

// metricsVersions of each API of metrics that the adapter serves, with the priority among the versions.
var metricsVersions = map[string]map[string]int{
	"external": {"v1beta1": 100}, "custom": {"v1beta1": 100, "v1beta2": 200},
}

// MetricsAPI returns the APIServices of external.metrics.k8s.io or custom.metrics.k8s.io, by the first word, leading to the service and trusting
// the authorities in caBundle (PEM).
func MetricsAPI(kind string, service ServiceReference, caBundle []byte) ([]byte, error) {
	var services [][]byte
	for _, version := range []string{"v1beta1", "v1beta2"} {
		priority, served := metricsVersions[kind][version]
		if !served {
			continue
		}
		group := kind + ".metrics.k8s.io"
		data, err := yaml.Marshal(map[string]any{
			"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": version + "." + group},
			"spec": map[string]any{
				"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": priority,
				"service": service, "caBundle": base64.StdEncoding.EncodeToString(caBundle),
			},
		})
		if err != nil {
			return nil, err
		}
		services = append(services, data)
	}
	if len(services) == 0 {
		return nil, fmt.Errorf("metrics API %q is not allowed, must be external or custom", kind)
	}
	return Join(services...), nil
}

// Environment returns what a program is told of its memory where it runs in a container with the chart's requests and limits, as "GOMEMLIMIT=…"; name is
// that of its Deployment.
func Environment(name string) []string {
	for _, document := range bytes.Split(mustKinds("Deployment"), []byte("\n---\n")) {
		var d appsv1.Deployment
		if err := yaml.Unmarshal(document, &d); err != nil || d.Name != name {
			continue
		}
		c := d.Spec.Template.Spec.Containers[0]
		for _, v := range c.Env {
			if v.Name == "GOMEMLIMIT" {
				list := map[string]corev1.ResourceList{"requests.memory": c.Resources.Requests, "limits.memory": c.Resources.Limits}[v.ValueFrom.ResourceFieldRef.Resource]
				return []string{fmt.Sprintf("GOMEMLIMIT=%d", list.Memory().Value())}
			}
		}
	}
	panic(fmt.Sprintf("manifests: %s has no Deployment %s with GOMEMLIMIT", installed, name))
}

// Join makes one stream of several.
func Join(streams ...[]byte) []byte { return bytes.Join(streams, []byte("---\n")) }

// mustKinds returns the objects of these kinds that an installation consists of.
func mustKinds(kinds ...string) []byte {
	var found [][]byte
	for _, document := range bytes.Split(mustStream(installed), []byte("\n---\n")) {
		var object struct{ Kind string }
		if err := yaml.Unmarshal(document, &object); err != nil {
			panic(fmt.Sprintf("manifests: %s: %v", installed, err))
		}
		if slices.Contains(kinds, object.Kind) {
			found = append(found, append(document, '\n'))
		}
	}
	return Join(found...)
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
