package observe

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Readings are what was read of the world at one time.
type Readings struct {
	// Now is when.
	Now time.Time
	// Window over which rates and means were taken.
	Window time.Duration
	// StaleAfter is the age at which a sample no longer counts.
	StaleAfter time.Duration
	// Resources that say what is wanted.
	Resources specification.Resources
	// Nodes and Pods of the cluster may share what they hold with a cache: they are not to be changed.
	Nodes []corev1.Node
	Pods  []corev1.Pod
	// Slices, Claims and Classes of dynamic resource allocation, Quotas and Limits of namespaces; empty where there are none.
	Slices  []resourcev1.ResourceSlice
	Claims  []resourcev1.ResourceClaim
	Classes []resourcev1.DeviceClass
	Quotas  []corev1.ResourceQuota
	Limits  []corev1.LimitRange
	// Karpenter is what was read of Karpenter's resources; nil where they are not asked for, or were never read.
	Karpenter *Karpenter
	// PriorityClasses that pods may name.
	PriorityClasses []schedulingv1.PriorityClass
	// Templates of pods of workloads that may have none; absent where they are not known.
	Templates map[Workload]*corev1.PodSpec
	// Departed names what made the pods that are gone since less than a window.
	Departed map[types.NamespacedName]Workload
	// Skew is how far the clock of Prometheus is ahead of ours.
	Skew time.Duration
	// Gateways say what came to them; nil where none is known.
	Gateways Gateways
	// Arrivals by the counters that servers name.
	Arrivals map[types.NamespacedName]Counted
	// Metrics of the pods; nil where Prometheus did not answer, and MetricsFault says why.
	Metrics      Metrics
	MetricsFault error
}

// Observation is a snapshot for the decision core, with what it leaves out.
type Observation struct {
	Snapshot specification.Snapshot
	// Index of the servers' names into Readings.Resources.Servers.
	Index map[string]int
	// Statuses of the servers by name: what was observed, without the plan.
	Statuses map[string]v1alpha1.ServerStatus
	// Pods of the servers by name.
	Pods map[string][]*corev1.Pod
	// Capacity by type of card.
	Capacity map[string]TypeCapacity
	// Uncounted are pods that say they are a server's and that no plan counts, sorted.
	Uncounted []Uncounted
	// Devices says whether drivers publish any, and Fewer why some of them do not count, or not everywhere, sorted.
	Devices bool
	Fewer   []string
	// ShareFaults are what is wrong with shares.
	ShareFaults []string
	// ElasticFaults say which elastic capacity that is read does not count, and why.
	ElasticFaults []string
	// ClassFaults are what is wrong with service classes, by their names, beside their targets; absent where nothing is.
	ClassFaults map[string][]string
	// Failing says, by server, which of its pods will not become ready and why; absent where none.
	Failing map[string]string
	// Exceeding says, by server, which of its pods run more than the limits they say they were started with; absent where none.
	Exceeding map[string]string
	// NotAllowed says, by server, what it asks for that its class does not allow; absent where nothing.
	NotAllowed map[string][]string
	// Refused says, by server, what LimitRanges do not allow of its pods; absent where they allow all.
	Refused map[string][]string
	// Barred says, by server and accelerator, what keeps its pods from nodes that carry it; absent where nothing does.
	Barred map[string]map[string]string

	view *view
	// hands are what pods have in hand, by their UIDs; absent where that is not known.
	hands map[types.UID]inHand
}

// CapacityOf the nodes that carry an accelerator, by its name in the specification.
func (o *Observation) CapacityOf(accelerator string) TypeCapacity {
	kind, known := o.view.classifier.Kind(accelerator)
	if !known {
		return TypeCapacity{}
	}
	return o.view.capacityOf(kind)
}

// AcceleratorOf says which accelerator a pod runs on, by its name in the specification; empty where it runs on none that is known.
func (o *Observation) AcceleratorOf(p *corev1.Pod) string { return o.view.accelerator(p) }

// Started says what a pod runs on, with which variant of its model, and which limits its engine was started with; what is zero is not known.
func (o *Observation) Started(p *corev1.Pod) jsonspec.ObservedPart { return o.view.started(p) }

// Leaves says whether the node of a pod is cordoned or goes away.
func (o *Observation) Leaves(p *corev1.Pod) bool { return o.view.leaves(p) }

// Leaving is the number of pods of a server that serve on nodes which take no others: cordoned, as for a drain.
func (o *Observation) Leaving(server string) int {
	n := 0
	for _, p := range o.Pods[server] {
		node := o.view.nodes[p.Spec.NodeName]
		if _, ready := readySince(p); ready && p.DeletionTimestamp == nil && node != nil && !usable(node) {
			n++
		}
	}
	return n
}

// Observe makes a snapshot of readings. It is a pure function.
func Observe(r *Readings) *Observation {
	system, index := specification.FromResources(r.Resources)
	specification.Assume(system, fitting.BuiltIn())
	v := newView(&Cluster{Nodes: r.Nodes, Pods: r.Pods, Accelerators: r.Resources.Accelerators, Servers: knownServers(r.Resources.Servers, system, index), Slices: r.Slices, Claims: r.Claims, Classes: r.Classes})
	o := &Observation{
		Snapshot: specification.Snapshot{Time: metav1.NewMicroTime(r.Now), System: *system},
		Index:    index, Statuses: map[string]v1alpha1.ServerStatus{}, Pods: map[string][]*corev1.Pod{}, Barred: map[string]map[string]string{}, Failing: map[string]string{}, Exceeding: map[string]string{}, Refused: map[string][]string{}, NotAllowed: map[string][]string{}, ClassFaults: map[string][]string{}, Capacity: v.capacity(), Uncounted: v.uncountedPods(), view: v, hands: map[types.UID]inHand{},
	}
	for _, a := range system.Accelerators.Spec {
		t := a.CardType(a.Name)
		if !hasType(o.Snapshot.System.Capacity.Count, t) {
			o.Snapshot.System.Capacity.Count = append(o.Snapshot.System.Capacity.Count, jsonspec.AcceleratorCount{Type: t, Count: o.Capacity[t].Available})
		}
	}
	cards := map[string]int{}
	for _, t := range o.Snapshot.System.Capacity.Count {
		cards[t.Type] = t.Count
	}
	o.ShareFaults = specification.ShareFaults(&r.Resources, cards)
	offers, faults := v.offers(r)
	o.ElasticFaults = faults
	nodes, rules := newScopes(v, r.Templates, limitsOf(r.Limits), offers...), r.rules()
	for name, class := range rules.classes {
		if faults := rules.faults(class); len(faults) > 0 {
			o.ClassFaults[name] = faults
		}
	}
	entries := o.Snapshot.System.Servers.Spec
	ways := make([][]way, len(entries))
	for i := range entries {
		ways[i] = nodes.ways(&r.Resources.Servers[index[entries[i].Name]], &entries[i], system)
		for _, w := range ways[i] {
			nodes.ask(w)
		}
	}
	nodes.tighten()
	for i := range entries {
		e := &entries[i]
		names, barred := nodes.server(e, ways[i])
		if len(names) > 0 {
			e.Scopes = names
		}
		if len(barred) > 0 {
			o.Barred[e.Name] = barred
		}
		s := &r.Resources.Servers[index[e.Name]]
		if faults := append(rules.accept(s, nodes.byVariant(s), e), specification.VariantFaults(system, e)...); len(faults) > 0 {
			o.NotAllowed[e.Name] = faults
		}
	}
	o.Snapshot.System.Capacity.Nodes = v.inDomains(v.free(nodes), &o.Snapshot.System)
	for i := range o.Snapshot.System.Capacity.Elastic {
		e := &o.Snapshot.System.Capacity.Elastic[i]
		e.Arrived, e.Scopes = v.arrived(e), nodes.ofPool(e)
	}
	for i := range offers {
		e := offers[i].ElasticCapacity
		e.Cards, e.Scopes = max(nodes.most(e.Cards, e.Type, e.Name), 1), nodes.of[[2]string{e.Type, e.Name}]
		o.Snapshot.System.Capacity.Elastic = append(o.Snapshot.System.Capacity.Elastic, e)
	}
	pods := v.podsByServer()
	for i := range o.Snapshot.System.Servers.Spec {
		e := &o.Snapshot.System.Servers.Spec[i]
		s := &r.Resources.Servers[index[e.Name]]
		own := pods[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}]
		o.Pods[e.Name] = placement.Leaders(own)
		r.inHand(o.Pods[e.Name], o.hands)
		r.capByQuota(v, s, o.Pods[e.Name], system, e)
		if words, all := nodes.refused(s); len(words) > 0 {
			o.Refused[e.Name] = words
			if n := len(o.Pods[e.Name]); all && n > 0 {
				capAt(e, n) // those that are there stay, and there will be no others
			}
		}
		if words := v.failing(own); words != "" {
			o.Failing[e.Name] = words
		}
		if words := r.exceeding(o.Pods[e.Name]); words != "" {
			o.Exceeding[e.Name] = words
		}
		st := r.observeServer(v, s, o.Pods[e.Name], system, e)
		st.MaxPodPriority = rules.maxPodPriority(s)
		o.Statuses[e.Name] = st
		e.Observation.Scopes = nodes.shared(o.Pods[e.Name])
	}
	o.Devices, o.Fewer = len(r.Slices) > 0, v.devices.words()
	specification.Sort(&o.Snapshot.System)
	return o
}

func hasType(counts []jsonspec.AcceleratorCount, t string) bool {
	for _, c := range counts {
		if c.Type == t {
			return true
		}
	}
	return false
}

// observeServer fills in what one server runs on and its load, and returns the same as a status.
func (r *Readings) observeServer(v *view, s *v1alpha1.Server, pods []*corev1.Pod, system *jsonspec.System, e *jsonspec.ServerEntry) v1alpha1.ServerStatus {
	st := v1alpha1.ServerStatus{Current: v.parts(pods)}
	for _, p := range st.Current {
		st.ReadyReplicas += p.Ready
		st.CostPerHour += float64(p.Ready) * costPerReplica(system, e.Model, &p)
	}
	st.Placement = placed(st.Current)
	e.Observation = &jsonspec.Observation{Time: metav1.NewTime(r.Now), Parts: st.Current, Starts: r.starts(v, pods)}

	rate, counted := r.atGateway(s)
	l, missing := r.measureServer(s, pods, system, e, counted)
	switch {
	case l.waited && counted:
		// The gateway tells what came from what waited.
		missing, l.arrivals = nil, rate
	case missing != nil && missing.reason == v1alpha1.ReasonNoMetrics && st.ReadyReplicas == 0 && counted && s.Status.Load != nil:
		// No pod says anything, but the gateway does: a server that was scaled to zero wakes up, and one whose pods come is planned for what comes.
		missing = nil
		l = nothingMeasured()
		l.arrivals = rate + r.Gateways[Route{s.Namespace, r.servedName(s)}].Held/r.Window.Seconds()
	}
	if f := r.counterFault(s); f != nil {
		missing = f
	}
	if missing != nil {
		// What was last measured stays in the status, with its time: an old number that says how old it is misleads nobody.
		st.Load, st.Measured, st.Transfer = s.Status.Load, s.Status.Measured, s.Status.Transfer
		e.Observation.Fault, e.Observation.Detail = missing.reason, missing.detail
		e.CurrentAlloc = specification.Current(&st)
		if e.CurrentAlloc != nil {
			e.CurrentAlloc.Load = nil
		}
		return st
	}
	st.Load = &v1alpha1.ObservedLoad{ObservedAt: metav1.NewTime(r.Now), Load: jsonspec.Load{
		ArrivalRate: jsonspec.Digits(jsonspec.PerMinute(r.offered(s, l.arrivals))), Throughput: jsonspec.Digits(jsonspec.PerMinute(l.completions)),
		AvgInTokens: jsonspec.Digits(known(l.in)), AvgOutTokens: jsonspec.Digits(known(l.out)),
	}}
	// Without a finished request the lengths of requests are those of before: they are unknown now, not zero.
	if before := s.Status.Load; before != nil && math.IsNaN(l.out) {
		st.Load.AvgInTokens, st.Load.AvgOutTokens = before.AvgInTokens, before.AvgOutTokens
	}
	if !math.IsNaN(l.ttft) || !math.IsNaN(l.itl) {
		st.Measured = &v1alpha1.Latencies{TTFT: pointer(jsonspec.Milliseconds(l.ttft)), ITL: pointer(jsonspec.Milliseconds(l.itl))}
	}
	st.Transfer = transferOf(system, e.Model, st.Current, &l)
	e.Observation.Running, e.Observation.Waiting, e.Observation.KVUsage = pointer(l.running), pointer(l.waiting), pointer(l.kvUsage)
	e.Observation.ArrivalCV = pointer(l.arrivalCV)
	if l.unserved > 0 {
		e.Observation.GivenUp = pointer(jsonspec.PerMinute(l.unserved))
	}
	e.Observation.Groups = r.groups(v, pods, func(variant string) string { return roleOf(system, e.Model, variant) })
	e.Observation.Attainment = pointer(r.attainment(r.readPods(pods, s, system, e), targetOf(system, e)))
	e.CurrentAlloc = specification.Current(&st)
	return st
}

// counterFault is why the counter that a server names says nothing. Without it the engines' load may fall short, so that nothing is known.
func (r *Readings) counterFault(s *v1alpha1.Server) *fault {
	err := r.Arrivals[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}].Err
	var invalid *specification.InvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return &fault{v1alpha1.ReasonInvalidSpec, err.Error()}
	}
	return &fault{v1alpha1.ReasonCounterFailed, fmt.Sprintf("the counter of spec.arrivals: %v", err)}
}

// metricsReason is why Prometheus told nothing.
func metricsReason(err error) string {
	var missing *PartialError
	if errors.As(err, &missing) {
		return v1alpha1.ReasonPartialMetrics
	}
	return v1alpha1.ReasonPrometheusUnreachable
}

// measureServer is what the pods of a server measured; counted says that a gateway counts what comes to it.
func (r *Readings) measureServer(s *v1alpha1.Server, pods []*corev1.Pod, system *jsonspec.System, e *jsonspec.ServerEntry, counted bool) (load, *fault) {
	if r.MetricsFault != nil {
		return load{}, &fault{metricsReason(r.MetricsFault), r.MetricsFault.Error()}
	}
	ready := r.readPods(slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { _, ready := readySince(p); return !ready }), s, system, e)
	var departed []readPod
	for pod, of := range r.Departed {
		if m := r.Metrics[pod]; m != nil && of.Server == (types.NamespacedName{Namespace: s.Namespace, Name: s.Name}) {
			departed = append(departed, readPod{metrics: m, role: roleOf(system, e.Model, s.Spec.Runs(of.Variant))})
		}
	}
	unseen := time.Duration(0)
	switch last := s.Status.Load; {
	case counted:
		unseen = math.MaxInt64 // whatever was last measured was measured there
	case last != nil:
		unseen = r.Now.Sub(last.ObservedAt.Time)
	}
	return measure(ready, departed, r.Window, r.StaleAfter, unseen, e.Routing)
}

// readPods of a server, with their roles.
func (r *Readings) readPods(pods []*corev1.Pod, s *v1alpha1.Server, system *jsonspec.System, e *jsonspec.ServerEntry) []readPod {
	list := make([]readPod, len(pods))
	for i, p := range pods {
		since, _ := readySince(p)
		list[i] = readPod{r.Metrics[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}], r.Now.Sub(since), roleOf(system, e.Model, s.Spec.Runs(placement.VariantOf(p)))}
	}
	return list
}

// roleOf pods that run a variant of a model; empty where they do both, or the model has no such variant.
func roleOf(s *jsonspec.System, model, variant string) string {
	if variant == "" { // whoever has a role has it for a variant, and most have none
		return ""
	}
	for i := range s.Models.Spec {
		if m := &s.Models.Spec[i]; m.Name == model && m.Way() == variant {
			return m.Role
		}
	}
	return ""
}

// known is the value, 0 where it was not measured.
func known(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// pointer to the value, nil where it was not measured.
func pointer(x float64) *float64 {
	if math.IsNaN(x) {
		return nil
	}
	x = jsonspec.Digits(x)
	return &x
}

// costPerReplica of a model, of a part of what runs, in cents per hour; 0 where the specification does not know the pair.
func costPerReplica(s *jsonspec.System, model string, p *jsonspec.ObservedPart) float64 {
	for i := range s.Models.Spec {
		m := &s.Models.Spec[i]
		if m.Name != model || m.On() != p.On() {
			continue
		}
		for _, a := range s.Accelerators.Spec {
			if a.Name == p.Accelerator {
				return float64(m.Accelerators()) * a.Cost
			}
		}
	}
	return 0
}

// targetOf a server; nil where its class has none for its model.
func targetOf(s *jsonspec.System, e *jsonspec.ServerEntry) *jsonspec.ModelTarget {
	for i := range s.ServiceClasses.Spec {
		c := &s.ServiceClasses.Spec[i]
		for k := range c.ModelTargets {
			if c.Name == e.Class && c.ModelTargets[k].Model == e.Model {
				return &c.ModelTargets[k]
			}
		}
	}
	return nil
}

// attainment is the share of requests that met both targets, as far as the buckets of the pods' histograms tell. A target between two bounds leaves
// open on which side of it those in its cell lie. Where that is a trace it is the least share, for who missed both counts twice; where even the largest
// share misses the goal it is that, and where even the least one keeps it, that. NaN where they do not tell.
//
// Where prompts and decodes run apart, the time to first token is what a request took at the one, which is distributed as measured there, and then what it
// takes at the other on the mean. While some pods do both beside them it is not known.
func (r *Readings) attainment(pods []readPod, t *jsonspec.ModelTarget) float64 {
	if t == nil || t.Percentile == 0 {
		return math.NaN()
	}
	pods = slices.DeleteFunc(pods, func(p readPod) bool { return p.metrics == nil })
	comes, ends, later := measurements(pods, comeTo), measurements(pods, endAt), 0.0
	if len(comes)+len(ends) < 2*len(pods) { // not all do both
		if later = ratio(ends, TTFTSum, TTFTCount); len(comes)+len(ends) > len(pods) || math.IsNaN(later) {
			return math.NaN()
		}
	}
	least, most, open := 1.0, 1.0, 0.0
	for _, l := range []struct {
		target, later float64
		pods          []*PodMetrics
		d             Distribution
	}{{t.TTFT, later, comes, TTFTDistribution}, {t.ITL, 0, ends, RequestITLDistribution}} {
		if l.target > 0 {
			h := together(l.pods, l.d)
			low, high := h.within(jsonspec.Seconds(l.target))
			if l.later > 0 { // what is left of a target is no bound of a bucket: what lies beside it is spread evenly over its cell
				low = h.share(jsonspec.Seconds(l.target) - l.later)
				high = low
			}
			least, most, open = least-(1-low), min(most, high), open+high-low // NaN stays NaN
		}
	}
	goal := t.Percentile / 100
	switch least = max(least, 0); {
	case open <= clearCut || least >= goal:
		return least
	case most < goal:
		return most
	}
	return math.NaN()
}
