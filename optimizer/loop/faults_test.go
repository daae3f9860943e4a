package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocks "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// stage is one server with two replicas on one type of node, and whatever of Prometheus and the API server can break.
type stage struct {
	t      *testing.T
	clock  *clocks.FakePassiveClock
	client client.Client
	log    bytes.Buffer
	*Reconciler

	// what is wrong
	prometheus error           // Prometheus does not answer, for this reason
	slow       bool            // it does not answer in time
	silent     map[string]bool // pods without series
	skew       time.Duration   // its clock is ahead by so much
	refuse     error           // the API server refuses statuses, for this reason
	refused    string          // that hold this text; empty for all
	frozen     error           // it refuses to change pods, for this reason
	hangs      bool            // it does not answer when statuses are written that hold the text
	full       error           // the decision log cannot be written, for this reason
	// during a write of a status, where it is not nil.
	during func()
	// again is when the last cycle asked for the next one.
	again time.Duration

	running float64
	// times the load that there is at first.
	times float64
	// history that Prometheus has of the server's load.
	history []model.SamplePair
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := stageAt(t, time.Unix(1_700_000_000, 0))
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(s.objects()...).WithStatusSubresource(
		&v1alpha1.Optimizer{}, &v1alpha1.Server{}, &v1alpha1.Model{}, &v1alpha1.Accelerator{}, &v1alpha1.ServiceClass{},
	).WithInterceptorFuncs(interceptor.Funcs{SubResourceApply: s.apply, Patch: s.patch}).Build()
	s.Reconciler = s.start()
	return s
}

// stageAt a time, without an API server.
func stageAt(t *testing.T, at time.Time) *stage {
	return &stage{t: t, clock: clocks.NewFakePassiveClock(at), silent: map[string]bool{}, running: 20, times: 1}
}

// start a process: all that it knows is in the API server.
func (s *stage) start() *Reconciler {
	r := &Reconciler{
		Client: s.client, Events: events.NewFakeRecorder(1000), Clock: s.clock, Log: NewDecisionLog(s), QueryTimeout: 50 * time.Millisecond,
		Querier: func(*v1alpha1.PrometheusSource) (observe.Querier, error) { return observe.Whole(s.query), nil }, Registry: prometheus.NewRegistry(),
	}
	r.metrics = newMetrics(r.Registry)
	return r
}

func (s *stage) objects() []client.Object {
	created := metav1.NewTime(s.clock.Now().Add(-time.Hour))
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, CreationTimestamp: created, Generation: 1}
	}
	gpus := corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("8")}
	list := []client.Object{
		&v1alpha1.Optimizer{ObjectMeta: named("default")},
		&v1alpha1.Accelerator{ObjectMeta: named("h100"), Spec: v1alpha1.AcceleratorSpec{Type: "H100", CostPerHour: v1alpha1.DecimalOf(400)}},
		&v1alpha1.Model{ObjectMeta: named("m"), Spec: v1alpha1.ModelSpec{Performance: []v1alpha1.Performance{{
			Accelerator: "h100", MaxBatchSize: 64, Work: &v1alpha1.WorkLaw{Alpha: v1alpha1.DecimalOf(12), Beta: v1alpha1.DecimalOf(0.04), Gamma: v1alpha1.DecimalOf(5e-5)},
		}}}},
		&v1alpha1.ServiceClass{ObjectMeta: named("c"), Spec: v1alpha1.ServiceClassSpec{Priority: 100, Targets: []v1alpha1.Target{{
			Model: "m", ITL: &metav1.Duration{Duration: 40 * time.Millisecond}, TTFT: &metav1.Duration{Duration: 2 * time.Second},
		}}}},
		&corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
			Status:     corev1.NodeStatus{Allocatable: gpus, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		},
	}
	server := &v1alpha1.Server{ObjectMeta: named("chat"), Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "c"}}
	server.Namespace = "llm"
	list = append(list, server)
	for _, name := range []string{"a", "b"} {
		list = append(list, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "llm", Name: name, CreationTimestamp: created, Labels: map[string]string{v1alpha1.ServerLabel: "chat"},
				Annotations: map[string]string{v1alpha1.AcceleratorAnnotation: "h100", v1alpha1.MaxNumSeqsAnnotation: "64"},
			},
			Spec: corev1.PodSpec{NodeName: "n"},
			Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
				Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: created,
			}}},
		})
	}
	return list
}

// query answers as a Prometheus would that scrapes the pods of the server: 5 requests/s each of 1000 → 200 tokens. Samples are a second old
// by its own clock.
func (s *stage) query(ctx context.Context, query string, at time.Time) (model.Value, []string, error) {
	if s.slow {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	if s.prometheus != nil {
		return nil, nil, s.prometheus
	}
	theirs := s.clock.Now().Add(s.skew)
	if query == "time()" {
		return &model.Scalar{Value: model.SampleValue(float64(theirs.UnixMicro()) / 1e6)}, nil, nil
	}
	if strings.Contains(query, observe.ArrivalRateMetric) {
		return model.Matrix{{Values: s.history}}, nil, nil
	}
	if strings.Contains(query, "hangs_total") {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	if strings.HasSuffix(query, "s]") {
		return model.Matrix{}, nil, nil // nothing is known of bursts
	}
	value, known := s.answer(query)
	if !known {
		return model.Vector{}, nil, nil
	}
	if strings.HasPrefix(query, "time() - ") {
		value = at.Sub(theirs.Add(-time.Second)).Seconds()
	}
	var v model.Vector
	for _, pod := range []string{"a", "b"} {
		if !s.silent[pod] {
			v = append(v, &model.Sample{Metric: model.Metric{"namespace": "llm", "pod": model.LabelValue(pod)}, Value: model.SampleValue(value)})
		}
	}
	return v, nil, nil
}

// answer of a query about one pod, by what its first selector is in.
func (s *stage) answer(query string) (float64, bool) {
	itl := 0.001 * (12 + 0.04*s.running + 5e-5*s.running*1100 + 5*0.012*1000*0.042)
	first, _, _ := strings.Cut(query, " or ")
	for _, a := range []struct {
		selected string
		value    float64
	}{
		{"time() - max", 0}, {"(rate(vllm:request_success_total[", 5},
		{"(rate(vllm:time_to_first_token_seconds_count[", 5}, {"(rate(vllm:time_to_first_token_seconds_sum[", 0.5},
		{"(rate(vllm:inter_token_latency_seconds_count[", 1000}, {"(rate(vllm:inter_token_latency_seconds_sum[", 1000 * itl},
		{"(rate(vllm:request_prompt_tokens_sum[", 5000}, {"(rate(vllm:request_prompt_tokens_count[", 5},
		{"(rate(vllm:request_generation_tokens_sum[", 1000}, {"(rate(vllm:request_generation_tokens_count[", 5},
		{"(avg_over_time(vllm:num_requests_running[", s.running}, {"(avg_over_time(vllm:num_requests_waiting[", 0},
		{"(avg_over_time(vllm:kv_cache_usage_perc[", 0.3},
	} {
		if strings.Contains(first, a.selected) {
			if strings.HasPrefix(a.selected, "(rate(") {
				a.value *= s.times
			}
			return a.value, true
		}
	}
	return 0, false
}

func (s *stage) apply(ctx context.Context, c client.Client, sub string, o runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if s.during != nil {
		s.during()
	}
	if s.refused == "" || strings.Contains(string(text), s.refused) {
		if s.hangs {
			<-ctx.Done()
			return ctx.Err()
		}
		if s.refuse != nil {
			return s.refuse
		}
	}
	return c.SubResource(sub).Apply(ctx, o, opts...)
}

func (s *stage) patch(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if _, isPod := o.(*corev1.Pod); isPod && s.frozen != nil {
		return s.frozen
	}
	return c.Patch(ctx, o, patch, opts...)
}

// Write to the decision log.
func (s *stage) Write(line []byte) (int, error) {
	if s.full != nil {
		return 0, s.full
	}
	return s.log.Write(line)
}

// kind of resource as it stands in what is written.
func kind(name string) string { return fmt.Sprintf("%q:%q", "kind", name) }

// cycle lets 30 s pass and runs a cycle of a process; the load moves a little.
func (s *stage) cycle(r *Reconciler) error {
	s.clock.SetTime(s.clock.Now().Add(30 * time.Second))
	s.running = 20 + float64(s.clock.Now().Unix()/30%7)
	result, err := r.Reconcile(context.Background(), ctrl.Request{NamespacedName: client.ObjectKey{Name: "default"}})
	s.again = result.RequeueAfter
	return err
}

func (s *stage) server() *v1alpha1.Server {
	s.t.Helper()
	var v v1alpha1.Server
	if err := s.client.Get(context.Background(), client.ObjectKey{Namespace: "llm", Name: "chat"}, &v); err != nil {
		s.t.Fatal(err)
	}
	return &v
}

func (s *stage) learned() *v1alpha1.PairMemory {
	s.t.Helper()
	var list v1alpha1.EstimateList
	if err := s.client.List(context.Background(), &list); err != nil {
		s.t.Fatal(err)
	}
	if len(list.Items) == 0 {
		return nil
	}
	return &list.Items[0].Learned
}

// condition of the server, or of the Optimizer for those types that only it has, as reason and message.
func (s *stage) condition(kind string) string {
	s.t.Helper()
	var list []metav1.Condition
	if slices.Contains([]string{v1alpha1.ConditionReady, v1alpha1.ConditionPodsCounted, v1alpha1.ConditionWritten}, kind) {
		var o v1alpha1.Optimizer
		if err := s.client.Get(context.Background(), client.ObjectKey{Name: "default"}, &o); err != nil {
			s.t.Fatal(err)
		}
		list = o.Status.Conditions
	} else {
		list = s.server().Status.Conditions
	}
	c := meta.FindStatusCondition(list, kind)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// settle runs cycles until something is planned and learned.
func (s *stage) settle() {
	s.t.Helper()
	for range 5 {
		if err := s.cycle(s.Reconciler); err != nil {
			s.t.Fatal(err)
		}
	}
	if d := s.server().Status.Desired; d == nil || d.Replicas < 1 {
		s.t.Fatalf("no plan: %s", s.condition(v1alpha1.ConditionPlanned))
	}
	if p := s.learned(); p == nil || p.Observations != 5 {
		s.t.Fatalf("learned %+v, want 5 observations", p)
	}
}

// Whatever happens to Prometheus, the plan is held, nothing that was learned is lost, a condition says what is wrong, and afterwards all goes on.
func TestPrometheusFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*stage)
		says  string
	}{
		{"down", func(s *stage) { s.prometheus = errors.New("connection refused") }, "False PrometheusUnreachable: query \"time()\": connection refused"},
		{"slow", func(s *stage) { s.slow = true }, "False PrometheusUnreachable: query \"time()\": context deadline exceeded"},
		{"empty", func(s *stage) { s.silent = map[string]bool{"a": true, "b": true} }, "False NoMetrics: Prometheus has no samples of any of the 2 ready pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			s.settle()
			plan, learned := s.server().Status.Desired, s.learned()
			good := *s
			c.spoil(s)
			for range 3 {
				if err := s.cycle(s.Reconciler); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(plan.Parts, s.server().Status.Desired.Parts); diff != "" {
				t.Errorf("the plan changed:\n%s", diff)
			}
			if diff := cmp.Diff(learned, s.learned()); diff != "" {
				t.Errorf("what was learned changed:\n%s", diff)
			}
			if got := s.condition(v1alpha1.ConditionObserved); !strings.HasPrefix(got, c.says) {
				t.Errorf("condition %q, want %q", got, c.says)
			}
			if got := s.condition(v1alpha1.ConditionReady); !strings.Contains(got, "CycleDegraded: 1 servers cannot be observed") {
				t.Errorf("the optimizer is %q", got)
			}
			if got := s.condition(v1alpha1.ConditionReady); (c.name != "empty") != strings.Contains(got, "Prometheus cannot be read (query \"time()\"") {
				t.Errorf("the optimizer is %q", got)
			}
			s.prometheus, s.slow, s.silent = good.prometheus, good.slow, map[string]bool{}
			if err := s.cycle(s.Reconciler); err != nil {
				t.Fatal(err)
			}
			if p := s.learned(); p.Observations != 6 || !strings.HasPrefix(s.condition(v1alpha1.ConditionObserved), "True") {
				t.Errorf("afterwards %d observations, %s", p.Observations, s.condition(v1alpha1.ConditionObserved))
			}
		})
	}
}

// Without a Prometheus the Optimizer says so before there is any Server, and what to set.
func TestPrometheusIsMissing(t *testing.T) {
	s := newStage(t)
	if err := s.client.Delete(t.Context(), s.server()); err != nil {
		t.Fatal(err)
	}
	s.prometheus = errors.New("no such host")
	if err := s.cycle(s.Reconciler); err != nil {
		t.Fatal(err)
	}
	got := s.condition(v1alpha1.ConditionReady)
	for _, want := range []string{"CycleDegraded", "no such host", "spec.prometheus.url", "prometheus.url of the chart"} {
		if !strings.Contains(got, want) {
			t.Errorf("the optimizer is %q, want %q in it", got, want)
		}
	}
}

// A counter of one namespace that never answers, or is no counter, is the fault of its server alone.
func TestCounterOfAnotherServerFails(t *testing.T) {
	s := newStage(t)
	s.settle()
	s.QueryTimeout = 4 * time.Second
	for counter, reason := range map[string]string{"hangs_total": v1alpha1.ReasonCounterFailed, `x"} or up{a="`: v1alpha1.ReasonInvalidSpec} {
		other := s.server()
		other.ObjectMeta = metav1.ObjectMeta{Namespace: "hostile", Name: "chat", Generation: 1}
		other.Spec.Arrivals = &jsonspec.ArrivalCounter{Counter: counter, Labels: map[string]jsonspec.LabelValue{"a": "b"}}
		other.Status = v1alpha1.ServerStatus{}
		if err := s.client.Create(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if err := s.cycle(s.Reconciler); err != nil {
			t.Fatal(err)
		}
		if c := s.condition(v1alpha1.ConditionObserved); !strings.HasPrefix(c, "True") {
			t.Errorf("%s: the other server is %s", counter, c)
		}
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(other), other); err != nil {
			t.Fatal(err)
		}
		if c := meta.FindStatusCondition(other.Status.Conditions, v1alpha1.ConditionObserved); c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason {
			t.Errorf("%s: its own server is %+v, want reason %s", counter, c, reason)
		}
		if err := s.client.Delete(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
}

// A class that is closed to a namespace leaves the Servers there what they have, whatever comes, and says so; when it is opened again all goes on.
func TestAClassIsClosed(t *testing.T) {
	s := newStage(t)
	s.settle()
	before := s.server().Status.Desired
	closed := func(selector *metav1.LabelSelector) {
		var class v1alpha1.ServiceClass
		if err := s.client.Get(t.Context(), client.ObjectKey{Name: "c"}, &class); err != nil {
			t.Fatal(err)
		}
		class.Spec.AllowedNamespaces = selector
		if err := s.client.Update(t.Context(), &class); err != nil {
			t.Fatal(err)
		}
	}
	late := s.server()
	late.ObjectMeta, late.Status = metav1.ObjectMeta{Namespace: "late", Name: "chat", Generation: 1}, v1alpha1.ServerStatus{}
	if err := s.client.Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	closed(&metav1.LabelSelector{MatchLabels: map[string]string{"tier": "paid"}})
	s.times = 4
	for range 3 {
		if err := s.cycle(s.Reconciler); err != nil {
			t.Fatal(err)
		}
	}
	if after := s.server().Status.Desired; !cmp.Equal(before.Parts, after.Parts) || !before.ConfirmedAt.Before(&after.ConfirmedAt) {
		t.Errorf("%+v is planned, %+v before", after, before)
	}
	const why = "spec.serviceClass: c is not allowed in namespace llm, its spec.allowedNamespaces are those with tier=paid"
	for kind, want := range map[string]string{v1alpha1.ConditionPlanned: "False ClassNotAllowed: the last plan stands: " + why, v1alpha1.ConditionAccepted: "False NotAllowed: " + why} {
		if got := s.condition(kind); got != want {
			t.Errorf("%s is %q, want %q", kind, got, want)
		}
	}
	// One that came later has a plan of nothing: without any its pods would be placed wherever there is room.
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(late), late); err != nil {
		t.Fatal(err)
	}
	if d := late.Status.Desired; d == nil || d.Replicas != 0 || len(d.Parts) != 0 {
		t.Errorf("%+v is planned for a Server that never was allowed", d)
	}
	closed(nil)
	if err := s.cycle(s.Reconciler); err != nil {
		t.Fatal(err)
	}
	if after := s.server().Status.Desired; after.Replicas <= before.Replicas || !strings.HasPrefix(s.condition(v1alpha1.ConditionAccepted), "True") {
		t.Errorf("opened again: %+v, %s", after, s.condition(v1alpha1.ConditionAccepted))
	}
}

// Half of the targets missing: the load that they carry is not forgotten.
func TestHalfOfTheTargetsMissing(t *testing.T) {
	s := newStage(t)
	s.settle()
	before := s.server().Status
	s.silent["b"] = true
	for range 3 {
		if err := s.cycle(s.Reconciler); err != nil {
			t.Fatal(err)
		}
	}
	after := s.server().Status
	if diff := cmp.Diff(before.Desired.Parts, after.Desired.Parts); diff != "" || after.Load.ArrivalRate != before.Load.ArrivalRate {
		t.Errorf("%v requests a minute, %v before; plan:\n%s", after.Load.ArrivalRate, before.Load.ArrivalRate, diff)
	}
	if p := s.learned(); p.Observations != 8 {
		t.Errorf("%d observations, want those of the other replica, 8", p.Observations)
	}
}

// The status of a server says which ways there are to serve it, at which price, which one was taken, and what keeps its pods from nodes.
func TestServersAreExplained(t *testing.T) {
	s := newStage(t)
	var n corev1.Node
	if err := s.client.Get(context.Background(), client.ObjectKey{Name: "n"}, &n); err != nil {
		t.Fatal(err)
	}
	other := n.DeepCopy()
	other.Name, other.ResourceVersion = "other", ""
	other.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "training", Effect: corev1.TaintEffectNoSchedule}}
	if err := s.client.Create(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	s.settle()
	e := s.server().Status.Explanation
	if e == nil || len(e.Ways) != 1 || !e.Ways[0].Taken || e.Ways[0].RunsOn == "" || e.Ways[0].CostPerHour <= 0 || e.Ways[0].Why != "chosen" {
		t.Fatalf("explained by %+v", e)
	}
	if diff := cmp.Diff([]string{"h100: 1 of 2 nodes are not for its pods: taint dedicated=training:NoSchedule (1)"}, e.Barred); diff != "" {
		t.Error(diff)
	}
}

// Pods whose Server is gone keep their cards from others, and the Optimizer says whose they are, until they go.
func TestOrphans(t *testing.T) {
	s := newStage(t)
	orphan := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lost", Name: "orphan", Labels: map[string]string{v1alpha1.ServerLabel: "deleted"}},
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "engine", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("6")},
		}}}},
	}
	if err := s.client.Create(context.Background(), orphan); err != nil {
		t.Fatal(err)
	}
	available := func() int {
		t.Helper()
		var a v1alpha1.Accelerator
		if err := errors.Join(s.cycle(s.Reconciler), s.client.Get(context.Background(), client.ObjectKey{Name: "h100"}, &a)); err != nil {
			t.Fatal(err)
		}
		return a.Status.Available
	}
	if n := available(); n != 2 {
		t.Errorf("%d of 8 cards are available beside 6 that are held", n)
	}
	want := "False UncountedPods: 6 cards are held by pods that no plan counts, and are not there for others: lost/deleted: 1 pods with 6 cards: there is no such Server"
	if got := s.condition(v1alpha1.ConditionPodsCounted); got != want {
		t.Errorf("condition %q, want %q", got, want)
	}
	if err := s.client.Delete(context.Background(), orphan); err != nil {
		t.Fatal(err)
	}
	if n := available(); n != 8 || !strings.HasPrefix(s.condition(v1alpha1.ConditionPodsCounted), "True AllCounted") {
		t.Errorf("%d available afterwards, %s", n, s.condition(v1alpha1.ConditionPodsCounted))
	}
}

// Clocks that differ by far: fresh samples are neither taken for stale nor missed, and the condition says so.
func TestClocksApart(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		s := newStage(t)
		s.skew = skew
		s.settle()
		if got := s.condition(v1alpha1.ConditionObserved); !strings.HasPrefix(got, "True") {
			t.Errorf("skew %v: %s", skew, got)
		}
		if got := s.condition(v1alpha1.ConditionReady); !strings.Contains(got, "the clock of Prometheus is "+skew.String()+" ahead") {
			t.Errorf("skew %v: the optimizer is %q", skew, got)
		}
	}
}

// The API server refuses to write one kind: the Optimizer says so, the plan in force stands, nothing learned is lost, and the next cycle is due when it
// always is, whatever is refused and for however long.
func TestAPIServerFails(t *testing.T) {
	group := schema.GroupResource{Group: v1alpha1.Group, Resource: "x"}
	for name, refuse := range map[string]error{
		"conflict": apierrors.NewConflict(group, "x", errors.New("changed meanwhile")),
		"timeout":  apierrors.NewTimeoutError("slow", 1),
	} {
		for object, refused := range map[string]string{"Server llm/chat": "Server", "Model /m": "Model"} {
			t.Run(name+" on "+object, func(t *testing.T) {
				s := newStage(t)
				s.settle()
				plan := s.server().Status.Desired
				s.refuse, s.refused = refuse, kind(refused)
				for range 3 {
					if err := s.cycle(s.Reconciler); err != nil || s.again != defaultInterval {
						t.Errorf("the next cycle is due after %v, want %v; error %v", s.again, defaultInterval, err)
					}
				}
				if diff := cmp.Diff(plan.Parts, s.server().Status.Desired.Parts); diff != "" {
					t.Errorf("the plan changed:\n%s", diff)
				}
				if got := s.condition(v1alpha1.ConditionWritten); !strings.HasPrefix(got, "False Refused: 1 writes failed, all others are done: "+object+": writing the status of "+refused) {
					t.Errorf("the optimizer is %q", got)
				}
				if got := s.condition(v1alpha1.ConditionReady); !strings.HasPrefix(got, "True CycleDegraded: 1 writes failed") {
					t.Errorf("the optimizer is %q", got)
				}
				s.refuse = nil
				if err := s.cycle(s.Reconciler); err != nil {
					t.Fatal(err)
				}
				if p := s.learned(); p.Observations != 9 {
					t.Errorf("%d observations are written afterwards, want all 9", p.Observations)
				}
				if got := s.condition(v1alpha1.ConditionWritten) + s.condition(v1alpha1.ConditionReady); !strings.HasPrefix(got, "True AllWritten") || !strings.HasSuffix(got, "True CycleSucceeded: cycles run") {
					t.Errorf("afterwards the optimizer is %q", got)
				}
			})
		}
	}
}

// another server, like the first but for its name, without pods.
func (s *stage) another(name string) {
	s.t.Helper()
	o := &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name, Generation: 1}, Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "c"}}
	if err := s.client.Create(context.Background(), o); err != nil {
		s.t.Fatal(err)
	}
}

// confirmed is when a cycle last stood by the plan of a server.
func (s *stage) confirmed(name string) time.Time {
	s.t.Helper()
	var v v1alpha1.Server
	if err := s.client.Get(context.Background(), client.ObjectKey{Namespace: "llm", Name: name}, &v); err != nil {
		s.t.Fatal(err)
	}
	if v.Status.Desired == nil {
		return time.Time{}
	}
	return v.Status.Desired.ConfirmedAt.Time
}

// One server whose status is refused, or whose write hangs, keeps no other from being planned.
func TestOneServerIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*stage){
		"refused": func(s *stage) { s.refuse = errors.New("denied by a policy") },
		"hangs":   func(s *stage) { s.hangs = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.settle()
			s.another("other")
			before := s.confirmed("chat")
			s.refused = `"name":"chat"`
			spoil(s)
			if err := s.cycle(s.Reconciler); err != nil {
				t.Fatal(err)
			}
			if got := s.confirmed("other"); !got.Equal(s.clock.Now()) || !s.confirmed("chat").Equal(before) {
				t.Errorf("the other server was planned at %v, want %v; the first at %v, want %v", got, s.clock.Now(), s.confirmed("chat"), before)
			}
			if got := s.condition(v1alpha1.ConditionWritten); !strings.Contains(got, "1 writes failed") || !strings.Contains(got, "Server llm/chat") {
				t.Errorf("the optimizer is %q", got)
			}
		})
	}
}

// Pods that must not be changed: their server says so, and is planned as before.
func TestPodsAreFrozen(t *testing.T) {
	s := newStage(t)
	s.settle()
	s.another("other")
	var pod corev1.Pod // carries a cost that it no longer deserves
	if err := s.client.Get(context.Background(), client.ObjectKey{Namespace: "llm", Name: "a"}, &pod); err != nil {
		t.Fatal(err)
	}
	pod.Annotations[deletionCostAnnotation] = overQuotaCost
	if err := s.client.Update(context.Background(), &pod); err != nil {
		t.Fatal(err)
	}
	s.frozen = errors.New("denied by a policy")
	if err := s.cycle(s.Reconciler); err != nil || s.again != defaultInterval {
		t.Fatalf("due after %v, error %v", s.again, err)
	}
	for _, name := range []string{"chat", "other"} {
		if got := s.confirmed(name); !got.Equal(s.clock.Now()) {
			t.Errorf("%s is planned at %v, want %v", name, got, s.clock.Now())
		}
	}
	c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionWritten)
	if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "a: writing the deletion cost of pod llm/a: denied by a policy") {
		t.Errorf("the server says %+v", c)
	}
	s.frozen = nil
	if err := s.cycle(s.Reconciler); err != nil {
		t.Fatal(err)
	}
	if c := meta.FindStatusCondition(s.server().Status.Conditions, v1alpha1.ConditionWritten); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("afterwards the server says %+v", c)
	}
}

// A full disk under the decision log costs the log, and nothing else.
func TestDecisionLogIsFull(t *testing.T) {
	s := newStage(t)
	s.settle()
	s.full = errors.New("no space left on device")
	if err := s.cycle(s.Reconciler); err != nil || s.again != defaultInterval || !s.confirmed("chat").Equal(s.clock.Now()) {
		t.Errorf("due after %v, planned at %v, error %v", s.again, s.confirmed("chat"), err)
	}
	if got := s.condition(v1alpha1.ConditionWritten); got != "False Refused: 1 writes failed, all others are done: decision log: no space left on device" {
		t.Errorf("the optimizer is %q", got)
	}
}

// A scrape at any time between two cycles, and within one, finds all series of what is there; those of what is gone go.
func TestSeriesDoNotVanish(t *testing.T) {
	s := newStage(t)
	s.settle()
	series := func() map[string]bool {
		families, err := s.Registry.(*prometheus.Registry).Gather()
		if err != nil {
			t.Error(err)
		}
		all := map[string]bool{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				all[f.GetName()+" "+m.String()[:strings.LastIndex(m.String(), "}")+1]] = true
			}
		}
		return all
	}
	labels := func(all map[string]bool) map[string]bool { // without values
		names := map[string]bool{}
		for name := range all {
			if strings.Contains(name, "inferno_server") || strings.Contains(name, "inferno_learning") || strings.Contains(name, "inferno_accelerator") || strings.Contains(name, "inferno_share") {
				names[strings.Split(strings.Split(name, "gauge:")[0], "counter:")[0]] = true
			}
		}
		return names
	}
	before, scrapes := labels(series()), 0
	s.during = func() {
		scrapes++
		now := labels(series())
		for name := range before {
			if !now[name] {
				t.Errorf("%s is missing during a cycle", name)
			}
		}
	}
	for range 3 {
		if err := s.cycle(s.Reconciler); err != nil {
			t.Fatal(err)
		}
	}
	if len(before) < 10 || scrapes < 3 {
		t.Errorf("%d scrapes of %d series", scrapes, len(before))
	}
	if err := s.client.Delete(context.Background(), s.server()); err != nil {
		t.Fatal(err)
	}
	s.during = nil
	if err := s.cycle(s.Reconciler); err != nil {
		t.Fatal(err)
	}
	for name := range labels(series()) {
		if strings.Contains(name, `"chat"`) {
			t.Errorf("%s is of a server that is gone", name)
		}
	}
}

// A loop is alive while cycles end when they are due, and while none is to run.
func TestAlive(t *testing.T) {
	s := newStage(t)
	alive := func() bool { return s.Alive() == nil }
	if !alive() {
		t.Error("not alive before its first cycle: it may not lead")
	}
	s.settle()
	s.clock.SetTime(s.clock.Now().Add(defaultInterval + staleIntervals*defaultInterval/2 - time.Second))
	if !alive() {
		t.Error("not alive while half of the staleness of plans has not passed")
	}
	s.clock.SetTime(s.clock.Now().Add(2 * time.Second))
	if err := s.Alive(); err == nil || !strings.Contains(err.Error(), "should have ended by") {
		t.Errorf("alive though cycles ceased: %v", err)
	}
	var o v1alpha1.Optimizer
	if err := s.client.Get(context.Background(), client.ObjectKey{Name: "default"}, &o); err != nil {
		t.Fatal(err)
	}
	o.Spec.Mode = v1alpha1.ModeSuspended
	if err := errors.Join(s.client.Update(context.Background(), &o), s.cycle(s.Reconciler)); err != nil {
		t.Fatal(err)
	}
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	if !alive() {
		t.Error("not alive while it is suspended")
	}
}

// A restart after any cycle continues identically: the same memory, byte for byte, and the same plans.
func TestRestartAtAnyPoint(t *testing.T) {
	straight, restarted := newStage(t), newStage(t)
	for i := range 26 { // past the 24 observations that are fitted all at once
		restarted.Reconciler = restarted.start()
		if err := errors.Join(straight.cycle(straight.Reconciler), restarted.cycle(restarted.Reconciler)); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(straight.learned())
		b, _ := json.Marshal(restarted.learned())
		if !bytes.Equal(a, b) {
			t.Fatalf("cycle %d: a restart changes what is learned:\n%s", i, cmp.Diff(string(a), string(b)))
		}
	}
}

// A status that is lost, with a process that has just begun, is there again after one cycle: the contract that others follow is no state that a backup must have.
func TestAStatusIsRebuiltInOneCycle(t *testing.T) {
	s := newStage(t)
	s.settle()
	plan := s.server().Status.Desired
	for _, o := range []client.Object{s.server(), &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, &v1alpha1.Optimizer{ObjectMeta: metav1.ObjectMeta{Name: "default"}}} {
		if err := s.client.Get(context.Background(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		switch o := o.(type) {
		case *v1alpha1.Server:
			o.Status = v1alpha1.ServerStatus{}
		case *v1alpha1.Model:
			o.Status = v1alpha1.ModelStatus{}
		case *v1alpha1.Optimizer:
			o.Status = v1alpha1.OptimizerStatus{}
		}
		if err := s.client.Status().Update(context.Background(), o); err != nil {
			t.Fatal(err)
		}
	}
	if s.server().Status.Desired != nil {
		t.Fatal("the status is still there")
	}
	if err := s.cycle(s.start()); err != nil {
		t.Fatal(err)
	}
	now := s.server().Status.Desired
	if now == nil {
		t.Fatalf("no plan: %s", s.condition(v1alpha1.ConditionPlanned))
	}
	if diff := cmp.Diff(plan.Parts, now.Parts); diff != "" || plan.Replicas != now.Replicas {
		t.Errorf("%d replicas, then %d:\n%s", plan.Replicas, now.Replicas, diff)
	}
	if p := s.learned(); p.Observations != 6 {
		t.Errorf("%d observations, want 6", p.Observations)
	}
}

// Estimates belong to people, too: one that is deleted has its pair learned anew, those of a Model that goes go with it, and one that was restored before its
// Model stays, and is taken up when that comes.
func TestEstimatesAreDeletedAndRestored(t *testing.T) {
	s := newStage(t)
	estimates := func() []v1alpha1.Estimate {
		t.Helper()
		var list v1alpha1.EstimateList
		if err := s.client.List(context.Background(), &list); err != nil {
			t.Fatal(err)
		}
		return list.Items
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s.settle()
	kept := estimates()[0]
	must(s.client.Delete(context.Background(), kept.DeepCopy()))
	must(s.cycle(s.Reconciler))
	if p := s.learned(); p == nil || p.Observations != 1 {
		t.Errorf("learned after its Estimate was deleted: %+v, want one observation", p)
	}

	must(s.cycle(s.Reconciler)) // sees the new one
	m := &v1alpha1.Model{ObjectMeta: metav1.ObjectMeta{Name: "m"}}
	must(s.client.Get(context.Background(), client.ObjectKeyFromObject(m), m))
	must(s.client.Delete(context.Background(), m.DeepCopy()))
	must(s.cycle(s.Reconciler))
	if left := estimates(); len(left) > 0 {
		t.Errorf("left of a Model that is gone: %+v", left)
	}

	kept.UID, kept.ResourceVersion = "", ""
	must(s.client.Create(context.Background(), &kept))
	restarted := s.start()
	must(s.cycle(restarted))
	if len(estimates()) != 1 {
		t.Fatal("an Estimate that was restored before its Model is gone")
	}
	m.UID, m.ResourceVersion = "", ""
	must(s.client.Create(context.Background(), m))
	must(s.cycle(restarted))
	if p := s.learned(); p == nil || p.Observations != 6 {
		t.Errorf("learned after it was restored: %+v, want 6 observations", p)
	}
}

// Two leaders at once: neither loses what the other learned, and their plans are the same.
func TestTwoLeadersOverlap(t *testing.T) {
	s := newStage(t)
	s.settle()
	plan := s.server().Status.Desired
	other := s.start()
	for i := range 6 {
		r := s.Reconciler
		if i >= 2 && i < 5 { // the other leads for a while, and this one still believes that it does afterwards
			r = other
		}
		if err := s.cycle(r); err != nil {
			t.Fatal(err)
		}
		if p := s.learned(); p.Observations != int64(6+i) {
			t.Fatalf("cycle %d: %d observations, want %d", i, p.Observations, 6+i)
		}
	}
	if diff := cmp.Diff(plan.Parts, s.server().Status.Desired.Parts); diff != "" {
		t.Errorf("the plan changed:\n%s", diff)
	}
}
