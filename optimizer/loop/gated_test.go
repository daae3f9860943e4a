package loop

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// A Server says how its pods are placed, else the Optimizer does, and which pods came without the gate that they should have.
func TestGated(t *testing.T) {
	o, s := &v1alpha1.Optimizer{}, &v1alpha1.Server{}
	for _, c := range []struct{ optimizer, server, want string }{
		{"", "", "Scheduler"}, {"Gates", "", "Gates"}, {"Gates", "Scheduler", "Scheduler"}, {"", "Gates", "Gates"},
	} {
		o.Spec.Placement, s.Spec.Placement = c.optimizer, c.server
		if got := placedBy(o, s); got != c.want {
			t.Errorf("the Optimizer says %q, the Server %q: %s, want %s", c.optimizer, c.server, got, c.want)
		}
	}
	free, waits, let := seatstest.Pod("free", "r1"), seatstest.Pod("waits", "r1"), seatstest.Pod("let", "r1")
	waits.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: v1alpha1.PlacementGate}}
	let.Annotations = map[string]string{v1alpha1.PlacementAnnotation: v1alpha1.PlacementGates}
	for _, c := range []struct {
		by     string
		lifted bool
		pods   []*corev1.Pod
		reason string
		words  string
	}{
		{"Gates", true, []*corev1.Pod{waits, let}, "", ""},
		{"Gates", true, []*corev1.Pod{waits, free, let}, v1alpha1.ReasonUngated, "1 pods came without the gate inferno.platform.ai/placement, or it was lifted without a seat, and may be anywhere: put it into their template, or install the chart with gates.add: free"},
		{"Gates", false, []*corev1.Pod{waits}, v1alpha1.ReasonGatesOff, "without --gates"},
		{"Scheduler", false, []*corev1.Pod{free}, "", ""},
	} {
		got := gated(c.by, c.lifted, c.pods)
		if wrong := got.Status == metav1.ConditionFalse; wrong != (c.reason != "") || wrong && (got.Reason != c.reason || !strings.Contains(got.Message, c.words)) {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
