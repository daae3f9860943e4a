package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/fleet"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// plain is a Deployment as people have who have never heard of inferno.
func plain(name, image string, replicas int32) *appsv1.Deployment {
	one := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	d.Spec.Replicas, d.Spec.Selector = &replicas, &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.Containers = []corev1.Container{{
		Name: "engine", Image: image, Args: []string{"--model=Qwen/Qwen3-8B", "--max-num-seqs=64"}, Resources: corev1.ResourceRequirements{Limits: one},
	}}
	return d
}

// labelled is a cluster in which nobody wrote an object of inferno's, where a Deployment that runs an LLM, and one that does not, have got a label.
func labelled(t *testing.T, kubernetes string) (*system, *appsv1.Deployment) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	progress := &strings.Builder{}
	up, err := stack.Start(t.Context(), stack.Options{
		Programs: programs, PodStartup: 2 * time.Second, Progress: progress, Policies: true, Defaults: true, Kubernetes: kubernetes,
		Nodes: []controlplane.NodePool{{Name: "h100", Count: 3, GPU: controlplane.H100, GPUsPerNode: 4}},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, progress)
	}
	s := &system{Stack: up, t: t}
	t.Cleanup(func() {
		if t.Failed() {
			keepLogs(t, up)
		}
		if err := up.Stop(); err != nil {
			t.Error(err)
		}
	})
	s.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n")
	s.patch(optimizer(), `{"spec": {"interval": "1s", "prometheus": {"window": "8s"}, "stability": {"damped": {"scaleInHoldDown": "5s"}}}}`)
	config := fleet.Config{Accelerators: map[string]string{controlplane.H100.Product: "h100"}, Seed: 1}
	config.Servers = []fleet.Server{{Namespace: namespace, Name: "chat", Model: "Qwen/Qwen3-8B", Targets: serving.Targets{TTFT: 1, ITL: 0.05}}}
	config.Truths = []fleet.Truth{{
		Model: "Qwen/Qwen3-8B", Accelerator: "h100", StepTime: simulation.Linear{Base: 0.007, PerToken: 0.0325e-3, PerContext: 0.049e-6}, Cache: simulation.Cache{BlockSize: 16, Blocks: 10000},
	}}
	if err := s.StartFleet(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	chat, web := plain("chat", "vllm/vllm-openai:v0.11.0", 3), plain("web", "nginx", 1)
	if err := errors.Join(s.Client.Create(t.Context(), chat), s.Client.Create(t.Context(), web)); err != nil {
		t.Fatal(err)
	}
	s.eventually("the Deployment runs", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(chat), chat); err != nil || chat.Status.ReadyReplicas != 3 {
			return fmt.Errorf("%d replicas are ready (%v)", chat.Status.ReadyReplicas, err)
		}
		return nil
	})
	const label = `{"metadata": {"labels": {"inferno.platform.ai/class": "premium"}}}`
	s.load("chat", 10)
	s.patch(chat, label)
	s.patch(web, label)
	return s, chat
}

// One label on a Deployment that runs, in a cluster in which nobody wrote an object of inferno's: it is planned, and follows its plan; what people write stays;
// without the label all is as it was.
func TestALabelIsEnough(t *testing.T) {
	s, chat := labelled(t, "")
	t.Run("it is planned, and what was assumed is said", func(t *testing.T) { s.t = t; s.isAdopted() })
	t.Run("it follows its plan", func(t *testing.T) { s.t = t; s.followsItsLabel("inferno-scheduler") })
	t.Run("what people write stays", func(t *testing.T) { s.t = t; s.peopleWin(chat) })
	t.Run("what cannot be read is told", func(t *testing.T) { s.t = t; s.isTold("web", "serves no LLM that is known") })
	t.Run("without the label all is as it was", func(t *testing.T) { s.t = t; s.isLeft(chat) })
}

// Before Kubernetes 1.36 nothing changes pods at admission: any scheduler places them, they are told afterwards whose they are, and their number is the plan's.
func TestALabelIsEnoughForOldVersions(t *testing.T) {
	s, _ := labelled(t, controlplane.Versions()[0])
	s.isAdopted()
	s.followsItsLabel(corev1.DefaultSchedulerName)
}

func (s *system) isAdopted() {
	s.eventually("chat is planned", func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionAssumed)
		if c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "Accelerator h100, costPerHour: 295 ¢/h") || !strings.Contains(c.Message, "Model qwen3-8b") {
			return fmt.Errorf("assumed is %+v", c)
		}
		if planned := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionPlanned); planned == nil || planned.Status != metav1.ConditionTrue || server.Status.Load == nil {
			return fmt.Errorf("it is %+v", planned)
		}
		return nil
	})
}

// autoscaled says whether an autoscaler has as many replicas at most.
func (s *system) autoscaled(most int32) func(context.Context) error {
	return func(ctx context.Context) error {
		var h autoscalingv2.HorizontalPodAutoscaler
		if err := s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "chat"}, &h); err != nil {
			return err
		}
		if h.Spec.MaxReplicas != most {
			return fmt.Errorf("it has at most %d replicas", h.Spec.MaxReplicas)
		}
		return nil
	}
}

// followsItsLabel in the number of its pods, which this scheduler places.
func (s *system) followsItsLabel(scheduler string) {
	if replicas, err := s.replicas(s.t.Context(), "chat"); err != nil || replicas != 3 && s.autoscaled(1000)(s.t.Context()) != nil {
		s.t.Errorf("%d replicas before there is an autoscaler (%v)", replicas, err)
	}
	s.eventually("chat has an autoscaler", s.autoscaled(1000))
	s.wantCondition("chat", v1alpha1.ConditionAdopted, metav1.ConditionTrue, v1alpha1.ReasonAdopted)
	s.load("chat", 150)
	s.eventually("chat scales with its plan, by "+scheduler, func(ctx context.Context) error {
		pods, err := s.pods(ctx, "chat")
		if err != nil {
			return err
		}
		placed := 0
		for i := range pods {
			if pods[i].Spec.SchedulerName == scheduler && pods[i].Spec.NodeName != "" {
				placed++
			}
		}
		server, err := s.server(ctx, "chat")
		if err != nil || server.Status.Desired == nil || server.Status.Desired.Replicas < 4 || placed == 0 {
			return fmt.Errorf("%d of %d pods are placed by the plan %+v (%v)", placed, len(pods), server.Status.Desired, err)
		}
		if replicas, err := s.replicas(ctx, "chat"); err != nil || replicas != server.Status.Desired.Replicas {
			return fmt.Errorf("the Deployment has %d replicas, the plan %d (%v)", replicas, server.Status.Desired.Replicas, err)
		}
		return nil
	})
}

func (s *system) peopleWin(chat *appsv1.Deployment) {
	server, err := s.server(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	s.patch(server, `{"spec": {"serviceClass": "bulk", "maxReplicas": 5}}`)
	s.patch(chat, `{"metadata": {"labels": {"inferno.platform.ai/class": "standard"}}}`)
	s.eventually("what somebody wrote is kept, and said", func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionAdopted)
		if server.Spec.ServiceClass != "bulk" || *server.Spec.MaxReplicas != 5 || c == nil || !strings.Contains(c.Message, "spec.serviceClass") {
			return fmt.Errorf("the Server is %+v, %+v", server.Spec, c)
		}
		return s.autoscaled(5)(ctx)
	})
}

func (s *system) isTold(name, words string) {
	s.eventually(fmt.Sprintf("%s is told %q", name, words), func(ctx context.Context) error {
		var list eventsv1.EventList
		if err := s.Client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == name && e.Reason == v1alpha1.ReasonWorkloadUnreadable && strings.Contains(e.Note, words) {
				return nil
			}
		}
		return fmt.Errorf("none of %d events says it", len(list.Items))
	})
	if _, err := s.server(s.t.Context(), name); !apierrors.IsNotFound(err) {
		s.t.Errorf("there is a Server %s (%v)", name, err)
	}
}

func (s *system) isLeft(chat *appsv1.Deployment) {
	before, err := s.replicas(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	s.patch(chat, `{"metadata": {"labels": {"inferno.platform.ai/class": null}}}`)
	s.eventually("nothing of inferno's is left", func(ctx context.Context) error {
		if server, err := s.server(ctx, "chat"); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Server is %+v (%v)", server.ObjectMeta, err)
		}
		if err := s.autoscaled(5)(ctx); !apierrors.IsNotFound(err) {
			return fmt.Errorf("there is an autoscaler (%v)", err)
		}
		if pods, err := s.pods(ctx, "chat"); err != nil || len(pods) > 0 {
			return fmt.Errorf("%d pods are a Server's (%v)", len(pods), err)
		}
		return nil
	})
	if after, err := s.replicas(s.t.Context(), "chat"); err != nil || after < 1 {
		s.t.Errorf("%d replicas, were %d (%v)", after, before, err)
	}
}
