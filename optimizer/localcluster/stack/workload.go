package stack

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/adoption"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// schedulerName is the profile of inferno's scheduler.
const schedulerName = "inferno-scheduler"

// Deployment is the workload of a server as a user would write it: pods that carry the server's label, ask inferno's scheduler for a place,
// and pass batch size and token budget on to the engine.
func Deployment(s *v1alpha1.Server, cards int64) *appsv1.Deployment {
	labels := map[string]string{"app": s.Name, v1alpha1.ServerLabel: s.Name}
	gpus := corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(cards, resource.DecimalSI)}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": s.Name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					SchedulerName:                 schedulerName,
					AutomountServiceAccountToken:  new(false),
					TerminationGracePeriodSeconds: new(int64(60)),
					Containers: []corev1.Container{{
						Name: "engine", Image: "vllm/vllm-openai:simulated",
						Args: []string{"--max-num-seqs=$(MAX_NUM_SEQS)", "--max-num-batched-tokens=$(MAX_NUM_BATCHED_TOKENS)"},
						Env: []corev1.EnvVar{
							fromAnnotation("MAX_NUM_SEQS", v1alpha1.MaxNumSeqsAnnotation),
							fromAnnotation("MAX_NUM_BATCHED_TOKENS", v1alpha1.MaxNumBatchedTokensAnnotation),
						},
						Resources: corev1.ResourceRequirements{Requests: gpus, Limits: gpus},
					}},
				},
			},
		},
	}
}

func fromAnnotation(name, annotation string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: fmt.Sprintf("metadata.annotations['%s']", annotation)}}}
}

// Autoscaler is the stock HorizontalPodAutoscaler of a server's Deployment.
func Autoscaler(s *v1alpha1.Server) *autoscalingv2.HorizontalPodAutoscaler {
	of := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace}}
	of.Spec.ScaleTargetRef = &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: s.Name}
	return adoption.Autoscaler(of, adoption.External)
}

// variant is the workload of a variant of a server, and its autoscaler. A role is told by the label of llm-d, any other variant by ours.
func variant(s *v1alpha1.Server, v *jsonspec.Variant, cards int64) []client.Object {
	own := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Name: v.ScaleTargetRef.Name, Namespace: s.Namespace}}
	d, h := Deployment(own, cards), Autoscaler(own)
	key, value := v1alpha1.VariantLabel, v.Name
	if v.ModelVariant == jsonspec.RolePrefill || v.ModelVariant == jsonspec.RoleDecode {
		key, value = "llm-d.ai/role", v.ModelVariant
	}
	d.Spec.Template.Labels[v1alpha1.ServerLabel], d.Spec.Template.Labels[key] = s.Name, value
	h.Spec.Metrics[0].External.Metric.Selector.MatchLabels = map[string]string{"server": s.Name, "variant": v.Name}
	return []client.Object{d, h}
}

// Deploy creates workload and autoscaler of a server, or of each of its variants.
func (s *Stack) Deploy(ctx context.Context, server *v1alpha1.Server, cards int64) error {
	var objects []client.Object
	for i := range server.Spec.Variants {
		objects = append(objects, variant(server, &server.Spec.Variants[i], cards)...)
	}
	if objects == nil {
		objects = []client.Object{Deployment(server, cards), Autoscaler(server)}
	}
	for _, o := range objects {
		if err := s.Client.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// Placement counts the ready pods of a server by the product label of the node they run on. It asks the cluster and nothing of inferno's.
func (s *Stack) Placement(ctx context.Context, namespace, server, productLabel string) (map[string]int, error) {
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ServerLabel: server}); err != nil {
		return nil, err
	}
	var nodes corev1.NodeList
	if err := s.Client.List(ctx, &nodes); err != nil {
		return nil, err
	}
	product := map[string]string{}
	for _, n := range nodes.Items {
		product[n.Name] = n.Labels[productLabel]
	}
	count := map[string]int{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if p.DeletionTimestamp == nil && ready(p) {
			count[product[p.Spec.NodeName]]++
		}
	}
	return count, nil
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Eventually polls until the condition holds; the error says what it waited for and what was last missing.
func Eventually(ctx context.Context, what string, timeout time.Duration, condition func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := condition(ctx)
		if err == nil || ctx.Err() == nil { // that time ran out in the middle of it tells nothing
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: not within %s: %w", what, timeout, last)
	}
	return nil
}
