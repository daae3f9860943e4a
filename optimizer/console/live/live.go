// Package live reads a cluster into a console's store, with the rights of whoever looks, and writes nothing. Loads, plans and conditions are those of the
// Servers' statuses, so that no Prometheus is asked; candidates, prices of cards and what if are decided here from what was read.
package live

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/console"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/view"
)

const (
	// Every is how often a cluster is read.
	// Tuned: s; guard against an API server that is asked for all its pods all the time: a plan is of 30 s
	Every = 5 * time.Second
	// timeout of reading it once.
	// Tuned: s; guard against an API server that does not answer
	timeout = 30 * time.Second
	// heldServers is how many servers of cycles are held, over all cycles.
	// Tuned: servers; guard against memory: some 10 kB each
	heldServers = 50_000
	// window that the loop measures over where its Optimizer cannot be read.
	// Exact: the window of a loop that is asked for no other, as optimizer/loop has it.
	window = time.Minute
)

// Cluster that is read.
type Cluster struct {
	Client client.Reader
	// Namespace of the Servers that are shown; empty for all.
	Namespace string
	Store     *console.Store

	state control.State
	last  string
}

// New reads a cluster that people know by a name; the Servers of a namespace, or of all where it is empty.
func New(c client.Reader, name, namespace string) *Cluster {
	store := console.NewStore(console.Source{Kind: console.KindCluster, Name: name, Live: true}, heldServers)
	return &Cluster{Client: c, Namespace: namespace, Store: store}
}

// Read the cluster again and again until the context ends. What cannot be read is said in the source.
func (c *Cluster) Read(ctx context.Context) {
	for {
		unread := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		c.Store.Say(func(s *console.Source) { s.Unread = unread })
		select {
		case <-ctx.Done():
			return
		case <-time.After(Every):
		}
	}
}

// once reads the cluster, and adds a cycle where there is something new. It returns what could not be read.
func (c *Cluster) once(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cycle, r, unread, err := c.look(ctx)
	if err != nil {
		return append(unread, err.Error())
	}
	if optimizer := r.Resources.Optimizer; optimizer != nil {
		for _, k := range optimizer.Status.Conditions {
			if k.Status != metav1.ConditionTrue || k.Reason == v1alpha1.ReasonCycleDegraded {
				unread = append(unread, fmt.Sprintf("Optimizer %s: %s is %s: %s", optimizer.Name, k.Type, k.Status, k.Message))
			}
		}
	}
	if mark := fingerprint(cycle, r); mark != c.last {
		c.last = mark
		c.Store.Add(cycle)
	}
	return unread
}

// Look reads the cluster once: its cycle, and what could not be read.
func (c *Cluster) Look(ctx context.Context) (*view.Cycle, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cycle, _, unread, err := c.look(ctx)
	return cycle, unread, err
}

// look at the cluster: its cycle, what that was made of, and what could not be read.
func (c *Cluster) look(ctx context.Context) (*view.Cycle, *observe.Readings, []string, error) {
	r, unread := c.read(ctx)
	o := observe.Observe(r)
	if o.Snapshot.Time.IsZero() {
		o.Snapshot.Time = metav1.NewMicroTime(r.Now)
	}
	cycle, err := c.cycle(ctx, r, o)
	if err != nil {
		err = fmt.Errorf("the cluster's state cannot be decided on: %w", err)
	}
	return cycle, r, unread, err
}

// read what there is. What may not be read is left out, and named.
func (c *Cluster) read(ctx context.Context) (*observe.Readings, []string) {
	var (
		unread       []string
		optimizers   v1alpha1.OptimizerList
		accelerators v1alpha1.AcceleratorList
		models       v1alpha1.ModelList
		estimates    v1alpha1.EstimateList
		classes      v1alpha1.ServiceClassList
		servers      v1alpha1.ServerList
		nodes        corev1.NodeList
		pods         corev1.PodList
		quotas       corev1.ResourceQuotaList
		limits       corev1.LimitRangeList
		slices       resourcev1.ResourceSliceList
		claims       resourcev1.ResourceClaimList
		devices      resourcev1.DeviceClassList
	)
	in := client.InNamespace(c.Namespace)
	// An Optimizer names a cycle when all of it is written: read first, it is never ahead of what is read of the Servers.
	for _, l := range []struct {
		what, lacks string
		into        client.ObjectList
		options     []client.ListOption
	}{
		{"Optimizers", "the cycle, what was bought and the solver's settings are not known", &optimizers, nil}, {"Servers", "there is nothing to show", &servers, []client.ListOption{in}},
		{"Accelerators", "costs and candidates are not known", &accelerators, nil}, {"Models", "candidates are not known", &models, nil},
		{"Estimates", "plans are of what was given, not of what was learned", &estimates, nil}, {"ServiceClasses", "targets and priorities are not known", &classes, nil},
		{"nodes", "capacity is what Accelerators say of it", &nodes, nil}, {"pods", "what runs is what Servers say of it", &pods, []client.ListOption{in, client.HasLabels{v1alpha1.ServerLabel}}},
		{"resource quotas", "their bounds are not counted", &quotas, []client.ListOption{in}}, {"limit ranges", "their bounds are not counted", &limits, []client.ListOption{in}},
		{"ResourceSlices", "devices of drivers are not counted", &slices, nil}, {"ResourceClaims", "devices of drivers are not counted", &claims, []client.ListOption{in}}, {"DeviceClasses", "devices of drivers are not counted", &devices, nil},
	} {
		if err := c.Client.List(ctx, l.into, l.options...); err != nil && !meta.IsNoMatchError(err) {
			unread = append(unread, fmt.Sprintf("%s cannot be listed, so that %s: %v", l.what, l.lacks, err))
		}
	}
	r := &observe.Readings{
		Now: time.Now().Truncate(time.Second), Window: window, StaleAfter: 3 * window, Nodes: nodes.Items, Pods: pods.Items, Quotas: quotas.Items, Limits: limits.Items,
		Slices: slices.Items, Claims: claims.Items, Classes: devices.Items,
		Resources: specification.Resources{Accelerators: accelerators.Items, Models: models.Items, Estimates: estimates.Items, ServiceClasses: classes.Items, Servers: servers.Items},
	}
	if len(optimizers.Items) > 0 {
		r.Resources.Optimizer = loop.Oldest(optimizers.Items)
	}
	return r, unread
}

// cycle of what was read: the plans in force, beside what is decided here of the same.
func (c *Cluster) cycle(ctx context.Context, r *observe.Readings, o *observe.Observation) (*view.Cycle, error) {
	system := &o.Snapshot.System
	cycle := &view.Cycle{Snapshot: &o.Snapshot, Conditions: map[string][]metav1.Condition{}}
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		s := &r.Resources.Servers[o.Index[e.Name]]
		recall(e, s)
		cycle.Conditions[e.Name] = s.Status.Conditions
	}
	counted(system, r.Resources.Accelerators)
	cycle.OnNodes = onNodes(r, o)
	if optimizer := r.Resources.Optimizer; optimizer != nil {
		o.Snapshot.StartUpSeconds = observe.StartUp(optimizer, r.Pods)
		o.Snapshot.HorizonSeconds = optimizer.Spec.Interval.Seconds() + o.Snapshot.StartUpSeconds
	}
	c.state.Learned = loop.LearnedOf(&r.Resources)
	cycle.State = c.state
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	d, err := stages.Decide(ctx, o.Snapshot.Core(), c.state, nil)
	if err != nil {
		return nil, err
	}
	c.state = d.State
	cycle.Decision = specification.Report(system, &d.Decision)
	inForce(cycle, r, o)
	return cycle, nil
}

// recall what was last observed of a server, which its status says.
func recall(e *jsonspec.ServerEntry, s *v1alpha1.Server) {
	if e.Observation == nil {
		e.Observation = new(jsonspec.Observation)
	}
	if len(e.Observation.Parts) == 0 {
		e.Observation.Parts = s.Status.Current
	}
	e.CurrentAlloc = specification.Current(&s.Status)
	e.Observation.Fault, e.Observation.Detail = v1alpha1.ReasonNoMetrics, "no cycle has looked at it yet"
	observed := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionObserved)
	switch {
	case observed == nil:
	case observed.Status == metav1.ConditionTrue:
		e.Observation.Fault, e.Observation.Detail = "", ""
	default:
		e.Observation.Fault, e.Observation.Detail = observed.Reason, observed.Message
		if e.CurrentAlloc != nil {
			e.CurrentAlloc.Load = nil
		}
	}
}

// counted takes what Accelerators say of capacity where nodes were not read.
func counted(s *jsonspec.System, accelerators []v1alpha1.Accelerator) {
	if len(s.Capacity.Nodes) > 0 {
		return
	}
	for i := range s.Capacity.Count {
		t := &s.Capacity.Count[i]
		for k := range accelerators {
			a := &accelerators[k]
			if a.Spec.CardType(specification.Name(a)) == t.Type {
				t.Count = max(t.Count, a.Status.Available)
			}
		}
	}
}

// onNodes says where replicas run; nil where pods were not read.
func onNodes(r *observe.Readings, o *observe.Observation) []view.OnNode {
	var list []view.OnNode
	for name, pods := range o.Pods {
		for _, p := range pods {
			if a := o.AcceleratorOf(p); a != "" && p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
				list = append(list, view.OnNode{Node: p.Spec.NodeName, Server: name, Accelerator: a})
			}
		}
	}
	return list
}

// inForce replaces the plan that was decided here by that in force.
func inForce(cycle *view.Cycle, r *observe.Readings, o *observe.Observation) {
	plan := &cycle.Decision.Plan
	plan.Placement = nil
	plan.Allocations, cycle.Decision.Verdicts, plan.Unserved, plan.TotalCost = map[string]jsonspec.Allocation{}, map[string]fleet.Verdict{}, []jsonspec.Unserved{}, 0
	for i := range cycle.Snapshot.System.Servers.Spec {
		e := &cycle.Snapshot.System.Servers.Spec[i]
		s := &r.Resources.Servers[o.Index[e.Name]]
		if e.DesiredAlloc != nil {
			plan.Allocations[e.Name] = *e.DesiredAlloc
			plan.TotalCost += e.DesiredAlloc.Cost
		}
		v := fleet.Verdict{Reason: v1alpha1.ReasonPlanned, Message: "no cycle has planned it yet"}
		if k := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionPlanned); k != nil {
			v = fleet.Verdict{Planned: k.Status == metav1.ConditionTrue, Reason: k.Reason, Message: k.Message}
		}
		cycle.Decision.Verdicts[e.Name] = v
		if !v.Planned {
			plan.Unserved = append(plan.Unserved, jsonspec.Unserved{Server: e.Name, Reason: v.Message})
		}
	}
	slices.SortFunc(plan.Unserved, func(a, b jsonspec.Unserved) int { return strings.Compare(a.Server, b.Server) })
	cycle.ID = r.Now.UTC().Format("20060102T150405")
	if optimizer := r.Resources.Optimizer; optimizer != nil && optimizer.Status.LastCycle != nil {
		last := optimizer.Status.LastCycle
		cycle.ID, cycle.Snapshot.Time = last.ID, metav1.NewMicroTime(last.Time.Time)
		plan.Bought, plan.TakenBack, plan.Shares, plan.Solver.Name = last.Bought, last.TakenBack, last.Shares, last.Solver
		for _, b := range plan.Bought {
			plan.TotalCost += b.Cost
		}
	}
}

// fingerprint of what there is to show: it changes with each cycle, and where pods or conditions change in between.
func fingerprint(c *view.Cycle, r *observe.Readings) string {
	var b strings.Builder
	cycles := r.Resources.Optimizer != nil && r.Resources.Optimizer.Status.LastCycle != nil
	if cycles {
		b.WriteString(c.ID)
	}
	for i := range r.Resources.Servers {
		s := &r.Resources.Servers[i]
		fmt.Fprint(&b, " ", s.Namespace, "/", s.Name, s.Status.Current)
		for _, k := range s.Status.Conditions {
			fmt.Fprint(&b, k.Type, k.Status, k.Reason)
		}
		if d := s.Status.Desired; d != nil && !cycles {
			fmt.Fprint(&b, d.ConfirmedAt.Unix())
		}
	}
	for i := range c.Snapshot.System.Servers.Spec {
		fmt.Fprint(&b, c.Snapshot.System.Servers.Spec[i].Observation.Parts)
	}
	return b.String()
}
