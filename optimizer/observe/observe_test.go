package observe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/common/model"
	"gonum.org/v1/gonum/stat/distuv"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

var now = time.Unix(10_000, 0)

const (
	window     = time.Minute
	staleAfter = 3 * time.Minute
)

// sampled are the measurements of a pod that serves 2 requests/s of 100 → 50 tokens; changes overwrite some.
func sampled(changes map[Quantity]float64) *PodMetrics {
	m := NewPodMetrics()
	for q, v := range map[Quantity]float64{
		Completions: 2, Admissions: 2, Running: 10, RunningNow: 10, RunningThen: 10, Waiting: 1, WaitingNow: 5, WaitingThen: 5,
		PromptTokens: 200, PromptRequests: 2, GenerationTokens: 100, GenerationRequests: 2, TTFTSum: 1, TTFTCount: 2, ITLSum: 2, ITLCount: 100,
		KVUsage: 0.5, SampleAge: 1,
	} {
		m.values[q] = v
	}
	for q, v := range changes {
		m.values[q] = v
	}
	return m
}

func TestMeasure(t *testing.T) {
	nan := math.NaN()
	old := readPod{sampled(map[Quantity]float64{SampleAge: 600}), time.Hour, ""}
	gone := map[Quantity]float64{RunningNow: nan, WaitingNow: nan}
	good := readPod{sampled(nil), time.Hour, ""}
	unseen := readPod{nil, time.Hour, ""}
	young := readPod{nil, time.Second, ""}
	// What a prefill tells of ends of requests is of its own: they end with their first token there.
	prefill := func(changes map[Quantity]float64) readPod {
		m := sampled(map[Quantity]float64{Completions: 7, PromptTokens: 1, GenerationTokens: 2, TTFTSum: 0.6, ITLSum: math.NaN(), ITLCount: math.NaN()})
		for q, v := range changes {
			m.values[q] = v
		}
		return readPod{m, time.Hour, jsonspec.RolePrefill}
	}
	decode := func(changes map[Quantity]float64) readPod {
		m := sampled(map[Quantity]float64{TTFTSum: 0.4})
		for q, v := range changes {
			m.values[q] = v
		}
		return readPod{m, time.Hour, jsonspec.RoleDecode}
	}
	first := map[Quantity]float64{RunningNow: 60, WaitingNow: 205, RunningThen: nan, WaitingThen: nan}
	for _, c := range []struct {
		name     string
		pods     []readPod
		departed []readPod
		arrivals float64
		fault    string
		unseen   time.Duration
	}{
		{"one pod", []readPod{good}, nil, 2, "", 0},
		{"pods add up", []readPod{good, good, good}, nil, 6, "", 0},
		{"a growing queue is load", []readPod{{sampled(map[Quantity]float64{WaitingNow: 95}), time.Hour, ""}}, nil, 3.5, "", 0},
		{"a shrinking queue is not", []readPod{{sampled(map[Quantity]float64{WaitingThen: 35}), time.Hour, ""}}, nil, 1.5, "", 0},
		{"a queue that was not there before", []readPod{{sampled(map[Quantity]float64{WaitingNow: 60, WaitingThen: nan}), time.Hour, ""}}, nil, 3, "", 0},
		{"load is never negative", []readPod{{sampled(map[Quantity]float64{WaitingThen: 1000}), time.Hour, ""}}, nil, 0, "", 0},
		{"overload: nothing completes", []readPod{{sampled(map[Quantity]float64{Completions: 0, RunningNow: 130, WaitingNow: 65}), time.Hour, ""}}, nil, 3, "", 0},
		{"nothing was ever completed", []readPod{{sampled(map[Quantity]float64{Completions: nan, RunningNow: 130, WaitingNow: 65}), time.Hour, ""}}, nil, 3, "", 0},
		{"zero is zero", []readPod{{sampled(map[Quantity]float64{Completions: 0, Admissions: 0}), time.Hour, ""}}, nil, 0, "", 0},
		{"admissions unknown", []readPod{{sampled(map[Quantity]float64{Admissions: nan}), time.Hour, ""}}, nil, 2, "", 0},
		{"admissions unknown, a growing batch", []readPod{{sampled(map[Quantity]float64{Admissions: nan, RunningNow: 70}), time.Hour, ""}}, nil, 3, "", 0},
		{"infinite is not counted", []readPod{good, {sampled(map[Quantity]float64{WaitingNow: math.Inf(1), WaitingThen: nan}), time.Hour, ""}}, nil, 4, "", 0},
		{"a pod that departed, and clients that do not come back", []readPod{good}, []readPod{{metrics: sampled(gone)}}, 4 - 15.0/60, "", 0},
		{"a pod that departed, its requests now with another one", []readPod{{sampled(map[Quantity]float64{RunningNow: 20, WaitingNow: 10}), time.Hour, ""}}, []readPod{{metrics: sampled(gone)}}, 4, "", 0},
		{"a pod that still serves what it has while it departs", []readPod{good}, []readPod{{metrics: sampled(nil)}}, 4, "", 0},
		{"a series that ends between two questions", []readPod{{sampled(gone), time.Hour, ""}, {sampled(gone), time.Hour, ""}}, nil, 4, "", 0},
		{"and so does a counter of what comes", []readPod{{sampled(map[Quantity]float64{RunningNow: nan, WaitingNow: nan, Received: 2}), time.Hour, ""}}, nil, 2, "", 0},
		{"half of the targets missing", []readPod{good, unseen}, nil, 4, "", 0},
		{"stale ones are not believed, but carry load", []readPod{good, old}, nil, 4, "", 0},
		{"a young pod may not have been scraped", []readPod{good, young}, nil, 2, "", 0},
		{"no pod", nil, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"no samples", []readPod{unseen}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"only a young pod", []readPod{young}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"all stale", []readPod{old, old}, nil, 0, v1alpha1.ReasonStaleMetrics, 0},
		{"NaN age", []readPod{{sampled(map[Quantity]float64{SampleAge: nan}), time.Hour, ""}}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"no rate known", []readPod{{sampled(map[Quantity]float64{Completions: nan, Admissions: nan}), time.Hour, ""}}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"pods that find what waited for minutes", []readPod{{sampled(first), 40 * time.Second, ""}, {sampled(first), 20 * time.Second, ""}}, nil, 0, v1alpha1.ReasonNoMetrics, 10 * time.Minute},
		{"the first of a server that was never measured", []readPod{{sampled(first), 40 * time.Second, ""}}, nil, 2 + 265./60, "", 0},
		{"measured since", []readPod{{sampled(first), 40 * time.Second, ""}}, nil, 2 + 265./60, "", 30 * time.Second},
		{"there for a window", []readPod{{sampled(nil), 90 * time.Second, ""}}, nil, 2, "", 10 * time.Minute},
		{"a pod beside others", []readPod{good, {sampled(first), 40 * time.Second, ""}}, nil, 4 + 265./60, "", 30 * time.Second},
		{"prompts and decodes apart", []readPod{prefill(nil), prefill(nil), decode(nil)}, nil, 2, "", 0},
		{"prompts wait", []readPod{prefill(map[Quantity]float64{WaitingNow: 65}), decode(nil)}, nil, 3, "", 0},
		{"decodes wait for their cache", []readPod{prefill(nil), decode(map[Quantity]float64{WaitingNow: 65})}, nil, 3, "", 0},
		{"handed over within the window", []readPod{prefill(map[Quantity]float64{RunningNow: 4, RunningThen: 10}), decode(map[Quantity]float64{RunningNow: 16})}, nil, 2, "", 0},
		{"a decode that departed, its requests with another one", []readPod{prefill(nil), decode(map[Quantity]float64{RunningNow: 20, WaitingNow: 10})}, []readPod{{metrics: sampled(gone), role: jsonspec.RoleDecode}}, 4, "", 0},
		{"no prefill", []readPod{decode(nil)}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"no decode", []readPod{prefill(nil)}, nil, 0, v1alpha1.ReasonNoMetrics, 0},
		{"some that do both beside them", []readPod{good, prefill(nil), decode(nil)}, nil, 4, "", 0},
		{"half of the decodes unseen", []readPod{prefill(nil), decode(nil), {nil, time.Hour, jsonspec.RoleDecode}}, nil, 4, "", 0},
		{"half of the prefills unseen", []readPod{prefill(nil), {nil, time.Hour, jsonspec.RolePrefill}, decode(nil)}, nil, 2, "", 0},
		{"a pod in place of one that left", []readPod{{sampled(first), 40 * time.Second, ""}}, []readPod{{metrics: sampled(gone)}}, 4 + 250./60, "", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, f := measure(c.pods, c.departed, window, staleAfter, c.unseen, "")
			switch {
			case c.fault != "":
				if f == nil || f.reason != c.fault || f.detail == "" {
					t.Errorf("fault %+v, want %s with a detail", f, c.fault)
				}
			case f != nil:
				t.Errorf("unexpected fault %+v", f)
			case math.Abs(l.arrivals-c.arrivals) > 1e-9:
				t.Errorf("%v requests/s, want %v", l.arrivals, c.arrivals)
			case l.in != 100 || l.out != 50 || l.itl != 0.02 || len(c.pods) < 2 && l.ttft != 0.5 && !math.IsNaN(l.ttft):
				t.Errorf("means are %+v", l)
			}
		})
	}
}

// How bursty the arrivals at a server are is seen in those at all its pods together, however these share them, start and go.
func TestArrivalCV(t *testing.T) {
	const steps, mean = 4000, 60.0
	random := rand.New(rand.NewPCG(1, 2))
	poisson := func(mean float64) float64 { return distuv.Poisson{Lambda: mean, Src: random}.Rand() }
	chance := func(n float64) float64 { return poisson(n * mean) }
	// in fives, as many as come on average
	fives := func(n float64) float64 { return 5 * poisson(n*mean/5) }
	type life struct {
		from, to int
		gone     bool
	}
	always := life{0, steps, false}
	for _, c := range []struct {
		name     string
		arrive   func(pods float64) float64
		routing  string
		lives    []life
		unseen   int
		want, by float64
	}{
		{"Poisson", chance, "", []life{always, always, always}, 0, 1, 0.05},
		{"Poisson in turns", chance, jsonspec.RoutingLeastRequest, []life{always, always, always}, 0, 1, 0.05},
		{"in fives", fives, "", []life{always, always}, 0, math.Sqrt(5), 0.1},
		{"in fives, in turns", fives, jsonspec.RoutingRoundRobin, []life{always, always}, 0, math.Sqrt(5), 0.1},
		{"at equal distances", func(n float64) float64 { return n * mean }, jsonspec.RoutingRoundRobin, []life{always, always}, 0, 0, 0.01},
		{"one begins, one goes, one is not seen for a while", chance, "", []life{{1000, steps, false}, {0, 3000, true}, {0, 2000, false}, {2010, steps, false}}, 0, 1, 0.1},
		{"half of it is seen, in turns", fives, jsonspec.RoutingRoundRobin, []life{always, always}, 2, math.Sqrt(5), 0.15},
	} {
		count := make([]float64, len(c.lives)+c.unseen)
		metrics := make([]*PodMetrics, len(c.lives))
		for i := range metrics {
			metrics[i] = sampled(nil)
		}
		for step := range steps {
			var live []int
			for i, l := range c.lives {
				if step >= l.from && step < l.to {
					live = append(live, i)
				}
			}
			for i := range c.unseen {
				live = append(live, len(c.lives)+i)
			}
			n := c.arrive(float64(len(live)))
			for k, i := range live { // in turns each gets its share of all, by chance one of its own
				if c.routing == "" {
					n = c.arrive(1)
				}
				if count[i] += n / map[bool]float64{true: 1, false: float64(len(live))}[c.routing == ""]; k >= 0 && i < len(metrics) {
					metrics[i].SetArrived(step, count[i])
				}
			}
		}
		var pods []readPod
		var departed []readPod
		for i, l := range c.lives {
			if l.gone {
				departed = append(departed, readPod{metrics: metrics[i]})
			} else {
				pods = append(pods, readPod{metrics[i], time.Hour, ""})
			}
		}
		for range c.unseen {
			pods = append(pods, readPod{nil, time.Hour, ""})
		}
		l, f := measure(pods, departed, window, staleAfter, 0, c.routing)
		if f != nil {
			t.Fatal(f)
		}
		if !(math.Abs(l.arrivalCV-c.want) <= c.by) {
			t.Errorf("%s: %v, want %v", c.name, l.arrivalCV, c.want)
		}
	}
	if l, f := measure([]readPod{{sampled(nil), time.Hour, ""}}, nil, window, staleAfter, 0, ""); f != nil || !math.IsNaN(l.arrivalCV) {
		t.Errorf("of what was not measured: %v, %v", l.arrivalCV, f)
	}
}

// Without a finished request lengths and latencies are unknown, not zero.
func TestMeansOfNothingAreUnknown(t *testing.T) {
	l, f := measure([]readPod{{sampled(map[Quantity]float64{PromptRequests: 0, GenerationRequests: 0, TTFTCount: 0, ITLCount: math.NaN()}), time.Hour, ""}}, nil, window, staleAfter, 0, "")
	if f != nil {
		t.Fatal(f)
	}
	for name, x := range map[string]float64{"in": l.in, "out": l.out, "ttft": l.ttft, "itl": l.itl} {
		if !math.IsNaN(x) {
			t.Errorf("%s is %v", name, x)
		}
	}
}

// prometheus answers every query with one sample for each pod, unless it fails; one for steps with the same samples at one step.
func prometheus(answer func(query string) (model.Value, error)) Querier {
	return Whole(func(_ context.Context, query string, at time.Time) (model.Value, []string, error) {
		v, err := answer(query)
		if vector, ok := v.(model.Vector); ok && strings.HasSuffix(query, "s]") {
			var m model.Matrix
			for _, s := range vector {
				m = append(m, &model.SampleStream{Metric: s.Metric, Values: []model.SamplePair{{Timestamp: model.TimeFromUnix(at.Unix()), Value: s.Value}}})
			}
			v = m
		}
		return v, nil, err
	})
}

func TestReadMetrics(t *testing.T) {
	m, err := ReadMetrics(context.Background(), source(t, prometheus(func(query string) (model.Value, error) {
		if strings.Contains(query, "kv_cache_usage_perc") {
			return model.Vector{}, nil
		}
		return model.Vector{{Metric: model.Metric{"namespace": "llm", "pod": "a"}, Value: 7}}, nil
	})), now, window)
	if err != nil {
		t.Fatal(err)
	}
	p := m[types.NamespacedName{Namespace: "llm", Name: "a"}]
	if len(m) != 1 || p == nil || p.values[Completions] != 7 || !math.IsNaN(p.values[KVUsage]) {
		t.Errorf("read %v", m)
	}
	for name, answer := range map[string]func(string) (model.Value, error){
		"refused":      func(string) (model.Value, error) { return nil, errors.New("refused") },
		"not a vector": func(string) (model.Value, error) { return &model.Scalar{}, nil },
	} {
		if _, err := ReadMetrics(context.Background(), source(t, prometheus(answer)), now, window); err == nil || !strings.Contains(err.Error(), "query") {
			t.Errorf("%s: error %v does not name the query", name, err)
		}
	}
}

func node(name, product string, gpus int64, change func(*corev1.Node)) corev1.Node {
	n := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"nvidia.com/gpu.product": product}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	if change != nil {
		change(&n)
	}
	return n
}

func pod(name, on string, gpus int64, labels map[string]string, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "llm", Labels: labels},
		Spec: corev1.PodSpec{NodeName: on, Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{
			Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Hour)),
		}}},
	}
	if change != nil {
		change(&p)
	}
	return p
}

var ours = map[string]string{v1alpha1.ServerLabel: "chat"}

func accelerator(name, typ string, multiplicity int, cost float64) v1alpha1.Accelerator {
	return v1alpha1.Accelerator{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AcceleratorSpec{
		Type: typ, Cards: multiplicity, CostPerHour: v1alpha1.DecimalOf(cost),
	}}
}

const (
	h100Product = "NVIDIA-H100-80GB-HBM3"
	l4Product   = "NVIDIA-L4"
)

// chat is a server whose model is known to run on some accelerators.
func chat(plan *v1alpha1.DesiredState, performs ...string) map[types.NamespacedName]knownServer {
	s := knownServer{plan, map[string]bool{}, &jsonspec.ServerBinding{}}
	for _, a := range performs {
		s.performs[a] = true
	}
	return map[types.NamespacedName]knownServer{{Namespace: "llm", Name: "chat"}: s}
}

// Who serves on a node that takes no more pods is leaving; who starts there, or goes already, serves nobody.
func TestLeaving(t *testing.T) {
	served := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	v := newView(&Cluster{
		Servers: chat(nil, "h100"), Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1)},
		Nodes: []corev1.Node{node("a", h100Product, 8, nil), node("cordoned", h100Product, 8, func(n *corev1.Node) { n.Spec.Unschedulable = true })},
		Pods: []corev1.Pod{
			pod("stays", "a", 1, ours, served), pod("leaves", "cordoned", 1, ours, served), pod("starts", "cordoned", 1, ours, func(p *corev1.Pod) { p.Status.Conditions = nil }),
			pod("goes", "cordoned", 1, ours, func(p *corev1.Pod) { served(p); p.DeletionTimestamp = &metav1.Time{Time: now} }),
		},
	})
	o := &Observation{view: v, Pods: map[string][]*corev1.Pod{}}
	for i := range v.cluster.Pods {
		o.Pods["chat"] = append(o.Pods["chat"], &v.cluster.Pods[i])
	}
	if n := o.Leaving("chat"); n != 1 {
		t.Errorf("%d are leaving, not one", n)
	}
	if n := o.Leaving("nobody"); n != 0 {
		t.Errorf("%d pods of nobody", n)
	}
}

// Only what can be placed is capacity: not cordoned, not unready, not used by others.
func TestCapacity(t *testing.T) {
	v := newView(&Cluster{
		Servers:      chat(nil, "h100", "4xh100"),
		Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1), accelerator("4xh100", "H100", 4, 4), accelerator("l4", "L4", 1, 1)},
		Nodes: []corev1.Node{
			node("a", h100Product, 8, nil),
			node("b", h100Product, 8, nil),
			node("cordoned", h100Product, 8, func(n *corev1.Node) { n.Spec.Unschedulable = true }),
			node("unready", h100Product, 8, func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }),
			node("unknown", h100Product, 8, func(n *corev1.Node) { n.Status.Conditions = nil }),
			node("going", h100Product, 8, func(n *corev1.Node) { n.DeletionTimestamp = &metav1.Time{Time: now} }),
			node("other", "NVIDIA-Unheard-Of", 8, nil),
			node("small", l4Product, 2, nil),
		},
		Pods: []corev1.Pod{
			pod("ours", "a", 4, ours, nil),
			pod("theirs", "a", 3, nil, nil),
			pod("theirs-done", "b", 8, nil, func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
			pod("theirs-init", "b", 1, nil, func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("2")}}}}
			}),
			pod("theirs-pending", "", 8, nil, nil),
			pod("theirs-greedy", "small", 5, nil, nil),
		},
	})
	want := map[string]TypeCapacity{"H100": {Nodes: 6, Capacity: 16, Available: 11}, "L4": {Nodes: 1, Capacity: 2, Available: 0}}
	if diff := cmp.Diff(want, v.capacity()); diff != "" {
		t.Error(diff)
	}
	free := []jsonspec.NodeCapacity{{Name: "a", Type: "H100", Free: 5}, {Name: "b", Type: "H100", Free: 6}, {Name: "small", Type: "L4", Free: 0}}
	if diff := cmp.Diff(free, v.free(newScopes(v, nil, nil))); diff != "" {
		t.Error(diff)
	}
	v.nodes["a"].Labels["pool"] = "rented"
	for want, e := range map[int]jsonspec.ElasticCapacity{
		2: {Type: "H100"}, 1: {Type: "H100", NodeSelector: map[string]string{"pool": "rented"}}, 0: {Type: "L4", NodeSelector: map[string]string{"pool": "rented"}},
	} {
		if got := v.arrived(&e); got != want {
			t.Errorf("%d nodes of %+v arrived, want %d", got, e, want)
		}
	}
}

// A pod is where its node is, by the name in the specification; package placement has the rule.
func TestAcceleratorOfAPod(t *testing.T) {
	v := newView(&Cluster{
		Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1), accelerator("4xh100", "H100", 4, 4)},
		Nodes:        []corev1.Node{node("a", h100Product, 8, nil), node("x", "unheard of", 8, nil)},
	})
	told := func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AcceleratorAnnotation: "4xh100"} }
	for name, c := range map[string]struct {
		pod  corev1.Pod
		want string
	}{
		"by the annotation":               {pod("p", "a", 1, ours, told), "4xh100"},
		"by the cards it asks for":        {pod("p", "a", 4, ours, nil), "4xh100"},
		"waits for a node":                {pod("p", "", 1, ours, nil), ""},
		"waits for a node, though told":   {pod("p", "", 1, ours, told), ""},
		"on a node nobody describes":      {pod("p", "x", 1, ours, nil), ""},
		"on a node that is gone":          {pod("p", "gone", 1, ours, nil), ""},
		"on a node that is gone but told": {pod("p", "gone", 1, ours, told), "4xh100"},
	} {
		if got := v.accelerator(&c.pod); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func readings(change func(*Readings)) *Readings {
	r := &Readings{
		Now: now, Window: window, StaleAfter: staleAfter,
		Resources: specification.Resources{
			Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 400)},
			Models: []v1alpha1.Model{{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Spec: v1alpha1.ModelSpec{
				Performance: []v1alpha1.Performance{{Accelerator: "h100", AcceleratorsPerReplica: 2, Work: &v1alpha1.WorkLaw{Alpha: v1alpha1.DecimalOf(1), Beta: v1alpha1.DecimalOf(0), Gamma: v1alpha1.DecimalOf(0)}}},
			}}},
			Servers: []v1alpha1.Server{{ObjectMeta: metav1.ObjectMeta{Name: "chat", Namespace: "llm"}, Spec: v1alpha1.ServerSpec{Model: "m", ServiceClass: "c"}}},
		},
		Nodes: []corev1.Node{node("a", h100Product, 8, nil)},
		Pods: []corev1.Pod{
			pod("chat-1", "a", 2, ours, func(p *corev1.Pod) {
				p.Annotations = map[string]string{v1alpha1.MaxNumSeqsAnnotation: "64", v1alpha1.MaxNumBatchedTokensAnnotation: "rubbish"}
			}),
			pod("chat-2", "a", 2, ours, func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }),
			pod("chat-3", "a", 2, ours, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }),
		},
		Metrics: Metrics{{Namespace: "llm", Name: "chat-1"}: sampled(nil), {Namespace: "llm", Name: "gone"}: sampled(nil)},
	}
	if change != nil {
		change(r)
	}
	// As the cache holds them: what is observed must not need what is left out there.
	for i := range r.Pods {
		trim(&r.Pods[i])
	}
	for i := range r.Nodes {
		trim(&r.Nodes[i])
	}
	return r
}

func trim(object any) {
	if _, err := new(Trimmer).Trim(object); err != nil {
		panic(err) // it gives none
	}
}

func TestObserve(t *testing.T) {
	o := Observe(readings(nil))
	st := o.Statuses["llm/chat"]
	want := v1alpha1.ServerStatus{
		Load:     &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(now), Load: jsonspec.Load{ArrivalRate: 120, Throughput: 120, AvgInTokens: 100, AvgOutTokens: 50}},
		Measured: &v1alpha1.Latencies{TTFT: new(500.), ITL: new(20.)},
		Current:  []jsonspec.ObservedPart{{Accelerator: "h100", Starting: 1}, {Accelerator: "h100", Ready: 1, MaxBatchSize: 64}},
		// Two accelerators a replica, at 400 cents each.
		CostPerHour: 800, ReadyReplicas: 1, Placement: "h100:1",
	}
	if diff := cmp.Diff(want, st); diff != "" {
		t.Error(diff)
	}
	e := o.Snapshot.System.Servers.Spec[0]
	if e.CurrentAlloc == nil || e.CurrentAlloc.Load == nil || e.CurrentAlloc.Load.ArrivalRate != 120 || *e.Observation.Running != 10 {
		t.Errorf("entry %+v", e)
	}
	if diff := cmp.Diff([]jsonspec.AcceleratorCount{{Type: "H100", Count: 8}}, o.Snapshot.System.Capacity.Count); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]jsonspec.NodeCapacity{{Name: "a", Type: "H100", Free: 8}}, o.Snapshot.System.Capacity.Nodes); diff != "" {
		t.Error(diff)
	}
}

// A replica of several pods is one, ready as its leader is, and measured by it alone; the cards of all of its pods are a replica's.
func TestObserveGroups(t *testing.T) {
	want := Observe(readings(nil))
	got := Observe(readings(func(r *Readings) {
		worker := pod("chat-1-1", "a", 2, ours, nil)
		r.Pods = append(r.Pods, worker)
		for _, i := range []int{0, len(r.Pods) - 1} {
			p := &r.Pods[i]
			p.Labels = maps.Clone(p.Labels)
			p.Labels[v1alpha1.GroupLabel] = "g"
			if p.Annotations == nil {
				p.Annotations = map[string]string{}
			}
			p.Annotations[v1alpha1.GroupSizeAnnotation] = "2"
		}
	}))
	if diff := cmp.Diff(want.Statuses, got.Statuses) + cmp.Diff(want.Snapshot, got.Snapshot); diff != "" {
		t.Errorf("with a worker (-without +with):\n%s", diff)
	}
}

// Pods of two roles on one accelerator are told apart by the variants of their Server, and measured together. One that says none is of none that is known, and
// takes its part of the load.
func TestObserveRoles(t *testing.T) {
	o := Observe(readings(func(r *Readings) {
		of := r.Resources.Models[0].Spec.Performance[0]
		prefill, decode := of, of
		prefill.Role, decode.Role, decode.Variant, decode.AcceleratorsPerReplica = jsonspec.RolePrefill, jsonspec.RoleDecode, "decode-tp1", 1
		r.Resources.Models[0].Spec.Performance = []v1alpha1.Performance{prefill, decode}
		r.Resources.Servers[0].Spec.Variants = []jsonspec.Variant{
			{Name: "prompts", ModelVariant: "prefill", Accelerators: []string{"h100"}}, {Name: "tokens", ModelVariant: "decode-tp1", Accelerators: []string{"h100"}},
		}
		variant := func(name string) func(*corev1.Pod) {
			return func(p *corev1.Pod) {
				p.Labels = map[string]string{v1alpha1.ServerLabel: "chat", v1alpha1.VariantLabel: name}
			}
		}
		r.Pods = []corev1.Pod{pod("p-1", "a", 2, ours, variant("prompts")), pod("d-1", "a", 1, ours, variant("tokens")), pod("d-2", "a", 1, ours, variant("tokens")), pod("x", "a", 1, ours, nil)}
		r.Metrics = Metrics{}
		for name, ttft := range map[string]float64{"p-1": 0.6, "d-1": 0.2, "d-2": 0.2} {
			r.Metrics[types.NamespacedName{Namespace: "llm", Name: name}] = sampled(map[Quantity]float64{TTFTSum: ttft})
		}
	}))
	st, e := o.Statuses["llm/chat"], o.Snapshot.System.Servers.Spec[0]
	want := []jsonspec.ObservedPart{{Accelerator: "h100", Variant: "decode-tp1", Ready: 2}, {Accelerator: "h100", Variant: "prefill", Ready: 1}}
	if diff := cmp.Diff(want, st.Current); diff != "" {
		t.Error(diff)
	}
	if st.Load == nil || st.Load.ArrivalRate != 360 || *st.Measured.TTFT != 250 || st.CostPerHour != 1600 || st.Placement != "h100/decode-tp1:2 h100/prefill:1" {
		t.Errorf("load %+v, measured %+v, %v cents per hour, %s", st.Load, st.Measured, st.CostPerHour, st.Placement)
	}
	if len(e.Observation.Groups) != 2 || e.Observation.Groups[1].Variant != "prefill" {
		t.Errorf("groups %+v", e.Observation.Groups)
	}
	if faults := o.NotAllowed["llm/chat"]; faults != nil {
		t.Errorf("faults %v", faults)
	}
	if len(o.Uncounted) != 1 || !strings.Contains(o.Uncounted[0].Why, "no performance data for h100") {
		t.Errorf("uncounted %v", o.Uncounted)
	}
}

// Pods that carry the labels of llm-d alone are told apart by these, where they mean one variant of their Server, by its name or by what it runs.
func TestObserveRolesOfOtherProjects(t *testing.T) {
	observe := func(tokens ...jsonspec.Variant) *Observation {
		return Observe(readings(func(r *Readings) {
			of := r.Resources.Models[0].Spec.Performance[0]
			prefill, decode := of, of
			prefill.Role, decode.Role, decode.Variant = jsonspec.RolePrefill, jsonspec.RoleDecode, "decode-tp1"
			r.Resources.Models[0].Spec.Performance = []v1alpha1.Performance{prefill, decode}
			r.Resources.Servers[0].Spec.Variants = append([]jsonspec.Variant{{Name: "prompts", ModelVariant: "prefill", Accelerators: []string{"h100"}}}, tokens...)
			r.Pods, r.Metrics = nil, Metrics{}
			for name, role := range map[string]string{"p": "prefill", "d-1": "decode", "d-2": "decode"} {
				r.Pods = append(r.Pods, pod(name, "a", 2, map[string]string{v1alpha1.ServerLabel: "chat", "llm-d.ai/inference-serving": "true", "llm-d.ai/role": role}, nil))
				r.Metrics[types.NamespacedName{Namespace: "llm", Name: name}] = sampled(map[Quantity]float64{})
			}
		}))
	}
	of := func(name, runs string) jsonspec.Variant {
		return jsonspec.Variant{Name: name, ModelVariant: runs, Accelerators: []string{"h100"}}
	}
	o := observe(of("decode", "decode-tp1"))
	want := []jsonspec.ObservedPart{{Accelerator: "h100", Variant: "decode-tp1", Ready: 2}, {Accelerator: "h100", Variant: "prefill", Ready: 1}}
	if diff := cmp.Diff(want, o.Statuses["llm/chat"].Current); diff != "" || len(o.Uncounted) > 0 {
		t.Errorf("uncounted %v: %s", o.Uncounted, diff)
	}
	if load := o.Statuses["llm/chat"].Load; load == nil || load.ArrivalRate != 240 {
		t.Errorf("load %+v, want that of two decodes", load)
	}
	for name, o := range map[string]*Observation{"none": observe(of("tokens", "decode-tp1")), "two": observe(of("a", "decode"), of("b", "decode"))} {
		if len(o.Uncounted) != 1 || o.Uncounted[0].Pods != 2 || !strings.Contains(o.Uncounted[0].Why, "of llm-d.ai/role: decode not one variant of the Server is meant") {
			t.Errorf("%s is meant, and uncounted are %v", name, o.Uncounted)
		}
	}
}

// The pods of a server without variants are its own, whatever role labels of other projects give them: where replicas do both, llm-d calls them decode.
func TestWorkloadOfPodsWithRoles(t *testing.T) {
	own := types.NamespacedName{Namespace: "llm", Name: "chat"}
	apart := &jsonspec.ServerBinding{Variants: []jsonspec.Variant{{Name: "tokens", ModelVariant: "decode", Accelerators: []string{"h100"}}}}
	for _, c := range []struct {
		labels map[string]string
		of     *jsonspec.ServerBinding
		want   string
	}{
		{map[string]string{"llm-d.ai/role": "decode"}, &jsonspec.ServerBinding{}, ""},
		{map[string]string{"llm-d.ai/role": "decode"}, nil, ""},
		{map[string]string{"llm-d.ai/role": "decode"}, apart, "tokens"},
		{map[string]string{"llm-d.ai/role": "prefill"}, apart, ""},
		{map[string]string{v1alpha1.VariantLabel: "else"}, apart, "else"},
	} {
		p := pod("a", "a", 1, ours, nil)
		p.Labels = maps.Clone(p.Labels)
		maps.Copy(p.Labels, c.labels)
		if got := WorkloadOf(&p, c.of); got != (Workload{own, c.want}) {
			t.Errorf("%v is of %v, want %q", c.labels, got, c.want)
		}
	}
	o := Observe(readings(func(r *Readings) {
		for i := range r.Pods {
			r.Pods[i].Labels = maps.Clone(r.Pods[i].Labels)
			r.Pods[i].Labels["llm-d.ai/role"] = "decode"
		}
	}))
	if diff := cmp.Diff(Observe(readings(nil)).Snapshot, o.Snapshot); diff != "" || len(o.Uncounted) > 0 {
		t.Errorf("a server of replicas that do both, which are labelled decode, is observed otherwise (-without +with), uncounted %v:\n%s", o.Uncounted, diff)
	}
}

// What engines tell of transfers between roles stands beside what the Model says: of a request in all, whatever number of ranks its cache goes to, and nothing where no
// engine tells.
func TestObserveTransfer(t *testing.T) {
	transfer := func(transfers map[Quantity]float64, of *v1alpha1.Transfer) *v1alpha1.MeasuredTransfer {
		return Observe(readings(func(r *Readings) {
			prefill := r.Resources.Models[0].Spec.Performance[0]
			decode := prefill
			prefill.Role, decode.Role, decode.Transfer = jsonspec.RolePrefill, jsonspec.RoleDecode, of
			r.Resources.Models[0].Spec.Performance = []v1alpha1.Performance{prefill, decode}
			r.Resources.Servers[0].Spec.Variants = []jsonspec.Variant{
				{Name: "p", ModelVariant: "prefill", Accelerators: []string{"h100"}}, {Name: "d", ModelVariant: "decode", Accelerators: []string{"h100"}},
			}
			r.Pods, r.Metrics = nil, Metrics{}
			for name, measured := range map[string]map[Quantity]float64{"p": {}, "d": transfers} {
				r.Pods = append(r.Pods, pod(name, "a", 2, map[string]string{v1alpha1.ServerLabel: "chat", v1alpha1.VariantLabel: name}, nil))
				r.Metrics[types.NamespacedName{Namespace: "llm", Name: name}] = sampled(measured)
			}
		})).Statuses["llm/chat"].Transfer
	}
	// Four ranks, each 40 ms for a quarter of 2 requests of 40 MB per second.
	measured := map[Quantity]float64{TransferSum: 8 * 0.04, Transfers: 8, TransferBytes: 2 * 40e6}
	says := &v1alpha1.Transfer{Bandwidth: resource.MustParse("10G"), Delay: &metav1.Duration{Duration: 5 * time.Millisecond}, BytesPerToken: v1alpha1.DecimalOf(400000)}
	expected := 5 + 1000*100*400000/10e9
	for name, c := range map[string]struct {
		transfers map[Quantity]float64
		of        *v1alpha1.Transfer
		want      *v1alpha1.MeasuredTransfer
	}{
		"both":                 {measured, says, &v1alpha1.MeasuredTransfer{Time: 40, Expected: &expected, Bytes: 40e6, Bandwidth: 1}},
		"the Model says none":  {measured, nil, &v1alpha1.MeasuredTransfer{Time: 40, Bytes: 40e6, Bandwidth: 1}},
		"engines tell nothing": {nil, says, nil},
		"none went over":       {map[Quantity]float64{TransferSum: 0, Transfers: 0, TransferBytes: 0}, says, nil},
	} {
		if diff := cmp.Diff(c.want, transfer(c.transfers, c.of), cmpopts.EquateApprox(1e-6, 0)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

// A workload that runs what the model has not is named, with what it has.
func TestVariantsThatTheModelHasNot(t *testing.T) {
	o := Observe(readings(func(r *Readings) {
		r.Resources.Models[0].Spec.Performance[0].Role = jsonspec.RolePrefill
		r.Resources.Servers[0].Spec.Variants = []jsonspec.Variant{
			{Name: "a", ModelVariant: "prefil", Accelerators: []string{"h100"}}, {Name: "b", ModelVariant: "prefill", Accelerators: []string{"h100", "l4"}}, {Name: "c", Accelerators: []string{"l4"}},
		}
	}))
	want := []string{
		`spec.variants[a].modelVariant: "prefil" is no variant or role of model m, which has prefill`, "spec.variants[b].accelerators: model m has no prefill on l4, it has it on h100",
	}
	if diff := cmp.Diff(want, o.NotAllowed["llm/chat"]); diff != "" {
		t.Error(diff)
	}
}

// Pods and nodes are a cache's: observing them changes nothing of them.
func TestObservingChangesNoObject(t *testing.T) {
	r := readings(nil)
	copies := readings(nil)
	Observe(r)
	if diff := cmp.Diff(copies.Pods, r.Pods) + cmp.Diff(copies.Nodes, r.Nodes); diff != "" {
		t.Error(diff)
	}
}

// Without measurements the load is missing in the snapshot, whatever was known before; the status keeps what was known, with its old time.
func TestObserveFaults(t *testing.T) {
	before := &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(now.Add(-time.Hour)), Load: jsonspec.Load{ArrivalRate: 60, AvgOutTokens: 5}}
	for name, c := range map[string]struct {
		change func(*Readings)
		reason string
	}{
		"Prometheus away": {func(r *Readings) { r.Metrics, r.MetricsFault = nil, errors.New("connection refused") }, v1alpha1.ReasonPrometheusUnreachable},
		"no samples":      {func(r *Readings) { r.Metrics = Metrics{} }, v1alpha1.ReasonNoMetrics},
		"stale samples": {func(r *Readings) {
			r.Metrics[types.NamespacedName{Namespace: "llm", Name: "chat-1"}].values[SampleAge] = 1e4
		}, v1alpha1.ReasonStaleMetrics},
	} {
		o := Observe(readings(func(r *Readings) {
			r.Resources.Servers[0].Status.Load = before
			c.change(r)
		}))
		e := o.Snapshot.System.Servers.Spec[0]
		if e.Observation.Fault != c.reason || e.Observation.Detail == "" || (e.CurrentAlloc != nil && e.CurrentAlloc.Load != nil) {
			t.Errorf("%s: entry %+v of %+v", name, e.Observation, e.CurrentAlloc)
		}
		if diff := cmp.Diff(before, o.Statuses["llm/chat"].Load); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// While no request finishes, their lengths are those of before.
func TestLengthsAreRemembered(t *testing.T) {
	o := Observe(readings(func(r *Readings) {
		r.Resources.Servers[0].Status.Load = &v1alpha1.ObservedLoad{Load: jsonspec.Load{AvgInTokens: 11, AvgOutTokens: 22}}
		m := r.Metrics[types.NamespacedName{Namespace: "llm", Name: "chat-1"}]
		m.values[PromptRequests], m.values[GenerationRequests] = 0, 0
	}))
	if l := o.Statuses["llm/chat"].Load; l.AvgInTokens != 11 || l.AvgOutTokens != 22 || l.ArrivalRate != 120 {
		t.Errorf("load %+v", l)
	}
}

func FuzzLimitAnnotations(f *testing.F) {
	for _, s := range []string{"", "64", "-1", "1e3", "999999999999999999999", " 7", "NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := number(s); n < 0 || (n > 0 && fmt.Sprint(n) != strings.TrimLeft(strings.TrimPrefix(s, "+"), "0")) {
			t.Errorf("%q is read as %d", s, n)
		}
	})
}

// An answer of which a part is missing is none, and servers are held for it; what Prometheus says of samples, which any pod can make it say, is not that.
func TestPartialAnswers(t *testing.T) {
	for warning, want := range map[string]string{
		"receive series from Addr: 10.0.0.7:10901: rpc error": v1alpha1.ReasonPartialMetrics, "PromQL info: metric might not be a counter": "",
		"PromQL warning: encountered a mix of histograms and floats": "",
	} {
		_, err := ReadMetrics(context.Background(), source(t, warned(warning)), now, window)
		if (err != nil) != (want != "") {
			t.Errorf("%q: %v", warning, err)
		}
		if want == "" {
			continue
		}
		o := Observe(readings(func(r *Readings) { r.MetricsFault = err }))
		if seen := o.Snapshot.System.Servers.Spec[0].Observation; seen.Fault != want || !strings.Contains(seen.Detail, warning) {
			t.Errorf("%q: %s %s", warning, seen.Fault, seen.Detail)
		}
	}
}

// warned answers with nothing, and a warning.
func warned(warning string) Querier {
	return Whole(func(_ context.Context, query string, _ time.Time) (model.Value, []string, error) {
		var v model.Value = model.Vector{}
		if strings.HasSuffix(query, "]") {
			v = model.Matrix{}
		}
		return v, []string{warning}, nil
	})
}

// began makes the pods of readings ones that were ready 40 s ago, and found a queue, of a server that was last measured so long ago.
func began(r *Readings, unseen time.Duration) {
	r.Pods[0].Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-40 * time.Second))
	r.Metrics = Metrics{{Namespace: "llm", Name: "chat-1"}: sampled(map[Quantity]float64{RunningNow: 60, WaitingNow: 205, RunningThen: math.NaN(), WaitingThen: math.NaN()})}
	r.Resources.Servers[0].Status.Load = &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(now.Add(-unseen)), Load: jsonspec.Load{ArrivalRate: 7, AvgInTokens: 11, AvgOutTokens: 22}}
}

// What waited while there was no pod is no load: the last that was measured stands until there is one.
func TestWhatWaitedIsNoLoad(t *testing.T) {
	o := Observe(readings(func(r *Readings) { began(r, 10*time.Minute) }))
	e := o.Snapshot.System.Servers.Spec[0]
	if l := o.Statuses["llm/chat"].Load; l == nil || l.ArrivalRate != 7 || e.Observation.Fault != v1alpha1.ReasonNoMetrics {
		t.Errorf("load %+v, fault %q", l, e.Observation.Fault)
	}
}

// Where a gateway counts for a server alone its rate is the load; not where it counts for several together, or others bypass it.
func TestGateway(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Readings)
		want   float64 // requests per minute; the engines see 120
	}{
		{"none", nil, 120},
		{"one", func(r *Readings) { r.Gateways = Gateways{{"llm", "m"}: {Rate: 3}} }, 180},
		{"served under another name", func(r *Readings) {
			r.Resources.Models[0].Spec.ServedName = "org/m"
			r.Gateways = Gateways{{"llm", "org/m"}: {Rate: 3}, {"llm", "m"}: {Rate: 7}}
		}, 180},
		{"of another namespace", func(r *Readings) { r.Gateways = Gateways{{"other", "m"}: {Rate: 3}} }, 120},
		{"for two servers", func(r *Readings) {
			r.Gateways = Gateways{{"llm", "m"}: {Rate: 3}}
			other := r.Resources.Servers[0]
			other.Name = "other"
			r.Resources.Servers = append(r.Resources.Servers, other)
		}, 120},
		{"its own counter", func(r *Readings) {
			r.Gateways = Gateways{{"llm", "m"}: {Rate: 7}}
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "chat"}: {Rate: 3, Known: true}}
		}, 180},
		{"its own counter, bypassed", func(r *Readings) {
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "chat"}: {Rate: 0, Known: true}}
		}, 120},
		{"its own counter, without series", func(r *Readings) {
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "chat"}: {}}
		}, 120},
		{"another's counter fails", func(r *Readings) {
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "other"}: {Err: errors.New("no")}}
		}, 120},
		{"another's counter", func(r *Readings) {
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "other"}: {Rate: 3, Known: true}}
		}, 120},
		{"a little less than the engines see", func(r *Readings) { r.Gateways = Gateways{{"llm", "m"}: {Rate: 1.9}} }, 114},
		{"bypassed", func(r *Readings) { r.Gateways = Gateways{{"llm", "m"}: {Rate: 1}} }, 120},
		{"scaled to zero, and held at the gateway", func(r *Readings) {
			r.Gateways = Gateways{{"llm", "m"}: {Held: 3 * window.Seconds()}}
			r.Pods, r.Metrics = nil, Metrics{}
			r.Resources.Servers[0].Status.Load = &v1alpha1.ObservedLoad{Load: jsonspec.Load{AvgInTokens: 11, AvgOutTokens: 22}}
		}, 180},
		{"its first pod after a time without", func(r *Readings) {
			began(r, 10*time.Minute)
			r.Gateways = Gateways{{"llm", "m"}: {Rate: 3}}
		}, 180},
		{"its first pod while the gateway was measured", func(r *Readings) {
			began(r, 30*time.Second)
			r.Gateways = Gateways{{"llm", "m"}: {Rate: 3}}
		}, 180},
		{"none of its pods is ready", func(r *Readings) {
			r.Arrivals = map[types.NamespacedName]Counted{{Namespace: "llm", Name: "chat"}: {Rate: 3, Known: true}}
			for i := range r.Pods {
				r.Pods[i].Status.Conditions = nil
			}
			r.Resources.Servers[0].Status.Load = &v1alpha1.ObservedLoad{Load: jsonspec.Load{AvgInTokens: 11, AvgOutTokens: 22}}
		}, 180},
		{"scaled to zero", func(r *Readings) {
			r.Gateways = Gateways{{"llm", "m"}: {Rate: 3}}
			r.Pods, r.Metrics = nil, Metrics{}
			r.Resources.Servers[0].Status.Load = &v1alpha1.ObservedLoad{Load: jsonspec.Load{AvgInTokens: 11, AvgOutTokens: 22}}
		}, 180},
	} {
		o := Observe(readings(c.change))
		if l := o.Statuses["llm/chat"].Load; l == nil || math.Abs(l.ArrivalRate-c.want) > 1e-9 || l.AvgOutTokens == 0 {
			t.Errorf("%s: load %+v, want %v requests a minute", c.name, l, c.want)
		}
	}
}

func TestReadGateways(t *testing.T) {
	got, err := ReadGateways(context.Background(), source(t, prometheus(func(query string) (model.Value, error) {
		if !strings.Contains(query, "llm_d_epp_request_total") {
			return model.Vector{}, nil
		}
		return model.Vector{
			{Metric: model.Metric{"namespace": "llm", "model_name": "chat", "target_model_name": "m"}, Value: 2},
			{Metric: model.Metric{"namespace": "llm", "model_name": "other", "target_model_name": "m"}, Value: 1},
			{Metric: model.Metric{"namespace": "llm", "model_name": "plain"}, Value: 5},
			{Metric: model.Metric{"namespace": "llm", "model_name": "odd"}, Value: model.SampleValue(math.NaN())},
		}, nil
	})), now, window)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Gateways{{"llm", "m"}: {Rate: 3}, {"llm", "plain"}: {Rate: 5}}, got); diff != "" {
		t.Error(diff)
	}
	for name, answer := range map[string]func(string) (model.Value, error){
		"refused":      func(string) (model.Value, error) { return nil, errors.New("refused") },
		"not a vector": func(string) (model.Value, error) { return &model.Scalar{}, nil },
	} {
		if _, err := ReadGateways(context.Background(), source(t, prometheus(answer)), now, window); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

// MIG devices are counted under their own resource, beside the cards of the same node that are whole.
func TestCapacityOfMIGProfiles(t *testing.T) {
	v := newView(&Cluster{
		Accelerators: []v1alpha1.Accelerator{accelerator("a100", "A100-80GB", 1, 1), accelerator("small", "A100-80GB-MIG-1g.10gb", 1, 1)},
		Nodes: []corev1.Node{node("a", "NVIDIA-A100-SXM4-80GB", 6, func(n *corev1.Node) {
			n.Labels["nvidia.com/mig-1g.10gb.product"] = "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"
			n.Status.Allocatable["nvidia.com/mig-1g.10gb"] = resource.MustParse("14")
		})},
		Pods: []corev1.Pod{pod("theirs", "a", 1, nil, func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests["nvidia.com/mig-1g.10gb"] = resource.MustParse("3")
		})},
	})
	want := map[string]TypeCapacity{"A100-80GB": {Nodes: 1, Capacity: 6, Available: 5}, "A100-80GB-MIG-1g.10gb": {Nodes: 1, Capacity: 14, Available: 11}}
	if diff := cmp.Diff(want, v.capacity()); diff != "" {
		t.Error(diff)
	}
	ours := pod("ours", "a", 0, ours, func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Requests["nvidia.com/mig-1g.10gb"] = resource.MustParse("1")
	})
	delete(ours.Spec.Containers[0].Resources.Requests, "nvidia.com/gpu")
	if got := v.accelerator(&ours); got != "small" {
		t.Errorf("a pod with a MIG device runs on %q", got)
	}
}

// slice of a node with so many devices; claim holds some of them for a pod.
func slice(node, product string, names ...string) resourcev1.ResourceSlice {
	s := resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{Driver: "gpu.nvidia.com", NodeName: &node, Pool: resourcev1.ResourcePool{Name: node}}}
	for _, name := range names {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{Name: name, Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{productAttribute: {StringValue: &product}}})
	}
	return s
}

func claim(pool, device string, reservedFor ...types.UID) resourcev1.ResourceClaim {
	c := resourcev1.ResourceClaim{Status: resourcev1.ResourceClaimStatus{Allocation: &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{
		Results: []resourcev1.DeviceRequestAllocationResult{{Driver: "gpu.nvidia.com", Pool: pool, Device: device}},
	}}}}
	for _, uid := range reservedFor {
		c.Status.ReservedFor = append(c.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{Resource: "pods", UID: uid})
	}
	return c
}

// Cards that drivers of dynamic resource allocation publish are capacity; those that claims hold for others are not, nor are they counted twice
// where a device plugin advertises them as well.
func TestCapacityOfClaims(t *testing.T) {
	bare := func(n *corev1.Node) { n.Labels, n.Status.Allocatable = nil, nil }
	v := newView(&Cluster{
		Servers:      chat(nil, "h100"),
		Accelerators: []v1alpha1.Accelerator{accelerator("h100", "H100", 1, 1)},
		Nodes:        []corev1.Node{node("a", "", 0, bare), node("b", h100Product, 4, nil), node("c", "", 0, bare), node("d", h100Product, 2, nil)},
		Pods: []corev1.Pod{
			pod("ours", "a", 0, ours, func(p *corev1.Pod) { p.UID = "1" }), pod("theirs", "a", 0, nil, func(p *corev1.Pod) { p.UID = "2" }), pod("plain", "b", 1, nil, nil),
		},
		Slices: []resourcev1.ResourceSlice{
			slice("a", "NVIDIA H100 80GB HBM3", "0", "1", "2", "3"), slice("b", "NVIDIA H100 80GB HBM3", "0", "1", "2", "3"), slice("c", "Unheard Of", "0"), {},
		},
		Claims: []resourcev1.ResourceClaim{claim("a", "0", "1"), claim("a", "1", "2"), claim("a", "2"), claim("b", "0", "2"), {}},
	})
	if diff := cmp.Diff(map[string]TypeCapacity{"H100": {Nodes: 3, Capacity: 10, Available: 2 + 2 + 2}}, v.capacity()); diff != "" {
		t.Error(diff)
	}
}

// A quota of the namespace bounds the replicas of its servers, by the cards that they take.
func TestQuotas(t *testing.T) {
	quota := func(namespace string, hard, used int64, change func(*corev1.ResourceQuota)) corev1.ResourceQuota {
		list := func(n int64) corev1.ResourceList {
			return corev1.ResourceList{"requests.nvidia.com/gpu": *resource.NewQuantity(n, resource.DecimalSI), "pods": resource.MustParse("1")}
		}
		q := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Status: corev1.ResourceQuotaStatus{Hard: list(hard), Used: list(used)}}
		if change != nil {
			change(&q)
		}
		return q
	}
	bound := 3
	for _, c := range []struct {
		name   string
		quotas []corev1.ResourceQuota
		max    *int
		want   int
	}{
		{"none", nil, nil, 0},
		// Two pods of the server hold four cards of six that are used; a replica takes two.
		{"some left", []corev1.ResourceQuota{quota("llm", 16, 6, nil)}, nil, 7},
		{"the tightest counts", []corev1.ResourceQuota{quota("llm", 16, 6, nil), quota("llm", 9, 6, nil)}, nil, 3},
		{"the server's own bound is tighter", []corev1.ResourceQuota{quota("llm", 16, 6, nil)}, &bound, 3},
		{"none left", []corev1.ResourceQuota{quota("llm", 2, 6, nil)}, nil, 1},
		{"of another namespace", []corev1.ResourceQuota{quota("other", 2, 0, nil)}, nil, 0},
		{"with a scope", []corev1.ResourceQuota{quota("llm", 2, 0, func(q *corev1.ResourceQuota) { q.Spec.Scopes = []corev1.ResourceQuotaScope{"BestEffort"} })}, nil, 0},
		{"of other cards", []corev1.ResourceQuota{quota("llm", 2, 0, func(q *corev1.ResourceQuota) {
			q.Status.Hard = corev1.ResourceList{"requests.amd.com/gpu": resource.MustParse("1")}
		})}, nil, 0},
	} {
		o := Observe(readings(func(r *Readings) {
			r.Quotas = c.quotas
			r.Resources.Servers[0].Spec.MaxReplicas = c.max
		}))
		if got := o.Snapshot.System.Servers.Spec[0].MaxNumReplicas; got != c.want {
			t.Errorf("%s: at most %d replicas, want %d", c.name, got, c.want)
		}
	}
}

// Histories are means over windows, at their middles; what is no rate is left out, what is no series is no history, and what is no answer is an error.
func TestReadHistory(t *testing.T) {
	server := types.NamespacedName{Namespace: "llm", Name: "chat"}
	answer := func(v model.Value, err error) ([]forecast.Sample, error) {
		return ReadHistory(context.Background(), source(t, prometheus(func(query string) (model.Value, error) {
			if !strings.Contains(query, `"llm"`) || !strings.Contains(query, `"chat"`) || !strings.Contains(query, `namespace="inferno"`) || !strings.HasSuffix(query, "[1w:5m]") {
				t.Errorf("asked for %s", query)
			}
			return v, err
		})), server, "inferno", time.Unix(1000, 0), 7*86400, 300)
	}
	pairs := []model.SamplePair{{Timestamp: 600_000, Value: 2}, {Timestamp: 900_000, Value: model.SampleValue(math.NaN())}, {Timestamp: 1_200_000, Value: 0}}
	got, err := answer(model.Matrix{{Values: pairs}}, nil)
	if diff := cmp.Diff([]forecast.Sample{{Time: 450, Rate: 2}, {Time: 1050}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if got, err := answer(model.Matrix{}, nil); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
	for _, c := range []struct {
		v   model.Value
		err error
	}{{nil, errors.New("refused")}, {model.Vector{}, nil}} {
		if _, err := answer(c.v, c.err); err == nil || !strings.Contains(err.Error(), ArrivalRateMetric) {
			t.Errorf("%v: error %v", c, err)
		}
	}
}
