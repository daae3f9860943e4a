package loop

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// refusing is a policy of the API server that refuses updates of a resource in the namespace llm but where a condition holds.
func refusing(group, resource, unless string) string {
	return fmt.Sprintf(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refusing}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: llm}}
    resourceRules: [{apiGroups: [%q], apiVersions: ["*"], resources: [%s], operations: [UPDATE]}]
  validations: [{expression: %q, message: "not today"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refusing}
spec: {policyName: refusing, validationActions: [Deny]}
`, group, resource, unless)
}

// realStage is a stage on a real API server.
func realStage(t *testing.T) (*stage, *controlplane.Plane) {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Scheduler: controlplane.SchedulerOptions{Disabled: true}, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: llm}\n"
	if err := plane.Apply(t.Context(), manifests.Join(manifests.CRDs(), []byte(namespace))); err != nil {
		t.Fatal(err)
	}
	if err := plane.AddNodes(t.Context(), controlplane.NodePool{Name: "n", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8}); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	api, err := client.NewWithWatch(plane.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := stageAt(t, time.Now())
	s.client = api
	s.Reconciler = s.start()
	for _, o := range s.objects() {
		switch o := o.(type) {
		case *corev1.Node:
			continue
		case *v1alpha1.Optimizer:
			o.Spec.Interval.Duration = defaultInterval
		case *corev1.Pod:
			o.Spec = corev1.PodSpec{NodeName: "n-0", Containers: []corev1.Container{{Name: "engine", Image: "engine"}}}
		}
		if err := api.Create(t.Context(), o); err != nil {
			t.Fatalf("%T %s: %v", o, o.GetName(), err)
		}
	}
	return s, plane
}

// eventually runs cycles until something holds.
func (s *stage) eventually(what string, holds func() bool) {
	s.t.Helper()
	for began := time.Now(); ; {
		if err := s.cycle(s.Reconciler); err != nil {
			s.t.Fatal(err)
		}
		if holds() {
			return
		}
		if time.Since(began) > 5*time.Minute {
			s.t.Fatalf("in vain: %s; the optimizer: %s; the server: %s", what, s.condition(v1alpha1.ConditionWritten), s.condition(v1alpha1.ConditionPlanned))
		}
	}
}

// What policies of a real API server refuse, of the status of one Server or of its pods, is said of that one, and the plans of others go on.
func TestARealAPIServerRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	s, plane := realStage(t)
	s.another("other")
	planned := func(name string) bool { return s.confirmed(name).Unix() == s.clock.Now().Unix() }
	s.eventually("both are planned", func() bool { return planned("chat") && planned("other") })
	lift := func() {
		t.Helper()
		for _, kind := range []string{"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"} {
			o := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kind}, ObjectMeta: metav1.ObjectMeta{Name: "refusing"}}
			if err := s.client.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}

	if err := plane.Apply(t.Context(), []byte(refusing("inferno.platform.ai", "servers/status", "object.metadata.name == 'other'"))); err != nil {
		t.Fatal(err)
	}
	s.eventually("the status is refused", func() bool {
		c := s.condition(v1alpha1.ConditionWritten)
		return strings.Contains(c, "Server llm/chat") && strings.Contains(c, "not today")
	})
	if planned("chat") || !planned("other") || s.again != defaultInterval {
		t.Errorf("planned: %v, the other %v; the next cycle is due after %v", planned("chat"), planned("other"), s.again)
	}
	lift()
	s.eventually("it is written again", func() bool { return planned("chat") })

	// Whoever changes the labels of pods may change them.
	if err := plane.Apply(t.Context(), []byte(refusing("", "pods", "object.metadata.labels != oldObject.metadata.labels"))); err != nil {
		t.Fatal(err)
	}
	said := func() *metav1.Condition {
		return meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionWritten)
	}
	s.eventually("a pod is frozen", func() bool {
		if c := said(); c != nil && c.Status == metav1.ConditionFalse && strings.Contains(c.Message, "not today") {
			return true
		}
		var pod corev1.Pod // carries a cost that it does not deserve
		if err := s.client.Get(t.Context(), client.ObjectKey{Namespace: "llm", Name: "a"}, &pod); err != nil {
			t.Fatal(err)
		}
		pod.Annotations[deletionCostAnnotation], pod.Labels["changed"] = overQuotaCost, fmt.Sprint(s.clock.Now().Unix())
		if err := s.client.Update(t.Context(), &pod); err != nil {
			t.Fatal(err)
		}
		return false
	})
	if !planned("chat") || !planned("other") {
		t.Errorf("planned: %v, the other %v", planned("chat"), planned("other"))
	}
	lift()
	s.eventually("it is told", func() bool { return said().Status == metav1.ConditionTrue })
}
