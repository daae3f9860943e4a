// Package seatstest makes Servers, accelerators and pods for tests of what places pods.
package seatstest

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Chat is the name of the Server that Server makes and Pod is of.
var Chat = types.NamespacedName{Namespace: "llm", Name: "chat"}

// Accelerator of a type, with what the catalogue knows of it.
func Accelerator(name, typ string, multiplicity int) *v1alpha1.Accelerator {
	a := &v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}}
	a.Spec.Type, a.Spec.Cards, a.Spec.CostPerHour = typ, multiplicity, v1alpha1.DecimalOf(1)
	return a
}

// Part of a plan.
func Part(accelerator string, replicas int) jsonspec.AllocationPart {
	return jsonspec.AllocationPart{Accelerator: accelerator, Replicas: replicas}
}

// Server with a plan of these parts.
func Server(parts ...jsonspec.AllocationPart) *v1alpha1.Server {
	s := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: Chat.Namespace, Name: Chat.Name}}
	s.Spec.Model = "llama"
	s.Status.Desired = &v1alpha1.DesiredState{Parts: parts}
	return s
}

// UnplannedServer is one without a plan.
func UnplannedServer() *v1alpha1.Server {
	s := Server()
	s.Status.Desired = nil
	return s
}

// GPUs that are requested.
func GPUs(n string) v1.ResourceList { return v1.ResourceList{"nvidia.com/gpu": resource.MustParse(n)} }

// Pod of Server llm/chat, of a revision of its Deployment, that takes one card.
func Pod(name, rev string) *v1.Pod {
	yes := true
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Chat.Namespace, Name: name, UID: types.UID("uid-" + name),
			Labels:          map[string]string{v1alpha1.ServerLabel: Chat.Name, "pod-template-hash": rev},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "chat-" + rev, UID: types.UID("rs-" + rev), Controller: &yes}},
		},
		Spec: v1.PodSpec{
			SchedulerName: "inferno-scheduler",
			Containers:    []v1.Container{{Name: "engine", Image: "engine", Resources: v1.ResourceRequirements{Requests: GPUs("1"), Limits: GPUs("1")}}},
		},
	}
}

// Member of a group of so many pods.
func Member(p *v1.Pod, group string, size int) *v1.Pod {
	p = p.DeepCopy()
	p.Labels[v1alpha1.GroupLabel] = group
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	p.Annotations[v1alpha1.GroupSizeAnnotation] = strconv.Itoa(size)
	return p
}

// On a node.
func On(p *v1.Pod, node string) *v1.Pod {
	p = p.DeepCopy()
	p.Spec.NodeName = node
	return p
}
