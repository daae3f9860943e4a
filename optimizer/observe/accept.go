package observe

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// rules are what service classes allow their servers. The API server refuses by them too, where the chart's policies are installed: here they hold for what
// was there before they were made.
type rules struct {
	classes map[string]*v1alpha1.ServiceClass
	// labels of namespaces.
	labels map[string]map[string]string
	// priorities are the values of PriorityClasses.
	priorities map[string]int32
}

func (r *Readings) rules() *rules {
	of := &rules{map[string]*v1alpha1.ServiceClass{}, r.Resources.Namespaces, map[string]int32{}}
	for i := range r.Resources.ServiceClasses {
		c := &r.Resources.ServiceClasses[i]
		of.classes[c.Name] = c
	}
	for i := range r.PriorityClasses {
		of.priorities[r.PriorityClasses[i].Name] = r.PriorityClasses[i].Value
	}
	return of
}

// accept what a Server asks for as far as its class allows it, and say what it does not allow. A class that it may not use is why it is refused; of a
// minReplicas that is too large it gets what is allowed.
func (r *rules) accept(s *v1alpha1.Server, templates map[string]*template, e *jsonspec.ServerEntry) (faults []string) {
	class := r.classes[s.Spec.ServiceClass]
	if class == nil {
		return nil
	}
	if !r.open(class, s.Namespace) {
		e.Refused = fmt.Sprintf("spec.serviceClass: %s is not allowed in namespace %s, its spec.allowedNamespaces are those with %s",
			class.Name, s.Namespace, metav1.FormatLabelSelector(class.Spec.AllowedNamespaces))
		faults = append(faults, e.Refused)
	}
	if most := class.Spec.MaxMinReplicas; most != nil && e.MinNumReplicas > *most {
		faults = append(faults, fmt.Sprintf("spec.minReplicas: %d is not allowed, must be at most %d (spec.maxMinReplicas of the class %s)", e.MinNumReplicas, *most, class.Name))
		e.MinNumReplicas = *most
	}
	return append(faults, r.priority(class, templates)...)
}

// open says whether Servers of a namespace may use a class. A selector that is none opens it to nobody.
func (r *rules) open(class *v1alpha1.ServiceClass, namespace string) bool {
	if class.Spec.AllowedNamespaces == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(class.Spec.AllowedNamespaces)
	has, known := r.labels[namespace]
	if !known {
		has = map[string]string{corev1.LabelMetadataName: namespace}
	}
	return err == nil && selector.Matches(labels.Set(has))
}

// priority says which templates of a Server's pods do not name the PriorityClass of its class, by the variants they are of.
func (r *rules) priority(class *v1alpha1.ServiceClass, templates map[string]*template) (faults []string) {
	want := class.Spec.PriorityClassName
	for variant, t := range templates {
		if want == "" || t.spec.PriorityClassName == want {
			continue
		}
		of := ""
		if variant != "" {
			of = " of variant " + variant
		}
		faults = append(faults, fmt.Sprintf("spec.priorityClassName of the pod template%s: %q is not allowed for the class %s, must be %s", of, t.spec.PriorityClassName, class.Name, want))
	}
	slices.Sort(faults)
	return faults
}

// faults are what is wrong with a class, beside its targets.
func (r *rules) faults(class *v1alpha1.ServiceClass) (faults []string) {
	if s := class.Spec.AllowedNamespaces; s != nil {
		if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
			faults = append(faults, fmt.Sprintf("spec.allowedNamespaces: %s is not allowed, and opens the class to nobody: %v", metav1.FormatLabelSelector(s), err))
		}
	}
	return append(faults, r.orderFaults(class)...)
}

// orderFaults say where the PriorityClass of a class does not exist, or its value is not above those of classes that matter less: a pod would then be
// preempted for one that the plan gives up first.
func (r *rules) orderFaults(class *v1alpha1.ServiceClass) []string {
	name := class.Spec.PriorityClassName
	value, known := r.priorities[name]
	if name == "" {
		return nil
	} else if !known {
		return []string{fmt.Sprintf("spec.priorityClassName: %q is no PriorityClass", name)}
	}
	var above []string
	for _, o := range r.classes {
		if theirs, known := r.priorities[o.Spec.PriorityClassName]; known && o.Spec.Priority < class.Spec.Priority && theirs >= value {
			above = append(above, fmt.Sprintf("%s (priority %d, %s %d)", o.Name, o.Spec.Priority, o.Spec.PriorityClassName, theirs))
		}
	}
	if len(above) == 0 {
		return nil
	}
	slices.Sort(above)
	return []string{fmt.Sprintf("spec.priorityClassName: %s with value %d is not allowed with priority %d, its value must be above those of classes that matter less: %s",
		name, value, class.Spec.Priority, strings.Join(above, ", "))}
}

// maxPodPriority that pods of a Server may have; nil where its class says nothing that is known.
func (r *rules) maxPodPriority(s *v1alpha1.Server) *int32 {
	class := r.classes[s.Spec.ServiceClass]
	if class == nil {
		return nil
	}
	if value, known := r.priorities[class.Spec.PriorityClassName]; known {
		return &value
	}
	return nil
}
