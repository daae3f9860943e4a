package loop

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Stages of a cycle outside the decision core.
const (
	stageObserve = "observe"
	stageWrite   = "write"
)

const (
	// defaultInterval between cycles.
	// Tuned: s; option interval of the Optimizer; at half: a rise is seen 15 s sooner, with twice the queries; at twice: 30 s later, with half of them
	defaultInterval = 30 * time.Second
	defaultWindow   = time.Minute
	// staleWindows is the age of measurements, in windows, at which they no longer count.
	// Tuned: windows; guard against load and latencies of a Prometheus that measures no more
	staleWindows = 3
	// staleIntervals is how long a plan is followed without a cycle that stands by it, in intervals.
	// Tuned: intervals; guard against a plan that no cycle makes any more
	staleIntervals = 10
)

// cycle is one run of the loop.
type cycle struct {
	*Reconciler
	optimizer *v1alpha1.Optimizer
	stages    *control.Stages
	report    v1alpha1.CycleReport
	watch     stopwatch
	// skew is how far the clock of Prometheus is ahead of ours.
	skew time.Duration
	// unread says why Prometheus could not be read; nil where it was.
	unread error
	// conditions of the Optimizer beside that it is ready.
	conditions []metav1.Condition
	// shareFaults are what could not be read of shares.
	shareFaults []string
	// elasticFaults are what could not be read of elastic capacity.
	elasticFaults []string
	// rooms are what node autoscalers are told; nil where that is nobody's business.
	rooms *rooms
	// mu guards what writes of servers, several at a time, have in common: what was refused, the report and the metrics.
	mu sync.Mutex
	// refused is what could not be written, and why.
	refused []string
}

// stopwatch times stages that follow one another.
type stopwatch struct {
	now    func() time.Time
	stage  string
	began  time.Time
	stages []v1alpha1.StageTime
}

// enter ends the stage that runs, if any, and begins another; the empty name begins none.
func (w *stopwatch) enter(stage string) {
	now := w.now()
	if w.stage != "" {
		w.stages = append(w.stages, v1alpha1.StageTime{Name: w.stage, Milliseconds: jsonspec.Milliseconds(now.Sub(w.began).Seconds())})
	}
	w.stage, w.began = stage, now
}

// run observes, decides and writes. An error is what left no plan at all; what could not be written is among what was refused.
func (c *cycle) run(ctx context.Context) error {
	c.watch.enter(stageObserve)
	readings, err := c.read(ctx)
	if err != nil {
		return err
	}
	o := observe.Observe(readings)
	readings.Metrics = nil // the observation has what they say, in a hundredth of the memory
	c.conditions = append(c.conditions, podsCounted(o.Uncounted), sharesKept(append(c.shareFaults, o.ShareFaults...)))
	if c.optimizer.Spec.ElasticFrom == v1alpha1.ElasticFromKarpenter {
		c.conditions = append(c.conditions, elasticCounted(o.Snapshot.System.Capacity.Elastic, append(c.elasticFaults, o.ElasticFaults...)))
	} else {
		meta.RemoveStatusCondition(&c.optimizer.Status.Conditions, v1alpha1.ConditionElasticCounted)
	}
	if o.Devices {
		c.conditions = append(c.conditions, devicesCounted(o.Fewer))
	}
	o.Snapshot.StartUpSeconds, o.Snapshot.WindowSeconds = observe.StartUp(c.optimizer, readings.Pods), readings.Window.Seconds()
	o.Snapshot.HorizonSeconds = interval(c.optimizer).Seconds() + o.Snapshot.StartUpSeconds
	c.takeUp(&readings.Resources)
	if last := c.optimizer.Status.LastCycle; c.state.Pools == nil && last != nil {
		c.state.Pools = control.PoolsOf(last)
	}
	c.remember(ctx, readings, o)
	before := c.state
	decision, err := c.decide(ctx, &o.Snapshot, before)
	if err != nil {
		return err
	}
	report := specification.Report(&o.Snapshot.System, &decision.Decision)
	c.watch.enter(stageWrite)
	c.state = decision.State
	c.write(ctx, readings, o, report, c.explain(readings, o, decision, report))
	c.watch.enter("")
	c.use(readings.Resources.Servers, o, decision)
	c.finish(readings.Resources.Servers, o, report)
	record := &Record{ID: c.report.ID, Snapshot: o.Snapshot, State: before, Decision: report, Stages: c.watch.stages, DryRun: c.dryRun()}
	if err := c.Log.Write(record); err != nil {
		c.refuse("decision log", err)
	}
	slices.Sort(c.refused)
	c.conditions = append(c.conditions, written(c.refused))
	return nil
}

// writeTimeout bounds a write, so that one that hangs costs the others little.
//
// Tuned: s; guard against an API server, or a webhook of one object, that does not answer
const writeTimeout = 5 * time.Second

// writesAtOnce is the number of servers that are written at a time.
//
// Tuned: servers; guard against a cycle that waits for one answer of the API server after the other, and against an API server that others wait for; at
// half: a cycle of 1,000 servers writes for longer; at twice: no difference on two cores
const writesAtOnce = 8

// try to write an object, and note where that is refused.
func (c *cycle) try(ctx context.Context, object string, write func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return c.refuse(object, fmt.Errorf("not tried, the interval was over: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := client.IgnoreNotFound(write(ctx)); err != nil {
		return c.refuse(object, err)
	}
	return nil
}

// refuse notes what could not be written.
func (c *cycle) refuse(object string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused = append(c.refused, fmt.Sprintf("%s: %v", object, err))
	return err
}

// longestSolve is what a solver gets at most. What bounds it is its work, about a tenth of this where the machine is as fast as the one that work
// is measured on.
// Tuned: s; guard against a machine much slower than that
const longestSolve = 5 * time.Second

// decide gives the solver at most half of the interval.
func (c *cycle) decide(ctx context.Context, s *specification.Snapshot, state control.State) (*control.Decision, error) {
	ctx, cancel := context.WithTimeout(ctx, min(interval(c.optimizer)/2, longestSolve))
	defer cancel()
	return c.stages.Decide(ctx, s.Core(), state, c.watch.enter)
}

// finish fills in the report and the metrics.
func (c *cycle) finish(servers []v1alpha1.Server, o *observe.Observation, d *specification.Decision) {
	r := &c.report
	r.Servers, r.Unserved, r.TotalCost, r.Solver, r.Stages = len(d.Verdicts), len(d.Plan.Unserved), d.Plan.TotalCost, d.Plan.Solver.Name, c.watch.stages
	r.Bought, r.TakenBack = d.Plan.Bought, d.Plan.TakenBack
	for i := range o.Snapshot.System.Servers.Spec {
		if f := o.Snapshot.System.Servers.Spec[i].Observation; f != nil && f.Fault != "" {
			r.Held++
		}
	}
	for _, s := range c.watch.stages {
		c.metrics.stages.WithLabelValues(s.Name).Observe(jsonspec.Seconds(s.Milliseconds))
	}
	c.metrics.cost.Set(d.Plan.TotalCost)
	r.Shares = d.Plan.Shares
	for i := range r.Shares {
		c.metrics.share(&r.Shares[i])
	}
	for t, capacity := range o.Capacity {
		c.metrics.capacity.put(float64(capacity.Available), t)
	}
	for name, i := range o.Index {
		s := &servers[i]
		for accelerator, trim := range c.state.Servers[name].Sizing.Trims {
			c.metrics.trims.put(math.Exp(trim), s.Namespace, s.Name, accelerator)
		}
	}
	for t, price := range d.Plan.Solver.Prices {
		c.metrics.prices.put(price, t)
	}
	c.metrics.settle()
}

// read the cluster, from the cache, and the measurements. That Prometheus does not answer is a reading too.
func (c *cycle) read(ctx context.Context) (*observe.Readings, error) {
	r := &observe.Readings{Now: c.report.Time.Truncate(time.Second), Window: defaultWindow}
	source := c.optimizer.Spec.Prometheus
	if source.Window != nil {
		r.Window = source.Window.Duration
	}
	r.StaleAfter = staleWindows * r.Window
	if source.StaleAfter != nil {
		r.StaleAfter = source.StaleAfter.Duration
	}
	var (
		accelerators v1alpha1.AcceleratorList
		models       v1alpha1.ModelList
		estimates    v1alpha1.EstimateList
		classes      v1alpha1.ServiceClassList
		servers      v1alpha1.ServerList
		nodes        corev1.NodeList
		pods         corev1.PodList
		quotas       corev1.ResourceQuotaList
		limits       corev1.LimitRangeList
		namespaces   corev1.NamespaceList
		priorities   schedulingv1.PriorityClassList
	)
	for _, list := range []client.ObjectList{&accelerators, &models, &estimates, &classes, &servers, &quotas, &limits, &namespaces, &priorities} {
		if err := c.Client.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	// Pods and nodes are most of what is in the cache, and are not changed: copies of them would be so much memory again.
	for _, list := range []client.ObjectList{&nodes, &pods} {
		if err := c.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	r.Resources = specification.Resources{
		Accelerators: accelerators.Items, Models: models.Items, Estimates: estimates.Items, ServiceClasses: classes.Items, Servers: servers.Items, Optimizer: c.optimizer,
	}
	r.Nodes, r.Pods, r.Quotas, r.Limits = nodes.Items, pods.Items, quotas.Items, limits.Items
	r.PriorityClasses = priorities.Items
	r.Resources.Namespaces = make(map[string]map[string]string, len(namespaces.Items))
	for i := range namespaces.Items {
		r.Resources.Namespaces[namespaces.Items[i].Name] = namespaces.Items[i].Labels
	}
	if err := c.readDevices(ctx, r); err != nil {
		return nil, err
	}
	c.readShares(ctx, r)
	c.readElastic(ctx, r)
	c.readTemplates(ctx, r)
	r.Departed = c.seen.Departed(r)
	c.measure(ctx, r)
	return r, nil
}

// readDevices reads what drivers of dynamic resource allocation publish, where the API server knows of such.
func (c *cycle) readDevices(ctx context.Context, r *observe.Readings) error {
	var slices resourcev1.ResourceSliceList
	var claims resourcev1.ResourceClaimList
	var classes resourcev1.DeviceClassList
	for _, list := range []client.ObjectList{&slices, &claims, &classes} {
		if err := c.Client.List(ctx, list); meta.IsNoMatchError(err) {
			return nil
		} else if err != nil {
			return fmt.Errorf("listing %T: %w", list, err)
		}
	}
	r.Slices, r.Claims, r.Classes = slices.Items, claims.Items, classes.Items
	return nil
}

// readTemplates reads the pod templates of workloads that have no pods, from which it could be seen on which nodes these could be. What cannot be read is
// not known, and such pods are planned for all nodes.
func (c *cycle) readTemplates(ctx context.Context, r *observe.Readings) {
	if c.Direct == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.QueryTimeout)
	defer cancel()
	bindings := map[types.NamespacedName]*jsonspec.ServerBinding{}
	for i := range r.Resources.Servers {
		s := &r.Resources.Servers[i]
		bindings[client.ObjectKeyFromObject(s)] = &s.Spec.ServerBinding
	}
	have := map[observe.Workload]bool{}
	for i := range r.Pods {
		p := &r.Pods[i]
		have[observe.WorkloadOf(p, bindings[types.NamespacedName{Namespace: p.Namespace, Name: p.Labels[v1alpha1.ServerLabel]}])] = true
	}
	r.Templates = map[observe.Workload]*corev1.PodSpec{}
	read := func(s *v1alpha1.Server, variant string, ref *jsonspec.ScaleTargetRef) {
		w := observe.Workload{Server: client.ObjectKeyFromObject(s), Variant: variant}
		if have[w] || ref == nil || ctx.Err() != nil {
			return
		}
		template, err := c.template(ctx, s.Namespace, ref)
		if err != nil {
			ctrl.LoggerFrom(ctx).V(1).Info("reading a pod template", "server", w.Server, "variant", variant, "error", err.Error())
		} else if template != nil {
			r.Templates[w] = &template.Spec
		}
	}
	for i := range r.Resources.Servers {
		s := &r.Resources.Servers[i]
		read(s, "", s.Spec.ScaleTargetRef)
		for k := range s.Spec.Variants {
			read(s, s.Spec.Variants[k].Name, &s.Spec.Variants[k].ScaleTargetRef)
		}
	}
}

// template of the pods of a workload; nil where it is of a kind that is not known to have one.
func (c *cycle) template(ctx context.Context, namespace string, ref *jsonspec.ScaleTargetRef) (*corev1.PodTemplateSpec, error) {
	key := client.ObjectKey{Namespace: namespace, Name: ref.Name}
	switch ref.APIVersion + "/" + ref.Kind {
	case "apps/v1/Deployment":
		var d appsv1.Deployment
		if err := c.direct().Get(ctx, key, &d); err != nil {
			return nil, err
		}
		return &d.Spec.Template, nil
	case "apps/v1/StatefulSet":
		var d appsv1.StatefulSet
		if err := c.direct().Get(ctx, key, &d); err != nil {
			return nil, err
		}
		return &d.Spec.Template, nil
	}
	return nil, nil
}

// write the outcome. What is refused is refused for one object: the others are written. All of it takes an interval at most, and begins with another
// server each time, so that none is always the last.
func (c *cycle) write(
	ctx context.Context, r *observe.Readings, o *observe.Observation, d *specification.Decision, explanations map[string]*v1alpha1.ServerExplanation,
) {
	ctx, cancel := context.WithTimeout(ctx, max(interval(c.optimizer), writeTimeout))
	defer cancel()
	c.readRooms(ctx, r)
	plans := realise.Plans(&o.Snapshot.System, d.Plan.Allocations, c.state.Waiting(float64(o.Snapshot.Time.UnixMicro())/1e6, o.Snapshot.StartUpSeconds))
	var servers errgroup.Group
	servers.SetLimit(writesAtOnce)
	entries := o.Snapshot.System.Servers.Spec
	for k := range entries {
		e := &entries[(k+int(c.report.Number))%len(entries)]
		s := &r.Resources.Servers[o.Index[e.Name]]
		p := planned{plan: plans[e.Name], verdict: d.Verdicts[e.Name], leaving: o.Leaving(e.Name), dryRun: c.dryRun(), staleAfter: metav1.Duration{Duration: staleAfter(c.optimizer)}, now: metav1.NewTime(r.Now),
			explanation: cmp.Or(explanations[e.Name], s.Status.Explanation)}
		next := serverStatus(s, o.Statuses[e.Name], e.Observation, p)
		var over map[*corev1.Pod]bool
		if next.Desired != nil && !c.dryRun() {
			over = overQuota(next.Desired.Parts, o.Pods[e.Name], looks{o.Started, o.InHand, o.Leaves})
		}
		servers.Go(func() error {
			c.writeServer(ctx, s, next, over, o, e.Name, r.Resources.Servers)
			return nil // what is refused is noted
		})
	}
	_ = servers.Wait()
	c.sayRooms()
	c.writeOthers(ctx, r, o, d)
}

// writeServer writes the deletion costs of pods, so that a falling number of replicas removes those over quota, and the weights of its route, so that
// requests leave who is to go, then the status.
func (c *cycle) writeServer(
	ctx context.Context, s *v1alpha1.Server, next v1alpha1.ServerStatus, over map[*corev1.Pod]bool, o *observe.Observation, name string, servers []v1alpha1.Server,
) {
	next.PlacedBy = placedBy(c.optimizer, s)
	costs := map[*corev1.Pod]string{}
	if over != nil {
		costs = deletionCosts(over, o.Pods[name])
	}
	var faults []string
	for _, p := range o.Pods[name] {
		cost, differs := costs[p]
		if !differs {
			continue
		}
		err := c.try(ctx, "Pod "+client.ObjectKeyFromObject(p).String(), func(ctx context.Context) error { return setDeletionCost(ctx, c.Client, p, cost) })
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", p.Name, err))
		}
	}
	for _, condition := range []metav1.Condition{
		accepted(o.NotAllowed[name]), podsStart(o.Failing[name]), limitsHold(o.Exceeding[name]), podsAdmitted(o.Refused[name]), podsWritten(faults),
		inOrder(wrongOrder(over, o.Pods[name])),
		gated(next.PlacedBy, c.Gates, o.Pods[name]), c.evicted.queueAdmits(client.ObjectKeyFromObject(s), o.Pods[name]),
	} {
		setOnceFalse(&next, condition, s.Generation, c.report.Time)
	}
	c.route(ctx, s, &next, servers)
	c.makeRoom(ctx, s, &next)
	c.note(s, &next)
	if equality.Semantic.DeepEqual(s.Status, next) {
		return
	}
	if err := c.try(ctx, "Server "+client.ObjectKeyFromObject(s).String(), func(ctx context.Context) error { return applyStatus(ctx, c.Client, "Server", s, &next) }); err != nil {
		c.Events.Eventf(s, nil, corev1.EventTypeWarning, v1alpha1.ReasonRefused, "Write", "%v", err)
		return
	}
	for _, e := range eventsOf(&s.Status, &next) {
		c.Events.Eventf(s, nil, e.kind, e.reason, e.action, "%s", e.message)
	}
}

// note in metrics and report what is decided for a server.
func (c *cycle) note(s *v1alpha1.Server, next *v1alpha1.ServerStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metrics.server(s, next)
	if next.Desired != nil && (s.Status.Desired == nil || !sameDecision(s.Status.Desired, next.Desired)) {
		c.report.Changed++
	}
}

// writeOthers writes the statuses of accelerators, models and service classes where they changed.
func (c *cycle) writeOthers(ctx context.Context, r *observe.Readings, o *observe.Observation, d *specification.Decision) {
	allocated := allocatedCards(&o.Snapshot.System, &d.Plan)
	for i := range r.Resources.Accelerators {
		a := &r.Resources.Accelerators[i]
		next := acceleratorStatus(a, o.CapacityOf(specification.Name(a)), allocated, c.report.Time)
		if !equality.Semantic.DeepEqual(a.Status, next) {
			c.tryStatus(ctx, "Accelerator", a, &next)
		}
	}
	c.writeEstimates(ctx, &r.Resources)
	for i := range r.Resources.Models {
		m := &r.Resources.Models[i]
		name := specification.Name(m)
		next := modelStatus(m, r.Resources.Accelerators, c.state.Learned[name], assumptionsOf(name, d.Assumptions), probesOf(name, d.Probes), c.report.Time)
		c.metrics.model(m.Name, c.state.Learned[name])
		if equality.Semantic.DeepEqual(m.Status, next) || c.tryStatus(ctx, "Model", m, &next) != nil {
			continue
		}
		for _, e := range modelEvents(&m.Status, &next) {
			c.Events.Eventf(m, nil, e.kind, e.reason, e.action, "%s", e.message)
		}
	}
	for i := range r.Resources.ServiceClasses {
		k := &r.Resources.ServiceClasses[i]
		next := classStatus(k, r.Resources.Servers, o.ClassFaults[k.Name], c.report.Time)
		if !equality.Semantic.DeepEqual(k.Status, next) {
			c.tryStatus(ctx, "ServiceClass", k, &next)
		}
	}
}

// tryStatus writes a status, and says on the object where that is refused.
func (c *cycle) tryStatus(ctx context.Context, kind string, o client.Object, status any) error {
	err := c.try(ctx, kind+" "+client.ObjectKeyFromObject(o).String(), func(ctx context.Context) error { return applyStatus(ctx, c.Client, kind, o, status) })
	if err != nil {
		c.Events.Eventf(o, nil, corev1.EventTypeWarning, v1alpha1.ReasonRefused, "Write", "%v", err)
	}
	return err
}

// dryRun tells whether plans are made and not written.
func (c *cycle) dryRun() bool { return c.optimizer.Spec.Mode == v1alpha1.ModeDryRun }

// staleAfter is how long a plan is followed that no cycle confirms.
func staleAfter(o *v1alpha1.Optimizer) time.Duration {
	if s := o.Spec.StaleAfter; s != nil {
		return s.Duration
	}
	return staleIntervals * interval(o)
}

func interval(o *v1alpha1.Optimizer) time.Duration {
	if o.Spec.Interval.Duration > 0 {
		return o.Spec.Interval.Duration
	}
	return defaultInterval
}

// allocatedCards counts the cards that the plan gives, by accelerator.
func allocatedCards(s *jsonspec.System, plan *jsonspec.Solution) map[string]int {
	cards := realise.ReplicaCards(s)
	sum := map[string]int{}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a, ok := plan.Allocations[e.Name]
		if !ok {
			continue
		}
		for _, p := range specification.Desired(&a).Parts {
			sum[p.Accelerator] += p.Replicas * cards[[2]string{e.Model, p.On()}]
		}
	}
	return sum
}

func acceleratorStatus(a *v1alpha1.Accelerator, t observe.TypeCapacity, allocated map[string]int, now metav1.Time) v1alpha1.AcceleratorStatus {
	name := specification.Name(a)
	next := v1alpha1.AcceleratorStatus{
		ObservedGeneration: a.Generation, Nodes: t.Nodes, Capacity: t.Capacity, Available: t.Available, Allocated: allocated[name],
		Conditions: slices.Clone(a.Status.Conditions),
	}
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "NodesFound", Message: "nodes carry this type"}
	if t.Nodes == 0 {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "NoNodes", "no node carries a product label of this type, with the labels of spec.nodeSelector; see spec.productNames"
	}
	c.ObservedGeneration, c.LastTransitionTime = a.Generation, now
	meta.SetStatusCondition(&next.Conditions, c)
	return next
}

// probesOf a model.
func probesOf(model string, all []jsonspec.Probe) []jsonspec.Probe {
	return slices.DeleteFunc(slices.Clone(all), func(p jsonspec.Probe) bool { return p.Model != model })
}

func modelStatus(m *v1alpha1.Model, accelerators []v1alpha1.Accelerator, learned map[string]*v1alpha1.PairMemory, assumed []fleet.Assumption, probes []jsonspec.Probe, now metav1.Time) v1alpha1.ModelStatus {
	next := m.Status
	next.ObservedGeneration = m.Generation
	next.LearnedOn = nil
	for _, p := range learned {
		if !slices.Contains(next.LearnedOn, p.Acc) {
			next.LearnedOn = append(next.LearnedOn, p.Acc)
		}
	}
	slices.Sort(next.LearnedOn)
	next.Conditions = slices.Clone(m.Status.Conditions)
	known := map[string]bool{}
	for i := range accelerators {
		known[specification.Name(&accelerators[i])] = true
	}
	usable := slices.ContainsFunc(m.Spec.Performance, func(p v1alpha1.Performance) bool { return known[p.Accelerator] })
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Usable", Message: "there is performance data for an accelerator of this cluster"}
	if !usable {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "NoPerformanceData", "spec.performance names no accelerator of this cluster"
		if len(accelerators) == 0 {
			c.Message = "there is no Accelerator"
		}
	}
	if len(assumed) > 0 {
		c.Status, c.Reason, c.Message = assumedWords(assumed)
	}
	for _, c := range []metav1.Condition{c, learnedCondition(learned, probes)} {
		c.ObservedGeneration, c.LastTransitionTime = m.Generation, now
		meta.SetStatusCondition(&next.Conditions, c)
	}
	return next
}

func classStatus(k *v1alpha1.ServiceClass, servers []v1alpha1.Server, faults []string, now metav1.Time) v1alpha1.ServiceClassStatus {
	next := v1alpha1.ServiceClassStatus{ObservedGeneration: k.Generation, Conditions: slices.Clone(k.Status.Conditions)}
	for i := range servers {
		if servers[i].Spec.ServiceClass == k.Name {
			next.Servers++
		}
	}
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Valid", Message: "the class has targets"}
	if len(k.Spec.Targets) == 0 {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, "NoTargets", "spec.targets is empty: no server of this class can be planned"
	} else if len(faults) > 0 {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec, strings.Join(faults, "; ")
	}
	c.ObservedGeneration, c.LastTransitionTime = k.Generation, now
	meta.SetStatusCondition(&next.Conditions, c)
	return next
}
