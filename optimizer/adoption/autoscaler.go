package adoption

import (
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Metrics by which autoscalers read plans.
type Metrics string

// Metrics of the APIs external.metrics.k8s.io and custom.metrics.k8s.io, or none, where neither leads to inferno's adapter.
const (
	External Metrics = "external"
	Custom   Metrics = "custom"
	None     Metrics = "none"
)

// planMetric is the replicas that a plan asks for, as the adapter serves them.
const planMetric = "inferno_desired_replicas"

// mostReplicas of an autoscaler whose Server bounds them not: the plan is the bound.
//
// Exact: more than any plan has; a bound that is asked for is the Server's.
const mostReplicas = 1000

// Autoscaler is the stock HorizontalPodAutoscaler of a Server's workload: it follows the plan in one step, for the damping is in the plan.
func Autoscaler(s *v1alpha1.Server, by Metrics) *autoscalingv2.HorizontalPodAutoscaler {
	one := resource.MustParse("1")
	rules := func() *autoscalingv2.HPAScalingRules {
		zero := resource.MustParse("0")
		return &autoscalingv2.HPAScalingRules{
			Tolerance: &zero, StabilizationWindowSeconds: new(int32(0)), SelectPolicy: new(autoscalingv2.MaxChangePolicySelect),
			Policies: []autoscalingv2.HPAScalingPolicy{{Type: autoscalingv2.PodsScalingPolicy, Value: mostReplicas, PeriodSeconds: 1}},
		}
	}
	target := autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &one}
	metric := autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
		Metric: autoscalingv2.MetricIdentifier{Name: planMetric, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"server": s.Name}}}, Target: target,
	}}
	if by == Custom {
		described := autoscalingv2.CrossVersionObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Server", Name: s.Name}
		metric = autoscalingv2.MetricSpec{Type: autoscalingv2.ObjectMetricSourceType, Object: &autoscalingv2.ObjectMetricSource{
			DescribedObject: described, Metric: autoscalingv2.MetricIdentifier{Name: planMetric}, Target: target,
		}}
	}
	ref := s.Spec.ScaleTargetRef
	h := &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: autoscalingv2.SchemeGroupVersion.String(), Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name},
			MinReplicas:    new(int32(1)), MaxReplicas: mostReplicas,
			Metrics:  []autoscalingv2.MetricSpec{metric},
			Behavior: &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: rules(), ScaleDown: rules()},
		},
	}
	if least := s.Spec.MinReplicas; least != nil {
		h.Spec.MinReplicas = new(int32(*least))
	}
	if most := s.Spec.MaxReplicas; most != nil {
		h.Spec.MaxReplicas = int32(*most)
	}
	return h
}

// autoscaler that the workload should have, and the condition Adopted: its status, reason and message. None is made beside another, none before the load of the
// workload is known: it would be scaled by a plan that has not seen it.
func (o *World) autoscaler(w *Workload, before *v1alpha1.Server) (*autoscalingv2.HorizontalPodAutoscaler, metav1.ConditionStatus, string, string) {
	var own *autoscalingv2.HorizontalPodAutoscaler
	for i := range o.Autoscalers {
		h := &o.Autoscalers[i]
		ours := h.Labels[ManagedByLabel] == ManagedBy
		switch scales := h.Spec.ScaleTargetRef.Kind == w.Kind && h.Spec.ScaleTargetRef.Name == w.Name; {
		case scales && !ours && follows(h):
			return nil, metav1.ConditionTrue, v1alpha1.ReasonAdopted, fmt.Sprintf("HorizontalPodAutoscaler %s scales %s %s by its plan", h.Name, w.Kind, w.Name)
		case scales && !ours:
			return nil, metav1.ConditionFalse, v1alpha1.ReasonScaledByOthers,
				fmt.Sprintf("HorizontalPodAutoscaler %s scales %s %s, and not by its plan: delete it, or what made it, and one that follows the plan is made", h.Name, w.Kind, w.Name)
		case h.Name == w.Name && !ours:
			return nil, metav1.ConditionFalse, v1alpha1.ReasonScaledByOthers, fmt.Sprintf("HorizontalPodAutoscaler %s is of something else, so that none is made for %s %s", h.Name, w.Kind, w.Name)
		case h.Name == w.Name:
			own = h
		}
	}
	switch {
	case o.Metrics == None:
		return nil, metav1.ConditionFalse, v1alpha1.ReasonNoMetricsAPI, "no API of metrics leads to inferno's adapter, so that no autoscaler is made: see metrics and keda of the chart"
	case own == nil && !measured(before):
		return nil, metav1.ConditionFalse, v1alpha1.ReasonLoadNotMeasured,
			fmt.Sprintf("its autoscaler is made when its load has been measured for %s, so that no plan scales it that has not seen its load", settled)
	}
	h := Autoscaler(w.bounded(before), o.Metrics)
	h.Labels, h.OwnerReferences = map[string]string{ManagedByLabel: ManagedBy}, []metav1.OwnerReference{w.owner()}
	return h, metav1.ConditionTrue, v1alpha1.ReasonAdopted, fmt.Sprintf("HorizontalPodAutoscaler %s scales %s %s by its plan", h.Name, w.Kind, w.Name)
}

// bounded is the Server of the workload with the replicas that the one that is there has at least and at most.
func (w *Workload) bounded(before *v1alpha1.Server) *v1alpha1.Server {
	s := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: w.Name, Namespace: w.Namespace}}
	s.Spec.ScaleTargetRef = w.reference()
	if before != nil {
		s.Spec.MinReplicas, s.Spec.MaxReplicas = before.Spec.MinReplicas, before.Spec.MaxReplicas
	}
	return s
}

// follows says whether an autoscaler reads plans.
func follows(h *autoscalingv2.HorizontalPodAutoscaler) bool {
	for _, m := range h.Spec.Metrics {
		if m.External != nil && strings.HasPrefix(m.External.Metric.Name, "inferno_desired_") || m.Object != nil && strings.HasPrefix(m.Object.Metric.Name, "inferno_desired_") {
			return true
		}
	}
	return false
}

// measured says whether a Server has a plan for a load that was measured when all its pods were known to be its.
func measured(s *v1alpha1.Server) bool {
	return s != nil && s.Status.Desired != nil && s.Status.Load != nil && s.Status.Load.ObservedAt.Sub(s.CreationTimestamp.Time) >= settled
}
