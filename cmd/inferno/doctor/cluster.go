package doctor

import (
	"fmt"
	"math"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// lateIntervals is how many intervals may pass without a cycle.
const lateIntervals = 3

// optimizer tells what keeps the loop from planning.
func (r *report) optimizer(c *Cluster) {
	if len(c.Optimizers) == 0 {
		r.fault("optimizer", "there is none: nothing is planned", "create an Optimizer; manifests/samples/cluster.yaml has one")
		return
	}
	for i := range c.Optimizers {
		o := &c.Optimizers[i]
		object := "optimizer/" + o.Name
		if len(c.Optimizers) > 1 {
			r.warn(object, fmt.Sprintf("there are %d Optimizers, and only the oldest drives the loop", len(c.Optimizers)), "delete all but one")
		}
		switch {
		case o.Spec.Mode == v1alpha1.ModeSuspended:
			r.fault(object, "spec.mode: Suspended: plans stay as they are", "set it to Active")
			continue
		case o.Spec.Mode == v1alpha1.ModeDryRun:
			r.fault(object, "spec.mode: DryRun: plans are not written", "set it to Active")
		}
		if bad := falseCondition(o.Status.Conditions, v1alpha1.ConditionReady); bad != nil {
			r.fault(object, fmt.Sprintf("Ready is False (%s): %s", bad.Reason, bad.Message), "see the log of inferno-optimizer")
		}
		r.conditions(object, o.Status.Conditions, optimizerRemedies)
		interval := o.Spec.Interval.Duration
		if interval <= 0 {
			interval = 30 * time.Second
		}
		switch last := o.Status.LastCycle; {
		case last == nil:
			r.fault(object, "no cycle ran yet", "see whether inferno-optimizer runs and leads")
		case c.Now.Sub(last.Time.Time) > lateIntervals*interval+time.Minute:
			r.fault(object, fmt.Sprintf("the last cycle began %s ago, the interval is %s", c.Now.Sub(last.Time.Time).Round(time.Second), interval),
				"see whether inferno-optimizer runs and leads")
		}
	}
}

// fleet tells which accelerators no node carries.
func (r *report) fleet(c *Cluster) {
	if len(c.Accelerators) == 0 {
		r.fault("accelerator", "there is none: no plan can name one", "create an Accelerator for each type of card; manifests/samples/cluster.yaml has some")
	}
	for i := range c.Accelerators {
		a := &c.Accelerators[i]
		if bad := falseCondition(a.Status.Conditions, v1alpha1.ConditionReady); bad != nil {
			r.warn("accelerator/"+a.Name, fmt.Sprintf("Ready is False (%s): %s", bad.Reason, bad.Message), "set spec.productNames to the product labels of its nodes, or add nodes")
		}
	}
}

// server tells why a Server has no plan that can be followed.
func (r *report) server(c *Cluster, s *v1alpha1.Server) {
	object := "server/" + s.Namespace + "/" + s.Name
	if len(targetsOf(s)) == 0 {
		r.fault(object, "spec.scaleTargetRef and spec.variants are absent: nobody knows its workload", "name its Deployment")
	}
	for _, condition := range []string{v1alpha1.ConditionObserved, v1alpha1.ConditionPlanned} {
		if bad := falseCondition(s.Status.Conditions, condition); bad != nil {
			r.fault(object, fmt.Sprintf("%s is False (%s): %s", condition, bad.Reason, bad.Message), remedies[bad.Reason])
		}
	}
	r.conditions(object, s.Status.Conditions, serverRemedies)
	if t := s.Status.Transfer; t != nil && t.Expected != nil && differ(t.Time, *t.Expected) {
		r.warn(object, fmt.Sprintf("a KV cache takes %.3g ms from one role to the other (%.3g MB a request, %.3g GB/s), the transfer of its Model says %.3g ms", t.Time, t.Bytes/1e6, t.Bandwidth, *t.Expected),
			"correct transfer in the Model's performance (bandwidth, delay, bytesPerToken), or see which network the caches go over")
	}
	switch d := s.Status.Desired; {
	case d == nil:
		r.fault(object, "it has no plan yet", "see its conditions and those of the Optimizer")
	case !d.Fresh(c.Now):
		r.fault(object, fmt.Sprintf("its plan is stale: last confirmed %s ago, to be followed for %d s", c.Now.Sub(d.ConfirmedAt.Time).Round(time.Second), d.StaleAfterSeconds),
			"see whether inferno-optimizer runs and leads")
	}
}

// differ says of two times in ms, one measured, whether they differ by more than a factor of two, and by more than one notices.
func differ(measured, expected float64) bool {
	return max(measured, expected) > 2*min(measured, expected) && math.Abs(measured-expected) > 10
}

// conditions warns of those that are False, each with what to do.
func (r *report) conditions(object string, conditions []metav1.Condition, remedies []remedy) {
	for _, x := range remedies {
		if bad := falseCondition(conditions, x.condition); bad != nil {
			r.warn(object, fmt.Sprintf("%s is False (%s): %s", x.condition, bad.Reason, bad.Message), x.remedy)
		}
	}
}

// remedy for a condition that is False, where plans are made and followed all the same.
type remedy struct{ condition, remedy string }

var optimizerRemedies = []remedy{
	{v1alpha1.ConditionPodsCounted, "delete these pods, or correct their labels " + v1alpha1.ServerLabel + " and " + v1alpha1.VariantLabel + " or schedulerName"},
	{v1alpha1.ConditionDevicesCounted, "let drivers publish each card in one way, whole or cut, and for one node; take taints off devices that are to serve"},
	{v1alpha1.ConditionCapacityAhead, "install the chart with capacityAhead.enabled, and a node autoscaler that has CapacityBuffers; or leave spec.capacityAhead out"},
	{v1alpha1.ConditionElasticCounted, "install the chart with karpenter.enabled, and see that Karpenter's NodePools are ready; or leave spec.elasticFrom out"},
	{v1alpha1.ConditionSharesKept, "correct spec.shares, or the ClusterQueues that spec.sharesFrom reads; see that there are as many cards as are guaranteed"},
	{v1alpha1.ConditionWritten, "see which policy or webhook refuses inferno-optimizer, whether the API server answers, and whether the volume of the decision log is full"},
}

var serverRemedies = []remedy{
	{v1alpha1.ConditionAccepted, "change the field to what is allowed, or what its ServiceClass allows"},
	{v1alpha1.ConditionPodsStart, "see the logs and events of these pods"},
	{v1alpha1.ConditionPodsAdmitted, "change the pod template or the LimitRange"},
	{v1alpha1.ConditionCapacityAhead, "see kubectl get capacitybuffers,podtemplates in its namespace"},
	{v1alpha1.ConditionQueueAdmits, "see kubectl get workloads in its namespace; with spec.sharesFrom: Kueue plans do with what the queue has left"},
	{v1alpha1.ConditionLimitsHold, "let command and args of the pod template follow the annotations"},
	{v1alpha1.ConditionScaleInOrder, "use a Deployment, or drain the pod that will be removed before the number of replicas falls"},
	{v1alpha1.ConditionWritten, "see which policy or webhook refuses inferno-optimizer to annotate these pods"},
}

// remedies by the reason of a condition.
var remedies = map[string]string{
	v1alpha1.ReasonNoMetrics:             "see that Prometheus scrapes the pods, and that its samples carry the labels namespace and pod",
	v1alpha1.ReasonStaleMetrics:          "see that Prometheus still scrapes the pods",
	v1alpha1.ReasonPrometheusUnreachable: "set spec.prometheus.url of the Optimizer, and see the network policy of inferno-optimizer",
	v1alpha1.ReasonPartialMetrics:        "see which store did not answer behind the Prometheus API that the Optimizer reads",
	v1alpha1.ReasonCounterFailed:         "see that spec.arrivals names a counter that Prometheus answers for in time; without it the engines count",
	v1alpha1.ReasonNoCapacity:            "add nodes, or lower what others take: inferno plan --explain says what is lacking",
	v1alpha1.ReasonBestEffort:            "add nodes, or raise maxReplicas",
	v1alpha1.ReasonInfeasible:            "relax the targets of its service class, or add a faster accelerator",
	v1alpha1.ReasonUnknownModel:          "create the Model",
	v1alpha1.ReasonUnknownServiceClass:   "create the ServiceClass",
	v1alpha1.ReasonNoTarget:              "give the service class targets for the model",
	v1alpha1.ReasonDryRun:                "set spec.mode of the Optimizer to Active",
}

// apiServices tells why autoscalers would get no answer.
func (r *report) apiServices(c *Cluster) {
	external, custom := false, false
	for _, namespace := range namespaces(c) {
		e, u := usedAPIs(c, namespace)
		external, custom = external || e, custom || u
	}
	if external {
		r.apiService(c, externalMetrics, "set metrics.custom of the chart to auto and let autoscalers ask for a metric of the Server")
	}
	if custom {
		r.apiService(c, customMetrics, "let autoscalers ask for external metrics")
	}
}

func (r *report) apiService(c *Cluster, name, otherwise string) {
	object := "apiservice/" + name
	for _, s := range c.APIServices {
		if s.Name != name {
			continue
		}
		if !strings.HasSuffix(s.Service, "inferno-adapter") { // of a release of whatever name
			r.fault(object, fmt.Sprintf("spec.service is %q: another adapter answers", s.Service), otherwise)
			return
		}
		if !s.Available {
			r.fault(object, "it is not available: "+s.Message, "see that inferno-adapter runs, and that its certificate is by the authority in caBundle")
		}
		if s.Unverified {
			r.warn(object, "insecureSkipTLSVerify: true: whoever takes the adapter's address answers in its place", "set caBundle")
		}
		return
	}
	r.fault(object, "it does not exist: autoscalers that ask for it get no answer", "set metrics.external of the chart to true, or metrics.custom")
}

// sharedTargets tells which workloads two Servers would scale.
func (r *report) sharedTargets(c *Cluster) {
	first := map[string]string{}
	for i := range c.Servers {
		for _, t := range targetsOf(&c.Servers[i]) {
			owner := c.Servers[i].Name
			if other, taken := first[t.object()]; taken {
				r.fault(t.object(), fmt.Sprintf("the Servers %s and %s both name it as their scale target", other, owner), "give each its own")
			}
			first[t.object()] = owner
		}
	}
}

// samples tells which ready pods Prometheus has nothing of, where it was asked.
func (r *report) samples(c *Cluster) {
	if c.MetricsFault != nil {
		r.fault("prometheus", "it did not answer: "+c.MetricsFault.Error(), "check --prometheus-url")
		return
	}
	if c.Metrics == nil {
		return
	}
	for i := range c.Pods {
		p := &c.Pods[i]
		if p.DeletionTimestamp == nil && podReady(p) && c.Metrics[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] == nil {
			r.fault("pod/"+p.Namespace+"/"+p.Name, "it is ready, and Prometheus has no sample of an engine with these labels namespace and pod",
				"see that Prometheus scrapes it and keeps the labels namespace and pod")
		}
	}
}

// copies tells which pods Prometheus has several times. They count once.
func (r *report) copies(c *Cluster) {
	examined := map[types.NamespacedName]bool{}
	for i := range c.Pods {
		examined[types.NamespacedName{Namespace: c.Pods[i].Namespace, Name: c.Pods[i].Name}] = true
	}
	for _, p := range c.Copies {
		if !examined[p.Pod] {
			continue
		}
		r.warn("pod/"+p.Pod.Namespace+"/"+p.Pod.Name, fmt.Sprintf("Prometheus has its series %d times, which differ in %s; they count once", p.Times, strings.Join(p.Differ, ", ")),
			"scrape it once, or remove doubles where several Prometheus are read together; where these are engines of their own, name the label in distinctLabels of a profile in spec.prometheus.engines")
	}
}

func falseCondition(conditions []metav1.Condition, kind string) *metav1.Condition {
	if c := meta.FindStatusCondition(conditions, kind); c != nil && c.Status == metav1.ConditionFalse {
		return c
	}
	return nil
}
