package doctor

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

var now = time.Unix(1_000_000, 0)

// objects of a manifest by kind, of the kinds that the doctor reads.
func objects(t *testing.T, stream []byte) []client.Object {
	t.Helper()
	var list []client.Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		o := map[string]func() client.Object{
			"Server": func() client.Object { return &v1alpha1.Server{} }, "Optimizer": func() client.Object { return &v1alpha1.Optimizer{} },
			"Accelerator": func() client.Object { return &v1alpha1.Accelerator{} }, "Model": func() client.Object { return &v1alpha1.Model{} },
			"Deployment": func() client.Object { return &appsv1.Deployment{} }, "HorizontalPodAutoscaler": func() client.Object { return &autoscalingv2.HorizontalPodAutoscaler{} },
		}[kind.Kind]
		if o == nil {
			continue
		}
		object := o()
		if err := yaml.Unmarshal(document, object); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
		list = append(list, object)
	}
}

// healthy is the cluster of the samples with a plan for each server, as it should be.
func healthy(t *testing.T) *Cluster {
	t.Helper()
	c := &Cluster{Now: now, APIServices: []APIService{
		{Name: externalMetrics, Service: "inferno-system/inferno-adapter", Available: true},
		{Name: customMetrics, Service: "inferno-system/inferno-adapter", Available: true},
	}}
	for _, name := range []string{"inferno-scheduler", "inferno-optimizer"} {
		c.Leases = append(c.Leases, Lease{
			Name: name, Deployment: "inferno-system/" + name, Holder: "pod-a", Renewed: now.Add(-15 * time.Second), Duration: 15 * time.Second,
		})
	}
	for _, o := range objects(t, manifests.Samples()) {
		switch o := o.(type) {
		case *v1alpha1.Optimizer:
			o.Status.LastCycle = &v1alpha1.CycleReport{Time: metav1.NewTime(now.Add(-10 * time.Second))}
			c.Optimizers = append(c.Optimizers, *o)
		case *v1alpha1.Server:
			o.Status.Desired = &v1alpha1.DesiredState{Replicas: 2, ConfirmedAt: metav1.NewTime(now), StaleAfterSeconds: 60}
			c.Servers = append(c.Servers, *o)
		case *v1alpha1.Accelerator:
			c.Accelerators = append(c.Accelerators, *o)
		case *v1alpha1.Model:
			c.Models = append(c.Models, *o)
		case *appsv1.Deployment:
			c.Deployments = append(c.Deployments, *o)
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.Autoscalers = append(c.Autoscalers, *o)
		}
	}
	for _, r := range neededRights(c, manifests.Namespace) {
		r.Allowed = true
		c.Rights = append(c.Rights, r)
	}
	return c
}

var stock = Options{SchedulerNames: []string{"inferno-scheduler"}}

func (c *Cluster) premium(t *testing.T) (*v1alpha1.Server, *appsv1.Deployment, *autoscalingv2.HorizontalPodAutoscaler) {
	t.Helper()
	s := slices.IndexFunc(c.Servers, func(s v1alpha1.Server) bool { return s.Name == "chat-premium" })
	d := slices.IndexFunc(c.Deployments, func(d appsv1.Deployment) bool { return d.Name == "chat-premium" })
	h := slices.IndexFunc(c.Autoscalers, func(h autoscalingv2.HorizontalPodAutoscaler) bool { return h.Name == "chat-premium" })
	if s < 0 || d < 0 || h < 0 {
		t.Fatal("the samples have no chat-premium")
	}
	return &c.Servers[s], &c.Deployments[d], &c.Autoscalers[h]
}

// The samples are as they should be; this also keeps them so.
func TestSamplesAreHealthy(t *testing.T) {
	for _, f := range Examine(healthy(t), stock) {
		t.Errorf("%+v", f)
	}
}

// What an Optimizer or a Server says of itself is warned of, with what to do, though plans are made and followed.
func TestConditionsAreWarnings(t *testing.T) {
	for _, kind := range []string{v1alpha1.ConditionPodsCounted, v1alpha1.ConditionDevicesCounted, v1alpha1.ConditionSharesKept, v1alpha1.ConditionElasticCounted, v1alpha1.ConditionWritten} {
		c := healthy(t)
		c.Optimizers[0].Status.Conditions = []metav1.Condition{{Type: kind, Status: "False", Reason: "Why", Message: "8 of them"}}
		warns(t, Examine(c, stock), "optimizer/default", kind+" is False (Why): 8 of them")
	}
	for _, kind := range []string{v1alpha1.ConditionAccepted, v1alpha1.ConditionPodsStart, v1alpha1.ConditionPodsAdmitted, v1alpha1.ConditionQueueAdmits, v1alpha1.ConditionCapacityAhead, v1alpha1.ConditionLimitsHold, v1alpha1.ConditionScaleInOrder, v1alpha1.ConditionWritten} {
		c := healthy(t)
		s, _, _ := c.premium(t)
		s.Status.Conditions = []metav1.Condition{{Type: kind, Status: "False", Reason: "Why", Message: "8 of them"}}
		warns(t, Examine(c, stock), "server/llm/chat-premium", kind+" is False (Why): 8 of them")
	}
}

func warns(t *testing.T, findings []Finding, object, problem string) {
	t.Helper()
	if len(findings) != 1 || findings[0].Severity != Warning || findings[0].Object != object || findings[0].Problem != problem || findings[0].Remedy == "" {
		t.Errorf("found %+v, want a warning of %s alone: %s", findings, object, problem)
	}
}

// Every fault is found alone, with the object and the field.
func TestFindings(t *testing.T) {
	type parts struct {
		*Cluster
		server *v1alpha1.Server
		deploy *appsv1.Deployment
		hpa    *autoscalingv2.HorizontalPodAutoscaler
	}
	quantity := func(s string) *resource.Quantity { q := resource.MustParse(s); return &q }
	planOn := func(p parts, accelerator string) {
		p.server.Status.Desired.Parts = []jsonspec.AllocationPart{{Accelerator: accelerator, Replicas: 2}}
	}
	for _, c := range []struct {
		name     string
		change   func(parts)
		severity Severity
		object   string
		problem  string
	}{
		{"definitions missing", func(p parts) { p.Missing = []string{"Server"} }, Fault, "cluster", "the definitions of Server are not installed"},
		{"no optimizer", func(p parts) { p.Optimizers = nil }, Fault, "optimizer", "nothing is planned"},
		{"nobody schedules", func(p parts) { p.Leases[0] = Lease{Name: p.Leases[0].Name, Deployment: p.Leases[0].Deployment} }, Fault,
			"deployment/inferno-system/inferno-scheduler", "none of its pods leads: of the lease inferno-scheduler, nobody holds it"},
		{"leases unread", func(p parts) { p.Leases, p.LeasesFault = nil, errors.New("forbidden") }, Warning, "lease", "not known: forbidden"},
		{"the leader is gone", func(p parts) { p.Leases[1].Renewed = now.Add(-16 * time.Second) }, Fault,
			"deployment/inferno-system/inferno-optimizer", "held by pod-a, renewed 16s ago"},
		{"suspended", func(p parts) { p.Optimizers[0].Spec.Mode = v1alpha1.ModeSuspended }, Fault, "optimizer/default", "spec.mode: Suspended"},
		{"dry run", func(p parts) { p.Optimizers[0].Spec.Mode = v1alpha1.ModeDryRun }, Fault, "optimizer/default", "spec.mode: DryRun"},
		{"never ran", func(p parts) { p.Optimizers[0].Status.LastCycle = nil }, Fault, "optimizer/default", "no cycle ran yet"},
		{"stopped", func(p parts) { p.Optimizers[0].Status.LastCycle.Time = metav1.NewTime(now.Add(-time.Hour)) }, Fault, "optimizer/default", "began 1h0m0s ago"},
		{"cycles fail", func(p parts) {
			p.Optimizers[0].Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "CycleFailed", Message: "boom"}}
		}, Fault, "optimizer/default", "Ready is False (CycleFailed): boom"},
		{"no node", func(p parts) {
			p.Accelerators[0].Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: "NoNodes", Message: "none"}}
		}, Warning, "accelerator/", "NoNodes"},
		{"no samples", func(p parts) {
			p.server.Status.Conditions = []metav1.Condition{{Type: "Observed", Status: "False", Reason: "NoMetrics", Message: "none"}}
		}, Fault, "server/llm/chat-premium", "Observed is False (NoMetrics)"},
		{"no plan", func(p parts) { p.server.Status.Desired = nil }, Fault, "server/llm/chat-premium", "no plan yet"},
		{"stale plan", func(p parts) { p.server.Status.Desired.ConfirmedAt = metav1.NewTime(now.Add(-time.Hour)) }, Fault, "server/llm/chat-premium", "stale"},
		{"no target", func(p parts) { p.server.Spec.ScaleTargetRef = nil }, Fault, "server/llm/chat-premium", "nobody knows its workload"},
		{"no deployment", func(p parts) { p.deploy.Name = "other" }, Fault, "deployment/llm/chat-premium", "does not exist"},
		{"two servers on one", func(p parts) {
			twin := *p.server.DeepCopy()
			twin.Name = "twin"
			p.Servers = append(p.Servers, twin)
		}, Fault, "deployment/llm/chat-premium", "both name it"},
		{"no hpa", func(p parts) { p.hpa.Spec.ScaleTargetRef.Name = "other" }, Fault, "deployment/llm/chat-premium", "no HorizontalPodAutoscaler"},
		{"two hpas", func(p parts) { p.Autoscalers = append(p.Autoscalers, *p.hpa.DeepCopy()) }, Fault, "deployment/llm/chat-premium", "2 HorizontalPodAutoscalers"},
		{"cpu alone", func(p parts) {
			p.hpa.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: "Resource", Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu"}}}
		}, Fault, "hpa/llm/chat-premium", "none that tells the plan"},
		{"cpu too", func(p parts) {
			p.hpa.Spec.Metrics = append(p.hpa.Spec.Metrics, autoscalingv2.MetricSpec{Type: "Resource", Resource: &autoscalingv2.ResourceMetricSource{Name: "cpu"}})
		}, Warning, "hpa/llm/chat-premium", "the largest answer wins"},
		{"selects another", func(p parts) { p.hpa.Spec.Metrics[0].External.Metric.Selector.MatchLabels["server"] = "x" }, Fault, "hpa/llm/chat-premium", `names server "x"`},
		{"selects all", func(p parts) { p.hpa.Spec.Metrics[0].External.Metric.Selector = nil }, Fault, "hpa/llm/chat-premium", `names server ""`},
		{"selects a variant", func(p parts) { p.hpa.Spec.Metrics[0].External.Metric.Selector.MatchLabels["variant"] = "x" }, Fault, "hpa/llm/chat-premium", `names variant "x"`},
		{"target by value", func(p parts) { p.hpa.Spec.Metrics[0].External.Target.Type = "Value" }, Fault, "hpa/llm/chat-premium", "target.type"},
		{"target of two", func(p parts) { p.hpa.Spec.Metrics[0].External.Target.AverageValue = quantity("2") }, Fault, "hpa/llm/chat-premium", "divided"},
		{"low maximum", func(p parts) { p.hpa.Spec.MaxReplicas = 1 }, Fault, "hpa/llm/chat-premium", "spec.maxReplicas is 1, the plan asks for 2"},
		{"maximum below the server's", func(p parts) { p.server.Spec.MaxReplicas = new(500) }, Warning, "hpa/llm/chat-premium", "spec.maxReplicas is 100, that of the Server 500"},
		{"high minimum", func(p parts) { p.hpa.Spec.MinReplicas = new(int32(3)) }, Warning, "hpa/llm/chat-premium", "spec.minReplicas is 3"},
		{"scale to zero", func(p parts) { p.server.Spec.MinReplicas = new(0) }, Warning, "hpa/llm/chat-premium", "spec.minReplicas is 1, the plan may ask for 0"},
		{"scale to zero before 1.37", func(p parts) {
			p.server.Spec.MinReplicas, p.Kubernetes = new(0), version.MustParse("1.36")
		}, Warning, "hpa/llm/chat-premium", "autoscalers of Kubernetes 1.36 go no lower than 1"},
		{"tolerance before 1.35", func(p parts) {
			p.hpa.Spec.Behavior.ScaleUp.Tolerance, p.Kubernetes = nil, version.MustParse("1.34")
		}, Warning, "hpa/llm/chat-premium", "Kubernetes 1.34 drops behavior.scaleUp.tolerance"},
		{"default tolerance", func(p parts) { p.hpa.Spec.Behavior.ScaleUp.Tolerance = nil }, Warning, "hpa/llm/chat-premium", "scaleUp.tolerance is absent"},
		{"tolerance", func(p parts) { p.hpa.Spec.Behavior.ScaleDown.Tolerance = quantity("50m") }, Warning, "hpa/llm/chat-premium", "scaleDown.tolerance is 50m"},
		{"stabilisation", func(p parts) { p.hpa.Spec.Behavior.ScaleDown.StabilizationWindowSeconds = nil }, Warning, "hpa/llm/chat-premium", "stabilizationWindowSeconds is 300"},
		{"disabled", func(p parts) { p.hpa.Spec.Behavior.ScaleDown.SelectPolicy = new(autoscalingv2.DisabledPolicySelect) }, Fault, "hpa/llm/chat-premium", "Disabled"},
		{"default policies", func(p parts) { p.hpa.Spec.Behavior.ScaleUp.Policies = nil }, Warning, "hpa/llm/chat-premium", "allow 4 pods at a time"},
		{"narrow policies", func(p parts) { p.hpa.Spec.Behavior.ScaleDown.Policies[0].Value = 1 }, Warning, "hpa/llm/chat-premium", "allow 1 pods at a time"},
		{"inactive", func(p parts) {
			p.hpa.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: "ScalingActive", Status: "False", Reason: "FailedGetExternalMetric", Message: "stale"}}
		}, Fault, "hpa/llm/chat-premium", "ScalingActive is False"},
		{"slow transfers", func(p parts) {
			said := 10.0
			p.server.Status.Transfer = &v1alpha1.MeasuredTransfer{Time: 80, Expected: &said, Bytes: 4e7, Bandwidth: 0.5}
		}, Warning, "server/llm/chat-premium", "takes 80 ms from one role to the other (40 MB a request, 0.5 GB/s), the transfer of its Model says 10 ms"},
		{"the role of another variant", func(p parts) {
			ref := *p.server.Spec.ScaleTargetRef
			p.server.Spec.ScaleTargetRef, p.server.Spec.Variants = nil, []jsonspec.Variant{{Name: "tokens", ModelVariant: "decode", Accelerators: []string{"h100"}, ScaleTargetRef: ref}}
			p.deploy.Spec.Template.Labels["llm-d.ai/role"] = "prefill"
		}, Fault, "deployment/llm/chat-premium", "has no label inferno.platform.ai/variant"},
		{"no server label", func(p parts) { delete(p.deploy.Spec.Template.Labels, v1alpha1.ServerLabel) }, Fault, "deployment/llm/chat-premium", "has no label inferno.platform.ai/server"},
		{"wrong server label", func(p parts) { p.deploy.Spec.Template.Labels[v1alpha1.ServerLabel] = "x" }, Fault, "deployment/llm/chat-premium", `is "x"`},
		{"another scheduler", func(p parts) { p.deploy.Spec.Template.Spec.SchedulerName = "default-scheduler" }, Fault, "deployment/llm/chat-premium", `schedulerName of its pod template is "default-scheduler"`},
		{"limits unread", func(p parts) {
			p.deploy.Spec.Template.Spec.Containers[0].Env = p.deploy.Spec.Template.Spec.Containers[0].Env[1:]
		}, Warning, "deployment/llm/chat-premium", "do not read the annotation inferno.platform.ai/max-num-seqs"},
		{"limits without default", func(p parts) { p.deploy.Spec.Template.Annotations = nil }, Warning, "deployment/llm/chat-premium", "has no annotation"},
		{"replicas applied", func(p parts) {
			p.deploy.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "argocd", Operation: "Apply", FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`)}}
		}, Warning, "deployment/llm/chat-premium", `"argocd" applies spec.replicas`},
		{"at zero by hand", func(p parts) { p.deploy.Spec.Replicas = new(int32(0)) }, Fault, "deployment/llm/chat-premium", "autoscalers take that for a pause"},
		{"paused", func(p parts) { p.deploy.Spec.Paused = true }, Warning, "deployment/llm/chat-premium", "spec.paused"},
		{"unknown accelerator", func(p parts) { planOn(p, "tpu") }, Fault, "server/llm/chat-premium", `names "tpu"`},
		{"groups of another size", func(p parts) {
			planOn(p, p.Accelerators[0].Name)
			p.Pods = grouped(p.Cluster, p.deploy, "2")
		}, Fault, "deployment/llm/chat-premium", "have 2 pods each, and are planned with 1"},
		{"too few cards", func(p parts) {
			planOn(p, p.Accelerators[0].Name)
			p.Accelerators[0].Spec.Cards = 4
		}, Fault, "deployment/llm/chat-premium", "is planned with 4"},
		{"nobody schedules", func(p parts) {
			p.Pods = []corev1.Pod{{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "llm", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour)), Labels: map[string]string{v1alpha1.ServerLabel: "chat-premium"}},
				Spec:       corev1.PodSpec{SchedulerName: "gone"},
			}}
		}, Fault, "pod/llm/p", `none runs under the name "gone"`},
		{"another adapter", func(p parts) { p.APIServices[0].Service = "keda/keda-metrics" }, Fault, "apiservice/" + externalMetrics, "another adapter answers"},
		{"no adapter", func(p parts) { p.APIServices = nil }, Fault, "apiservice/" + externalMetrics, "does not exist"},
		{"adapter away", func(p parts) { p.APIServices[0].Available, p.APIServices[0].Message = false, "no endpoints" }, Fault, "apiservice/" + externalMetrics, "no endpoints"},
		{"unverified", func(p parts) { p.APIServices[0].Unverified = true }, Warning, "apiservice/" + externalMetrics, "insecureSkipTLSVerify"},
		{"right missing", func(p parts) { p.Rights[0].Allowed = false }, Fault, "account/inferno-system/inferno-adapter", "may not watch inferno.platform.ai/servers"},
		{"rights unknown", func(p parts) {
			for i := range p.Rights {
				p.Rights[i].Unknown = errors.New("forbidden")
			}
		}, Warning, "account/", "not known: forbidden"},
		{"series twice", func(p parts) {
			p.Pods = append(p.Pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "twice", Namespace: "llm"}})
			for _, name := range []string{"twice", "not-examined"} {
				p.Copies = append(p.Copies, observe.Copies{Pod: types.NamespacedName{Namespace: "llm", Name: name}, Times: 2, Differ: []string{"endpoint", "job"}})
			}
		}, Warning, "pod/llm/twice", "its series 2 times, which differ in endpoint, job"},
		{"prometheus away", func(p parts) { p.MetricsFault = errors.New("refused") }, Fault, "prometheus", "refused"},
		{"pod not scraped", func(p parts) {
			p.Metrics = observe.Metrics{types.NamespacedName{Namespace: "llm", Name: "seen"}: {}}
			for _, name := range []string{"seen", "unseen"} {
				p.Pods = append(p.Pods, corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "llm"},
					Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
				})
			}
		}, Fault, "pod/llm/unseen", "Prometheus has no sample"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := healthy(t)
			p := parts{Cluster: cluster}
			p.server, p.deploy, p.hpa = cluster.premium(t)
			c.change(p)
			got := Examine(cluster, stock)
			found := slices.ContainsFunc(got, func(f Finding) bool {
				return f.Severity == c.severity && strings.HasPrefix(f.Object, c.object) && strings.Contains(f.Problem, c.problem) && f.Remedy != ""
			})
			if !found || len(got) > 3 {
				t.Errorf("want %s of %s: %q; found %+v", c.severity, c.object, c.problem, got)
			}
			if (Faults(got) > 0) != (c.severity == Fault) {
				t.Errorf("%d faults of %+v", Faults(got), got)
			}
		})
	}
}

// A workload that its autoscaler scaled to zero is no fault.
func TestScaledToZeroIsNoPause(t *testing.T) {
	c := healthy(t)
	_, d, h := c.premium(t)
	d.Spec.Replicas = new(int32(0))
	h.Status.Conditions = []autoscalingv2.HorizontalPodAutoscalerCondition{{Type: autoscalingv2.ScaledToZero, Status: corev1.ConditionTrue}}
	for _, f := range Examine(c, stock) {
		t.Errorf("%+v", f)
	}
}

// Reading takes nothing but lists, gets and questions about rights.
func TestRead(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	var denied string
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects(t, manifests.Samples())...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			review, is := o.(*authorizationv1.SubjectAccessReview)
			if !is {
				t.Errorf("a %T was created", o)
				return nil
			}
			review.Status.Allowed = review.Spec.User != denied
			return nil
		},
		Update: func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
			t.Error("something was updated")
			return nil
		},
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			t.Error("something was deleted")
			return nil
		},
	}).Build()
	read := func() *Cluster {
		t.Helper()
		got, err := Read(t.Context(), Source{Client: c, Now: now, Installed: manifests.Namespace})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := read(); len(got.Servers) < 3 || len(got.Deployments) < 3 || len(got.Autoscalers) < 3 || len(got.Missing) > 0 {
		t.Errorf("read %d Servers, %d Deployments, %d autoscalers, missing %v", len(got.Servers), len(got.Deployments), len(got.Autoscalers), got.Missing)
	}
	denied = autoscalerAccount
	found := 0
	for _, f := range Examine(read(), stock) {
		if f.Object == "account/kube-system/horizontal-pod-autoscaler" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d findings about the autoscaler's right to read plans, want 1 for its namespace", found)
	}
}

// With the rights of one namespace what can be seen is examined, nothing is taken for missing that was not looked at, and what was not is named.
func TestReadWithATenantsRights(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	forbidden := func(what string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: what}, "", errors.New("in this namespace alone"))
	}
	for name, namespaced := range map[string]bool{"all of the namespace": true, "Servers alone": false} {
		c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects(t, manifests.Samples())...).WithInterceptorFuncs(interceptor.Funcs{
			Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return forbidden("subjectaccessreviews")
			},
			Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
				return forbidden("apiservices")
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				var o client.ListOptions
				o.ApplyOptions(options)
				if _, servers := list.(*v1alpha1.ServerList); o.Namespace != "llm" || !namespaced && !servers {
					return forbidden(fmt.Sprintf("%T", list))
				}
				return c.List(ctx, list, options...)
			},
		}).Build()
		got, err := Read(t.Context(), Source{Client: c, Now: now, Namespace: "llm", Installed: manifests.Namespace})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Servers) < 3 {
			t.Errorf("%s: %d Servers were read", name, len(got.Servers))
		}
		unseen := map[string]bool{}
		for _, f := range Examine(got, stock) {
			switch {
			case f.Severity == Unseen:
				unseen[f.Object] = true
			case f.Severity == Fault && !strings.HasPrefix(f.Object, "server/"): // none has a plan in these samples
				t.Errorf("%s: %+v", name, f)
			}
		}
		want := []string{"APIService", "Accelerator", "Lease", "Model", "Optimizer", "SubjectAccessReview"}
		if !namespaced {
			want = append(want, "Deployment", "HorizontalPodAutoscaler", "Pod")
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(unseen))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Leases are those that inferno's Deployments elect by, in the namespace that it is installed in; other programs need none.
func TestReadLeases(t *testing.T) {
	deployment := func(namespace, name string, args ...string) *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{partLabel: "inferno"}}}
		d.Spec.Template.Spec.Containers = []corev1.Container{{Args: args}}
		return d
	}
	lease := func(name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: name}, Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("pod-a"), RenewTime: &metav1.MicroTime{Time: now}, LeaseDurationSeconds: new(int32(15)),
		}}
	}
	c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(
		deployment("here", "scheduler", "--leader-elect=true", "--leader-elect-resource-name=ours"), lease("ours"),
		deployment("here", "optimizer", "--leader-elect", "--leader-election-id=second"), deployment("here", "optimizer-old", "--leader-elect"), lease("inferno-optimizer"),
		deployment("here", "adapter", "--secure-port=6443"), deployment("here", "alone", "--leader-elect=false"), deployment("there", "scheduler", "--leader-elect"),
	).Build()
	got, err := readLeases(t.Context(), c, "here")
	if err != nil {
		t.Fatal(err)
	}
	held := func(name, deployment string) Lease {
		return Lease{Name: name, Deployment: deployment, Holder: "pod-a", Renewed: now, Duration: 15 * time.Second}
	}
	want := []Lease{{Name: "second", Deployment: "here/optimizer"}, held("inferno-optimizer", "here/optimizer-old"), held("ours", "here/scheduler")}
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// grouped are pods of the Server that make up replicas of so many.
func grouped(c *Cluster, d *appsv1.Deployment, size string) []corev1.Pod {
	return []corev1.Pod{{
		ObjectMeta: metav1.ObjectMeta{
			Name: "p", Namespace: "llm", CreationTimestamp: metav1.NewTime(now),
			Labels:      map[string]string{v1alpha1.ServerLabel: "chat-premium", v1alpha1.GroupLabel: "g"},
			Annotations: map[string]string{v1alpha1.AcceleratorAnnotation: c.Accelerators[0].Name, v1alpha1.GroupSizeAnnotation: size},
		},
		Spec: corev1.PodSpec{SchedulerName: d.Spec.Template.Spec.SchedulerName},
	}}
}

// Pods of a group have their part of a replica's cards.
func TestGroupsShareTheCards(t *testing.T) {
	c := healthy(t)
	s, d, _ := c.premium(t)
	on := c.Accelerators[0].Name
	s.Status.Desired.Parts = []jsonspec.AllocationPart{{Accelerator: on, Replicas: 2}}
	for i := range c.Models {
		if m := &c.Models[i]; m.Name == s.Spec.Model {
			m.Spec.Performance = []v1alpha1.Performance{{Accelerator: on, AcceleratorsPerReplica: 2, PodsPerReplica: 2}}
		}
	}
	c.Pods = grouped(c, d, "2")
	for _, f := range Examine(c, stock) {
		t.Errorf("%+v", f)
	}
}
