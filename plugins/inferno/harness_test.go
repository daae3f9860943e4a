package inferno

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"
	"k8s.io/kubernetes/pkg/scheduler"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	schedulermetrics "k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/utils/clock"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats/seatstest"
)

// What tests make.
var (
	accelerator     = seatstest.Accelerator
	part            = seatstest.Part
	server          = seatstest.Server
	unplannedServer = seatstest.UnplannedServer
	gpus            = seatstest.GPUs
	pod             = seatstest.Pod
	on              = seatstest.On
	chat            = seatstest.Chat
)

// world is a cluster without an API server: pods, nodes and custom resources live in memory, and kube-scheduler itself works on them
// through its informers and its client. It outlives schedulers, so that they can be restarted.
type world struct {
	t testing.TB

	mu   sync.Mutex
	pods map[string]*v1.Pod
	// failBinding, when set, says which bindings the API server refuses.
	failBinding func(*v1.Pod) error
	// onBound is called under the lock when a pod is bound.
	onBound func(*v1.Pod)
	serial  int
	// parallelism of the scheduler, its default where zero.
	parallelism int32

	podSource, nodeSource, serverSource, acceleratorSource, modelSource *fcache.FakeControllerSource

	events   recorder
	registry metrics.KubeRegistry
	// plans that the running scheduler reads, nil while none runs.
	plans atomic.Pointer[plans]
}

func newWorld(t testing.TB) *world {
	schedulermetrics.Register()
	return &world{
		t: t, pods: map[string]*v1.Pod{},
		podSource: fcache.NewFakeControllerSource(), nodeSource: fcache.NewFakeControllerSource(), serverSource: fcache.NewFakeControllerSource(),
		acceleratorSource: fcache.NewFakeControllerSource(), modelSource: fcache.NewFakeControllerSource(),
	}
}

// recorder keeps events.
type recorder struct {
	mu   sync.Mutex
	list []string
}

func (r *recorder) Eventf(regarding, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pod, _ := regarding.(*v1.Pod)
	r.list = append(r.list, fmt.Sprintf("%s %s %s: %s", pod.Name, eventType, reason, fmt.Sprintf(note, args...)))
}

func (r *recorder) WithLogger(klog.Logger) events.EventRecorderLogger { return r }

func (r *recorder) find(reason string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, e := range r.list {
		if strings.Contains(e, " "+reason+": ") {
			found = append(found, e)
		}
	}
	return found
}

// product names of nodes in tests, by type.
var products = map[string]string{"h100": "NVIDIA-H100-80GB-HBM3", "a100": "NVIDIA-A100-SXM4-80GB", "l40s": "NVIDIA-L40S"}

func node(name, typ string, cards int) *v1.Node {
	capacity := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("128"), v1.ResourceMemory: resource.MustParse("1Ti"), v1.ResourcePods: resource.MustParse("500"),
		"nvidia.com/gpu": *resource.NewQuantity(int64(cards), resource.DecimalSI),
	}
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}}, Status: v1.NodeStatus{Capacity: capacity, Allocatable: capacity}}
	if typ != "" {
		n.Labels["nvidia.com/gpu.product"] = products[typ]
	}
	return n
}

func (w *world) addNodes(nodes ...*v1.Node) {
	for _, n := range nodes {
		w.nodeSource.Add(n.DeepCopy()) // the source writes to what it is given
	}
}

func (w *world) addAccelerators(names ...string) {
	for _, n := range names {
		w.acceleratorSource.Add(accelerator(n, "", 1))
	}
}

// setPlan of Server llm/chat.
func (w *world) setPlan(parts ...jsonspec.AllocationPart) { w.setServer(server(parts...)) }

// setServer and wait until a scheduler that runs has heard of it: a pod that comes before the plan of its Server is placed without one.
func (w *world) setServer(s *v1alpha1.Server) {
	w.t.Helper()
	w.serverSource.Modify(s.DeepCopy()) // the source writes to what it is given
	w.await("the scheduler to hear of a plan", func(map[string]*v1.Pod) bool {
		plans := w.plans.Load()
		if plans == nil {
			return true
		}
		known := plans.server(types.NamespacedName{Namespace: s.Namespace, Name: s.Name})
		return known != nil && equality.Semantic.DeepEqual(known.Spec, s.Spec) && equality.Semantic.DeepEqual(known.Status, s.Status)
	})
}

func (w *world) addPods(pods ...*v1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range pods {
		w.serial++
		p.CreationTimestamp = metav1.NewTime(time.Unix(int64(w.serial), 0))
		w.store(p, w.podSource.Add)
	}
}

// store a pod under a new resource version, which the source gives it, and tell the watchers.
func (w *world) store(p *v1.Pod, tell func(runtime.Object)) {
	told := p.DeepCopy()
	tell(told)
	p.ResourceVersion = told.ResourceVersion
	w.pods[p.Name] = p
}

func (w *world) deletePod(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, ok := w.pods[name]; ok {
		delete(w.pods, name)
		w.podSource.Delete(p.DeepCopy())
	}
}

// change a pod that is there.
func (w *world) change(name string, f func(*v1.Pod) error) (*v1.Pod, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.pods[name]
	if !ok {
		return nil, apierrors.NewNotFound(v1.Resource("pods"), name)
	}
	p = p.DeepCopy()
	if err := f(p); err != nil {
		return nil, err
	}
	w.store(p, w.podSource.Modify)
	return p, nil
}

// client of the API server as far as a scheduler uses it: bindings, patches and deletions of pods.
func (w *world) client() *fake.Clientset {
	c := fake.NewClientset()
	c.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "binding" {
			return true, nil, apierrors.NewBadRequest("a scheduler creates no pods")
		}
		binding := a.(clienttesting.CreateAction).GetObject().(*v1.Binding)
		_, err := w.change(binding.Name, func(p *v1.Pod) error { return w.bind(p, binding) })
		return true, binding, err
	})
	c.PrependReactor("patch", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		patch := a.(clienttesting.PatchAction)
		p, err := w.change(patch.GetName(), func(p *v1.Pod) error { return apply(p, patch) })
		return true, p, err
	})
	// Of a victim of preemption.
	c.PrependReactor("delete", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		w.deletePod(a.(clienttesting.DeleteAction).GetName())
		return true, nil, nil
	})
	return c
}

func (w *world) bind(p *v1.Pod, binding *v1.Binding) error {
	if p.Spec.NodeName != "" {
		return apierrors.NewConflict(v1.Resource("pods"), p.Name, fmt.Errorf("already bound to %s", p.Spec.NodeName))
	}
	if w.failBinding != nil {
		if err := w.failBinding(p); err != nil {
			return err
		}
	}
	p.Spec.NodeName = binding.Target.Name
	if len(binding.Annotations) > 0 && p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	maps.Copy(p.Annotations, binding.Annotations)
	p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue}}
	if w.onBound != nil {
		w.onBound(p)
	}
	return nil
}

func apply(p *v1.Pod, a clienttesting.PatchAction) error {
	before, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if t := a.GetPatchType(); t != types.MergePatchType && t != types.StrategicMergePatchType {
		return fmt.Errorf("unexpected patch type %s", t)
	}
	// Both types mean the same for what a scheduler patches by a merge patch: maps of strings.
	after, err := strategicpatch.StrategicMergePatch(before, a.GetPatch(), v1.Pod{})
	if err != nil {
		return err
	}
	uid, version := p.UID, p.ResourceVersion
	*p = v1.Pod{}
	if err := json.Unmarshal(after, p); err != nil {
		return err
	}
	if p.UID != uid || p.ResourceVersion != version {
		return apierrors.NewConflict(v1.Resource("pods"), p.Name, fmt.Errorf("not the pod that was looked at"))
	}
	return nil
}

func source[T runtime.Object](s *fcache.FakeControllerSource, example T) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(s, example, 0, cache.Indexers{})
}

// setup changes a configuration before the scheduler starts.
type setup func(*schedulerconfig.KubeSchedulerProfile)

// withArgs replaces the plugin's args.
func withArgs(args string) setup {
	return func(p *schedulerconfig.KubeSchedulerProfile) {
		i := slices.IndexFunc(p.PluginConfig, func(c schedulerconfig.PluginConfig) bool { return c.Name == Name })
		p.PluginConfig[i].Args = &runtime.Unknown{Raw: []byte(args)}
	}
}

// withoutBind leaves binding to the default binder.
func withoutBind(p *schedulerconfig.KubeSchedulerProfile) {
	p.Plugins.Bind = schedulerconfig.PluginSet{}
}

// withoutPlugin is the stock profile.
func withoutPlugin(p *schedulerconfig.KubeSchedulerProfile) {
	ours := func(e schedulerconfig.Plugin) bool { return e.Name == Name }
	for _, set := range []*schedulerconfig.PluginSet{&p.Plugins.MultiPoint, &p.Plugins.Bind, &p.Plugins.Filter, &p.Plugins.PostFilter} {
		set.Enabled = slices.DeleteFunc(slices.Clone(set.Enabled), ours)
	}
	p.PluginConfig = slices.DeleteFunc(slices.Clone(p.PluginConfig), func(c schedulerconfig.PluginConfig) bool { return c.Name == Name })
}

// start kube-scheduler with the plugin, configured by a sample. It runs until stop.
func (w *world) start(sample string, setups ...setup) (stop func()) {
	w.t.Helper()
	logger := ktesting.NewLogger(w.t, ktesting.NewConfig(ktesting.BufferLogs(true), ktesting.Verbosity(0)))
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), logger))
	config, err := options.LoadConfigFromFile(logger, "../config/samples/"+sample)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range setups {
		f(&config.Profiles[0])
	}
	client := w.client()
	factory := informers.NewSharedInformerFactory(client, 0)
	factory.InformerFor(&v1.Pod{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return source(w.podSource, &v1.Pod{})
	})
	factory.InformerFor(&v1.Node{}, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
		return source(w.nodeSource, &v1.Node{})
	})
	w.registry = metrics.NewKubeRegistry()
	plugin := &Factory{
		Register: w.registry.Register, Clock: clock.RealClock{},
		openPlans: func(*rest.Config) (*plans, error) {
			p := &plans{
				servers: source(w.serverSource, &v1alpha1.Server{}), accelerators: source(w.acceleratorSource, &v1alpha1.Accelerator{}),
				models: source(w.modelSource, &v1alpha1.Model{}),
			}
			w.plans.Store(p)
			return p, nil
		},
		openClient: func(fwk.Handle) (kubernetes.Interface, error) { return client, nil },
	}
	sched, err := scheduler.New(ctx, client, factory, nil, func(string) events.EventRecorderLogger { return &w.events },
		scheduler.WithProfiles(config.Profiles...), scheduler.WithParallelism(cmp.Or(w.parallelism, config.Parallelism)),
		scheduler.WithFrameworkOutOfTreeRegistry(frameworkruntime.Registry{Name: plugin.New}),
	)
	if err != nil {
		cancel()
		w.t.Fatal(err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	if err := sched.WaitForHandlersSync(ctx); err != nil {
		cancel()
		w.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sched.Run(ctx)
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			w.plans.Store(nil)
			cancel()
			<-done
			factory.Shutdown()
		})
	}
	w.t.Cleanup(stop)
	return stop
}

// snapshot of the pods.
func (w *world) snapshot() map[string]*v1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.pods)
}

// await a condition on the pods; the time limit only ends a test that would hang.
func (w *world) await(what string, ok func(map[string]*v1.Pod) bool) {
	w.t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		pods := w.snapshot()
		if ok(pods) {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain for: %s; placed: %v", what, placed(pods))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// placed counts pods by the type of their node, which is its name up to the dash; pending pods under "".
func placed(pods map[string]*v1.Pod) map[string]int {
	m := map[string]int{}
	for _, p := range pods {
		typ, _, _ := strings.Cut(p.Spec.NodeName, "-")
		m[typ]++
	}
	return m
}

func (w *world) awaitPlaced(what string, want map[string]int) {
	w.t.Helper()
	w.await(what, func(pods map[string]*v1.Pod) bool { return maps.Equal(placed(pods), want) })
}

// awaitTried waits until the scheduler has tried all pods that have no place.
func (w *world) awaitTried() {
	w.t.Helper()
	w.await("every pending pod to be tried", func(pods map[string]*v1.Pod) bool {
		return !slices.ContainsFunc(slices.Collect(maps.Values(pods)), func(p *v1.Pod) bool {
			_, tried := waitsSince(p)
			return p.Spec.NodeName == "" && !tried
		})
	})
}

func (w *world) metric(name string, labels map[string]string) float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if testutil.LabelsMatch(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}
