package gates

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/llm-inferno/inferno/manifests"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// site is a real API server with the stock scheduler, where the controller runs.
type site struct {
	t    testing.TB
	api  client.Client
	rest *rest.Config
}

func open(t testing.TB) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the binaries of the control plane")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: llm}\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: llm}\n"
	if err := plane.Apply(t.Context(), manifests.Join(manifests.CRDs(), []byte(namespace))); err != nil {
		t.Fatal(err)
	}
	if err := plane.AddNodes(t.Context(), controlplane.NodePool{Name: "h100", Count: 20, GPU: controlplane.H100, GPUsPerNode: 8}, controlplane.NodePool{Name: "a100", Count: 60, GPU: controlplane.A100, GPUsPerNode: 8}); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	to := plane.Config()
	to.QPS = -1
	api, err := client.New(to, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ctrl.NewManager(to, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)}})
	if err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Client: m.GetClient(), Events: m.GetEventRecorder("gates"), Clock: clock.RealClock{}, Registry: prometheus.NewRegistry()}
	if err := r.SetupWithManager(m); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Start(t.Context()) }()
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	s := &site{t: t, api: api, rest: to}
	for _, name := range []string{"h100", "a100"} {
		s.create(seatstest.Accelerator(name, strings.ToUpper(name), 1))
	}
	return s
}

func (s *site) create(o client.Object) {
	s.t.Helper()
	if err := s.api.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// plan a Server.
func (s *site) plan(parts ...jsonspec.AllocationPart) {
	s.t.Helper()
	server := seatstest.Server(parts...)
	server.Spec.ServiceClass = "premium"
	desired := server.Status.Desired
	if err := s.api.Create(s.t.Context(), server); client.IgnoreAlreadyExists(err) != nil {
		s.t.Fatal(err)
	}
	desired.DecidedAt, desired.ConfirmedAt = metav1.Now(), metav1.Now()
	if err := s.api.Get(s.t.Context(), seatstest.Chat, server); err != nil {
		s.t.Fatal(err)
	}
	server.Status.Desired = desired
	if err := s.api.Status().Update(s.t.Context(), server); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) pods() []corev1.Pod {
	s.t.Helper()
	var list corev1.PodList
	if err := s.api.List(s.t.Context(), &list, client.InNamespace("llm")); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// placed counts pods by the pool of their node, those that are gated under "gated", and those that wait for a node under "".
func placed(pods []corev1.Pod) map[string]int {
	n := map[string]int{}
	for i := range pods {
		where, _, _ := strings.Cut(pods[i].Spec.NodeName, "-")
		if seats.Gated(&pods[i]) {
			where = "gated"
		}
		n[where]++
	}
	return n
}

func (s *site) await(what string, want map[string]int) {
	s.t.Helper()
	s.awaitThat(what, func(got map[string]int) bool { return maps.Equal(got, want) })
}

func (s *site) awaitThat(what string, holds func(placed map[string]int) bool) {
	s.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		got := placed(s.pods())
		if holds(got) {
			return
		}
		if time.Since(began) > 5*time.Minute {
			s.t.Fatalf("in vain: %s, it is %v", what, got)
		}
	}
}

// The stock scheduler places pods as the plan says, whose gates are lifted as it has seats for them; a real API server takes what is written.
func TestGatesOnARealCluster(t *testing.T) {
	s := open(t)
	gpu := func(name string) *corev1.Pod {
		p := gated(name, "r1")
		p.OwnerReferences, p.UID, p.Spec.SchedulerName = nil, "", ""
		return p
	}
	affine := gpu("p-000") // asks for something of nodes itself, in two ways
	affine.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
		{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"windows"}}}},
		{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}}},
	}}}}
	s.create(affine)
	for i := 1; i < 10; i++ {
		s.create(gpu(fmt.Sprintf("p-%03d", i)))
	}
	s.await("without a plan they wait", map[string]int{"gated": 10})
	s.plan(seatstest.Part("h100", 2), jsonspec.AllocationPart{Accelerator: "a100", Replicas: 4, MaxBatchSize: 64, MaxBatchedTokens: 2048})
	s.await("as many have a node as are planned", map[string]int{"h100": 2, "a100": 4, "gated": 4})
	for _, p := range s.pods() {
		limited := p.Annotations[v1alpha1.MaxNumSeqsAnnotation] == "64" && p.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation] == "2048"
		if on := strings.HasPrefix(p.Spec.NodeName, "a100"); on != limited {
			t.Errorf("%s on %q has annotations %v", p.Name, p.Spec.NodeName, p.Annotations)
		}
	}
	s.plan(seatstest.Part("h100", 3), seatstest.Part("a100", 7))
	s.await("all have a node", map[string]int{"h100": 3, "a100": 7})

	// A pod that is gone gives its seat back.
	if err := s.api.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: s.pods()[0].Name}}, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	s.create(gpu("next"))
	s.await("the next has its seat", map[string]int{"h100": 3, "a100": 7})

	// A replica of several pods has one seat, and waits for all of them.
	s.create(seatstest.Member(gpu("g-0"), "g", 2))
	s.plan(seatstest.Part("h100", 3), seatstest.Part("a100", 8))
	s.await("half a replica waits", map[string]int{"h100": 3, "a100": 7, "gated": 1})
	s.create(seatstest.Member(gpu("g-1"), "g", 2))
	s.await("both of its pods have a node", map[string]int{"h100": 3, "a100": 9})
	for _, name := range []string{"g-0", "g-1"} {
		if err := s.api.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}}, client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
	s.plan(seatstest.Part("h100", 3), seatstest.Part("a100", 7))

	// Seats where no node can take a pod are taken back with the plan, and nothing else goes.
	huge := func() {
		p := gpu("huge")
		p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("100000")
		s.create(p)
	}
	huge()
	s.plan(seatstest.Part("h100", 4), seatstest.Part("a100", 7))
	s.awaitThat("it is let go and finds no node", func(got map[string]int) bool {
		if maps.Equal(got, map[string]int{"h100": 3, "a100": 7}) {
			huge() // it had a seat by the plan of before, and lost that one
		}
		return maps.Equal(got, map[string]int{"h100": 3, "a100": 7, "": 1})
	})
	s.plan(seatstest.Part("h100", 3), seatstest.Part("a100", 7))
	s.await("it is removed", map[string]int{"h100": 3, "a100": 7})

	// Many at once.
	s.plan(seatstest.Part("h100", 103), seatstest.Part("a100", 407))
	began := time.Now()
	for i := range 500 {
		s.create(gpu(fmt.Sprintf("q-%03d", i)))
	}
	s.await("500 have a node", map[string]int{"h100": 103, "a100": 407})
	t.Logf("500 pods were made, let go and placed in %v", time.Since(began))

	// Without a seat, by hand.
	s.create(gpu("released"))
	s.await("it has no seat", map[string]int{"h100": 103, "a100": 407, "gated": 1})
	for _, p := range s.pods() {
		if seats.Gated(&p) {
			if err := Release(t.Context(), s.api, &p); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.awaitThat("it has a node all the same", func(got map[string]int) bool { return got["h100"]+got["a100"] == 511 })
	told := &corev1.EventList{}
	if err := s.api.List(context.WithoutCancel(t.Context()), told, client.InNamespace("llm")); err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{v1alpha1.ReasonGated, v1alpha1.ReasonSeated, v1alpha1.ReasonSeatTakenBack} {
		if !slices.ContainsFunc(told.Items, func(e corev1.Event) bool { return e.Reason == reason }) {
			t.Errorf("no event %s", reason)
		}
	}
}

// BenchmarkRelease is the time from the writing of a plan until a watch sees the gates of 500 pods lifted: the 50th and the 99th percentile, in seconds, beside what as many
// patches of annotations take that nothing waits for.
func BenchmarkRelease(b *testing.B) {
	const pods = 500
	s := open(b)
	typed, err := kubernetes.NewForConfig(s.rest)
	if err != nil {
		b.Fatal(err)
	}
	var mu sync.Mutex
	began, seen, lifted := time.Now(), map[types.UID]float64{}, make(chan struct{}, pods)
	look := func(o any) {
		mu.Lock()
		defer mu.Unlock()
		if p, is := o.(*corev1.Pod); is && !seats.Gated(p) && seen[p.UID] == 0 {
			seen[p.UID] = time.Since(began).Seconds()
			lifted <- struct{}{}
		}
	}
	factory := informers.NewSharedInformerFactoryWithOptions(typed, 0, informers.WithNamespace("llm"))
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, o any) { look(o) }}); err != nil {
		b.Fatal(err)
	}
	factory.Start(b.Context().Done())
	factory.WaitForCacheSync(b.Context().Done())
	var half, last, plain float64
	for round := 0; b.Loop(); round++ {
		s.plan()
		list := make([]*corev1.Pod, pods)
		for i := range list {
			p := gated(fmt.Sprintf("b-%d-%03d", round, i), "r1")
			p.OwnerReferences, p.UID, p.Spec.SchedulerName = nil, "", ""
			s.create(p)
			list[i] = p
		}
		s.await("all wait", map[string]int{"gated": pods})
		patching := time.Now()
		for _, p := range list {
			if err := s.api.Patch(b.Context(), p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`))); err != nil {
				b.Fatal(err)
			}
		}
		plain += time.Since(patching).Seconds()
		mu.Lock()
		began, seen = time.Now(), map[types.UID]float64{}
		mu.Unlock()
		s.plan(seatstest.Part("h100", 100), seatstest.Part("a100", 400))
		for range pods {
			<-lifted
		}
		times := slices.Sorted(maps.Values(seen))
		half, last = half+times[pods/2], last+times[pods*99/100]
		for _, p := range list {
			if err := s.api.Delete(b.Context(), p, client.GracePeriodSeconds(0)); err != nil {
				b.Fatal(err)
			}
		}
		s.await("all are gone", map[string]int{})
	}
	n := float64(b.N)
	b.ReportMetric(half/n, "p50-s")
	b.ReportMetric(last/n, "p99-s")
	b.ReportMetric(plain/n, "plain-s")
}
