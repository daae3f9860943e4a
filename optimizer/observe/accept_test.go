package observe

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func priorityClass(name string, value int32) schedulingv1.PriorityClass {
	return schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}
}

// ofClass makes the server one of a class that allows all.
func ofClass(r *Readings, name string) {
	r.Resources.ServiceClasses = []v1alpha1.ServiceClass{{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ServiceClassSpec{Priority: 1}}}
	r.Resources.Servers[0].Spec.ServiceClass = name
}

// What a class does not allow is said with field, value and what is allowed, all of it at once, and goes no further than that.
func TestWhatAClassAllows(t *testing.T) {
	paid := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "paid"}}
	most, least := 2, 9
	for _, c := range []struct {
		name     string
		change   func(*Readings, *v1alpha1.ServiceClassSpec)
		refused  string
		replicas int
		want     []string
	}{
		{"all", func(*Readings, *v1alpha1.ServiceClassSpec) {}, "", 9, nil},
		{"a namespace that has the labels", func(r *Readings, c *v1alpha1.ServiceClassSpec) {
			c.AllowedNamespaces = paid
			r.Resources.Namespaces = map[string]map[string]string{"llm": {"tier": "paid"}}
		}, "", 9, nil},
		{"a namespace that has not", func(r *Readings, c *v1alpha1.ServiceClassSpec) {
			c.AllowedNamespaces = paid
			r.Resources.Namespaces = map[string]map[string]string{"llm": nil, "other": {"tier": "paid"}}
		}, "spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid", 9,
			[]string{"spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid"}},
		{"a namespace by its name, not yet read", func(_ *Readings, c *v1alpha1.ServiceClassSpec) {
			c.AllowedNamespaces = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "llm"}}
		}, "", 9, nil},
		{"a selector that is none", func(_ *Readings, c *v1alpha1.ServiceClassSpec) {
			c.AllowedNamespaces = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Equals"}}}
		}, "spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with <error>", 9,
			[]string{"spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with <error>"}},
		{"too much of all", func(r *Readings, c *v1alpha1.ServiceClassSpec) {
			c.AllowedNamespaces, c.MaxMinReplicas, c.PriorityClassName = paid, &most, "gold"
		}, "spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid", 2, []string{
			"spec.serviceClass: premium is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid",
			"spec.minReplicas: 9 is not allowed, must be at most 2 (spec.maxMinReplicas of the class premium)",
			`spec.priorityClassName of the pod template: "" is not allowed for the class premium, must be gold`,
		}},
		{"the PriorityClass of the class", func(r *Readings, c *v1alpha1.ServiceClassSpec) {
			c.PriorityClassName = "gold"
			for i := range r.Pods {
				r.Pods[i].Spec.PriorityClassName = "gold"
			}
		}, "", 9, nil},
	} {
		r := readings(func(r *Readings) {
			ofClass(r, "premium")
			r.Resources.Servers[0].Spec.MinReplicas = &least
			c.change(r, &r.Resources.ServiceClasses[0].Spec)
		})
		o := Observe(r)
		e := &o.Snapshot.System.Servers.Spec[0]
		if e.Refused != c.refused || e.MinNumReplicas != c.replicas {
			t.Errorf("%s: at least %d replicas, want %d; refused %q, want %q", c.name, e.MinNumReplicas, c.replicas, e.Refused, c.refused)
		}
		if diff := cmp.Diff(c.want, o.NotAllowed[e.Name]); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// The values of PriorityClasses are in the order of the classes' priorities, of which 1 is the highest, and a pod may have that of its class.
func TestPriorityClassesAgreeWithPlans(t *testing.T) {
	class := func(name string, priority int, of string) v1alpha1.ServiceClass {
		return v1alpha1.ServiceClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ServiceClassSpec{Priority: priority, PriorityClassName: of}}
	}
	for _, c := range []struct {
		name    string
		classes []v1alpha1.ServiceClass
		want    string
	}{
		{"none named", []v1alpha1.ServiceClass{class("premium", 90, ""), class("bulk", 10, "gold")}, ""},
		{"in order", []v1alpha1.ServiceClass{class("premium", 90, "gold"), class("bulk", 10, "iron")}, ""},
		{"of one priority", []v1alpha1.ServiceClass{class("premium", 90, "gold"), class("finance", 90, "gold")}, ""},
		{"one that is not there", []v1alpha1.ServiceClass{class("premium", 90, "golden")}, `spec.priorityClassName: "golden" is no PriorityClass`},
		{"the wrong way round", []v1alpha1.ServiceClass{class("premium", 90, "iron"), class("bulk", 10, "gold"), class("batch", 5, "iron")},
			"spec.priorityClassName: iron with value 100 is not allowed with priority 90, its value must be above those of classes that matter less: " +
				"batch (priority 5, iron 100), bulk (priority 10, gold 1000)"},
	} {
		r := &Readings{PriorityClasses: []schedulingv1.PriorityClass{priorityClass("gold", 1000), priorityClass("iron", 100)}}
		r.Resources.ServiceClasses = c.classes
		if got := strings.Join(r.rules().faults(&r.Resources.ServiceClasses[0]), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	r := readings(func(r *Readings) {
		ofClass(r, "premium")
		r.PriorityClasses = []schedulingv1.PriorityClass{priorityClass("gold", 1000)}
		r.Resources.ServiceClasses[0].Spec.PriorityClassName = "gold"
	})
	if most := Observe(r).Statuses["llm/chat"].MaxPodPriority; most == nil || *most != 1000 {
		t.Errorf("a pod may have a priority of %v, want 1000", most)
	}
}
