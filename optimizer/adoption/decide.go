// Package adoption makes a Server of a workload that bears the label of a service class: what a team would write by hand is read from the template of its pods,
// and what cannot be read is assumed, and said. Decide is a pure function; the controller around it writes what it says, and nothing that a person wrote.
package adoption

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/workload"
)

// What it makes bears this label. Who takes it off an object takes the object over.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "inferno"
)

// settled is how long after a Server was made its load is measured before an autoscaler follows its plan: the first plans may have seen none of its pods,
// or some of them.
//
// Tuned: s; guard against a running workload that is scaled by a plan which has not seen all of its load; at half: a cycle of the default interval may see pods
// whose label is new; at twice: the autoscaler comes later
const settled = 30 * time.Second

// Workload bears the label of a service class.
type Workload struct {
	// Kind is Deployment or StatefulSet, of apps/v1.
	Kind            string
	Namespace, Name string
	UID             types.UID
	// Class that the label names.
	Class    string
	Template *corev1.PodTemplateSpec
}

// World is what else there is.
type World struct {
	Nodes        []corev1.Node
	Accelerators []v1alpha1.Accelerator
	Models       []v1alpha1.Model
	Classes      []v1alpha1.ServiceClass
	Optimizers   []v1alpha1.Optimizer
	// Servers and Autoscalers of the workload's namespace.
	Servers     []v1alpha1.Server
	Autoscalers []autoscalingv2.HorizontalPodAutoscaler
	// NodeCosts are what OpenCost says of nodes, in cents per hour by name.
	NodeCosts map[string]float64
	// Prices of cards of which nothing else is known.
	Prices catalogue.Prices
	// Metrics by which autoscalers read plans.
	Metrics Metrics
}

// Wanted is what there should be.
type Wanted struct {
	// Accelerators that are not there.
	Accelerators []v1alpha1.Accelerator
	// Model that is served; nil where it is somebody else's.
	Model  *v1alpha1.Model
	Server *v1alpha1.Server
	// Autoscaler that follows the plan; nil where there is to be none, or not yet.
	Autoscaler *autoscalingv2.HorizontalPodAutoscaler
	// Conditions of the Server: Adopted and Assumed.
	Conditions []metav1.Condition
}

// Decide what there should be for a workload; nil where a Server that somebody wrote plans it. The error joins all that keeps it from being planned.
func Decide(w *Workload, o *World) (*Wanted, error) {
	if o.planned(w) {
		return nil, nil
	}
	read, err := workload.Read(w.Template)
	if err = errors.Join(err, o.nameFault(w), o.classFault(w)); err != nil || read == nil {
		return nil, err
	}
	if err := unreadable(read); err != nil {
		return nil, err
	}
	made, assumed := o.accelerators(read)
	performance := performances(read, append(slices.Clone(o.Accelerators), made...))
	if len(performance) == 0 {
		return nil, fmt.Errorf("there is no node, and no Accelerator, with a number of %s of which %d make up a replica; nodes tell their cards by %s",
			read.Resource.Value, read.Cards.Value, strings.Join(catalogue.ProductLabels(read.Resource.Value), " or "))
	}
	before := o.ours(w)
	name, model, err := o.model(read, performance, before)
	if err != nil {
		return nil, err
	}
	next := &Wanted{Accelerators: made, Model: model, Server: server(w, read, name)}
	state := metav1.Condition{Type: v1alpha1.ConditionAdopted}
	next.Autoscaler, state.Status, state.Reason, state.Message = o.autoscaler(w, before)
	next.Conditions = []metav1.Condition{state, o.assumptions(w, read, next, assumed)}
	return next, nil
}

// planned says whether a Server that somebody wrote has the workload.
func (o *World) planned(w *Workload) bool {
	return slices.ContainsFunc(o.Servers, func(s v1alpha1.Server) bool {
		refers := func(ref *jsonspec.ScaleTargetRef) bool { return ref != nil && ref.Kind == w.Kind && ref.Name == w.Name }
		return s.Labels[ManagedByLabel] != ManagedBy && (refers(s.Spec.ScaleTargetRef) ||
			slices.ContainsFunc(s.Spec.Variants, func(v jsonspec.Variant) bool { return refers(&v.ScaleTargetRef) }))
	})
}

// ours is the Server that was made of the workload; nil where there is none.
func (o *World) ours(w *Workload) *v1alpha1.Server {
	for i := range o.Servers {
		if s := &o.Servers[i]; s.Name == w.Name && Made(s, w.Kind) {
			return s
		}
	}
	return nil
}

// Made says whether a Server was made here, of a workload of a kind and of its own name.
func Made(s *v1alpha1.Server, kind string) bool {
	owner := metav1.GetControllerOf(s)
	return s.Labels[ManagedByLabel] == ManagedBy && owner != nil && owner.Kind == kind && owner.Name == s.Name
}

// nameFault is what keeps a Server from having the workload's name.
func (o *World) nameFault(w *Workload) error {
	if wrong := validation.IsDNS1123Label(w.Name); len(wrong) > 0 {
		return fmt.Errorf("metadata.name: %q is not allowed, its pods are to bear it as a label: %s", w.Name, strings.Join(wrong, "; "))
	}
	for i := range o.Servers {
		if s := &o.Servers[i]; s.Name == w.Name && !Made(s, w.Kind) {
			return fmt.Errorf("there is a Server %s already, of something else", w.Name)
		}
	}
	return nil
}

// classFault is what is wrong with the class that the label names.
func (o *World) classFault(w *Workload) error {
	var names []string
	for i := range o.Classes {
		if o.Classes[i].Name == w.Class {
			return nil
		}
		names = append(names, o.Classes[i].Name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return fmt.Errorf("metadata.labels[%s]: %q is not allowed, there is no ServiceClass", v1alpha1.ClassLabel, w.Class)
	}
	return fmt.Errorf("metadata.labels[%s]: %q is not allowed, must be a ServiceClass: %s", v1alpha1.ClassLabel, w.Class, strings.Join(names, ", "))
}

// unreadable joins what of a template must be known, and is not.
func unreadable(read *workload.Workload) error {
	var faults []error
	if len(read.Others) > 0 {
		faults = append(faults, fmt.Errorf("containers %s and %s both serve: which of them is meant is not known", read.Container, strings.Join(read.Others, ", ")))
	}
	for _, u := range read.Unread {
		if u.What == workload.WhatModel && !read.Model.Known() || u.What == workload.WhatCards && !read.Cards.Known() {
			faults = append(faults, fmt.Errorf("%s: %s", u.What, u.Why))
		}
	}
	return errors.Join(faults...)
}

// accelerators that nodes carry and nobody wrote, with their list prices, and what is assumed by that.
func (o *World) accelerators(read *workload.Workload) (made []v1alpha1.Accelerator, assumed []string) {
	known, nodes := catalogue.ClassifierOf(o.Accelerators), map[string][]*corev1.Node{}
	for i := range o.Nodes {
		n := &o.Nodes[i]
		if e, carries := catalogue.Carried(n.Labels); carries && e.ResourceName == read.Resource.Value && len(known.Names(n.Labels)) == 0 {
			nodes[e.Type] = append(nodes[e.Type], n)
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(nodes)) {
		price, listed := catalogue.OnNodes(typ, nodes[typ], o.NodeCosts)
		if !listed {
			price, listed = o.Prices.Find(typ)
		}
		if !listed {
			assumed = append(assumed, fmt.Sprintf("nodes with %s are left out, of which no list price is known: write an Accelerator", typ))
			continue
		}
		a := v1alpha1.Accelerator{TypeMeta: v1alpha1.TypeMeta("Accelerator"), Spec: v1alpha1.AcceleratorSpec{Type: typ, CostPerHour: v1alpha1.DecimalOf(price.CentsPerHour)}}
		a.Name, a.Labels = strings.ToLower(typ), map[string]string{ManagedByLabel: ManagedBy}
		a.Annotations = map[string]string{v1alpha1.AssumedAnnotation: "costPerHour: " + price.String()}
		if !slices.ContainsFunc(o.Accelerators, func(b v1alpha1.Accelerator) bool { return b.Name == a.Name }) {
			made = append(made, a)
		}
	}
	return made, assumed
}

// performances that its pods can have: on each accelerator of their resource of which their cards are a whole number. How fast it is, is physics' to say.
func performances(read *workload.Workload, accelerators []v1alpha1.Accelerator) []v1alpha1.Performance {
	var list []v1alpha1.Performance
	for i := range accelerators {
		k := catalogue.Describe(&accelerators[i])
		if k.ResourceName == read.Resource.Value && read.Cards.Value%k.Multiplicity == 0 {
			list = append(list, v1alpha1.Performance{Accelerator: k.Name, AcceleratorsPerReplica: read.Cards.Value / k.Multiplicity, Match: read.Match()})
		}
	}
	slices.SortFunc(list, func(a, b v1alpha1.Performance) int { return strings.Compare(a.Accelerator, b.Accelerator) })
	return list
}

// server of the workload. Limits that its engine is started with it keeps.
func server(w *Workload, read *workload.Workload, model string) *v1alpha1.Server {
	s := &v1alpha1.Server{TypeMeta: v1alpha1.TypeMeta("Server")}
	s.Name, s.Namespace, s.Labels = w.Name, w.Namespace, map[string]string{ManagedByLabel: ManagedBy}
	s.OwnerReferences = []metav1.OwnerReference{w.owner()}
	s.Spec.Model, s.Spec.ServiceClass = model, w.Class
	s.Spec.ScaleTargetRef = w.reference()
	s.Spec.MaxBatchSize, s.Spec.MaxBatchedTokens = read.MaxNumSeqs.Value, read.MaxNumBatchedTokens.Value
	return s
}

// reference to the workload.
func (w *Workload) reference() *jsonspec.ScaleTargetRef {
	return &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: w.Kind, Name: w.Name}
}

// owner reference to the workload, by which what was made of it goes with it.
func (w *Workload) owner() metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: "apps/v1", Kind: w.Kind, Name: w.Name, UID: w.UID, Controller: new(true)}
}

// Owns says whether a pod is one of the workload's: of a Deployment by the name of its ReplicaSet, which ends with the hash that the pod bears.
func Owns(kind, name string, pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	switch {
	case owner == nil:
		return false
	case kind == "Deployment":
		hash := pod.Labels["pod-template-hash"]
		return owner.Kind == "ReplicaSet" && hash != "" && owner.Name == name+"-"+hash
	}
	return owner.Kind == kind && owner.Name == name
}

// assumptions that the plans of the workload rest on, as a condition.
func (o *World) assumptions(w *Workload, read *workload.Workload, next *Wanted, more []string) metav1.Condition {
	all := slices.Clone(more)
	if next.Model != nil {
		all = append(all, fmt.Sprintf("Model %s is made of %s: how fast it runs is taken from physics until it is learned (see its conditions)", next.Model.Name, read.Model.From))
	}
	if read.Precision.Assumed {
		all = append(all, fmt.Sprintf("weights in %s: %s", read.Precision.Value, read.Precision.From))
	}
	for _, f := range []struct {
		known bool
		flag  string
	}{{read.MaxNumSeqs.Known(), "requests of a batch"}, {read.MaxNumBatchedTokens.Known(), "tokens of an iteration"}} {
		if !f.known {
			all = append(all, fmt.Sprintf("the most %s are the plan's, which the engine follows only where it takes them from its annotations", f.flag))
		}
	}
	for _, a := range append(slices.Clone(o.Accelerators), next.Accelerators...) {
		if said := a.Annotations[v1alpha1.AssumedAnnotation]; said != "" {
			all = append(all, fmt.Sprintf("Accelerator %s, %s", a.Name, said))
		}
	}
	for _, u := range read.Unread {
		all = append(all, fmt.Sprintf("not read: %s (%s)", u.What, u.Why))
	}
	all = append(all, read.Doubts...)
	if len(o.Optimizers) == 0 {
		all = append(all, "there is no Optimizer, and without one nothing is planned")
	}
	c := metav1.Condition{Type: v1alpha1.ConditionAssumed, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAllGiven, Message: "all that plans rest on was given"}
	if len(all) > 0 {
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonAssumed, strings.Join(all, "; ")
	}
	return c
}
