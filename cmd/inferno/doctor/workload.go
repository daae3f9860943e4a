package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// unscheduledFor is how long a pod may go without any scheduler saying a word about it.
const unscheduledFor = time.Minute

// target is a workload of a Server: its own, or that of a variant.
type target struct {
	server  *v1alpha1.Server
	variant string
	ref     jsonspec.ScaleTargetRef
}

func targetsOf(s *v1alpha1.Server) []target {
	var list []target
	if s.Spec.ScaleTargetRef != nil {
		list = append(list, target{server: s, ref: *s.Spec.ScaleTargetRef})
	}
	for _, v := range s.Spec.Variants {
		list = append(list, target{server: s, variant: v.Name, ref: v.ScaleTargetRef})
	}
	return list
}

func (t target) object() string {
	return strings.ToLower(t.ref.Kind) + "/" + t.server.Namespace + "/" + t.ref.Name
}

// accelerators of the plan that the workload's pods may be put on.
func (t target) accelerators() []string {
	var names []string
	if t.server.Status.Desired == nil {
		return nil
	}
	for _, p := range t.server.Status.Desired.Parts {
		if p.Replicas > 0 && t.takes(p.Accelerator) {
			names = append(names, p.Accelerator)
		}
	}
	return names
}

// wanted is the number of replicas that the plan gives the workload.
func (t target) wanted() int {
	n := 0
	if d := t.server.Status.Desired; d != nil {
		if t.variant == "" {
			return d.Replicas
		}
		for _, p := range d.Parts {
			if t.takes(p.Accelerator) {
				n += p.Now()
			}
		}
	}
	return n
}

// scaledToZero says whether the workload's autoscaler remembers that it was the one who scaled it to zero.
func scaledToZero(c *Cluster, t target) bool {
	for i := range c.Autoscalers {
		h := &c.Autoscalers[i]
		if h.Namespace != t.server.Namespace || h.Spec.ScaleTargetRef.Kind != t.ref.Kind || h.Spec.ScaleTargetRef.Name != t.ref.Name {
			continue
		}
		for _, condition := range h.Status.Conditions {
			if condition.Type == autoscalingv2.ScaledToZero && condition.Status == corev1.ConditionTrue {
				return true
			}
		}
	}
	return false
}

func (t target) takes(accelerator string) bool {
	if t.variant == "" {
		return true
	}
	for _, v := range t.server.Spec.Variants {
		if v.Name == t.variant {
			return slices.Contains(v.Accelerators, accelerator)
		}
	}
	return false
}

// workload tells what in a workload and its autoscaler is in the plan's way.
func (r *report) workload(c *Cluster, t target, o Options) {
	if c.saw("HorizontalPodAutoscaler") {
		r.autoscaling(c, t)
	}
	if t.ref.Kind != "Deployment" {
		r.warn(t.object(), fmt.Sprintf("only Deployments are examined, this is a %s", t.ref.Kind), "compare its pod template with docs/scheduler.md")
		return
	}
	if !c.saw("Deployment") {
		r.pending(c, t)
		return
	}
	i := slices.IndexFunc(c.Deployments, func(d appsv1.Deployment) bool { return d.Namespace == t.server.Namespace && d.Name == t.ref.Name })
	if i < 0 {
		r.fault(t.object(), fmt.Sprintf("it does not exist, and Server %s names it as its scale target", t.server.Name), "create it, or correct spec.scaleTargetRef")
		return
	}
	d := &c.Deployments[i]
	if d.Spec.Paused {
		r.warn(t.object(), "spec.paused: true: a changed template reaches no pod", "resume it")
	}
	for _, m := range d.ManagedFields {
		if m.Operation == metav1.ManagedFieldsOperationApply && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:replicas"`) && m.Subresource == "" {
			r.warn(t.object(), fmt.Sprintf("%q applies spec.replicas: every time it does, it undoes the autoscaler", m.Manager), "remove replicas from what it applies")
		}
	}
	if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 && t.wanted() > 0 && !scaledToZero(c, t) {
		r.fault(t.object(), "spec.replicas is 0, and not by its autoscaler: autoscalers take that for a pause", "scale it to 1 once")
	}
	r.template(c, t, d, o)
	r.pending(c, t)
}

// template tells what pods of the workload would lack.
func (r *report) template(c *Cluster, t target, d *appsv1.Deployment, o Options) {
	template := &d.Spec.Template
	label := func(key, want string) {
		switch got, has := template.Labels[key]; {
		case !has:
			r.fault(t.object(), fmt.Sprintf("its pod template has no label %s", key), fmt.Sprintf("add %s: %s", key, want))
		case got != want:
			r.fault(t.object(), fmt.Sprintf("the label %s of its pod template is %q, the Server wants %q", key, got, want), fmt.Sprintf("set it to %s", want))
		}
	}
	label(v1alpha1.ServerLabel, t.server.Name)
	pods := &corev1.Pod{ObjectMeta: template.ObjectMeta}
	if _, ours := template.Labels[v1alpha1.VariantLabel]; t.variant != "" && (ours || t.means(pods) != t.variant) {
		label(v1alpha1.VariantLabel, t.variant)
	}
	if name := template.Spec.SchedulerName; !slices.Contains(o.SchedulerNames, name) {
		r.fault(t.object(), fmt.Sprintf("schedulerName of its pod template is %q, which does not place by the plan", name),
			"set it to "+strings.Join(o.SchedulerNames, " or ")+"; --scheduler-name says which do")
	}
	for _, limit := range []string{v1alpha1.MaxNumSeqsAnnotation, v1alpha1.MaxNumBatchedTokensAnnotation} {
		switch {
		case !readsAnnotation(&template.Spec, limit):
			r.warn(t.object(), fmt.Sprintf("its containers do not read the annotation %s: engines start with another limit than planned", limit),
				"pass it on through the downward API, see docs/scheduler.md")
		case template.Annotations[limit] == "":
			r.warn(t.object(), fmt.Sprintf("its pod template has no annotation %s: without a plan the reference is empty", limit), "give it the engine's default")
		}
	}
	if c.saw("Accelerator") && c.saw("Model") {
		r.cards(c, t, &template.Spec)
	}
}

// readsAnnotation says whether a container takes the annotation from the downward API, as an environment variable or a file.
func readsAnnotation(spec *corev1.PodSpec, annotation string) bool {
	path := fmt.Sprintf("metadata.annotations['%s']", annotation)
	reads := func(ref *corev1.ObjectFieldSelector) bool {
		return ref != nil && (ref.FieldPath == path || ref.FieldPath == "metadata.annotations")
	}
	for _, c := range spec.Containers {
		for _, e := range c.Env {
			if e.ValueFrom != nil && reads(e.ValueFrom.FieldRef) {
				return true
			}
		}
	}
	for _, v := range spec.Volumes {
		if v.DownwardAPI != nil && slices.ContainsFunc(v.DownwardAPI.Items, func(f corev1.DownwardAPIVolumeFile) bool { return reads(f.FieldRef) }) {
			return true
		}
	}
	return false
}

// cards tells where the request of a pod is not what the plan counts a replica with.
func (r *report) cards(c *Cluster, t target, spec *corev1.PodSpec) {
	kinds := catalogue.ClassifierOf(c.Accelerators)
	requests := placement.Requests(&corev1.Pod{Spec: *spec})
	for _, name := range t.accelerators() {
		kind, known := kinds.Kind(name)
		if !known {
			r.fault("server/"+t.server.Namespace+"/"+t.server.Name, fmt.Sprintf("its plan names %q, and there is no such Accelerator", name), "create it")
			continue
		}
		accelerators, pods := perReplica(c, t.server.Spec.Model, name)
		asked, planned := placement.Cards(requests, kind), kind.Multiplicity*accelerators/pods
		if asked != planned && (asked > 0 || len(spec.ResourceClaims) == 0) {
			r.fault(t.object(), fmt.Sprintf("its pods request %d × %s, a pod of a replica on %s is planned with %d", asked, kind.ResourceName, name, planned),
				"correct the request, or spec.cards of the Accelerator and acceleratorsPerReplica and podsPerReplica of the Model")
		}
		r.groups(c, t, name, pods)
	}
}

// groups tells where pods make up replicas of another number of them than plans count with.
func (r *report) groups(c *Cluster, t target, accelerator string, planned int) {
	for i := range c.Pods {
		p := &c.Pods[i]
		if !t.has(p) {
			continue
		}
		if n := max(placement.GroupOf(p).Size, 1); n != planned && p.Annotations[v1alpha1.AcceleratorAnnotation] == accelerator {
			r.fault(t.object(), fmt.Sprintf("replicas on %s have %d pods each, and are planned with %d", accelerator, n, planned), "correct podsPerReplica of the Model, or the size of the groups")
			return
		}
	}
}

// has says whether a pod is of the server and variant.
func (t target) has(p *corev1.Pod) bool {
	return p.Namespace == t.server.Namespace && p.Labels[v1alpha1.ServerLabel] == t.server.Name && t.means(p) == t.variant
}

// means is the variant of the server that a pod means; empty for none.
func (t target) means(p *corev1.Pod) string {
	if v := t.server.Spec.Meant(placement.VariantOf(p)); v != nil {
		return v.Name
	}
	return ""
}

// perReplica is the number of accelerators that a replica of the model takes, and of the pods that have them between them.
func perReplica(c *Cluster, model, accelerator string) (accelerators, pods int) {
	for i := range c.Models {
		if c.Models[i].Name != model {
			continue
		}
		for j := range c.Models[i].Spec.Performance {
			if p := &c.Models[i].Spec.Performance[j]; p.Accelerator == accelerator {
				return max(p.AcceleratorsPerReplica, 1), max(p.PodsPerReplica, 1)
			}
		}
	}
	return 1, 1
}

// pending tells which pods no scheduler takes notice of.
func (r *report) pending(c *Cluster, t target) {
	for i := range c.Pods {
		p := &c.Pods[i]
		if !t.has(p) {
			continue
		}
		noticed := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
		if p.Spec.NodeName == "" && !noticed && c.Now.Sub(p.CreationTimestamp.Time) > unscheduledFor {
			r.fault("pod/"+p.Namespace+"/"+p.Name, fmt.Sprintf("no scheduler has taken notice of it: none runs under the name %q", p.Spec.SchedulerName),
				"see whether inferno-scheduler runs and leads")
		}
	}
}

func podReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
