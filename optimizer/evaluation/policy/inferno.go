package policy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// inferno runs the decision core on what Prometheus and the cluster would tell.
type inferno struct {
	fleet    *Fleet
	system   v1alpha1.System
	stages   *control.Stages
	state    control.State
	interval float64
	// completions makes the loop take completions for arrivals, as llm-inferno does.
	completions bool
	record      func(*loop.Record) error
}

func newInferno(f *Fleet, _ Settings) (cluster.Policy, error) {
	p, err := newLoop(f, f.Scenario.System, f.Scenario.Loop.Interval)
	if err != nil {
		return nil, err
	}
	p.record = f.Record
	return p, nil
}

func newInfernoFixed(f *Fleet, _ Settings) (cluster.Policy, error) {
	system := f.Scenario.System
	system.Servers.Spec = slices.Clone(system.Servers.Spec)
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		e.MaxBatchedTokens = f.Scenario.Limits(e.Name).MaxNumBatchedTokens
	}
	return newLoop(f, system, f.Scenario.Loop.Interval)
}

// newReference sets up the stages as llm-inferno's control loop has them.
func newReference(f *Fleet, set Settings) (cluster.Policy, error) {
	system := f.Scenario.System
	system.Optimizer.Spec.Plugs = v1alpha1.Plugs{
		QueueModel: &v1alpha1.Plug{Name: "mm1k-state-dependent"}, Estimator: system.Optimizer.Spec.Estimator, Forecaster: &v1alpha1.Plug{Name: "none"},
		Solver: &v1alpha1.Plug{Name: "greedy"}, Stability: &v1alpha1.Plug{Name: "none"},
	}
	system.Optimizer.Spec.Heterogeneous = false
	system.Optimizer.Spec.Change = nil
	system.ServiceClasses.Spec = slices.Clone(system.ServiceClasses.Spec)
	for i := range system.ServiceClasses.Spec {
		c := &system.ServiceClasses.Spec[i]
		c.ModelTargets = slices.Clone(c.ModelTargets)
		for k := range c.ModelTargets {
			c.ModelTargets[k].Percentile = 0
		}
	}
	system.Servers.Spec = slices.Clone(system.Servers.Spec)
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		e.MaxBatchedTokens = f.Scenario.Limits(e.Name).MaxNumBatchedTokens
	}
	p, err := newLoop(f, system, set["interval"])
	if err != nil {
		return nil, err
	}
	p.completions = true
	return p, nil
}

func newLoop(f *Fleet, system v1alpha1.System, interval float64) (*inferno, error) {
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	p := &inferno{fleet: f, system: system, stages: stages, interval: interval}
	p.system.Servers.Spec = slices.Clone(system.Servers.Spec)
	p.system.Optimizer.Spec.Unlimited = false
	for i := range p.system.Servers.Spec {
		e := &p.system.Servers.Spec[i]
		e.CurrentAlloc, e.Observation = nil, nil
		initial := f.server(e.Name).Initial
		e.DesiredAlloc = allocation(initial)
	}
	return p, nil
}

// allocation that an initial order stands for.
func allocation(o cluster.Order) *v1alpha1.Allocation {
	for _, a := range slices.Sorted(maps.Keys(o.Quota)) {
		l := o.Limits[a]
		return &v1alpha1.Allocation{Accelerator: a, NumReplicas: o.Replicas, MaxBatch: l.MaxNumSeqs, MaxBatchedTokens: l.MaxNumBatchedTokens}
	}
	return nil
}

func (p *inferno) Interval() float64 { return p.interval }
func (p *inferno) Lag() float64      { return lagOf(p.fleet) }

// epoch is a midnight, so that days of the simulation are days.
var epoch = time.Unix(1_700_006_400, 0).UTC()

func (p *inferno) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	now := epoch.Add(time.Duration(v.Now * float64(time.Second)))
	startUp := p.fleet.Config.Times.StartUp
	snap := &specification.Snapshot{
		Time: metav1.NewMicroTime(now), System: p.system, StartUpSeconds: startUp, HorizonSeconds: p.interval + startUp, WindowSeconds: p.fleet.Scenario.Loop.Window,
	}
	snap.System.Capacity = p.capacity(v)
	snap.System.Servers.Spec = slices.Clone(p.system.Servers.Spec)
	for i := range v.Servers {
		e := entryOf(&snap.System, v.Servers[i].Name)
		p.observe(&v.Servers[i], v.Now, now, e)
		if p.completions && e.CurrentAlloc != nil && e.CurrentAlloc.Load != nil {
			e.CurrentAlloc.Load.ArrivalRate = e.CurrentAlloc.Load.Throughput
		}
	}
	d, err := p.stages.Decide(context.Background(), snap.Core(), p.state, nil)
	if err != nil {
		return nil, err
	}
	report := specification.Report(&snap.System, &d.Decision)
	if p.record != nil {
		r := &loop.Record{ID: fmt.Sprintf("%.0fs", v.Now), Snapshot: *snap, State: p.state, Decision: report}
		if err := p.record(r); err != nil {
			return nil, err
		}
	}
	p.state = d.State
	cards := map[string]int{}
	for _, n := range v.Nodes {
		cards[n.Type] += n.Cards
	}
	surges := loop.Surges(snap, cards, &report.Plan, p.state)
	orders := map[string]cluster.Order{}
	for i := range v.Servers {
		name := v.Servers[i].Name
		e := entryOf(&p.system, name)
		e.CurrentAlloc = entryOf(&snap.System, name).CurrentAlloc // lengths that are remembered
		a, planned := report.Plan.Allocations[name]
		switch {
		case planned:
			e.DesiredAlloc = &a
			orders[name] = p.order(&a, &v.Servers[i], surges[name])
		case d.Verdicts[name].Reason == v1alpha1.ReasonNoCapacity:
			e.DesiredAlloc = &v1alpha1.Allocation{}
			orders[name] = cluster.Order{Quota: map[string]int{}}
		}
	}
	return orders, nil
}

func entryOf(s *v1alpha1.System, name string) *v1alpha1.ServerEntry {
	i := slices.IndexFunc(s.Servers.Spec, func(e v1alpha1.ServerEntry) bool { return e.Name == name })
	return &s.Servers.Spec[i]
}

// capacity is that of the nodes that are there, and of those that may come.
func (p *inferno) capacity(v *cluster.View) v1alpha1.CapacityData {
	var c v1alpha1.CapacityData
	count := map[string]int{}
	nodes := map[string]int{}
	for _, n := range v.Nodes {
		c.Nodes = append(c.Nodes, v1alpha1.NodeCapacity{Name: n.Name, Type: n.Type, Free: n.Cards})
		count[n.Type] += n.Cards
		nodes[n.Type]++
	}
	for _, a := range p.fleet.Config.Accelerators {
		if n, given := count[a.Type]; given || !slices.ContainsFunc(c.Count, func(x v1alpha1.AcceleratorCount) bool { return x.Type == a.Type }) {
			c.Count = append(c.Count, v1alpha1.AcceleratorCount{Type: a.Type, Count: n})
			delete(count, a.Type)
		}
	}
	for i, pool := range p.fleet.Config.Pools {
		if left := pool.Nodes + pool.Elastic - nodes[pool.Type]; pool.Elastic > 0 && left > 0 {
			c.Elastic = append(c.Elastic, v1alpha1.ElasticCapacity{
				Name: fmt.Sprintf("%s-%d", pool.Type, i), Type: pool.Type, Cards: pool.Cards, Limit: left, DelaySeconds: pool.Delay,
			})
		}
	}
	return c
}

// observe fills in what Prometheus and the cluster tell of a server.
func (p *inferno) observe(s *cluster.ServerView, at float64, now time.Time, e *v1alpha1.ServerEntry) {
	window := p.fleet.Scenario.Loop.Window
	seen := observe.Simulated{Now: now, Window: seconds(window), StaleAfter: seconds(3 * window), Parts: parts(s)}
	for i := range s.Pods {
		if pod := &s.Pods[i]; pod.Ready {
			seen.Ready = append(seen.Ready, observe.MeasuredPod{
				Measurements: measurements(pod.Series, at, window), ReadyFor: seconds(at - pod.ReadyAt),
				Accelerator: pod.Accelerator, MaxBatchSize: pod.Limits.MaxNumSeqs, MaxBatchedTokens: pod.Limits.MaxNumBatchedTokens,
			})
		}
	}
	for _, series := range s.Departed {
		if m := measurements(series, at, window); m != nil && series[len(series)-1].At > at-window {
			seen.Departed = append(seen.Departed, m)
		}
	}
	seen.Attainment = attainment(s, at, window)
	seen.Fill(e)
}

// attainment is the share of requests that met both targets, by the buckets of two histograms: who missed both counts twice.
func attainment(s *cluster.ServerView, at, window float64) float64 {
	var first, met, done, fast float64
	for i := range s.Pods {
		for q, sum := range map[cluster.Quantity]*float64{cluster.TTFTCount: &first, cluster.TTFTMet: &met, cluster.Completions: &done, cluster.ITLMet: &fast} {
			x, _ := s.Pods[i].Series.Rate(q, at, window)
			*sum += x
		}
	}
	return max(met/first+fast/done-1, 0)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// parts are the pods of a server by accelerator and limits, sorted.
func parts(s *cluster.ServerView) []v1alpha1.ObservedPart {
	type kind struct {
		accelerator string
		limits      simulation.Limits
	}
	by := map[kind]*v1alpha1.ObservedPart{}
	for _, pod := range s.Pods {
		k := kind{pod.Accelerator, pod.Limits}
		if by[k] == nil {
			by[k] = &v1alpha1.ObservedPart{Accelerator: k.accelerator, MaxBatchSize: k.limits.MaxNumSeqs, MaxBatchedTokens: k.limits.MaxNumBatchedTokens}
		}
		if pod.Ready {
			by[k].Ready++
		} else {
			by[k].Starting++
		}
	}
	var list []v1alpha1.ObservedPart
	for _, part := range by {
		list = append(list, *part)
	}
	slices.SortFunc(list, func(a, b v1alpha1.ObservedPart) int {
		return cmp.Or(cmp.Compare(a.Accelerator, b.Accelerator), cmp.Compare(a.MaxBatchSize, b.MaxBatchSize), cmp.Compare(a.MaxBatchedTokens, b.MaxBatchedTokens))
	})
	return list
}

// measurements of a pod as Prometheus would answer; nil without a sample.
func measurements(s cluster.Series, at, window float64) *observe.Measurements {
	if len(s) == 0 {
		return nil
	}
	rate := func(q cluster.Quantity, window float64) float64 {
		if x, ok := s.Rate(q, at, window); ok {
			return x
		}
		return math.NaN()
	}
	value := func(x float64, ok bool) float64 {
		if ok {
			return x
		}
		return math.NaN()
	}
	long := demand.LengthWindows * window
	m := &observe.Measurements{
		Completions: rate(cluster.Completions, window), TTFTSum: rate(cluster.TTFTSum, window), TTFTCount: rate(cluster.TTFTCount, window),
		ITLSum: rate(cluster.ITLSum, window), ITLCount: rate(cluster.ITLCount, window),
		PromptTokens: rate(cluster.PromptTokens, long), PromptRequests: rate(cluster.Completions, long),
		GenerationTokens: rate(cluster.GenerationTokens, long), GenerationRequests: rate(cluster.Completions, long),
		AdmittedTokens: rate(cluster.AdmittedTokens, window), KVTokens: s[len(s)-1].Value[cluster.KVTokens],
		Running: value(s.Mean(cluster.Running, at, window)), Waiting: value(s.Mean(cluster.Waiting, at, window)), KVUsage: value(s.Mean(cluster.KVUsage, at, window)),
		RunningNow: value(s.At(cluster.Running, at)), RunningThen: value(s.At(cluster.Running, at-window)),
		WaitingNow: value(s.At(cluster.Waiting, at)), WaitingThen: value(s.At(cluster.Waiting, at-window)),
		SampleAge: at - s[len(s)-1].At,
	}
	deviation := func(sum, squares cluster.Quantity) float64 {
		mean := rate(sum, long) / m.PromptRequests
		return math.Sqrt(math.Max(rate(squares, long)/m.PromptRequests-mean*mean, 0))
	}
	m.InputTokensSD, m.OutputTokensSD = deviation(cluster.PromptTokens, cluster.PromptSquares), deviation(cluster.GenerationTokens, cluster.GenerationSquares)
	m.Dispersion = value(s.Dispersion(at, window, long))
	m.RunningVariance = value(s.Variance(cluster.Running, at, window))
	return m
}

// order is what adapter, autoscaler and scheduler plugin make of a plan: its parts as quotas, and while pods it lacks are not ready, those it
// no longer wants stay.
func (p *inferno) order(a *v1alpha1.Allocation, s *cluster.ServerView, surge loop.Surge) cluster.Order {
	o := cluster.Order{Quota: map[string]int{}, Limits: map[string]simulation.Limits{}}
	list := a.Parts
	if len(list) == 0 && a.Accelerator != "" {
		list = []v1alpha1.AllocationPart{{Accelerator: a.Accelerator, Replicas: a.NumReplicas, MaxBatchSize: a.MaxBatch, MaxBatchedTokens: a.MaxBatchedTokens}}
	}
	for _, part := range list {
		o.Replicas += part.Replicas
		o.Quota[part.Accelerator] += part.Replicas
		l := p.fleet.Scenario.Limits(s.Name)
		if part.MaxBatchSize > 0 {
			l.MaxNumSeqs = part.MaxBatchSize
		}
		if part.MaxBatchedTokens > 0 {
			l.MaxNumBatchedTokens = part.MaxBatchedTokens
		}
		l.MaxNumSeqs = min(l.MaxNumSeqs, l.MaxNumBatchedTokens)
		o.Limits[part.Accelerator] = l
	}
	for accelerator, n := range surge.By {
		o.Replicas += n
		o.Quota[accelerator] += n
	}
	o.Replicas -= surge.Short
	o.Outdated = func(accelerator string, l simulation.Limits) bool { return o.Limits[accelerator] != l }
	return o
}
