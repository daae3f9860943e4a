package doctor

import (
	"fmt"
	"math"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/metricsadapter"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// plannedMetrics are the metrics that an autoscaler can follow a plan by, with the target it must aim at.
var plannedMetrics = map[string]autoscalingv2.MetricTargetType{
	metricsadapter.DesiredReplicas: autoscalingv2.AverageValueMetricType,
	metricsadapter.DesiredRatio:    autoscalingv2.ValueMetricType,
}

// metricOf is what one entry of an autoscaler's metrics asks for; ok is false where it is none that can be of a plan.
func metricOf(m *autoscalingv2.MetricSpec) (id autoscalingv2.MetricIdentifier, target autoscalingv2.MetricTarget, ok bool) {
	switch {
	case m.External != nil:
		id, target = m.External.Metric, m.External.Target
	case m.Object != nil:
		id, target = m.Object.Metric, m.Object.Target
	default:
		return id, target, false
	}
	_, ok = plannedMetrics[id.Name]
	return id, target, ok
}

// usedAPIs says which metrics APIs the autoscalers of a namespace read plans from.
func usedAPIs(c *Cluster, namespace string) (external, custom bool) {
	for i := range c.Autoscalers {
		h := &c.Autoscalers[i]
		if h.Namespace != namespace {
			continue
		}
		for j := range h.Spec.Metrics {
			if _, _, ok := metricOf(&h.Spec.Metrics[j]); ok {
				external = external || h.Spec.Metrics[j].External != nil
				custom = custom || h.Spec.Metrics[j].Object != nil
			}
		}
	}
	return external, custom
}

// autoscaling tells whether one autoscaler, and only one, scales the workload, and what in it is in the plan's way.
func (r *report) autoscaling(c *Cluster, t target) {
	var scalers []*autoscalingv2.HorizontalPodAutoscaler
	for i := range c.Autoscalers {
		h := &c.Autoscalers[i]
		if h.Namespace == t.server.Namespace && h.Spec.ScaleTargetRef.Kind == t.ref.Kind && h.Spec.ScaleTargetRef.Name == t.ref.Name {
			scalers = append(scalers, h)
		}
	}
	switch len(scalers) {
	case 0:
		r.fault(t.object(), "no HorizontalPodAutoscaler scales it", "create one; manifests/samples has complete examples")
		return
	case 1:
	default:
		r.fault(t.object(), fmt.Sprintf("%d HorizontalPodAutoscalers scale it and undo each other's work", len(scalers)), "delete all but one")
	}
	for _, h := range scalers {
		r.autoscaler(c, t, h)
	}
}

func (r *report) autoscaler(c *Cluster, t target, h *autoscalingv2.HorizontalPodAutoscaler) {
	object := "hpa/" + h.Namespace + "/" + h.Name
	follows := false
	for i := range h.Spec.Metrics {
		m := &h.Spec.Metrics[i]
		id, aim, ok := metricOf(m)
		if !ok {
			continue
		}
		follows = true
		r.metric(t, object, m, id, aim)
	}
	if !follows {
		r.fault(object, "spec.metrics has none that tells the plan", fmt.Sprintf("add an External metric %s with the selector server: %s and AverageValue 1", metricsadapter.DesiredReplicas, t.server.Name))
		return
	}
	if len(h.Spec.Metrics) > 1 {
		r.warn(object, fmt.Sprintf("spec.metrics has %d entries, and the largest answer wins", len(h.Spec.Metrics)), "leave the plan's alone")
	}
	r.bounds(c, t, object, h)
	r.behavior(c, t, object, h)
	for _, condition := range h.Status.Conditions {
		if condition.Status == corev1.ConditionFalse && (condition.Type == autoscalingv2.ScalingActive || condition.Type == autoscalingv2.AbleToScale) {
			r.fault(object, fmt.Sprintf("%s is False (%s): %s", condition.Type, condition.Reason, condition.Message), "the message is the answer that it got")
		}
	}
}

// metric tells whether the autoscaler asks for its own server's plan and takes it as it is.
func (r *report) metric(t target, object string, m *autoscalingv2.MetricSpec, id autoscalingv2.MetricIdentifier, aim autoscalingv2.MetricTarget) {
	if m.External != nil {
		r.selector(t, object, id.Selector)
	}
	if want := plannedMetrics[id.Name]; aim.Type != want {
		r.fault(object, fmt.Sprintf("target.type of %s is %s: the plan would be multiplied", id.Name, aim.Type), fmt.Sprintf("set it to %s", want))
		return
	}
	value := aim.AverageValue
	if aim.Type == autoscalingv2.ValueMetricType {
		value = aim.Value
	}
	if value == nil || value.MilliValue() != 1000 {
		r.fault(object, fmt.Sprintf("the target of %s is %v: the plan would be divided by it", id.Name, value), `set it to "1"`)
	}
}

func (r *report) selector(t target, object string, s *metav1.LabelSelector) {
	named := func(short, long string) string {
		if s == nil {
			return ""
		}
		if v := s.MatchLabels[short]; v != "" {
			return v
		}
		return s.MatchLabels[long]
	}
	if s != nil && len(s.MatchExpressions) > 0 {
		return // beyond what can be told without asking the adapter
	}
	if got := named("server", v1alpha1.ServerLabel); got != t.server.Name {
		r.fault(object, fmt.Sprintf("its metric selector names server %q, the workload is of %q", got, t.server.Name), "set server: "+t.server.Name)
	}
	if got := named("variant", v1alpha1.VariantLabel); got != t.variant {
		r.fault(object, fmt.Sprintf("its metric selector names variant %q, the workload is variant %q", got, t.variant), "name the variant of the workload, or none where the Server lists none")
	}
}

// Minor versions of Kubernetes from which autoscalers of the default feature gates can what plans ask of them.
const (
	hasTolerance = 35 // HPAConfigurableTolerance, beta
	scalesToZero = 37 // HPAScaleToZero, beta
)

// bounds tells where the autoscaler's own are narrower than the plan's.
func (r *report) bounds(c *Cluster, t target, object string, h *autoscalingv2.HorizontalPodAutoscaler) {
	least := int32(1)
	if h.Spec.MinReplicas != nil {
		least = *h.Spec.MinReplicas
	}
	wanted := int32(1)
	if t.server.Spec.MinReplicas != nil {
		wanted = int32(*t.server.Spec.MinReplicas)
	}
	if t.variant != "" {
		wanted = 0 // a plan may leave out any variant
	}
	switch {
	case least == 1 && wanted == 0 && c.before(scalesToZero):
		r.warn(object, fmt.Sprintf("the plan may ask for 0, and autoscalers of Kubernetes %s go no lower than 1", c.Kubernetes), "have KEDA scale it (manifests/samples/keda), or bear with one replica")
	case least > wanted:
		r.warn(object, fmt.Sprintf("spec.minReplicas is %d, the plan may ask for %d", least, wanted), fmt.Sprintf("set it to %d", wanted))
	}
	if d := t.server.Status.Desired; d != nil && t.variant == "" && int64(d.Replicas) > int64(h.Spec.MaxReplicas) {
		r.fault(object, fmt.Sprintf("spec.maxReplicas is %d, the plan asks for %d", h.Spec.MaxReplicas, d.Replicas), "raise it, or set maxReplicas of the Server")
	} else if most := t.server.Spec.MaxReplicas; most != nil && int64(*most) > int64(h.Spec.MaxReplicas) {
		r.warn(object, fmt.Sprintf("spec.maxReplicas is %d, that of the Server %d", h.Spec.MaxReplicas, *most), "raise it")
	}
}

// behavior tells what makes the autoscaler follow late or in part. Each default is one of these.
func (r *report) behavior(c *Cluster, t target, object string, h *autoscalingv2.HorizontalPodAutoscaler) {
	var up, down *autoscalingv2.HPAScalingRules
	if h.Spec.Behavior != nil {
		up, down = h.Spec.Behavior.ScaleUp, h.Spec.Behavior.ScaleDown
	}
	// The step to allow for is the one from the smallest plan to the largest that is known.
	step := 1
	if d := t.server.Status.Desired; d != nil {
		step = d.Replicas
	}
	r.scaling(c, object, "scaleUp", up, 0, step)
	r.scaling(c, object, "scaleDown", down, 300, step)
}

// scaling examines the rules of one direction. Kubernetes' defaults: a tolerance of 10 %, no stabilisation up and 300 s down, up the larger
// of doubling and four pods in 15 s, down everything at once.
func (r *report) scaling(c *Cluster, object, direction string, rules *autoscalingv2.HPAScalingRules, defaultWindow int32, step int) {
	field := "behavior." + direction
	if rules == nil {
		rules = &autoscalingv2.HPAScalingRules{}
	}
	if rules.SelectPolicy != nil && *rules.SelectPolicy == autoscalingv2.DisabledPolicySelect {
		r.fault(object, field+".selectPolicy is Disabled: it never scales that way", "set it to Max")
	}
	switch {
	case rules.Tolerance == nil && c.before(hasTolerance):
		r.warn(object, fmt.Sprintf("Kubernetes %s drops %s.tolerance: above ten replicas the default of 10 %% swallows a change by one", c.Kubernetes, field),
			"upgrade to 1.35, or start kube-controller-manager with --horizontal-pod-autoscaler-tolerance=0")
	case rules.Tolerance == nil:
		r.warn(object, field+".tolerance is absent: above ten replicas the default of 10 % swallows a change by one", `set it to "0"`)
	case !rules.Tolerance.IsZero():
		r.warn(object, fmt.Sprintf("%s.tolerance is %s: it swallows small changes", field, rules.Tolerance), `set it to "0"`)
	}
	window := defaultWindow
	if rules.StabilizationWindowSeconds != nil {
		window = *rules.StabilizationWindowSeconds
	}
	if window > 0 {
		r.warn(object, fmt.Sprintf("%s.stabilizationWindowSeconds is %d, on top of the damping in the plan", field, window), "set it to 0")
	}
	policies := rules.Policies
	if len(policies) == 0 && direction == "scaleUp" {
		policies = []autoscalingv2.HPAScalingPolicy{
			{Type: autoscalingv2.PercentScalingPolicy, Value: 100, PeriodSeconds: 15}, {Type: autoscalingv2.PodsScalingPolicy, Value: 4, PeriodSeconds: 15},
		}
	}
	if n := widest(policies, rules.SelectPolicy, direction == "scaleDown"); n < max(step-1, 8) {
		r.warn(object, fmt.Sprintf("%s.policies allow %d pods at a time: a larger change of the plan takes several steps", field, n), "allow 100 pods in 1 s")
	}
}

// widest is the number of pods that policies surely let go at a time: those by pods, and those by percent where all may go.
func widest(policies []autoscalingv2.HPAScalingPolicy, selected *autoscalingv2.ScalingPolicySelect, down bool) int {
	if len(policies) == 0 {
		return math.MaxInt
	}
	allowed := make([]int, len(policies))
	for i, p := range policies {
		switch {
		case p.Type == autoscalingv2.PodsScalingPolicy:
			allowed[i] = int(p.Value)
		case down && p.Value >= 100:
			allowed[i] = math.MaxInt
		default:
			allowed[i] = int(p.Value) / 100 // of one pod, the least there is
		}
	}
	if selected != nil && *selected == autoscalingv2.MinChangePolicySelect {
		return slices.Min(allowed)
	}
	return slices.Max(allowed)
}
