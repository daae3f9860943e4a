package observe

import (
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

func TestShareWithinABound(t *testing.T) {
	h := histogram{0.01: 10, 0.025: 90, 0.05: 98, 0.075: 100, math.Inf(1): 100}
	for _, c := range []struct {
		name               string
		bound, least, most float64
	}{
		{"at a bound", 0.05, 0.98, 0.98},
		{"beyond the last", 0.1, 1, 1},
		{"in a cell", 0.03, 0.90, 0.98},
	} {
		if least, most := h.within(c.bound); math.Abs(least-c.least) > 1e-12 || math.Abs(most-c.most) > 1e-12 {
			t.Errorf("%s: %v to %v, want %v to %v", c.name, least, most, c.least, c.most)
		}
	}
	if least, most := (histogram)(nil).within(1); !math.IsNaN(least) || !math.IsNaN(most) {
		t.Errorf("nothing counted: %v to %v", least, most)
	}
}

// Of roles the time to first token is that of both: the share within a target is that within what the second leaves of it.
func TestAttainmentOfRoles(t *testing.T) {
	of := func(role string, ttft histogram, itl histogram, mean float64) readPod {
		m := NewPodMetrics()
		for d, h := range map[Distribution]histogram{TTFTDistribution: ttft, RequestITLDistribution: itl} {
			for bound, rate := range h {
				m.SetBucket(d, bound, rate)
			}
		}
		m.Set(TTFTSum, 10*mean)
		m.Set(TTFTCount, 10)
		return readPod{metrics: m, role: role}
	}
	target := &jsonspec.ModelTarget{TTFT: 1000, ITL: 50, Percentile: 99}
	prefill := of(jsonspec.RolePrefill, histogram{0.5: 80, 1: 100, 2: 100}, nil, 0.4)
	decode := of(jsonspec.RoleDecode, histogram{0.5: 100}, histogram{0.05: 95, 0.1: 100}, 0.1)
	// 80 in half a second and 16 of the 20 in the next four tenths; of tokens 95 of 100.
	if got, want := (&Readings{}).attainment([]readPod{prefill, decode}, target), 0.96-0.05; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
	both := of("", histogram{0.5: 100}, histogram{0.05: 100}, 0.1)
	if got := (&Readings{}).attainment([]readPod{prefill, decode, both}, target); !math.IsNaN(got) {
		t.Errorf("%v while one does both", got)
	}
	if got := (&Readings{}).attainment([]readPod{prefill, of(jsonspec.RoleDecode, nil, histogram{0.05: 1}, math.NaN())}, target); !math.IsNaN(got) {
		t.Errorf("%v where the second's is not known", got)
	}
}

// Attainment is told where buckets prove it, one way or the other.
func TestAttainmentThatBucketsProve(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: "a"}}
	for _, c := range []struct {
		name      string
		ttft, itl histogram
		want      float64
	}{
		{"both at bounds", histogram{1: 99, 2: 100}, histogram{0.05: 98, 0.1: 100}, 0.97},
		{"a target between bounds, and all far from it", histogram{0.5: 100, 2: 100}, histogram{0.025: 995, 0.075: 1000}, 0.995},
		{"a target between bounds, and too many beyond both", histogram{1: 100, 2: 100}, histogram{0.025: 10, 0.075: 60, 1: 100}, 0.6},
		{"a target between bounds, with many beside it", histogram{1: 100, 2: 100}, histogram{0.025: 10, 0.075: 100}, math.NaN()},
		{"one is missed for certain, the other not known", histogram{0.5: 50, 2: 100}, histogram{0.05: 30, 0.1: 100}, 0.3},
		{"one was not counted", nil, histogram{0.05: 30, 0.1: 100}, math.NaN()},
	} {
		m := NewPodMetrics()
		for d, h := range map[Distribution]histogram{TTFTDistribution: c.ttft, RequestITLDistribution: c.itl} {
			for bound, rate := range h {
				m.SetBucket(d, bound, rate)
			}
		}
		r := &Readings{Metrics: Metrics{types.NamespacedName{Namespace: "llm", Name: "a"}: m}}
		got := r.attainment([]readPod{{metrics: r.Metrics[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]}}, &jsonspec.ModelTarget{TTFT: 1000, ITL: 50, Percentile: 99})
		if math.Abs(got-c.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
