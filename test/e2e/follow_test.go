package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/cmd/inferno/doctor"
	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// A day in the life: load comes, goes, prices change, programs die, Prometheus goes away. One stack serves all steps, since starting one is
// what costs time; each step leaves it as the next one needs it.
func TestFollowsThePlan(t *testing.T) {
	s := start(t)
	s.serve("chat", nil)
	s.play("chat", "odd")
	s.load("chat", 4)

	t.Run("load up and down", func(t *testing.T) { s.t = t; loadUpAndDown(s) })
	t.Run("limits reach the pods", func(t *testing.T) { s.t = t; limitsReachThePods(s) })
	t.Run("the doctor finds what is wrong", func(t *testing.T) { s.t = t; consultDoctor(s) })
	t.Run("kubectl finds its plugin", func(t *testing.T) { s.t = t; asPlugin(s) })
	t.Run("new limits reach running pods", func(t *testing.T) { s.t = t; newLimits(s) })
	t.Run("a server of an unknown model harms no other", func(t *testing.T) { s.t = t; unknownModel(s) })
	t.Run("programs that die lose nothing", func(t *testing.T) { s.t = t; restarts(s) })
	t.Run("Prometheus away holds the plan", func(t *testing.T) { s.t = t; prometheusAway(s) })
	t.Run("no samples hold the plan", func(t *testing.T) { s.t = t; noSamples(s) })
	t.Run("changing accelerator keeps capacity", func(t *testing.T) { s.t = t; changeAccelerator(s) })
	t.Run("the Optimizer resource drives", func(t *testing.T) { s.t = t; optimizerDrives(s) })
	t.Run("bad resources are refused", func(t *testing.T) { s.t = t; badResources(s) })
	t.Run("pods that are not ours are left alone", func(t *testing.T) { s.t = t; foreignPods(s) })
}

func loadUpAndDown(s *system) {
	s.settled("chat", 1, 2)
	s.load("chat", 70)
	s.settled("chat", 5, 10)
	s.wantCondition("chat", v1alpha1.ConditionRealised, metav1.ConditionTrue, v1alpha1.ReasonRealised)
	s.load("chat", 25)
	s.settled("chat", 2, 4)
	s.wantCondition("chat", v1alpha1.ConditionObserved, metav1.ConditionTrue, v1alpha1.ReasonObserved)
	s.wantCondition("chat", v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonPlanned)

	// The loop sees the load that is there.
	s.eventually("the observed load is the offered one", func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err != nil {
			return err
		}
		if rate := jsonspec.PerSecond(server.Status.Load.ArrivalRate); rate < 21 || rate > 29 {
			return fmt.Errorf("%.1f requests/s are observed, 25 offered", rate)
		}
		return nil
	})
	var list corev1.EventList
	if err := s.Client.List(s.t.Context(), &list, client.InNamespace(namespace)); err != nil {
		s.t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "Server" {
			reasons[e.Reason]++
		}
	}
	if reasons[v1alpha1.ReasonPlanChanged] == 0 {
		s.t.Errorf("no event tells that the plan changed: %v", reasons)
	}
	data, err := os.ReadFile(s.DecisionLog)
	if err != nil || !strings.Contains(string(data), `"llm/chat"`) {
		s.t.Errorf("the decision log says nothing of the server: %v", err)
	}
}

func limitsReachThePods(s *system) {
	s.eventually("all pods start with a batch and the token budget of the Server", func(ctx context.Context) error {
		pods, err := s.pods(ctx, "chat")
		if err == nil && len(pods) == 0 {
			err = errors.New("there is none")
		}
		for _, p := range pods {
			batch, fault := strconv.Atoi(p.Annotations[v1alpha1.MaxNumSeqsAnnotation])
			if budget := p.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation]; fault != nil || batch < 1 || budget != "1024" {
				err = errors.Join(err, fmt.Errorf("pod %s starts with %v", p.Name, p.Annotations))
			}
		}
		return err
	})
	for pod, fault := range s.Fleet.Report().Faults {
		s.t.Errorf("pod %s cannot serve: %s", pod, fault)
	}
}

// consultDoctor asks it about the cluster as it is, and with an autoscaler that cannot follow.
func consultDoctor(s *system) {
	prometheus, err := observe.NewPrometheus(s.PrometheusURL(), http.DefaultTransport)
	if err != nil {
		s.t.Fatal(err)
	}
	faults := func(ctx context.Context) ([]string, error) {
		cluster, err := doctor.Read(ctx, doctor.Source{
			Client: s.Client, Now: time.Now(), Namespace: namespace, Installed: manifests.Namespace, Prometheus: prometheus, Window: 8 * time.Second,
		})
		if err != nil {
			return nil, err
		}
		var list []string
		for _, f := range doctor.Examine(cluster, doctor.Options{SchedulerNames: []string{"inferno-scheduler"}}) {
			if f.Severity == doctor.Fault {
				list = append(list, f.Object+": "+f.Problem)
			}
		}
		return list, nil
	}
	want := func(parts ...string) {
		s.t.Helper()
		s.eventually(fmt.Sprintf("the doctor finds %q", parts), func(ctx context.Context) error {
			got, err := faults(ctx)
			if err == nil && len(got) != len(parts) {
				err = fmt.Errorf("it finds %q", got)
			}
			for i := 0; err == nil && i < len(parts); i++ {
				if !strings.Contains(got[i], parts[i]) {
					err = fmt.Errorf("it finds %q", got)
				}
			}
			return err
		})
	}
	want()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: namespace}}
	s.patch(hpa, `{"spec":{"behavior":{"scaleUp":{"selectPolicy":"Disabled"}}}}`)
	want("hpa/llm/chat: behavior.scaleUp.selectPolicy is Disabled")
	s.patch(hpa, `{"spec":{"behavior":{"scaleUp":{"selectPolicy":"Max"}}}}`)
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "inferno-adapter-auth-delegator"}}
	if err := s.Client.Get(s.t.Context(), client.ObjectKeyFromObject(binding), binding); err != nil {
		s.t.Fatal(err)
	}
	if err := s.Client.Delete(s.t.Context(), binding.DeepCopy()); err != nil {
		s.t.Fatal(err)
	}
	want("account/inferno-system/inferno-adapter: may not create authentication.k8s.io/tokenreviews")
	binding.ResourceVersion = ""
	if err := s.Client.Create(s.t.Context(), binding); err != nil {
		s.t.Fatal(err)
	}
	want()
}

// newLimits gives the server another token budget: pods that start with it replace the others, and ready ones never fall below the plan.
func newLimits(s *system) {
	history := s.settledHistory("chat", 2, 4)
	server, err := s.server(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, budget := range []int{2048, 1024} {
		s.patch(server, fmt.Sprintf(`{"spec":{"maxBatchedTokens":%d}}`, budget))
		s.eventually(fmt.Sprintf("all pods run with a budget of %d", budget), func(ctx context.Context) error {
			pods, err := s.pods(ctx, "chat")
			if err != nil {
				return err
			}
			for _, p := range pods {
				if got := p.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation]; got != strconv.Itoa(budget) {
					return fmt.Errorf("pod %s has a budget of %s", p.Name, got)
				}
			}
			return nil
		})
	}
	s.settled("chat", 2, 4)
	s.wantNeverShort(history)
}

func unknownModel(s *system) {
	s.serve("odd", func(o *v1alpha1.Server) { o.Spec.Model = "gpt-9" })
	s.wantCondition("odd", v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonUnknownModel)
	s.wantCondition("chat", v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonPlanned)
	s.settled("chat", 2, 4)
	named := metav1.ObjectMeta{Name: "odd", Namespace: namespace}
	if err := s.Client.Delete(s.t.Context(), &v1alpha1.Server{ObjectMeta: named}); err != nil {
		s.t.Fatal(err)
	}
	// Its pod stays, and holds its card.
	s.missing(1)
	for _, o := range []client.Object{&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: named}, &appsv1.Deployment{ObjectMeta: named}} {
		if err := s.Client.Delete(s.t.Context(), o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.missing(0)
}

// missing waits until so many cards are not available to plans.
func (s *system) missing(want int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d cards are not available", want), func(ctx context.Context) error {
		missing := 0
		for _, name := range []string{"h100", "l40s"} {
			a := accelerator(name)
			if err := s.Client.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
				return err
			}
			missing += a.Status.Capacity - a.Status.Available
		}
		if missing != want {
			return fmt.Errorf("%d cards are missing", missing)
		}
		return nil
	})
}

// restarts kills every program of inferno: while it is away and after it is back, replicas never fall.
func restarts(s *system) {
	s.load("chat", 70)
	history := s.settledHistory("chat", 5, 10)
	killed := time.Now()
	s.kill("inferno-optimizer")
	s.eventually("a new optimizer confirms the plan", func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err == nil && !server.Status.Desired.ConfirmedAt.After(killed) {
			err = fmt.Errorf("it was last confirmed at %s", server.Status.Desired.ConfirmedAt)
		}
		return err
	})
	s.syncs(turns)
	s.kill("inferno-adapter")
	s.syncs(turns)
	s.eventually("a new adapter answers", s.externalMetrics)
	s.kill("kube-scheduler")
	s.syncs(turns)
	s.wantNeverShort(history)
	s.wantPlanKept(history)
	s.settled("chat", 5, 10)
}

// externalMetrics asks the adapter, through the API server, for what an autoscaler does.
func (s *system) externalMetrics(ctx context.Context) error {
	return s.Kube.Discovery().RESTClient().Get().AbsPath("/apis/external.metrics.k8s.io/v1beta1/namespaces/"+namespace+"/inferno_desired_replicas").
		Param("labelSelector", "server=chat").Do(ctx).Error()
}

func prometheusAway(s *system) {
	history := s.settledHistory("chat", 5, 10)
	s.Process("prometheus").Stop()
	s.wantCondition("chat", v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonPrometheusUnreachable)
	s.load("chat", 25) // nobody sees it
	s.wantHeld(history, v1alpha1.ReasonPrometheusUnreachable)
	if err := s.Process("prometheus").Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.wantCondition("chat", v1alpha1.ConditionObserved, metav1.ConditionTrue, v1alpha1.ReasonObserved)
	s.settled("chat", 2, 4)
}

// noSamples takes the targets away: Prometheus is there and has nothing to say.
func noSamples(s *system) {
	s.load("chat", 70)
	history := s.settledHistory("chat", 5, 10)
	if err := s.StopFleet(); err != nil {
		s.t.Fatal(err)
	}
	s.wantHeld(history, v1alpha1.ReasonNoMetrics, v1alpha1.ReasonStaleMetrics)
	s.play("chat", "odd")
	s.load("chat", 70)
	s.wantCondition("chat", v1alpha1.ConditionObserved, metav1.ConditionTrue, v1alpha1.ReasonObserved)
	s.settled("chat", 5, 10)
}

// wantHeld waits until the load of a server is not known for one of the reasons. From then on no cycle changes the plan, and autoscalers follow it.
func (s *system) wantHeld(h *history, reasons ...string) {
	s.t.Helper()
	unknown := func(server *v1alpha1.Server) error {
		c := meta.FindStatusCondition(server.Status.Conditions, v1alpha1.ConditionObserved)
		if c == nil || c.Status != metav1.ConditionFalse || !slices.Contains(reasons, c.Reason) {
			return fmt.Errorf("condition is %+v", c)
		}
		return nil
	}
	var server *v1alpha1.Server
	s.eventually("the load is not known", func(ctx context.Context) (err error) {
		if server, err = s.server(ctx, h.of); err == nil {
			err = unknown(server)
		}
		return err
	})
	s.cycles(turns)
	s.syncs(turns)
	after, err := s.server(s.t.Context(), h.of)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := unknown(after); err != nil {
		s.t.Errorf("the load is known again: %v", err)
	}
	if a, b := replicasBy(server.Status.Desired), replicasBy(after.Status.Desired); !maps.Equal(a, b) {
		s.t.Errorf("the plan went from %v to %v", a, b)
	}
	s.wantNeverShort(h)
	s.wantPlanKept(h)
}

// replicasBy accelerator that a plan has, surges apart.
func replicasBy(d *v1alpha1.DesiredState) map[string]int {
	by := map[string]int{}
	for _, p := range d.Parts {
		if p.Replicas > 0 {
			by[p.Accelerator] = p.Replicas
		}
	}
	return by
}

// changeAccelerator makes the other accelerator by far the cheaper one: pods move, and ready ones never fall below what was
// ready before or the least that any plan on the way wanted.
func changeAccelerator(s *system) {
	history := s.settledHistory("chat", 5, 10)
	server, err := s.server(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	to := map[string]string{"h100": "l40s", "l40s": "h100"}[server.Status.Desired.Parts[0].Accelerator]
	s.patch(accelerator(to), `{"spec":{"costPerHour":1}}`)
	s.eventually("pods are on "+to, func(ctx context.Context) error {
		server, err := s.server(ctx, "chat")
		if err != nil {
			return err
		}
		if d := server.Status.Desired; len(d.Parts) != 1 || d.Parts[0].Accelerator != to || d.Surge > 0 {
			return fmt.Errorf("the plan is %+v", d)
		}
		return s.realised(ctx, server)
	})
	s.wantNeverShort(history)
}

func optimizerDrives(s *system) {
	s.patch(optimizer(), `{"spec":{"interval":"1h"}}`)
	var rests *v1alpha1.CycleReport
	s.eventually("cycles rest", func(ctx context.Context) (err error) {
		if rests, err = s.lastCycle(ctx); err != nil {
			return err
		}
		s.syncs(turns) // autoscalers look as often as cycles ran
		last, err := s.lastCycle(ctx)
		if err == nil && last.ID != rests.ID {
			err = fmt.Errorf("%s was followed by %s", rests.ID, last.ID)
		}
		return err
	})
	if len(rests.Stages) < 5 {
		s.t.Errorf("the status tells nothing of the stages: %+v", rests)
	}
	s.patch(optimizer(), fmt.Sprintf(`{"metadata":{"annotations":{%q:"now"}}}`, v1alpha1.ReconcileAnnotation))
	s.eventually("a poke runs a cycle", func(ctx context.Context) error {
		last, err := s.lastCycle(ctx)
		if err == nil && last.ID == rests.ID {
			err = fmt.Errorf("the last one is still %s", last.ID)
		}
		return err
	})
	wantReady := func(status metav1.ConditionStatus, reasons ...string) {
		s.t.Helper()
		s.eventually(fmt.Sprintf("Ready is %s for %v", status, reasons), func(ctx context.Context) error {
			o := optimizer()
			if err := s.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
			for _, r := range reasons {
				if c != nil && c.Status == status && c.Reason == r {
					return nil
				}
			}
			return fmt.Errorf("it is %+v", c)
		})
	}
	s.patch(optimizer(), `{"spec":{"mode":"Suspended"}}`)
	wantReady(metav1.ConditionFalse, v1alpha1.ReasonSuspended)
	unknown := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"solver":{"oracle":{}}}}`))
	if err := s.Client.Patch(s.t.Context(), optimizer(), unknown); err == nil || !strings.Contains(err.Error(), "exactly one of the fields in [auto exact greedy milp separable]") {
		s.t.Errorf("a solver that there is not: %v", err)
	}
	s.patch(optimizer(), `{"spec":{"mode":"Active","interval":"1s"}}`)
	wantReady(metav1.ConditionTrue, v1alpha1.ReasonCycleSucceeded, v1alpha1.ReasonCycleDegraded)

	// A dry run decides and writes no plan.
	s.patch(optimizer(), `{"spec":{"mode":"DryRun"}}`)
	s.wantCondition("chat", v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonDryRun)
	server, err := s.server(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	s.load("chat", 4)
	s.eventually("a dry run decides for fewer replicas than are planned", func(context.Context) error {
		records, err := s.decisions()
		if err != nil {
			return err
		}
		last := records[len(records)-1]
		if a := last.Plan.Allocations[namespace+"/chat"]; !last.DryRun || a.NumReplicas >= server.Status.Desired.Replicas {
			return fmt.Errorf("dry run %v of %d replicas", last.DryRun, a.NumReplicas)
		}
		return nil
	})
	s.cycles(turns)
	after, err := s.server(s.t.Context(), "chat")
	if err != nil {
		s.t.Fatal(err)
	}
	if !after.Status.Desired.DecidedAt.Equal(&server.Status.Desired.DecidedAt) || after.Status.Desired.Replicas != server.Status.Desired.Replicas {
		s.t.Errorf("a dry run changed the plan from %+v to %+v", server.Status.Desired, after.Status.Desired)
	}
	s.patch(optimizer(), `{"spec":{"mode":"Active"}}`)
	s.settled("chat", 1, 2)
}

// foreignPods asks inferno's scheduler for a pod that belongs to no server: it is scheduled like any other.
func foreignPods(s *system) {
	gpus := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "stranger", Namespace: namespace},
		Spec: corev1.PodSpec{
			SchedulerName: "inferno-scheduler", AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "c", Image: "c", Resources: corev1.ResourceRequirements{Requests: gpus, Limits: gpus}}},
		},
	}
	if err := s.Client.Create(s.t.Context(), pod); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("the stranger runs", func(ctx context.Context) error {
		if err := s.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Spec.NodeName == "" {
			return errors.New("it has no node")
		}
		return nil
	})
	if a := pod.Annotations[v1alpha1.AcceleratorAnnotation]; a != "" {
		s.t.Errorf("the stranger was given %s", a)
	}
	// Its card is no longer there for plans.
	s.missing(1)
}
