package observe

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1conversion "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/plugin/pkg/admission/limitranger"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// resources of processors and memory, such as "cpu=4 memory=8Gi".
func resources(words string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, word := range strings.Fields(words) {
		name, n, _ := strings.Cut(word, "=")
		list[corev1.ResourceName(name)] = resource.MustParse(n)
	}
	return list
}

func limitRange(name string, items ...corev1.LimitRangeItem) corev1.LimitRange {
	return corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "llm"}, Spec: corev1.LimitRangeSpec{Limits: items}}
}

// What LimitRanges fill in counts in what a replica needs, and what they refuse is said with all that somebody must know to mend it. A server of which no pod
// can be made is planned on no node; what it has it keeps.
func TestLimitRanges(t *testing.T) {
	defaults := limitRange("defaults", corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Default: resources("cpu=8"), DefaultRequest: resources("cpu=5 memory=1Gi")})
	bounds := limitRange("bounds",
		corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Max: resources("storage=1Gi")},
		corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, Min: resources("cpu=2"), Max: resources("memory=64Gi"), MaxLimitRequestRatio: resources("cpu=1500m")},
		corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: resources("cpu=6")})
	elsewhere := *bounds.DeepCopy()
	elsewhere.Namespace = "other"
	small := func(r *Readings) {
		r.Nodes = []corev1.Node{node("large", h100Product, 8, nil), node("small", h100Product, 8, nil)}
		r.Nodes[1].Status.Allocatable[corev1.ResourceCPU], r.Nodes[0].Status.Allocatable[corev1.ResourceCPU] = resource.MustParse("4"), resource.MustParse("64")
		r.Nodes[0].Status.Allocatable[corev1.ResourceMemory], r.Nodes[1].Status.Allocatable[corev1.ResourceMemory] = resource.MustParse("1Ti"), resource.MustParse("1Ti")
	}
	for _, c := range []struct {
		name   string
		ranges []corev1.LimitRange
		// what the container says, and whether the server has a pod.
		requests, limits string
		pod              bool
		usable           []string
		most             int
		refused          []string
	}{
		{"no LimitRange", nil, "", "", false, []string{"large", "small"}, 0, nil},
		{"limits stand for requests, as of every pod", nil, "", "cpu=5", false, []string{"large"}, 0, nil},
		{"a default that is more than a node has", []corev1.LimitRange{defaults}, "", "", false, []string{"large"}, 0, nil},
		{"a request of its own", []corev1.LimitRange{defaults}, "cpu=3", "", false, []string{"large", "small"}, 0, nil},
		{"bounds that are kept", []corev1.LimitRange{bounds}, "cpu=4", "cpu=6 memory=64Gi", false, []string{"large", "small"}, 0, nil},
		{"bounds of another namespace", []corev1.LimitRange{elsewhere}, "cpu=1", "", false, []string{"large", "small"}, 0, nil},
		{"bounds that are not", []corev1.LimitRange{bounds}, "cpu=1 memory=8Gi", "cpu=8 memory=128Gi", false, nil, 0, []string{
			"LimitRange llm/bounds: spec.limits[1].maxLimitRequestRatio[cpu] allows at most 1500m for a Container, but limits over requests[cpu] of containers[engine] is 8 over 1",
			"LimitRange llm/bounds: spec.limits[1].max[memory] allows at most 64Gi for a Container, but limits[memory] of containers[engine] is 128Gi",
			"LimitRange llm/bounds: spec.limits[1].min[cpu] allows at least 2 for a Container, but requests[cpu] of containers[engine] is 1",
			"LimitRange llm/bounds: spec.limits[2].max[cpu] allows at most 6 for a Pod, but limits[cpu] of the pod is 8",
		}},
		{"the same, and a pod that is there", []corev1.LimitRange{bounds}, "cpu=4 memory=8Gi", "cpu=4", true, []string{"large", "small"}, 1, []string{
			"LimitRange llm/bounds: spec.limits[1].max[memory] allows at most 64Gi for a Container, but limits[memory] of containers[engine] is not set",
		}},
	} {
		o := Observe(readings(func(r *Readings) {
			small(r)
			spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "engine", Resources: corev1.ResourceRequirements{Requests: resources(c.requests), Limits: resources(c.limits)}}}}
			r.Limits, r.Pods = c.ranges, nil
			if c.pod {
				r.Pods = []corev1.Pod{pod("chat-1", "large", 0, ours, placedBy("h100"))}
				r.Pods[0].Spec.Containers = spec.Containers
			} else {
				r.Templates = map[Workload]*corev1.PodSpec{{Server: types.NamespacedName{Namespace: "llm", Name: "chat"}}: &spec}
			}
		}))
		e := o.Snapshot.System.Servers.Spec[0]
		var usable []string
		for _, n := range o.Snapshot.System.Capacity.Nodes {
			if scope := e.Scopes["h100"]; scope == "" || len(n.Scopes) > 0 {
				usable = append(usable, n.Name)
			}
		}
		if diff := cmp.Diff(c.usable, usable); diff != "" || e.MaxNumReplicas != c.most {
			t.Errorf("%s: at most %d replicas, want %d, and %s", c.name, e.MaxNumReplicas, c.most, diff)
		}
		if diff := cmp.Diff(c.refused, o.Refused["llm/chat"]); diff != "" {
			t.Error(c.name, diff)
		}
	}
}

// Of random pods and LimitRanges ours says what the API server's own plugin does: the same requests and limits, and a refusal where it refuses, also of a
// pod that other LimitRanges have filled in before.
func TestLimitRangesAsTheAPIServer(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 2))
	random := func(chance int) corev1.ResourceList {
		list := corev1.ResourceList{}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, "nvidia.com/gpu"} {
			if rng.IntN(chance) == 0 {
				list[name] = *resource.NewQuantity(rng.Int64N(5), resource.DecimalSI)
			}
		}
		return list
	}
	always := corev1.ContainerRestartPolicyAlways
	pod := func() *corev1.Pod {
		p := &corev1.Pod{}
		for i := range 1 + rng.IntN(2) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Resources: corev1.ResourceRequirements{Requests: random(2), Limits: random(2)}})
		}
		for i := range rng.IntN(3) {
			c := corev1.Container{Name: fmt.Sprint("i", i), Resources: corev1.ResourceRequirements{Requests: random(2), Limits: random(2)}}
			if i == 0 {
				c.RestartPolicy = &always
			}
			p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		}
		return p
	}
	limit := func() *corev1.LimitRange {
		r := limitRange("r")
		for range 1 + rng.IntN(2) {
			item := corev1.LimitRangeItem{Type: []corev1.LimitType{corev1.LimitTypeContainer, corev1.LimitTypePod, corev1.LimitTypePersistentVolumeClaim}[rng.IntN(3)]}
			item.Min, item.Max, item.MaxLimitRequestRatio = random(8), random(8), random(12)
			if item.Type == corev1.LimitTypeContainer {
				item.Default, item.DefaultRequest = random(2), random(2)
			}
			r.Spec.Limits = append(r.Spec.Limits, item)
		}
		return &r
	}
	// serve a pod as the API server does.
	serve := func(p *corev1.Pod, r *corev1.LimitRange) (*corev1.Pod, error) {
		corev1conversion.SetDefaults_Pod(p)
		var internal core.Pod
		if err := corev1conversion.Convert_v1_Pod_To_core_Pod(p, &internal, nil); err != nil {
			t.Fatal(err)
		}
		plugin := &limitranger.DefaultLimitRangerActions{}
		if err := plugin.MutateLimit(r, "pods", &internal); err != nil {
			t.Fatal(err)
		}
		refused := plugin.ValidateLimit(r, "pods", &internal)
		var admitted corev1.Pod
		if err := corev1conversion.Convert_core_Pod_To_v1_Pod(&internal, &admitted, nil); err != nil {
			t.Fatal(err)
		}
		return &admitted, refused
	}
	made := func(spec *corev1.PodSpec) (list []corev1.ResourceRequirements) {
		for _, c := range containersOf(spec) {
			list = append(list, c.Resources)
		}
		return list
	}
	refusals, admitted := 0, 0
	for range 3000 {
		written, before, now := pod(), limit(), limit()
		want, err := serve(written.DeepCopy(), now)
		old, _ := serve(written.DeepCopy(), before)
		fresh, refused := limits{now}.admitted(&written.Spec, nil)
		again, refusedAgain := limits{now}.admitted(&old.Spec, old.Annotations)
		for _, got := range []struct {
			of      string
			spec    *corev1.PodSpec
			refused []string
		}{{"as it was written", fresh, refused}, {"as it was made before", again, refusedAgain}} {
			if !equality.Semantic.DeepEqual(made(got.spec), made(&want.Spec)) {
				t.Fatalf("%s: %s", got.of, cmp.Diff(made(&want.Spec), made(got.spec)))
			}
			if (len(got.refused) > 0) != (err != nil) {
				t.Fatalf("%s: refused for %v, the API server says %v", got.of, got.refused, err)
			}
		}
		if err != nil {
			refusals++
		} else {
			admitted++
		}
	}
	if refusals < 500 || admitted < 500 {
		t.Errorf("%d pods are refused and %d are not: too few to tell anything", refusals, admitted)
	}
}

// A server with variants goes on with those whose pods may be made.
func TestLimitRangesOfVariants(t *testing.T) {
	s := &scopes{templates: map[Workload]*template{}}
	server := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "chat"}}
	server.Spec.Variants = []jsonspec.Variant{{Name: "small"}, {Name: "large"}}
	key := types.NamespacedName{Namespace: "llm", Name: "chat"}
	s.templates[Workload{key, "small"}] = &template{refused: []string{"b", "a"}}
	s.templates[Workload{key, "large"}] = &template{}
	if words, all := s.refused(server); all || !cmp.Equal(words, []string{"a", "b"}) {
		t.Errorf("%v, all %v", words, all)
	}
	s.templates[Workload{key, "large"}].refused = []string{"a"}
	if words, all := s.refused(server); !all || !cmp.Equal(words, []string{"a", "b"}) {
		t.Errorf("%v, all %v", words, all)
	}
	delete(s.templates, Workload{key, "large"})
	if _, all := s.refused(server); all {
		t.Error("what is not known is refused")
	}
}
