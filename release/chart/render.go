// Package chart renders, checks, packs and documents the Helm chart, with Helm's own packages and no cluster.
package chart

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	util "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
)

// Options of a rendering, as `helm template` has them.
type Options struct {
	// Release and Namespace to install as and into.
	Release, Namespace string
	// Kubernetes is the version of the cluster, like v1.37.0; empty for the newest that Helm knows.
	Kubernetes string
	// Values that differ from the chart's.
	Values map[string]any
	// Existing objects of the cluster, which templates look up.
	Existing []*unstructured.Unstructured
}

// Rendered is what an installation would create, in Helm's order, hooks after the rest, and what it would say.
type Rendered struct {
	Objects []byte
	Notes   string
}

// Render the chart in the directory.
func Render(dir string, o Options) (Rendered, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return Rendered{}, err
	}
	capabilities := common.DefaultCapabilities.Copy()
	if o.Kubernetes != "" {
		version, err := common.ParseKubeVersion(o.Kubernetes)
		if err != nil {
			return Rendered{}, fmt.Errorf("kubernetes version %q: %w", o.Kubernetes, err)
		}
		capabilities.KubeVersion = *version
	}
	if needed := c.Metadata.KubeVersion; needed != "" && !util.IsCompatibleRange(needed, capabilities.KubeVersion.Version) {
		return Rendered{}, fmt.Errorf("chart requires kubeVersion: %s, which is incompatible with Kubernetes %s", needed, capabilities.KubeVersion.Version)
	}
	if defines(o.Existing) {
		capabilities.APIVersions = append(slices.Clone(capabilities.APIVersions), "inferno.platform.ai/v1alpha1", "inferno.platform.ai/v1alpha1/Optimizer")
	}
	values, err := chartutil.ToRenderValues(c, o.Values, common.ReleaseOptions{Name: o.Release, Namespace: o.Namespace, Revision: 1, IsInstall: true}, capabilities)
	if err != nil {
		return Rendered{}, err
	}
	files, err := engine.RenderWithClientProvider(c, values, newCluster(o.Existing))
	if err != nil {
		return Rendered{}, err
	}
	return sorted(c, files)
}

func sorted(c *v2.Chart, files map[string]string) (Rendered, error) {
	notes := c.Name() + "/templates/NOTES.txt"
	r := Rendered{Notes: files[notes]}
	delete(files, notes)
	hooks, manifests, err := release.SortManifests(files, nil, release.InstallOrder)
	if err != nil {
		return Rendered{}, err
	}
	var out strings.Builder
	for _, m := range manifests {
		fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(m.Content))
	}
	for _, h := range hooks {
		fmt.Fprintf(&out, "---\n%s\n", strings.TrimSpace(h.Manifest))
	}
	r.Objects = []byte(out.String())
	return r, nil
}

// Lint the chart in the directory as `helm lint --strict` does; the error has every finding.
func Lint(dir string, values map[string]any) error {
	previous := slog.SetLogLoggerLevel(slog.LevelError)
	defer slog.SetLogLoggerLevel(previous)
	var faults []error
	for _, m := range lint.RunAll(dir, values, "inferno-system").Messages {
		// An icon is for catalogues of charts with pictures.
		if !strings.Contains(m.Error(), "icon is recommended") {
			faults = append(faults, m)
		}
	}
	return errors.Join(faults...)
}

// ReadValues of a file, or none where it does not exist.
func ReadValues(file string) (map[string]any, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return loader.LoadValues(f)
}

// defines says whether the objects of a cluster include inferno's definitions, or one that could not be there without them.
func defines(existing []*unstructured.Unstructured) bool {
	return slices.ContainsFunc(existing, func(o *unstructured.Unstructured) bool {
		return o.GroupVersionKind().Group == "inferno.platform.ai" || o.GetKind() == "CustomResourceDefinition"
	})
}

// cluster of the objects given, for lookups.
type cluster struct {
	client  dynamic.Interface
	defined bool // whether it knows inferno's kinds
}

// resources that the templates look up, and which of them have namespaces.
var resources = map[string]struct {
	plural     string
	namespaced bool
}{
	"APIService": {"apiservices", false}, "CustomResourceDefinition": {"customresourcedefinitions", false}, "Optimizer": {"optimizers", false},
	"Secret": {"secrets", true},
}

func newCluster(existing []*unstructured.Unstructured) cluster {
	lists := map[schema.GroupVersionResource]string{}
	for _, gv := range []string{"apiregistration.k8s.io/v1/APIService", "apiextensions.k8s.io/v1/CustomResourceDefinition", "inferno.platform.ai/v1alpha1/Optimizer", "v1/Secret"} {
		cut := strings.LastIndex(gv, "/")
		lists[resource(gv[:cut], gv[cut+1:])] = gv[cut+1:] + "List"
	}
	objects := make([]runtime.Object, len(existing))
	for i := range existing {
		objects[i] = existing[i]
	}
	return cluster{fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects...), defines(existing)}
}

func resource(apiVersion, kind string) schema.GroupVersionResource {
	return schema.FromAPIVersionAndKind(apiVersion, kind).GroupVersion().WithResource(resources[kind].plural)
}

// GetClientFor a kind that templates look up. A kind that the list above lacks is a mistake in it or in the templates.
func (c cluster) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	r, known := resources[kind]
	if !known {
		return nil, false, fmt.Errorf("lookup of a %s, which release/chart does not know", kind)
	}
	if kind == "Optimizer" && !c.defined {
		return nil, false, fmt.Errorf("lookup of a kind that is not defined: %s, %s", apiVersion, kind) // as in a cluster
	}
	return c.client.Resource(resource(apiVersion, kind)), r.namespaced, nil
}
