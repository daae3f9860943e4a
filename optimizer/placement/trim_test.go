package placement

import (
	"math/rand"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// Whatever a pod is, what it requests, where it may go and who it is stays as it was, and trimming again changes nothing.
func TestTrimKeepsWhatIsRead(t *testing.T) {
	fill := fuzzer.FuzzerFor(metafuzzer.Funcs, rand.NewSource(1), serializer.NewCodecFactory(runtime.NewScheme()))
	for range 200 {
		var pod corev1.Pod
		fill.Fill(&pod)
		trimmed := pod.DeepCopy()
		Trim(trimmed)
		if got, want := Requests(trimmed), Requests(&pod); !equality.Semantic.DeepEqual(got, want) {
			t.Fatalf("requests: %v, want %v", got, want)
		}
		again := trimmed.DeepCopy()
		Trim(again)
		if !equality.Semantic.DeepEqual(again, trimmed) {
			t.Fatalf("trimmed twice: %s", cmp.Diff(trimmed, again))
		}
		// All that is not containers or their state.
		for _, p := range []*corev1.Pod{&pod, trimmed} {
			p.ManagedFields = nil
			p.Spec.InitContainers, p.Spec.Containers, p.Spec.EphemeralContainers = nil, nil, nil
			p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses = nil, nil, nil
		}
		if !reflect.DeepEqual(&pod, trimmed) {
			t.Fatalf("trimming changed %s", cmp.Diff(&pod, trimmed))
		}
	}
}
