package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
)

// Alice and Mallory are two tenants with the right to edit in a namespace each. Alice's class needs an H100; Mallory's takes the cheaper L40S. Of the
// H100s Alice is guaranteed half, and Mallory may have the other half.
const tenants = `
apiVersion: v1
kind: Namespace
metadata: {name: alice}
---
apiVersion: v1
kind: Namespace
metadata: {name: mallory}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mallory, namespace: mallory}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: mallory}]
---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: gold}
spec:
  priority: 100
  allowedNamespaces: {matchLabels: {kubernetes.io/metadata.name: alice}}
  targets: [{model: llama, itl: 60ms, ttft: 2s}]
---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: interactive}
spec:
  priority: 99
  targets: [{model: llama, itl: 20ms, ttft: 1s}]
---
apiVersion: inferno.platform.ai/v1alpha1
kind: ServiceClass
metadata: {name: standard}
spec:
  priority: 99
  maxMinReplicas: 4
  targets: [{model: llama, itl: 60ms, ttft: 2s}]
`

// policy of the platform, beside the tenants: one cluster of several in Prometheus, and shares.
const policy = `{"spec": {"prometheus": {"matchers": {"cluster": "here"}}, "saturationPolicy": "PriorityExhaustive", "shares": [
  {"name": "alice", "namespaces": ["alice"], "cards": [{"type": "H100", "guaranteed": 4}]},
  {"name": "mallory", "namespaces": ["mallory"], "cards": [{"type": "H100", "most": 4}, {"type": "L40S", "most": 4}]}]}}`

// holdDown is longer than the window, as the default is: what is measured falls short until the window is full again after a gap. While tenants settle it is not.
const holdDown = `{"spec": {"stability": {"damped": {"scaleInHoldDown": "60s"}}}}`

// The requests per second of the servers: of Alice's for a replica and a half.
const (
	aliceRate   = 60.0
	malloryRate = 5.0
	aliceServer = "alice/chat"
)

// tenantsApart is a system with two tenants, one of which attacks.
type tenantsApart struct {
	*system
	engines *engines
	// mallory asks the API server with Mallory's rights.
	mallory client.Client
	// alice are the plans of Alice's Server, all of them.
	alice *plansSeen
}

// plansSeen are the plans that a Server had, told by a watch.
type plansSeen struct {
	mu sync.Mutex
	// plans in their order, without those that are like the one before; confirmed is how often a cycle stood by one.
	plans     []string
	confirmed int
	last      metav1.Time
}

func (p *plansSeen) see(o any) {
	s, is := o.(*v1alpha1.Server)
	if !is {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	plan, at := planOf(s), metav1.Time{}
	if s.Status.Desired != nil {
		at = s.Status.Desired.ConfirmedAt
	}
	if len(p.plans) == 0 || p.plans[len(p.plans)-1] != plan {
		p.plans = append(p.plans, plan)
	}
	if !at.Equal(&p.last) {
		p.confirmed, p.last = p.confirmed+1, at
	}
}

func (p *plansSeen) state() (plans []string, confirmed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.plans), p.confirmed
}

// planOf a Server: what adapter and scheduler follow.
func planOf(s *v1alpha1.Server) string {
	if s.Status.Desired == nil {
		return "none"
	}
	var words []string
	for _, p := range s.Status.Desired.Parts {
		words = append(words, fmt.Sprintf("%d × %s, %d requests, %d tokens", p.Replicas, p.Accelerator, p.MaxBatchSize, p.MaxBatchedTokens))
	}
	return fmt.Sprintf("%s; surge %d", strings.Join(words, "; "), s.Status.Desired.Surge)
}

// attack is what somebody does, where that is said, and how it ends.
type attack struct {
	name string
	// does it.
	does func()
	// said is nil once it is said; absent where the answer to what is done says it.
	said func(context.Context) error
	// ends it; absent where nothing is left of it.
	ends func()
}

var attacked = flag.Bool("attacks", false, "attack one tenant by another, on a system of their own")

// Whatever one tenant does, or happens to its pods, its nodes or Prometheus, the plan of another stays as it is.
func TestTenantsStayApart(t *testing.T) {
	if !*attacked {
		t.Skip("make test-tenants runs it")
	}
	s := &tenantsApart{system: start(t, func(o *stack.Options) {
		o.Policies = true
		o.Nodes = []controlplane.NodePool{
			{Name: "h100", Count: 1, GPU: controlplane.H100, GPUsPerNode: 8},
			{Name: "l40s", Count: 2, GPU: controlplane.L40S, GPUsPerNode: 4},
		}
	})}
	s.settle()
	for _, a := range slices.Concat(s.asks(), s.shows(), s.happens(), s.misses()) {
		if !t.Run(a.name, func(t *testing.T) {
			of := s.system.t
			s.system.t = t
			defer func() { s.system.t = of }()
			s.withstands(a)
		}) {
			return // what comes next would find another cluster than it expects
		}
	}
}

// settle the tenants: Alice's Server runs as planned on two H100s, Mallory's on an L40S.
func (s *tenantsApart) settle() {
	s.apply(tenants)
	s.patch(optimizer(), policy)
	config := rest.CopyConfig(s.Config())
	config.Impersonate = rest.ImpersonationConfig{UserName: "mallory", Groups: []string{"system:authenticated"}}
	var err error
	if s.mallory, err = client.New(config, client.Options{Scheme: s.Client.Scheme()}); err != nil {
		s.t.Fatal(err)
	}
	s.engines = s.startEngines(play{rate: map[string]float64{aliceServer: aliceRate, "mallory/chat": malloryRate}, cluster: "here"})
	s.tenant(s.Client, "alice", "chat", "interactive")
	// Rights that were just given take a moment to arrive.
	s.eventually("Mallory may write Servers", func(ctx context.Context) error {
		return client.IgnoreAlreadyExists(s.mallory.Create(ctx, serverOf("mallory", "chat", "standard")))
	})
	s.deploy(s.mallory, serverOf("mallory", "chat", "standard"), nil)
	for _, of := range []string{"alice", "mallory"} {
		s.eventually(of+" is served as planned", func(ctx context.Context) error { return s.served(ctx, of, "chat") })
	}
	s.alice = s.watchPlans("alice", "chat")
	s.eventually("Alice has two H100s, for ten cycles", func(context.Context) error {
		plans, _ := s.alice.state()
		if last := plans[len(plans)-1]; !strings.HasPrefix(last, "2 × h100") {
			return fmt.Errorf("she has %s", last)
		}
		s.confirmed(10)
		if after, _ := s.alice.state(); len(after) > len(plans) {
			return fmt.Errorf("she had %s", plans[len(plans)-1])
		}
		return nil
	})
	s.patch(optimizer(), holdDown)
}

// serverOf a tenant.
func serverOf(namespace, name, class string) *v1alpha1.Server {
	return &v1alpha1.Server{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.ServerSpec{
			Model: "llama", ServiceClass: class, MaxBatchedTokens: 1024,
			ServerBinding: jsonspec.ServerBinding{ScaleTargetRef: &jsonspec.ScaleTargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}},
		},
	}
}

// tenant gets a Server with its workload and autoscaler.
func (s *tenantsApart) tenant(as client.Client, namespace, name, class string) {
	s.t.Helper()
	server := serverOf(namespace, name, class)
	s.must(as.Create(s.t.Context(), server))
	s.deploy(as, server, nil)
}

// deploy the workload of a Server, its pods with annotations, and its autoscaler.
func (s *tenantsApart) deploy(as client.Client, server *v1alpha1.Server, annotations map[string]string) {
	s.t.Helper()
	d := stack.Deployment(server, 1)
	d.Spec.Template.Annotations = annotations
	s.must(errors.Join(as.Create(s.t.Context(), d), as.Create(s.t.Context(), stack.Autoscaler(server))))
}

// gone is all of a Server.
func (s *tenantsApart) gone(server *v1alpha1.Server) {
	s.t.Helper()
	for _, o := range []client.Object{stack.Autoscaler(server), stack.Deployment(server, 1), server} {
		s.must(client.IgnoreNotFound(s.Client.Delete(s.t.Context(), o)))
	}
}

func (s *tenantsApart) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// optimizerSays of a condition that is False all of these words, and nothing of Alice.
func (s *tenantsApart) optimizerSays(ctx context.Context, kind string, words ...string) error {
	o := optimizer()
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err
	}
	is := said(o.Status.Conditions, kind)
	if !strings.HasPrefix(is, kind+" is False") || strings.Contains(is, "alice") || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(is, w) }) {
		return errors.New(is)
	}
	return nil
}

func (s *tenantsApart) get(ctx context.Context, namespace, name string) (*v1alpha1.Server, error) {
	server := &v1alpha1.Server{}
	return server, s.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, server)
}

// served says why a Server is not: measured, planned as its targets need, with its pods where the plan wants them.
func (s *tenantsApart) served(ctx context.Context, namespace, name string) error {
	server, err := s.get(ctx, namespace, name)
	if err != nil {
		return err
	}
	for _, kind := range []string{v1alpha1.ConditionObserved, v1alpha1.ConditionPlanned, v1alpha1.ConditionRealised} {
		if c := meta.FindStatusCondition(server.Status.Conditions, kind); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s, plan %s", said(server.Status.Conditions, kind), planOf(server))
		}
	}
	return nil
}

// said of a condition.
func said(conditions []metav1.Condition, kind string) string {
	if c := meta.FindStatusCondition(conditions, kind); c != nil {
		return fmt.Sprintf("%s is %s (%s): %s", kind, c.Status, c.Reason, c.Message)
	}
	return kind + " is absent"
}

// watchPlans of a Server from now on.
func (s *tenantsApart) watchPlans(namespace, name string) *plansSeen {
	s.t.Helper()
	seen := &plansSeen{}
	watch, err := cache.New(s.Config(), cache.Options{Scheme: s.Client.Scheme(), DefaultNamespaces: map[string]cache.Config{namespace: {}}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx := s.t.Context()
	go func() { _ = watch.Start(ctx) }()
	informer, err := watch.GetInformer(ctx, &v1alpha1.Server{})
	var registration toolscache.ResourceEventHandlerRegistration
	if err == nil {
		registration, err = informer.AddEventHandler(toolscache.FilteringResourceEventHandler{
			FilterFunc: func(o any) bool { s, is := o.(*v1alpha1.Server); return is && s.Name == name },
			Handler:    toolscache.ResourceEventHandlerFuncs{AddFunc: seen.see, UpdateFunc: func(_, o any) { seen.see(o) }},
		})
	}
	s.must(err)
	if !toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		s.t.Fatal("the watch of Servers ended before it began")
	}
	return seen
}

// confirmed waits until so many more cycles stood by the plan of Alice's Server.
func (s *tenantsApart) confirmed(n int) {
	s.t.Helper()
	_, before := s.alice.state()
	s.eventually(fmt.Sprintf("%d cycles stand by Alice's plan", n), func(context.Context) error {
		if _, now := s.alice.state(); now < before+n {
			return fmt.Errorf("%d do", now-before)
		}
		return nil
	})
}

// withstands an attack: it is said where it should be, and Alice's plan is the same through all of it and afterwards.
func (s *tenantsApart) withstands(a attack) {
	s.t.Helper()
	before, _ := s.alice.state()
	a.does()
	if a.said != nil {
		s.eventually("it is said", a.said)
	}
	s.confirmed(3)
	if a.ends != nil {
		a.ends()
	}
	s.eventually("Alice is served as planned", func(ctx context.Context) error { return s.served(ctx, "alice", "chat") })
	if now, _ := s.alice.state(); len(now) != len(before) {
		s.t.Errorf("Alice's plan was %s, and became %s", before[len(before)-1], strings.Join(now[len(before):], ", then "))
	}
}

// condition of Mallory's Server that is False for a reason, in these words.
func (s *tenantsApart) condition(namespace, name, kind, reason, words string) func(context.Context) error {
	return func(ctx context.Context) error {
		server, err := s.get(ctx, namespace, name)
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(server.Status.Conditions, kind); c == nil || c.Status != metav1.ConditionFalse || c.Reason != reason || !strings.Contains(c.Message, words) {
			return errors.New(said(server.Status.Conditions, kind))
		}
		return nil
	}
}

// change the spec of Mallory's Server with Mallory's rights.
func (s *tenantsApart) change(spec string) error {
	return s.mallory.Patch(s.t.Context(), serverOf("mallory", "chat", "standard"), client.RawPatch("application/merge-patch+json", []byte(`{"spec":`+spec+`}`)))
}

// refused by the API server, which says all of these.
func (s *tenantsApart) refused(what string, err error, want ...string) {
	s.t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			s.t.Errorf("%s: %v does not say %q", what, err, w)
		}
	}
}

// asks are what Mallory writes to the API server.
func (s *tenantsApart) asks() []attack {
	counter := func(name, counter, labels string, want ...string) attack {
		return attack{name: name, does: func() {
			s.refused(name, s.change(fmt.Sprintf(`{"arrivals": {"counter": %q, "labels": %s}}`, counter, labels)), want...)
		}}
	}
	// Of a counter that finds nothing the engines' own count is Mallory's load: not Alice's, which is twelve times as much.
	finds := func(name, counter, labels string) attack {
		began := time.Now()
		return attack{
			name: name,
			does: func() {
				began = time.Now()
				s.must(s.change(fmt.Sprintf(`{"arrivals": {"counter": %q, "labels": %s}}`, counter, labels)))
			},
			said: func(ctx context.Context) error { return s.measured(ctx, "mallory", "chat", malloryRate, began) },
			ends: func() { s.must(s.change(`{"arrivals": null}`)) },
		}
	}
	const requests = "vllm:request_success_total"
	ghost := serverOf("mallory", "ghost", "standard")
	return []attack{
		counter("a counter by __name__", requests, `{"__name__": "up"}`, "names that begin with __ are reserved"),
		counter("a counter of another namespace", requests, `{"namespace": "alice"}`, "the label namespace", "reserved"),
		counter("a counter that ends the selector", `up} or vector(1e6) or {a=""`, `{"a": "b"}`, "spec.arrivals.counter"),
		finds("a label that ends the selector", requests, `{"pod": "\"} or {namespace=\"alice\",__name__=\"vllm:request_success_total"}`),
		finds("a regular expression that costs", requests, `{"pod": "((.*)*)*x", "model_name": ".*"}`),
		finds("the series of another tenant", requests, fmt.Sprintf(`{"instance": %q}`, s.podOf("alice"))),
		{
			name: "a Model that is not there", said: s.condition("mallory", "chat", v1alpha1.ConditionPlanned, v1alpha1.ReasonUnknownModel, ""),
			does: func() { s.must(s.change(`{"model": "unheard-of"}`)) }, ends: func() { s.must(s.change(`{"model": "llama"}`)) },
		},
		{
			name: "pods of no Server", does: func() { s.deploy(s.mallory, ghost, nil) }, ends: func() { s.gone(ghost) },
			said: func(ctx context.Context) error {
				return s.optimizerSays(ctx, v1alpha1.ConditionPodsCounted, "mallory/ghost")
			},
		},
		{name: "500 replicas at least", does: func() {
			s.refused("minReplicas", s.change(`{"minReplicas": 500}`), "spec.minReplicas: 500 is not allowed, must be at most 4 (spec.maxMinReplicas of the class standard)")
		}},
		{name: "a class above one's rank", does: func() {
			s.refused("class", s.change(`{"serviceClass": "gold"}`), "spec.serviceClass: gold is not allowed in namespace mallory")
		}},
		{name: "forged labels and annotations", does: s.forges},
	}
}

// podOf a tenant, as namespace/name.
func (s *tenantsApart) podOf(namespace string) string {
	s.t.Helper()
	var pods corev1.PodList
	if err := s.Client.List(s.t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.ServerLabel: "chat"}); err != nil || len(pods.Items) == 0 {
		s.t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	return namespace + "/" + pods.Items[0].Name
}

// measured is nil where the load of a server, measured since, is that rate.
func (s *tenantsApart) measured(ctx context.Context, namespace, name string, rate float64, since time.Time) error {
	server, err := s.get(ctx, namespace, name)
	if err != nil {
		return err
	}
	l := server.Status.Load
	if l == nil || !l.ObservedAt.After(since) {
		return errors.New(said(server.Status.Conditions, v1alpha1.ConditionObserved))
	}
	if got := jsonspec.PerSecond(l.ArrivalRate); math.Abs(got-rate) > rate/4 {
		return fmt.Errorf("%g requests a second are measured, and %g are sent", got, rate)
	}
	return nil
}

// forges what plans rely on.
func (s *tenantsApart) forges() {
	ctx := s.t.Context()
	pod := func(change func(*corev1.Pod)) error {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "mallory", GenerateName: "forged-", Labels: map[string]string{v1alpha1.ServerLabel: "chat"}},
			Spec:       corev1.PodSpec{SchedulerName: "inferno-scheduler", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		change(p)
		return s.mallory.Create(ctx, p)
	}
	s.refused("another scheduler", pod(func(p *corev1.Pod) { p.Spec.SchedulerName = "default-scheduler" }), "spec.schedulerName: default-scheduler is not allowed")
	s.refused("accelerator", pod(func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AcceleratorAnnotation: "h100"} }), v1alpha1.AcceleratorAnnotation)
	_, own, _ := strings.Cut(s.podOf("mallory"), "/")
	running := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "mallory", Name: own}}
	merge := func(patch string) client.Patch { return client.RawPatch("application/merge-patch+json", []byte(patch)) }
	for key, value := range map[string]string{
		v1alpha1.AcceleratorAnnotation: "h100", v1alpha1.MaxNumSeqsAnnotation: "100000", "controller.kubernetes.io/pod-deletion-cost": "2147483647",
	} {
		err := s.mallory.Patch(ctx, running, merge(fmt.Sprintf(`{"metadata": {"annotations": {%q: %q}}}`, key, value)))
		s.refused(key, err, "are written by inferno alone")
	}
	label := merge(fmt.Sprintf(`{"metadata": {"labels": {%q: "other"}}}`, v1alpha1.ServerLabel))
	s.refused("label", s.mallory.Patch(ctx, running, label), v1alpha1.ServerLabel)
	mine := serverOf("mallory", "chat", "standard")
	s.refused("name", s.mallory.Patch(ctx, mine, merge(`{"metadata": {"annotations": {"inferno.platform.ai/name": "alice/chat"}}}`)), "inferno.platform.ai/name")
	s.refused("status", s.mallory.Status().Patch(ctx, mine, merge(`{"status": {"maxPodPriority": 1000000}}`)), "forbidden")
	s.refused("another's Server", s.mallory.Get(ctx, client.ObjectKey{Namespace: "alice", Name: "chat"}, mine), "forbidden")
}

// shows are what pods show to Prometheus.
func (s *tenantsApart) shows() []attack {
	evil := serverOf("mallory", "evil", "interactive")
	// Evil shows latencies a hundred times as long as they are, at a rate.
	evils := func(rate float64) func() {
		return func() {
			s.engines.change(func(p *play) { p.rate["mallory/evil"], p.slow = rate, map[string]float64{"mallory/evil": 100} })
			s.tenant(s.mallory, evil.Namespace, evil.Name, evil.Spec.ServiceClass)
		}
	}
	var began time.Time
	right := func(ctx context.Context) error { return s.measured(ctx, "alice", "chat", aliceRate, began) }
	show := func(change func(*play)) func() {
		return func() {
			began = time.Now().Add(8 * time.Second) // when the window has nothing of before
			s.engines.change(change)
		}
	}
	return []attack{
		{
			name: "pods that run more than they say", does: evils(malloryRate), ends: func() { s.gone(evil.DeepCopy()) },
			said: s.condition("mallory", "evil", v1alpha1.ConditionLimitsHold, v1alpha1.ReasonLimitsExceeded, v1alpha1.MaxNumSeqsAnnotation),
		},
		{
			name: "pods that show any latency", does: evils(0.5),
			said: func(ctx context.Context) error { // nothing is fast enough for her any more
				server, err := s.get(ctx, "mallory", "evil")
				if err != nil {
					return err
				}
				if m := server.Status.Measured; m == nil || m.ITL == nil || *m.ITL < 500 || !meta.IsStatusConditionFalse(server.Status.Conditions, v1alpha1.ConditionPlanned) {
					return fmt.Errorf("measured %+v, %s", m, said(server.Status.Conditions, v1alpha1.ConditionPlanned))
				}
				return nil
			},
			ends: func() { s.gone(evil.DeepCopy()) },
		},
		{
			name: "pods that show all the load there is", does: show(func(p *play) { p.rate["mallory/chat"] = 5000 }),
			said: func(ctx context.Context) error {
				return errors.Join(s.atMost(ctx, "mallory", "L40S"), s.condition("mallory", "chat", v1alpha1.ConditionPlanned, v1alpha1.ReasonBestEffort, "")(ctx))
			},
			ends: show(func(p *play) { p.rate["mallory/chat"] = malloryRate }),
		},
		{
			name: "series twice", does: show(func(p *play) { p.twice = true }), said: right,
			ends: show(func(p *play) { p.twice = false }),
		},
		{
			name: "series of another cluster", does: show(func(p *play) { p.elsewhere = "there" }), said: right,
			ends: show(func(p *play) { p.elsewhere = "" }),
		},
	}
}

// misses are gaps in what Prometheus knows of Alice's pods. They come last: once measurements go on, their rise may be taken for one of the load.
func (s *tenantsApart) misses() []attack {
	held := func(reason string) func(context.Context) error {
		return s.condition("alice", "chat", v1alpha1.ConditionObserved, reason, "")
	}
	cluster := func(name string) func() {
		return func() { s.engines.change(func(p *play) { p.cluster = name }) }
	}
	return []attack{
		{name: "series of the wrong cluster alone", does: cluster("there"), said: held(v1alpha1.ReasonNoMetrics), ends: cluster("here")},
		{name: "a Prometheus that is late", does: s.signal(syscall.SIGSTOP), said: held(v1alpha1.ReasonPrometheusUnreachable), ends: s.signal(syscall.SIGCONT)},
		{
			name: "a Prometheus that answers in part", said: held(v1alpha1.ReasonPartialMetrics),
			does: func() { s.reload(func(c []byte) []byte { return append(c, silentStore...) }) },
			ends: func() { s.reload(func(c []byte) []byte { return bytes.TrimSuffix(c, []byte(silentStore)) }) },
		},
	}
}

// atMost is nil where the plan gives a share all that it may have of a type of card, though there are more.
func (s *tenantsApart) atMost(ctx context.Context, share, kind string) error {
	o := optimizer()
	if err := s.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return err
	}
	for _, x := range o.Status.LastCycle.Shares {
		for _, c := range x.Cards {
			if x.Name == share && c.Type == kind && c.Most != nil && c.Used == *c.Most {
				return nil
			}
		}
	}
	return fmt.Errorf("shares have %+v", o.Status.LastCycle.Shares)
}

// silentStore is a store behind Prometheus where nobody answers.
const silentStore = "remote_read: [{url: 'http://127.0.0.1:1/read', read_recent: true}]\n"

// signal Prometheus.
func (s *tenantsApart) signal(signal syscall.Signal) func() {
	return func() {
		s.t.Helper()
		s.must(syscall.Kill(s.Process(string(controlplane.Prometheus)).PID(), signal))
	}
}

// reload Prometheus with its configuration changed.
func (s *tenantsApart) reload(change func([]byte) []byte) {
	s.t.Helper()
	file := filepath.Join(s.Dir(), "prometheus.yml")
	config, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, change(config), 0o600)
	}
	s.must(err)
	response, err := http.Post(s.PrometheusURL()+"/-/reload", "", nil)
	s.must(err)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		s.t.Fatalf("Prometheus does not read its configuration: %s", response.Status)
	}
}

// refusing is a policy of the API server that refuses the status of Mallory's Servers.
const refusing = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: refusing}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: mallory}}
    resourceRules: [{apiGroups: [inferno.platform.ai], apiVersions: ["*"], resources: [servers/status], operations: [UPDATE]}]
  validations: [{expression: "false", message: not today}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: refusing}
spec: {policyName: refusing, validationActions: [Deny]}
`

// happens is what goes wrong around Mallory's Server.
func (s *tenantsApart) happens() []attack {
	crashing := serverOf("mallory", "crashing", "standard")
	parted := func(unless string) func(context.Context) error {
		return func(ctx context.Context) error {
			server, err := s.get(ctx, "mallory", "chat")
			if err == nil && (server.Status.Desired == nil || len(server.Status.Desired.Parts) == 0 ||
				slices.ContainsFunc(server.Status.Desired.Parts, func(p jsonspec.AllocationPart) bool { return p.Accelerator == unless && p.Replicas > 0 })) {
				err = fmt.Errorf("the plan is %s", planOf(server))
			}
			return err
		}
	}
	pool := client.MatchingLabels{controlplane.PoolLabel: "l40s"}
	return []attack{
		{
			name: "an API server that refuses one object's writes", does: func() { s.apply(refusing) },
			said: func(ctx context.Context) error {
				return s.optimizerSays(ctx, v1alpha1.ConditionWritten, "Server mallory/chat", "not today")
			},
			ends: func() {
				for _, kind := range []string{"ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"} {
					o := &metav1.PartialObjectMetadata{
						TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: kind}, ObjectMeta: metav1.ObjectMeta{Name: "refusing"},
					}
					s.must(s.Client.Delete(s.t.Context(), o))
				}
			},
		},
		{
			name: "a crash loop on one type", does: func() {
				s.must(s.mallory.Create(s.t.Context(), crashing))
				s.deploy(s.mallory, crashing, map[string]string{controlplane.StartupSecondsAnnotation: "86400"})
			},
			said: func(ctx context.Context) error {
				if err := s.crash(ctx, crashing); err != nil {
					return err
				}
				return s.condition("mallory", "crashing", v1alpha1.ConditionPodsStart, v1alpha1.ReasonPodsFail, "CrashLoopBackOff")(ctx)
			},
			ends: func() { s.gone(crashing) },
		},
		{
			name: "a taint that appears", does: func() {
				s.nodes(pool, func(n *corev1.Node) error {
					before := n.DeepCopy()
					n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "dedicated", Value: "training", Effect: corev1.TaintEffectNoSchedule})
					return s.Client.Patch(s.t.Context(), n, client.MergeFrom(before))
				})
			},
			said: func(ctx context.Context) error {
				server, err := s.get(ctx, "mallory", "chat")
				if err == nil && (server.Status.Explanation == nil || !strings.Contains(strings.Join(server.Status.Explanation.Barred, "; "), "taint dedicated=training:NoSchedule")) {
					err = fmt.Errorf("the explanation is %+v", server.Status.Explanation)
				}
				return errors.Join(err, parted("l40s")(ctx))
			},
		},
		{
			name: "a node pool that goes", does: func() { s.nodes(pool, func(n *corev1.Node) error { return s.Client.Delete(s.t.Context(), n) }) },
			said: parted("l40s"),
		},
	}
}

// nodes of a pool, each.
func (s *tenantsApart) nodes(pool client.MatchingLabels, each func(*corev1.Node) error) {
	s.t.Helper()
	var list corev1.NodeList
	s.must(s.Client.List(s.t.Context(), &list, pool))
	for i := range list.Items {
		s.must(each(&list.Items[i]))
	}
}

// crash the containers of the pods of a Server that have a node, as their kubelets would say it.
func (s *tenantsApart) crash(ctx context.Context, server *v1alpha1.Server) error {
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(server.Namespace), client.MatchingLabels{v1alpha1.ServerLabel: server.Name}); err != nil {
		return err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].RestartCount > 0 {
			continue
		}
		before := p.DeepCopy()
		p.Status.ContainerStatuses[0].RestartCount = 5
		p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		if err := s.Client.Status().Patch(ctx, p, client.MergeFrom(before)); err != nil {
			return err
		}
	}
	return nil
}
