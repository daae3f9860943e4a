package observe

import (
	"fmt"
	"math/rand"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// Pods of one template have its parts once, in whatever order they come and whatever else they are; what another template says stays its own.
func TestPodsShareWhatTheirTemplateSays(t *testing.T) {
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), serializer.NewCodecFactory(runtime.NewScheme()))
	var trimmer Trimmer
	alone := func(p *corev1.Pod) *corev1.Pod {
		p = p.DeepCopy()
		if _, err := new(Trimmer).Trim(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var templates, first [20]*corev1.Pod
	for i := range templates {
		templates[i] = &corev1.Pod{}
		fill.Fill(templates[i])
		templates[i].Labels = map[string]string{"template": fmt.Sprint(i)}
		templates[i].Spec.Containers = []corev1.Container{{Name: fmt.Sprint(i)}}
	}
	for round := range 3 {
		for i, template := range templates {
			p := template.DeepCopy()
			p.Name, p.Spec.NodeName = fmt.Sprint(round), fmt.Sprint("node-", round)
			want := alone(p)
			if _, err := trimmer.Trim(p); err != nil {
				t.Fatal(err)
			}
			if !equality.Semantic.DeepEqual(p, want) {
				t.Fatalf("pod %d of template %d differs from one that shares nothing", round, i)
			}
			if round == 0 {
				first[i] = p
			}
			same := func(a, b any) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
			if !same(p.Labels, first[i].Labels) || !same(p.Spec.Containers, first[i].Spec.Containers) {
				t.Errorf("pod %d of template %d has parts of its own", round, i)
			}
			if i > 0 && same(p.Labels, first[i-1].Labels) {
				t.Errorf("templates %d and %d have the same labels", i-1, i)
			}
		}
	}
}

// What is known of parts is bounded, whatever pods there are.
func TestKnownPartsAreBounded(t *testing.T) {
	var trimmer Trimmer
	for i := range 3 * mostParts {
		if _, err := trimmer.Trim(&corev1.Pod{Spec: corev1.PodSpec{NodeSelector: map[string]string{"pool": fmt.Sprint(i)}}}); err != nil {
			t.Fatal(err)
		}
		if n := len(trimmer.parts); n > mostParts {
			t.Fatalf("%d parts are known, want at most %d", n, mostParts)
		}
	}
}
