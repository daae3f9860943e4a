package observe

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func TestStartUp(t *testing.T) {
	created := time.Unix(1e6, 0)
	made := func(server string, ready float64) corev1.Pod {
		p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(created), Labels: map[string]string{v1alpha1.ServerLabel: server}}}
		if ready >= 0 {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(created.Add(time.Duration(ready) * time.Second))}}
		}
		return p
	}
	pods := []corev1.Pod{made("a", 100), made("a", 140), made("b", 120), made("b", -1), made("", 5), made("a", 1e5)}
	if got := StartUp(&v1alpha1.Optimizer{}, pods); got != 120 {
		t.Errorf("%v s, want the median of the servers' ready pods, 120", got)
	}
	if got := StartUp(&v1alpha1.Optimizer{}, nil); got != 0 {
		t.Errorf("%v s from nothing", got)
	}
	said := &v1alpha1.Optimizer{Spec: v1alpha1.OptimizerSpec{PlanPolicy: v1alpha1.PlanPolicy{Change: &v1alpha1.ChangePolicy{StartupTime: &metav1.Duration{Duration: 5 * time.Minute}}}}}
	if got := StartUp(said, pods); got != 300 {
		t.Errorf("%v s, want the 300 that the Optimizer says", got)
	}
}
