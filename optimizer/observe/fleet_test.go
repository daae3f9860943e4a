package observe

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// virtualFleet plays servers in virtual time, from arrivals to what Prometheus would answer, and obeys the plans that are made of that.
type virtualFleet struct {
	t         *testing.T
	now       float64
	resources specification.Resources
	nodes     []corev1.Node
	truth     func(model, accelerator string) simulation.Config
	servers   []*virtualServer
	departed  map[types.NamespacedName]virtualGone
	stages    *control.Stages
	state     control.State
	startUp   float64
	window    float64
}

type virtualGone struct {
	pod *virtualPod
	at  float64
}

type virtualServer struct {
	resource *v1alpha1.Server
	served   *serving.Server
	arrivals *rand.Rand
	load     func(at float64) float64
	lengths  func(*rand.Rand) (in, out int)
	next     float64
	pods     []*virtualPod
	made     int
}

// virtualPod is a pod, its engine and what was scraped of it.
type virtualPod struct {
	pod     corev1.Pod
	readyAt float64
	engine  *simulation.Engine
	cache   float64 // tokens
	counts  scrape
	scraped []scrape
}

// scrape is what a page of metrics shows at a time.
type scrape struct {
	at                                       float64
	running, waiting                         float64
	completions, preemptions, prefill        float64
	ttftSum, ttftCount, itlSum, itlCount     float64
	prompt, generation, requests, cacheUsage float64
}

const scrapeInterval = 5.0

func (f *virtualFleet) addPod(s *virtualServer, accelerator string, batch, budget int) {
	s.made++
	name := fmt.Sprintf("%s-%d", s.resource.Name, s.made)
	p := &virtualPod{readyAt: f.now + f.startUp}
	p.pod = pod(name, "node-"+accelerator, 1, map[string]string{v1alpha1.ServerLabel: s.resource.Name}, func(q *corev1.Pod) {
		q.Annotations = map[string]string{
			v1alpha1.AcceleratorAnnotation: accelerator, v1alpha1.MaxNumSeqsAnnotation: fmt.Sprint(batch), v1alpha1.MaxNumBatchedTokensAnnotation: fmt.Sprint(budget),
		}
		q.Status.Conditions[0].Status = corev1.ConditionFalse
	})
	c := f.truth(s.resource.Spec.Model, accelerator)
	c.Limits = simulation.Limits{MaxNumSeqs: batch, MaxNumBatchedTokens: budget}
	c.Seed = uint64(len(name)*1000 + s.made)
	n := &p.counts
	c.Hooks = simulation.Hooks{
		FirstToken: func(_, seconds float64, r simulation.Request) {
			n.ttftSum += seconds
			n.ttftCount++
			n.prefill += float64(r.InputTokens)
		},
		TokenInterval: func(_, seconds float64, count int) {
			n.itlSum += seconds * float64(count)
			n.itlCount += float64(count)
		},
		Completed: func(c simulation.Completion) {
			n.completions++
			n.requests++
			n.prompt += float64(c.InputTokens)
			n.generation += float64(c.OutputTokens)
		},
	}
	e, err := simulation.New(c)
	if err != nil {
		f.t.Fatal(err)
	}
	p.engine, p.cache = e, float64(c.Blocks*c.BlockSize)
	s.pods = append(s.pods, p)
}

func unix(at float64) time.Time { return time.UnixMicro(int64(1e12 + at*1e6)) }

// ready makes pods ready whose time has come.
func (f *virtualFleet) ready(s *virtualServer) {
	for _, p := range s.pods {
		if c := &p.pod.Status.Conditions[0]; c.Status != corev1.ConditionTrue && p.readyAt <= f.now {
			c.Status, c.LastTransitionTime = corev1.ConditionTrue, metav1.NewTime(unix(f.now))
			if err := s.served.Add(f.now, p.pod.Name, p.pod.Annotations[v1alpha1.AcceleratorAnnotation], p.engine); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

func (f *virtualFleet) remove(s *virtualServer, p *virtualPod) {
	if p.pod.Status.Conditions[0].Status == corev1.ConditionTrue {
		if err := s.served.Remove(f.now, p.pod.Name); err != nil {
			f.t.Fatal(err)
		}
		f.departed[types.NamespacedName{Namespace: p.pod.Namespace, Name: p.pod.Name}] = virtualGone{p, f.now}
	}
	s.pods = slices.DeleteFunc(s.pods, func(q *virtualPod) bool { return q == p })
}

// play for some seconds, scraping as it goes.
func (f *virtualFleet) play(seconds float64) {
	for end := f.now + seconds; f.now < end; {
		to := math.Min(end, (math.Floor(f.now/scrapeInterval)+1)*scrapeInterval)
		for _, s := range f.servers {
			f.ready(s)
			for ; s.next < to; s.next += s.arrivals.ExpFloat64() / s.load(s.next) {
				in, out := s.lengths(s.arrivals)
				s.served.Arrive(trace.Arrival{At: s.next, InputTokens: in, OutputTokens: out})
			}
			s.served.Advance(to)
			for _, p := range s.pods {
				if p.pod.Status.Conditions[0].Status == corev1.ConditionTrue {
					p.scrape(to)
				}
			}
		}
		f.now = to
	}
}

func (p *virtualPod) scrape(at float64) {
	st := p.engine.Stats()
	p.counts.at, p.counts.running, p.counts.waiting = at, float64(st.Running), float64(st.Waiting)
	p.counts.preemptions, p.counts.cacheUsage = float64(st.Preemptions), st.CacheUsage()
	p.scraped = append(p.scraped, p.counts)
}

// metrics are what Prometheus would answer of a pod at a time.
func (p *virtualPod) metrics(now, window float64) *PodMetrics {
	m := newPodMetrics()
	in := func(w float64) []scrape {
		i := slices.IndexFunc(p.scraped, func(s scrape) bool { return s.at > now-w-scrapeInterval/2 })
		if i < 0 {
			return nil
		}
		return p.scraped[i:]
	}
	recent, long := in(window), in(demand.LengthWindows*window)
	if len(recent) == 0 {
		return nil
	}
	rate := func(list []scrape, w float64, f func(scrape) float64) float64 {
		if len(list) < 2 {
			return math.NaN()
		}
		covered := list[len(list)-1].at - list[0].at
		return (f(list[len(list)-1]) - f(list[0])) / w * min(w, covered+scrapeInterval) / covered
	}
	last := recent[len(recent)-1]
	set := func(q quantity, v float64) { m.values[q] = v }
	set(completions, rate(recent, window, func(s scrape) float64 { return s.completions }))
	set(admissions, rate(recent, window, func(s scrape) float64 { return s.ttftCount }))
	set(preemptions, rate(recent, window, func(s scrape) float64 { return s.preemptions }))
	set(prefillTokens, rate(recent, window, func(s scrape) float64 { return s.prefill }))
	set(ttftSum, rate(recent, window, func(s scrape) float64 { return s.ttftSum }))
	set(ttftCount, rate(recent, window, func(s scrape) float64 { return s.ttftCount }))
	set(itlSum, rate(recent, window, func(s scrape) float64 { return s.itlSum }))
	set(itlCount, rate(recent, window, func(s scrape) float64 { return s.itlCount }))
	set(promptTokens, rate(long, 4*window, func(s scrape) float64 { return s.prompt }))
	set(promptRequests, rate(long, 4*window, func(s scrape) float64 { return s.requests }))
	set(generationTokens, rate(long, 4*window, func(s scrape) float64 { return s.generation }))
	set(generationRequests, rate(long, 4*window, func(s scrape) float64 { return s.requests }))
	var n, w, nn float64
	for _, s := range recent {
		n += s.running
		nn += s.running * s.running
		w += s.waiting
	}
	k := float64(len(recent))
	set(running, n/k)
	set(runningVariance, nn/k-n/k*n/k)
	set(waiting, w/k)
	set(runningNow, last.running)
	set(runningThen, recent[0].running)
	set(waitingNow, last.waiting)
	set(waitingThen, recent[0].waiting)
	set(kvUsage, last.cacheUsage)
	set(engineCount, 1)
	set(kvTokens, p.cache)
	set(sampleAge, now-last.at)
	return m
}

// observe makes a snapshot of the fleet.
func (f *virtualFleet) observe() *Observation {
	r := &Readings{
		Now: unix(f.now), Window: time.Duration(f.window * 1e9), StaleAfter: time.Duration(3 * f.window * 1e9), Resources: f.resources, Nodes: f.nodes,
		Metrics: Metrics{}, Departed: map[types.NamespacedName]types.NamespacedName{},
	}
	for _, s := range f.servers {
		f.ready(s)
		for _, p := range s.pods {
			r.Pods = append(r.Pods, p.pod)
			if m := p.metrics(f.now, f.window); m != nil {
				r.Metrics[types.NamespacedName{Namespace: p.pod.Namespace, Name: p.pod.Name}] = m
			}
		}
	}
	for name, gone := range f.departed {
		if f.now-gone.at > f.window {
			delete(f.departed, name)
			continue
		}
		r.Departed[name] = types.NamespacedName{Namespace: name.Namespace, Name: gone.pod.pod.Labels[v1alpha1.ServerLabel]}
		if m := gone.pod.metrics(f.now, f.window); m != nil {
			r.Metrics[name] = m
		}
	}
	return Observe(r)
}

// cycle observes, decides and obeys.
func (f *virtualFleet) cycle() *fleet.Snapshot {
	o := f.observe()
	o.Snapshot.HorizonSeconds = 30
	snap := o.Snapshot.Core()
	d, err := f.stages.Decide(context.Background(), snap, f.state, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.state = d.State
	plan := specification.Solution(&o.Snapshot.System, &d.Plan)
	for _, s := range f.servers {
		name := s.resource.Namespace + "/" + s.resource.Name
		st := o.Statuses[name]
		if a, ok := plan.Allocations[name]; ok {
			st.Desired = specification.Desired(&a)
			f.obey(s, st.Desired.Parts)
		}
		s.resource.Status = st
	}
	return snap
}

// cost of all pods, in cents per hour.
func (f *virtualFleet) cost() float64 {
	sum := 0.0
	for _, s := range f.servers {
		for _, p := range s.pods {
			for _, c := range chips {
				if c.name == p.pod.Annotations[v1alpha1.AcceleratorAnnotation] {
					sum += c.cost
				}
			}
		}
	}
	return sum
}

// obey makes the pods those of the plan: new ones first, the old ones go when the new ones are ready.
func (f *virtualFleet) obey(s *virtualServer, parts []v1alpha1.AllocationPart) {
	want := map[string]v1alpha1.AllocationPart{}
	for _, p := range parts {
		want[p.Accelerator] = p
	}
	have, ready := map[string]int{}, map[string]int{}
	for _, p := range s.pods {
		a := p.pod.Annotations[v1alpha1.AcceleratorAnnotation]
		have[a]++
		if p.pod.Status.Conditions[0].Status == corev1.ConditionTrue {
			ready[a]++
		}
	}
	lacking := false
	for _, a := range slices.Sorted(maps.Keys(want)) {
		for range want[a].Replicas - have[a] {
			f.addPod(s, a, cmp.Or(want[a].MaxBatchSize, 256), cmp.Or(want[a].MaxBatchedTokens, 2048))
		}
		lacking = lacking || ready[a] < want[a].Replicas
	}
	for _, p := range slices.Backward(slices.Clone(s.pods)) {
		a := p.pod.Annotations[v1alpha1.AcceleratorAnnotation]
		if have[a] > want[a].Replicas && (want[a].Replicas > 0 || !lacking) {
			have[a]--
			f.remove(s, p)
		}
	}
}

// given performance of a pair.
func (f *virtualFleet) given(p control.Pair) v1alpha1.Performance {
	for _, m := range f.resources.Models {
		for _, q := range m.Spec.PerfData {
			if m.Name == p.Model && q.Acc == p.Accelerator {
				return q
			}
		}
	}
	f.t.Fatalf("no %v", p)
	return v1alpha1.Performance{}
}

func newVirtualServer(t *testing.T, targets serving.Targets, seed uint64, load func(float64) float64, lengths func(*rand.Rand) (int, int)) *virtualServer {
	b, err := routing.Balancers().New(routing.LeastRequests, nil)
	if err != nil {
		t.Fatal(err)
	}
	served, err := serving.NewServer(b, serving.RecordOptions{Targets: targets, Window: 60, Keep: 10})
	if err != nil {
		t.Fatal(err)
	}
	return &virtualServer{served: served, arrivals: rand.New(rand.NewPCG(seed, 7)), load: load, lengths: lengths}
}
