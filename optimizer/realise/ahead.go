package realise

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Ahead are the parts of a plan that node autoscalers are to make room for ahead of time. How much room there is on nodes is not taken off: an autoscaler
// that puts pods in mind onto its nodes counts it itself, once for all that ask for it, and must not remove a node for being empty.
func Ahead(plan *v1alpha1.DesiredState) []jsonspec.AllocationPart {
	var list []jsonspec.AllocationPart
	if plan == nil {
		return nil
	}
	for _, p := range plan.Parts {
		if p.Ahead > 0 {
			list = append(list, p)
		}
	}
	return list
}

// Shape of the pods of a template as a node autoscaler is to have them in mind: what decides on which nodes they can be and how many, on nodes that also meet
// the requirements of an accelerator, and nothing else. Neither what they run nor what they are told is needed for that, and need not be copied. The gate
// for placement is left out, for an autoscaler makes no room for a pod that is gated.
func Shape(template *corev1.PodTemplateSpec, more []corev1.NodeSelectorRequirement) corev1.PodTemplateSpec {
	of := template.Spec.DeepCopy()
	if of.Affinity == nil {
		of.Affinity = &corev1.Affinity{}
	}
	if of.Affinity.NodeAffinity == nil {
		of.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	of.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = placement.Required(&template.Spec, more)
	var gates []corev1.PodSchedulingGate
	for _, g := range of.SchedulingGates {
		if g.Name != v1alpha1.PlacementGate {
			gates = append(gates, g)
		}
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: template.Labels}, // what other pods spread and keep away by
		Spec: corev1.PodSpec{
			NodeSelector: of.NodeSelector, Affinity: of.Affinity, Tolerations: of.Tolerations, TopologySpreadConstraints: of.TopologySpreadConstraints,
			SchedulerName: of.SchedulerName, SchedulingGates: gates, PriorityClassName: of.PriorityClassName, PreemptionPolicy: of.PreemptionPolicy,
			RuntimeClassName: of.RuntimeClassName, Overhead: of.Overhead, HostNetwork: of.HostNetwork, OS: of.OS,
			Resources: of.Resources, ResourceClaims: of.ResourceClaims, Volumes: placed(of.Volumes),
			InitContainers: shapes(of.InitContainers), Containers: shapes(of.Containers),
		},
	}
}

// shapes of containers: what they request of a node.
func shapes(list []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for _, c := range list {
		s := corev1.Container{Name: c.Name, Image: c.Image, Resources: c.Resources, RestartPolicy: c.RestartPolicy}
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				s.Ports = append(s.Ports, p)
			}
		}
		out = append(out, s)
	}
	return out
}

// placed are the volumes that only some nodes can have.
func placed(list []corev1.Volume) []corev1.Volume {
	var out []corev1.Volume
	for _, v := range list {
		if v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			out = append(out, v)
		}
	}
	return out
}
