package catalogue

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func accelerator(name string, spec v1alpha1.AcceleratorSpec) *v1alpha1.Accelerator {
	return &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
}

func ofType(typ string, multiplicity int) v1alpha1.AcceleratorSpec {
	return v1alpha1.AcceleratorSpec{Type: typ, Cards: multiplicity}
}

func TestEntriesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range Types() {
		if folded := strings.ToLower(e.Type); seen[folded] {
			t.Errorf("type %s is listed twice", e.Type)
		} else {
			seen[folded] = true
		}
		if len(e.ProductNames) == 0 || e.ResourceName == "" {
			t.Errorf("type %s lacks product names or resource name", e.Type)
		}
		for _, p := range e.ProductNames {
			if msgs := validation.IsValidLabelValue(p); len(msgs) > 0 {
				t.Errorf("product name %q of type %s cannot be a label value: %v", p, e.Type, msgs)
			}
		}
		for _, key := range ProductLabels(e.ResourceName) {
			if msgs := validation.IsQualifiedName(key); len(msgs) > 0 {
				t.Errorf("label key %q: %v", key, msgs)
			}
		}
	}
	for _, want := range []string{"H100", "H200", "B200", "A100", "L40S", "L4", "T4", "MI210", "MI250", "MI300X"} {
		if _, ok := Lookup(want); !ok {
			t.Errorf("type %s is missing", want)
		}
	}
}

func TestLookup(t *testing.T) {
	tests := []struct {
		typ  string
		want Entry
		ok   bool
	}{
		{typ: "l40s", want: Entry{"L40S", []string{"NVIDIA-L40S"}, NVIDIAResource}, ok: true},
		{typ: "MI210", want: Entry{"MI210", []string{"AMD_Instinct_MI210"}, AMDResource}, ok: true},
		{typ: "L4-MIG-1g.6gb", want: Entry{"L4-MIG-1g.6gb", []string{"NVIDIA-L4-MIG-1g.6gb", "nvidia-l4-MIG-1g.6gb"}, "nvidia.com/mig-1g.6gb"}, ok: true},
		{typ: "MI210-MIG-1g.6gb"},
		{typ: "L4-MIG-"},
		{typ: "Gaudi9"},
		{typ: ""},
	}
	for _, tt := range tests {
		got, ok := Lookup(tt.typ)
		if ok != tt.ok {
			t.Errorf("Lookup(%q) found: %v, want %v", tt.typ, ok, tt.ok)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Lookup(%q) (-want +got):\n%s", tt.typ, diff)
		}
	}
}

func TestLookupHandsOutCopies(t *testing.T) {
	e, _ := Lookup("T4")
	e.ProductNames[0] = "changed"
	if again, _ := Lookup("T4"); again.ProductNames[0] == "changed" {
		t.Error("a caller can change the catalogue")
	}
}

func TestNames(t *testing.T) {
	aliased := accelerator("h100-0a1b2c3d", ofType("", 0))
	aliased.Annotations = map[string]string{v1alpha1.NameAnnotation: "H100"}
	c := NewClassifier([]*v1alpha1.Accelerator{
		accelerator("4xa100", ofType("A100", 4)),
		accelerator("a100", ofType("", 0)),
		accelerator("a100-80", ofType("A100-80GB", 1)),
		aliased,
		accelerator("mi300x", ofType("MI300X", 1)),
		accelerator("slice", ofType("A100-80GB-MIG-1g.10gb", 1)),
		accelerator("own", v1alpha1.AcceleratorSpec{ProductNames: []string{"NPU-7"}, ResourceName: "example.com/npu"}),
		accelerator("NVIDIA-L40S", ofType("", 0)),
	})
	tests := []struct {
		name   string
		labels map[string]string
		want   []string
	}{
		{"unlabelled", nil, nil},
		{"unknown product", map[string]string{"nvidia.com/gpu.product": "NVIDIA-X1"}, nil},
		{"another vendor's key", map[string]string{"amd.com/gpu.product-name": "NVIDIA-L40S"}, nil},
		{"several accelerators on one product", map[string]string{"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}, []string{"4xa100", "a100", "a100-80"}},
		{"only the type", map[string]string{"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}, []string{"4xa100", "a100"}},
		{"type from the name in the specification", map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, []string{"h100-0a1b2c3d"}},
		{"GKE", map[string]string{"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}, []string{"h100-0a1b2c3d"}},
		{"two labels, one answer", map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}, []string{"h100-0a1b2c3d"}},
		{"AMD", map[string]string{"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, []string{"mi300x"}},
		{"MIG, mixed: whole cards and slices", map[string]string{
			"nvidia.com/gpu.product":         "NVIDIA-A100-SXM4-80GB",
			"nvidia.com/mig-1g.10gb.product": "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb",
		}, []string{"4xa100", "a100", "a100-80", "slice"}},
		{"a slice is not the card", map[string]string{"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"}, nil},
		{"a share is not the card", map[string]string{"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-SHARED"}, nil},
		{"own resource", map[string]string{"example.com/npu.product": "NPU-7"}, []string{"own"}},
		{"the type is a product name", map[string]string{"nvidia.com/gpu.product": "NVIDIA-L40S"}, []string{"NVIDIA-L40S"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, c.Names(tt.labels)); diff != "" {
				t.Errorf("Names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestKind(t *testing.T) {
	a := accelerator("h100-0a1b2c3d", v1alpha1.AcceleratorSpec{})
	a.Annotations = map[string]string{v1alpha1.NameAnnotation: "H100"}
	impostor := accelerator("zz", ofType("L4", 1))
	impostor.Annotations = map[string]string{v1alpha1.NameAnnotation: "h100-0a1b2c3d"}
	c := NewClassifier([]*v1alpha1.Accelerator{impostor, a})

	want := Kind{Name: "h100-0a1b2c3d", Alias: "H100", Type: "H100", Multiplicity: 1, ResourceName: NVIDIAResource}
	for _, name := range []string{"H100", "h100-0a1b2c3d"} {
		got, ok := c.Kind(name)
		got.ProductNames = nil
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("Kind(%q) found %v (-want +got):\n%s", name, ok, diff)
		}
	}
	if _, ok := c.Kind(""); ok {
		t.Error("the empty name was found")
	}
	if got := c.Kinds(); !slices.IsSortedFunc(got, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) }) || len(got) != 2 {
		t.Errorf("Kinds are not all there or not sorted: %v", got)
	}
}

func FuzzClassifier(f *testing.F) {
	f.Add("H100", "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu")
	f.Add("A100-MIG-1g.5gb", "", "")
	f.Fuzz(func(t *testing.T, typ, product, resource string) {
		spec := ofType(typ, -1)
		spec.ResourceName = resource
		if product != "" {
			spec.ProductNames = []string{product}
		}
		c := NewClassifier([]*v1alpha1.Accelerator{accelerator("x", spec)})
		k, ok := c.Kind("x")
		if !ok || k.Multiplicity < 1 || k.ResourceName == "" || len(k.ProductNames) == 0 {
			t.Fatalf("incomplete kind %+v", k)
		}
		for _, key := range ProductLabels(k.ResourceName) {
			if got := c.Names(map[string]string{key: k.ProductNames[0]}); len(got) != 1 {
				t.Fatalf("a node labelled %s=%q carries %v", key, k.ProductNames[0], got)
			}
		}
	})
}

func TestCarried(t *testing.T) {
	for product, want := range map[string]string{
		"NVIDIA-L40S": "L40S", "NVIDIA-A100-SXM4-80GB": "A100", "NVIDIA-H100-80GB-HBM3": "H100", "NVIDIA-X1": "", "": "",
	} {
		if got, known := Carried(map[string]string{"nvidia.com/gpu.product": product, "a": "b"}); got.Type != want || known != (want != "") {
			t.Errorf("a node with %q carries %q, want %q", product, got.Type, want)
		}
	}
}
