package inferno

import (
	"fmt"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	"k8s.io/component-base/metrics"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
	"github.com/llm-inferno/inferno/plugins/apis/config"
)

// standing is a plugin whose knowledge the test sets directly; nothing runs.
func standing(t testing.TB, args config.InfernoArgs, c clock.WithTicker, objects ...any) *Plugin {
	t.Helper()
	m, err := newMetrics(metrics.NewKubeRegistry().Register)
	if err != nil {
		t.Fatal(err)
	}
	p := &plans{
		servers: source(fcache.NewFakeControllerSource(), &v1alpha1.Server{}), accelerators: source(fcache.NewFakeControllerSource(), &v1alpha1.Accelerator{}),
		models: source(fcache.NewFakeControllerSource(), &v1alpha1.Model{}),
	}
	cl := &cluster{fleet: newFleet(), held: newHeldPods(m), pods: cache.NewStore(cache.MetaNamespaceKeyFunc), plans: p, metrics: m, clock: c, started: c.Now()}
	cl.ledger = seats.NewLedger(cl.fleet.locate)
	cl.profiles.Store("inferno-scheduler", true)
	var accelerators []*v1alpha1.Accelerator
	for _, o := range objects {
		switch o := o.(type) {
		case *v1alpha1.Server:
			err = p.servers.GetStore().Add(o)
		case *v1alpha1.Model:
			err = p.models.GetStore().Add(o)
		case *v1alpha1.Accelerator:
			accelerators = append(accelerators, o)
		case *v1.Node:
			cl.fleet.setNode(o)
		case *v1.Pod:
			cl.ledger.Observe(o)
			err = cl.pods.Add(o)
		default:
			t.Fatalf("unexpected %T", o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cl.fleet.setAccelerators(accelerators)
	cl.ledger.Relocate("")
	plugin := &Plugin{args: &args, cluster: cl, clock: c, bindsFirst: func() bool { return true }}
	plugin.notices = newNotices(plugin, nil)
	return plugin
}

func TestSignPod(t *testing.T) {
	p := &Plugin{}
	if fragments, status := p.SignPod(t.Context(), pod("a", "r1")); status.Code() != fwk.Unschedulable || len(fragments) > 0 {
		t.Errorf("a pod of a server was signed: %v, %v", fragments, status)
	}
	if fragments, status := p.SignPod(t.Context(), &v1.Pod{}); !status.IsSuccess() || len(fragments) > 0 {
		t.Errorf("a pod that is not ours got fragments %v, status %v", fragments, status)
	}
}

func TestForeignPodsAreSkipped(t *testing.T) {
	p := standing(t, config.InfernoArgs{}, clock.RealClock{})
	state, foreign := framework.NewCycleState(), &v1.Pod{}
	if _, s := p.PreFilter(t.Context(), state, foreign, nil); !s.IsSkip() {
		t.Errorf("PreFilter: %v, want skip", s)
	}
	if s := p.PreScore(t.Context(), state, foreign, nil); !s.IsSkip() {
		t.Errorf("PreScore: %v, want skip", s)
	}
	if s := p.Reserve(t.Context(), state, foreign, "n"); !s.IsSuccess() {
		t.Errorf("Reserve: %v", s)
	}
	p.Unreserve(t.Context(), state, foreign, "n")
	if _, s := p.PreBindPreFlight(t.Context(), state, foreign, "n"); !s.IsSkip() {
		t.Errorf("PreBindPreFlight: %v, want skip", s)
	}
	if s := p.PreBind(t.Context(), state, foreign, "n"); !s.IsSuccess() {
		t.Errorf("PreBind: %v", s)
	}
	if s := p.Bind(t.Context(), state, foreign, "n"); !s.IsSkip() {
		t.Errorf("Bind: %v, want skip", s)
	}
	p.PostBind(t.Context(), state, foreign, "n")
}

func TestPreFilterAnswersForThePlan(t *testing.T) {
	objects := func(parts ...jsonspec.AllocationPart) []any {
		return []any{
			server(parts...), accelerator("h100", "", 1), accelerator("a100", "", 1), accelerator("l40s", "", 1),
			node("h100-1", "h100", 8), node("h100-2", "h100", 8), node("a100-1", "a100", 8), node("cpu-1", "", 0), on(pod("seated", "r1"), "a100-1"),
		}
	}
	for _, tt := range []struct {
		name  string
		parts []jsonspec.AllocationPart
		code  fwk.Code
		nodes []string
	}{
		{"the nodes of the accelerators with room", []jsonspec.AllocationPart{part("h100", 1), part("a100", 1)}, fwk.Success, []string{"h100-1", "h100-2"}},
		{"no room: nothing that preemption could change", []jsonspec.AllocationPart{part("a100", 1)}, fwk.UnschedulableAndUnresolvable, nil},
		{"no node", []jsonspec.AllocationPart{part("l40s", 1)}, fwk.UnschedulableAndUnresolvable, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := standing(t, config.InfernoArgs{}, clock.RealClock{}, objects(tt.parts...)...)
			result, s := p.PreFilter(t.Context(), framework.NewCycleState(), pod("new", "r1"), nil)
			if s.Code() != tt.code {
				t.Fatalf("status %v (%s), want %v", s.Code(), s.Message(), tt.code)
			}
			if !s.IsSuccess() && s.Message() == "" {
				t.Error("rejected without a reason")
			}
			if result != nil && !result.NodeNames.HasAll(tt.nodes...) || (result == nil) != (tt.nodes == nil) || result != nil && result.NodeNames.Len() != len(tt.nodes) {
				t.Errorf("nodes %v, want %v", result, tt.nodes)
			}
		})
	}
}

func TestPreFilterWaitsForWhatItMustKnow(t *testing.T) {
	c := clocktesting.NewFakeClock(time.Unix(0, 0))
	p := standing(t, config.InfernoArgs{SyncTimeout: metav1.Duration{Duration: time.Minute}}, c, node("h100-1", "h100", 8), accelerator("h100", "", 1))
	counted, read := false, false
	p.cluster.counted = append(p.cluster.counted, func() bool { return counted })
	p.cluster.read = append(p.cluster.read, func() bool { return read })
	expect := func(what string, ok bool) {
		t.Helper()
		if _, s := p.PreFilter(t.Context(), framework.NewCycleState(), pod("a", "r1"), nil); s.IsSuccess() != ok {
			t.Errorf("%s: %v %s", what, s.Code(), s.Message())
		}
	}
	expect("nothing known", false)
	counted = true
	expect("plans not read", false)
	c.Step(time.Minute)
	expect("plans not read for a minute", true)
	counted = false
	expect("pods are never guessed", false)
	counted, read = true, true
	expect("all known", true)
}

func TestHints(t *testing.T) {
	p := standing(t, config.InfernoArgs{}, clock.RealClock{},
		server(part("h100", 1), part("a100", 1)), accelerator("h100", "", 1), accelerator("a100", "", 1), node("a100-1", "a100", 8), on(pod("seated", "r1"), "a100-1"))
	waiting := pod("waiting", "r1")
	for _, tt := range []struct {
		name          string
		before, after any
		want          fwk.QueueingHint
	}{
		{"a node of a type with room appears", nil, node("h100-1", "h100", 8), fwk.Queue},
		{"a node of a type without room appears", nil, node("a100-2", "a100", 8), fwk.QueueSkip},
		{"a node of another type appears", nil, node("l40s-1", "l40s", 8), fwk.QueueSkip},
		{"a node becomes one of a type with room", node("h100-1", "", 8), node("h100-1", "h100", 8), fwk.Queue},
		{"a node stays what it was", node("h100-1", "h100", 4), node("h100-1", "h100", 8), fwk.QueueSkip},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := p.afterNodeChange(klog.Background(), waiting, tt.before, tt.after)
			if err != nil || got != tt.want {
				t.Errorf("hint %v (%v), want %v", got, err, tt.want)
			}
		})
	}
	if got, err := p.afterNodeChange(klog.Background(), waiting, nil, waiting); err == nil || got != fwk.Queue {
		t.Errorf("something that is no node: hint %v, error %v", got, err)
	}

	relabelled, resized, touched := pod("waiting", "r1"), pod("waiting", "r1"), pod("waiting", "r1")
	relabelled.Labels[v1alpha1.VariantLabel] = "big"
	resized.Spec.Containers[0].Resources.Requests = gpus("2")
	touched.Annotations = map[string]string{"a": "b"}
	for name, tt := range map[string]struct {
		after *v1.Pod
		want  fwk.QueueingHint
	}{"variant": {relabelled, fwk.Queue}, "revision": {pod("waiting", "r2"), fwk.Queue}, "cards": {resized, fwk.Queue}, "anything else": {touched, fwk.QueueSkip}} {
		if got, err := p.afterPodChange(klog.Background(), waiting, waiting, tt.after); err != nil || got != tt.want {
			t.Errorf("change of %s: hint %v (%v), want %v", name, got, err, tt.want)
		}
	}
	if _, err := p.afterPodChange(klog.Background(), waiting, nil, waiting); err == nil {
		t.Error("something that is no pod was accepted")
	}
}

// activations keeps whom the plugin woke.
type activations struct{ woken []string }

func (a *activations) Activate(_ klog.Logger, pods map[string]*v1.Pod) {
	for key := range pods {
		a.woken = append(a.woken, key)
	}
}

func TestWakesOnlyAsManyAsThereIsRoomFor(t *testing.T) {
	objects := []any{server(part("h100", 3)), accelerator("h100", "", 1), node("h100-1", "h100", 8), on(pod("seated", "r1"), "h100-1")}
	for _, p := range several(5, "r1") {
		p.CreationTimestamp = metav1.NewTime(time.Unix(int64(100-len(objects)), 0)) // the last is the oldest
		objects = append(objects, p)
	}
	// Two that wait longest of all, but not for this plugin.
	elsewhere, gated := pod("elsewhere", "r1"), pod("gated", "r1")
	elsewhere.Spec.SchedulerName = "someone-else"
	gated.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "later"}}
	objects = append(objects, elsewhere, gated)
	p := standing(t, config.InfernoArgs{}, clock.RealClock{}, objects...)
	queue := &activations{}
	p.cluster.queue = queue
	p.cluster.wake(chat, causePlanChanged)
	if len(queue.woken) != 0 {
		t.Errorf("woke %v before it was ready", queue.woken)
	}
	p.cluster.open.Store(true)
	p.cluster.wake(chat, causePlanChanged)
	got := map[string]bool{}
	for _, w := range queue.woken {
		got[w] = true
	}
	if len(queue.woken) != 2 || !got["llm/chat-r1-0004"] || !got["llm/chat-r1-0003"] {
		t.Errorf("woke %v, want the two of ours that wait longest", queue.woken)
	}
}

func TestWakesOverdueOnce(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	waiting := pod("waiting", "r1")
	waiting.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonUnschedulable, LastTransitionTime: metav1.NewTime(at(100))}}
	gated := pod("gated", "r1")
	gated.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: v1.PodReasonSchedulingGated, LastTransitionTime: metav1.NewTime(at(100))}}
	other := waiting.DeepCopy()
	other.Name, other.UID, other.Spec.SchedulerName = "other", "uid-other", "default-scheduler"
	p := standing(t, config.InfernoArgs{}, clock.RealClock{}, waiting, gated, other)
	for _, tt := range []struct {
		from, to int64
		want     int
	}{{0, 159, 0}, {159, 160, 1}, {160, 161, 0}, {100, 1000, 1}} {
		queue := &activations{}
		p.cluster.queue = queue
		p.cluster.wakeOverdue("inferno-scheduler", time.Minute, at(tt.from), at(tt.to))
		if len(queue.woken) != tt.want {
			t.Errorf("between %d and %d woke %v, want %d", tt.from, tt.to, queue.woken, tt.want)
		}
	}
}

// What PreEnqueue held because the ledger had not heard of it is looked at again when it has, once.
func TestArrivingPodIsLookedAtAgain(t *testing.T) {
	p := standing(t, config.InfernoArgs{}, clock.RealClock{}, server(part("h100", 2)), accelerator("h100", "", 1), node("h100-1", "h100", 8), on(pod("seated", "r1"), "h100-1"))
	queue := &activations{}
	p.cluster.queue = queue
	p.cluster.open.Store(true)
	unseen := pod("unseen", "r1")
	p.cluster.podChanged(nil, unseen)
	if len(queue.woken) != 0 {
		t.Errorf("woke %v, which the scheduler has not looked at", queue.woken)
	}
	early := pod("early", "r1")
	if err := p.cluster.pods.Add(early); err != nil {
		t.Fatal(err)
	}
	if s := p.PreEnqueue(t.Context(), early); s.IsSuccess() {
		t.Error("a pod passes that is not counted")
	}
	p.cluster.podChanged(nil, early)
	if len(queue.woken) != 1 || queue.woken[0] != "llm/early" {
		t.Errorf("woke %v, want the one that was held", queue.woken)
	}
}

func TestFreeSeatWakesNobodyWhereNothingLimits(t *testing.T) {
	// No plan: what counts is the node's free resources, and the scheduler wakes pods for those itself.
	p := standing(t, config.InfernoArgs{}, clock.RealClock{}, accelerator("h100", "", 1), node("h100-1", "h100", 8), on(pod("seated", "r1"), "h100-1"), pod("waiting", "r1"))
	queue := &activations{}
	p.cluster.queue = queue
	p.cluster.open.Store(true)
	p.cluster.podDeleted(pod("seated", "r1"))
	if len(queue.woken) != 0 {
		t.Errorf("woke %v", queue.woken)
	}
	p.cluster.wake(chat, causePlanChanged)
	if len(queue.woken) != 1 {
		t.Errorf("woke %v after a change of the plan, want the one that waits", queue.woken)
	}
}

func BenchmarkPreFilter(b *testing.B) {
	objects := []any{server(part("h100", 5000), part("a100", 5000)), accelerator("h100", "", 1), accelerator("a100", "", 1)}
	for i := range 5000 {
		objects = append(objects, node(fmt.Sprintf("h100-%d", i), []string{"h100", "a100", "l40s", ""}[i%4], 8))
	}
	for i := range 2000 {
		objects = append(objects, on(pod(fmt.Sprintf("seated-%d", i), "r1"), "h100-0"))
	}
	p := standing(b, config.InfernoArgs{}, clock.RealClock{}, objects...)
	next := pod("next", "r1")
	for b.Loop() {
		if _, s := p.PreFilter(b.Context(), framework.NewCycleState(), next, nil); !s.IsSuccess() {
			b.Fatal(s.Message())
		}
	}
}

// BenchmarkFilterAndScore is what the plugin costs for each node that it is asked about.
func BenchmarkFilterAndScore(b *testing.B) {
	objects := []any{server(part("h100", 5000), part("a100", 5000)), accelerator("h100", "", 1), accelerator("a100", "", 1), accelerator("l40s", "", 1)}
	infos := make([]fwk.NodeInfo, 1000)
	for i := range infos {
		n := node(fmt.Sprintf("node-%d", i), []string{"h100", "a100", "l40s"}[i%3], 8)
		info := framework.NewNodeInfo()
		info.SetNode(n)
		infos[i] = info
		objects = append(objects, n)
	}
	p := standing(b, config.InfernoArgs{}, clock.RealClock{}, objects...)
	next, state := pod("next", "r1"), framework.NewCycleState()
	if _, s := p.PreFilter(b.Context(), state, next, nil); !s.IsSuccess() {
		b.Fatal(s.Message())
	}
	for b.Loop() {
		for _, n := range infos {
			if p.Filter(b.Context(), state, next, n).IsSuccess() {
				p.Score(b.Context(), state, next, n)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(infos)), "ns/node")
}
