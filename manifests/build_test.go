package manifests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistration "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	schedulerscheme "k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// foreign are the groups of resources whose types belong to other projects; they are checked for their shape alone.
var foreign = map[string]bool{"cert-manager.io": true, "monitoring.coreos.com": true, "keda.sh": true, "gateway.networking.k8s.io": true}

// strictDecoder decodes every type that the manifests use, and refuses unknown and duplicate fields.
func strictDecoder(t *testing.T) runtime.Decoder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiregistration.AddToScheme, apiextensions.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// decode reads a stream into typed objects; what is foreign stays unstructured.
func decode(t *testing.T, stream []byte) []runtime.Object {
	t.Helper()
	decoder := strictDecoder(t)
	var objects []runtime.Object
	documents := utilyaml.NewYAMLReader(bufioReader(stream))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		var content map[string]any
		if err := yaml.UnmarshalStrict(document, &content); err != nil {
			t.Errorf("%v in\n%s", err, document)
			continue
		}
		if len(content) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: content}
		if foreign[u.GroupVersionKind().Group] {
			objects = append(objects, u)
			continue
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
			continue
		}
		objects = append(objects, object)
	}
}

// build runs a kustomization of the embedded files, in memory.
func build(t *testing.T, dir string) []byte {
	t.Helper()
	disk := filesys.MakeFsInMemory()
	for _, f := range embedded(t) {
		if err := disk.WriteFile("/"+f.name, f.data); err != nil {
			t.Fatal(err)
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/"+dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	stream, err := built.AsYaml()
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return stream
}

type file struct {
	name string
	data []byte
}

// embedded returns all embedded files.
func embedded(t *testing.T) []file {
	t.Helper()
	var files []file
	err := fs.WalkDir(Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := Files.ReadFile(name)
		files = append(files, file{name, data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// rendered holds what builds made; objects are not changed by the tests.
var rendered map[string][]runtime.Object

// builds are the kustomizations that are meant to be applied, and installations of the chart.
func builds(t *testing.T) map[string][]runtime.Object {
	t.Helper()
	if rendered != nil {
		return rendered
	}
	all := map[string][]runtime.Object{}
	for _, dir := range []string{"overlays/default", "overlays/own-certificate", "samples", "samples-before-1.37", "samples/keda", "samples/karpenter", "samples-gateway"} {
		all[dir] = decode(t, build(t, dir))
	}
	for name, i := range installations {
		all[name] = decode(t, i.mustRender(t))
	}
	rendered = all
	return all
}

func TestKustomizationsBuild(t *testing.T) {
	for name, objects := range builds(t) {
		if len(objects) == 0 {
			t.Errorf("%s is empty", name)
		}
		seen := map[string]bool{}
		for _, object := range objects {
			if id := identify(object); seen[id] {
				t.Errorf("%s holds %s twice", name, id)
			} else {
				seen[id] = true
			}
		}
	}
}

// Files that are applied as they are, without kustomize, are complete objects.
func TestEveryFileDecodesStrictly(t *testing.T) {
	for _, f := range embedded(t) {
		t.Run(f.name, func(t *testing.T) {
			switch {
			case path.Ext(f.name) == ".json":
				if err := json.Unmarshal(f.data, &map[string]any{}); err != nil {
					t.Error(err)
				}
			case path.Base(f.name) == "kustomization.yaml":
				if err := yaml.UnmarshalStrict(f.data, &types.Kustomization{}); err != nil {
					t.Error(err)
				}
			case path.Base(f.name) == "values.yaml": // Helm's schema checks it
			case len(decode(t, f.data)) == 0:
				t.Error("no object")
			}
		})
	}
}

// A definition that is generated but not listed would never be installed.
func TestEveryFileIsPartOfItsKustomization(t *testing.T) {
	listed := map[string]map[string]bool{}
	for _, f := range embedded(t) {
		dir, base := path.Split(f.name)
		if base != "kustomization.yaml" {
			continue
		}
		var k types.Kustomization
		if err := yaml.Unmarshal(f.data, &k); err != nil {
			t.Fatal(err)
		}
		listed[dir] = map[string]bool{}
		for _, resource := range k.Resources {
			listed[dir][resource] = true
		}
		for _, patch := range k.Patches {
			listed[dir][patch.Path] = true
		}
		for _, generator := range k.ConfigMapGenerator {
			for _, source := range generator.FileSources {
				listed[dir][source] = true
			}
		}
	}
	for _, f := range embedded(t) {
		dir, base := path.Split(f.name)
		// An Optimizer is applied after the definitions, the registration for metrics where nobody has that, MutatingAdmissionPolicies where they are known, values are what a kustomization's objects were rendered with.
		alone := slices.Contains([]string{"kustomization.yaml", "values.yaml", "optimizer.yaml", "external-metrics.yaml", "adoption.yaml"}, base) || dir == "chart/files/"
		if !alone && !listed[dir][base] {
			t.Errorf("%s is not listed in %skustomization.yaml, which lists %v", f.name, dir, slices.Sorted(maps.Keys(listed[dir])))
		}
	}
}

func TestStreams(t *testing.T) {
	for name, stream := range map[string][]byte{"CRDs": CRDs(), "RBAC": RBAC(), "Samples": Samples()} {
		if len(decode(t, stream)) == 0 {
			t.Errorf("%s is empty", name)
		}
	}
	if got, want := len(decode(t, CRDs())), 6; got != want {
		t.Errorf("%d definitions, want %d", got, want)
	}
	if _, _, err := schedulerscheme.Codecs.UniversalDecoder().Decode(SchedulerConfig(), nil, nil); err != nil {
		t.Error(err)
	}
}

func TestLocal(t *testing.T) {
	ca := []byte("-----BEGIN CERTIFICATE-----\n")
	stream, err := Local(12345, ca, "external", "custom")
	if err != nil {
		t.Fatal(err)
	}
	services := 0
	for _, object := range decode(t, stream) {
		service, is := object.(*apiregistration.APIService)
		if !is {
			continue
		}
		services++
		if port := service.Spec.Service.Port; port == nil || *port != 12345 {
			t.Errorf("%s leads to port %v", service.Name, port)
		}
		if !bytes.Equal(service.Spec.CABundle, ca) {
			t.Errorf("%s trusts %q", service.Name, service.Spec.CABundle)
		}
	}
	if services != 3 {
		t.Errorf("%d APIServices, want 3", services)
	}
	for _, port := range []int{-1, 0, 65536} {
		if _, err := Local(port, ca, "external"); err == nil {
			t.Errorf("port %d is accepted", port)
		}
	}
}

// Programs that run beside a cluster are told of their memory what their containers would be.
func TestEnvironment(t *testing.T) {
	for name, want := range map[string]int64{"inferno-optimizer": 224 << 20, "inferno-adapter": 256 << 20, "inferno-scheduler": 512 << 20} {
		if got := Environment(name); !slices.Equal(got, []string{fmt.Sprintf("GOMEMLIMIT=%d", want)}) {
			t.Errorf("%s: %v, want %d", name, got, want)
		}
	}
}
