package observe

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Workload is what pods of a server are made by: its own, or that of one of its variants.
type Workload struct {
	Server  types.NamespacedName
	Variant string
}

// template is what of a pod says on which nodes others like it can be.
type template struct {
	spec     *corev1.PodSpec
	affinity nodeaffinity.RequiredNodeAffinity
	requests corev1.ResourceList
	// others are the resources requested that nodes have or not, beside cards, of which there is a count of its own.
	others []corev1.ResourceName
	// refused is what LimitRanges do not allow of such pods, and shut says that there is none from before.
	refused []string
	shut    bool
	// key is the same of templates that say the same.
	key string
}

// newTemplate of pods as they would be made now: of what was written of one that is there already, or of a workload without any.
func (v *view) newTemplate(spec *corev1.PodSpec, of limits, pod *corev1.Pod) *template {
	t := &template{}
	if pod != nil {
		t.spec, t.refused = of.admitted(&pod.Spec, pod.Annotations)
		placement.Unseat(t.spec, pod.Annotations)
	} else {
		t.spec, t.refused = of.admitted(spec, nil)
		t.shut = len(t.refused) > 0
	}
	t.affinity, t.requests = nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: *t.spec}), placement.Requests(&corev1.Pod{Spec: *t.spec})
	for _, name := range slices.Sorted(maps.Keys(t.requests)) {
		card := slices.ContainsFunc(v.classifier.Kinds(), func(k catalogue.Kind) bool { return k.ResourceName == string(name) })
		if n := t.requests[name]; n.Sign() > 0 && !card && v.classes.of(name) == nil {
			t.others = append(t.others, name)
		}
	}
	var required *corev1.NodeSelector
	if a := t.spec.Affinity; a != nil && a.NodeAffinity != nil {
		required = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	key, err := json.Marshal([]any{t.spec.NodeSelector, required, t.spec.Tolerations, t.requests, len(t.spec.ResourceClaims) > 0, t.shut})
	if err != nil { // of a quantity beyond all bounds
		key = fmt.Appendf(nil, "%p", t)
	}
	t.key = string(key)
	return t
}

// bars says why pods like it cannot be on a node with so much free, if they were the only replicas there: "" where they can. What is free may be nil
// for not known. These are the scheduler's own predicates, those of its plugins NodeAffinity, TaintToleration and NodeResourcesFit; what it decides by
// other pods, volumes or ports is left to it.
func (t *template) bars(node *corev1.Node, free corev1.ResourceList) string {
	if t == nil {
		return ""
	}
	if t.shut {
		return "a LimitRange refuses its pods"
	}
	if ok, err := t.affinity.Match(node); err != nil || !ok {
		return "node selector or affinity"
	}
	excludes := func(taint *corev1.Taint) bool {
		return taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute
	}
	if taint, barred := scheduling.FindMatchingUntoleratedTaint(logr.Discard(), node.Spec.Taints, t.spec.Tolerations, excludes, false); barred {
		return "taint " + taint.ToString()
	}
	if free == nil {
		return ""
	}
	for _, name := range t.others {
		if has := free[name]; has.Cmp(t.requests[name]) < 0 {
			return "too little " + string(name)
		}
	}
	return ""
}

// cardsThat pods like it can hold on a node, if there were no others: as many as their other requests leave. Negative where they do not say how many
// cards each has, or it is not known what is free.
func (t *template) cardsThat(kind catalogue.Kind, free corev1.ResourceList) int {
	each := 0
	if t != nil {
		each = placement.Cards(t.requests, kind)
	}
	if each == 0 || free == nil {
		return -1
	}
	most := int64(-1)
	for _, name := range t.others {
		n, has := t.requests[name], free[name]
		if k := int64(max(has.AsApproximateFloat64(), 0) / n.AsApproximateFloat64()); most < 0 || k < most {
			most = k
		}
	}
	if most < 0 {
		return -1
	}
	return int(most) * each
}

// templates of workloads: the newest pod's where there are pods, else what was read of the workload itself.
func (v *view) templates(read map[Workload]*corev1.PodSpec, ranges map[string]limits) map[Workload]*template {
	newest := map[Workload]*corev1.Pod{}
	for p := range v.counted {
		server, _ := serverOf(p)
		w := WorkloadOf(p, v.cluster.Servers[server].binding)
		if o := newest[w]; o == nil || cmp.Or(o.CreationTimestamp.Compare(p.CreationTimestamp.Time), strings.Compare(o.Name, p.Name)) < 0 {
			newest[w] = p
		}
	}
	all := map[Workload]*template{}
	for w, spec := range read {
		all[w] = v.newTemplate(spec, ranges[w.Server.Namespace], nil)
	}
	for w, p := range newest {
		all[w] = v.newTemplate(nil, ranges[w.Server.Namespace], p)
	}
	return all
}

// WorkloadOf a pod of a server: that of the variant which the pod means. A role that means none is nobody's: where replicas do both, llm-d calls them decode.
func WorkloadOf(p *corev1.Pod, of *jsonspec.ServerBinding) Workload {
	server, _ := serverOf(p)
	if v := of.Meant(placement.VariantOf(p)); v != nil {
		return Workload{server, v.Name}
	}
	return Workload{server, p.Labels[v1alpha1.VariantLabel]}
}

// byVariant are the templates of a server's pods that are known.
func (s *scopes) byVariant(o *v1alpha1.Server) map[string]*template {
	of := map[string]*template{}
	for _, w := range workloadsOf(o) {
		if t := s.templates[w]; t != nil {
			of[w.Variant] = t
		}
	}
	return of
}

// workloadsOf a server: its own, then those of its variants.
func workloadsOf(s *v1alpha1.Server) []Workload {
	own := Workload{Server: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}}
	list := []Workload{own}
	for _, variant := range s.Spec.Variants {
		list = append(list, Workload{own.Server, variant.Name})
	}
	return list
}

// workloadFor a variant of its model of a server on an accelerator.
func workloadFor(s *v1alpha1.Server, accelerator, ofModel string) Workload {
	return Workload{Server: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, Variant: s.Spec.VariantOf(accelerator, ofModel)}
}

// scopes finds out on which nodes the pods of each server can be.
type scopes struct {
	view      *view
	templates map[Workload]*template
	// nodes that take pods, by type of card, and what other pods than replicas leave of each.
	nodes map[string][]*corev1.Node
	free  map[string]corev1.ResourceList
	// found sets of nodes, by what they were found with.
	found map[string]*scope
	// names of the scopes by type and nodes, and what each was named for, in that order.
	names map[string]string
	named []namedScope
	// of are the scopes of nodes, by type and name of the node; cards are the most cards of it that replicas could hold, where that is known of all.
	of    map[[2]string][]string
	cards map[[2]string]int
	// each is the most of other resources that a card of a replica goes with, by type and node; tight are those that run out before cards where
	// replicas are mixed badly, and portions what a replica takes of them, by scope.
	each     map[[2]string]map[corev1.ResourceName]float64
	asked    map[string]bool
	tight    map[[2]string][]corev1.ResourceName
	portions map[[2]string]map[string][]float64
}

type namedScope struct {
	name     string
	template *template
	kind     catalogue.Kind
}

// scope is a set of nodes of one type.
type scope struct {
	nodes []string
	// barred counts the nodes of the type that are not of it, by the reason.
	barred map[string]int
}

// newScopes of nodes that are there, and of those that offers would bring.
func newScopes(v *view, read map[Workload]*corev1.PodSpec, ranges map[string]limits, offers ...offer) *scopes {
	s := &scopes{
		view: v, templates: v.templates(read, ranges), nodes: map[string][]*corev1.Node{}, free: map[string]corev1.ResourceList{}, found: map[string]*scope{},
		names: map[string]string{}, of: map[[2]string][]string{}, cards: map[[2]string]int{},
		each: map[[2]string]map[corev1.ResourceName]float64{}, asked: map[string]bool{}, tight: map[[2]string][]corev1.ResourceName{}, portions: map[[2]string]map[string][]float64{},
	}
	for i := range v.cluster.Nodes {
		n := &v.cluster.Nodes[i]
		if !usable(n) {
			continue
		}
		free := corev1.ResourceList{}
		for name, q := range n.Status.Allocatable {
			left := q.DeepCopy()
			left.Sub(v.foreign[n.Name][name])
			free[name] = left
		}
		s.free[n.Name] = free
		for _, kind := range v.kindsByType(n) {
			s.nodes[kind.Type] = append(s.nodes[kind.Type], n)
		}
	}
	for i := range offers {
		o := &offers[i]
		s.nodes[o.Type] = append(s.nodes[o.Type], o.node)
		if len(o.node.Status.Allocatable) > 1 { // more is known of it than its cards
			s.free[o.node.Name] = o.node.Status.Allocatable
		}
	}
	return s
}

// scope of the pods of a template on an accelerator.
func (s *scopes) scope(t *template, kind catalogue.Kind) *scope {
	key := kind.Name
	if t != nil {
		key += "\x00" + t.key
	}
	if found := s.found[key]; found != nil {
		return found
	}
	of := &scope{barred: map[string]int{}}
	s.found[key] = of
	for _, n := range s.nodes[kind.Type] {
		why := "no node of " + kind.Alias
		if slices.Contains(s.view.carried(n), kind.Name) {
			why = t.bars(n, s.free[n.Name])
		}
		devices := -1
		if why == "" && t != nil {
			why, devices = s.view.lacks(t, n, kind)
		}
		if why != "" {
			of.barred[why]++
			continue
		}
		of.nodes = append(of.nodes, n.Name)
		at := [2]string{kind.Type, n.Name}
		most := t.cardsThat(kind, s.free[n.Name])
		if devices >= 0 && (most < 0 || devices < most) {
			most = devices
		}
		if most >= 0 && s.cards[at] >= 0 {
			s.cards[at] = max(s.cards[at], most)
		} else {
			s.cards[at] = -1
		}
	}
	return of
}

// way is how a server can run on an accelerator, with a variant of its model.
type way struct {
	on       string
	kind     catalogue.Kind
	template *template
	// cards of a pod.
	cards int
}

func (s *scopes) ways(o *v1alpha1.Server, e *jsonspec.ServerEntry, system *jsonspec.System) (list []way) {
	for i := range system.Models.Spec {
		m := &system.Models.Spec[i]
		if kind, known := s.view.classifier.Kind(m.Acc); known && m.Name == e.Model {
			list = append(list, way{m.On(), kind, s.templates[workloadFor(o, m.Acc, m.Way())], m.Accelerators() / m.Pods() * kind.Multiplicity})
		}
	}
	return list
}

// ask notes what replicas take beside cards of the nodes that they can be on.
func (s *scopes) ask(w way) {
	if w.template == nil {
		return
	}
	key := fmt.Sprint(w.kind.Name, "\x00", w.cards, "\x00", w.template.key)
	if s.asked[key] {
		return
	}
	s.asked[key] = true
	for _, n := range s.scope(w.template, w.kind).nodes {
		at := [2]string{w.kind.Type, n}
		if s.each[at] == nil {
			s.each[at] = map[corev1.ResourceName]float64{}
		}
		for _, name := range w.template.others {
			s.each[at][name] = max(s.each[at][name], amount(w.template.requests, name)/float64(w.cards))
		}
	}
}

// amount of a resource in a list.
func amount(list corev1.ResourceList, name corev1.ResourceName) float64 {
	n := list[name]
	return n.AsApproximateFloat64()
}

// tighten finds the resources that may run out before cards, when all replicas have asked.
func (s *scopes) tighten() {
	for t, nodes := range s.nodes {
		for _, n := range nodes {
			at := [2]string{t, n.Name}
			if s.free[n.Name] == nil {
				continue
			}
			cards := 0
			for _, kind := range s.view.kindsByType(n) {
				if kind.Type == t {
					_, available := s.view.cards(n, kind)
					cards = s.most(available, t, n.Name)
				}
			}
			for _, name := range slices.Sorted(maps.Keys(s.each[at])) {
				if s.each[at][name]*float64(cards) > amount(s.free[n.Name], name) {
					s.tight[at] = append(s.tight[at], name)
				}
			}
		}
	}
}

// name of a scope, by whom it was first found for; empty where it is all nodes of the type. Where something else than cards may run out on some of the
// nodes, it is for replicas alone that take as much of it.
func (s *scopes) name(of *scope, w way, server string) string {
	key := w.kind.Type + "\x00" + strings.Join(of.nodes, "\x00")
	tight := w.template != nil && slices.ContainsFunc(of.nodes, func(n string) bool { return len(s.tight[[2]string{w.kind.Type, n}]) > 0 })
	if tight {
		key += fmt.Sprint("\x00", w.cards, "\x00", w.template.key)
	} else if len(of.nodes) == len(s.nodes[w.kind.Type]) {
		return ""
	}
	if name := s.names[key]; name != "" {
		return name
	}
	name := server + " on " + w.kind.Alias
	s.names[key] = name
	s.named = append(s.named, namedScope{name, w.template, w.kind})
	for _, n := range of.nodes {
		at := [2]string{w.kind.Type, n}
		s.of[at] = append(s.of[at], name)
		for _, resource := range s.tight[at] {
			if w.template != nil {
				if s.portions[at] == nil {
					s.portions[at] = map[string][]float64{}
				}
				s.portions[at][name] = append(s.portions[at][name], amount(w.template.requests, resource)/amount(s.free[n], resource))
			}
		}
	}
	return name
}

// server finds the scopes of a server, by accelerator, and says what bars it from nodes of those that it cannot use all of.
func (s *scopes) server(e *jsonspec.ServerEntry, ways []way) (names, barred map[string]string) {
	names, barred = map[string]string{}, map[string]string{}
	for _, w := range ways {
		of := s.scope(w.template, w.kind)
		if name := s.name(of, w, e.Name); name != "" {
			names[w.on] = name
		}
		if len(of.barred) > 0 {
			barred[w.on] = of.words(len(s.nodes[w.kind.Type]))
		}
	}
	return names, barred
}

// refused says what LimitRanges do not allow of the pods of a server, and whether it has any workload left whose pods may be made.
func (s *scopes) refused(o *v1alpha1.Server) (words []string, all bool) {
	all = true
	workloads := workloadsOf(o)
	for i, w := range workloads {
		t := s.templates[w]
		if t != nil {
			words = append(words, t.refused...)
		}
		// With variants the server need not have a workload of its own.
		all = all && (t != nil && len(t.refused) > 0 || t == nil && i == 0 && len(workloads) > 1)
	}
	slices.Sort(words)
	return slices.Compact(words), all
}

// shared scopes of the nodes that pods which plans count are on, by what they run on: of cards that any of them leaves, pods of those can be made. Absent where
// some are on a node that takes no pods.
func (s *scopes) shared(pods []*corev1.Pod) map[string][]string {
	all := map[string][]string{}
	var gone []string
	for _, p := range pods {
		kind, known := s.view.classifier.Kind(s.view.accelerator(p))
		a := s.view.on(p)
		if a == "" || !known || !s.view.counted[p] {
			continue
		}
		node, of := s.view.nodes[p.Spec.NodeName], s.of[[2]string{kind.Type, p.Spec.NodeName}]
		switch before, seen := all[a]; {
		case node == nil || !usable(node):
			gone = append(gone, a)
		case !seen:
			all[a] = slices.Clone(of)
		default:
			all[a] = slices.DeleteFunc(before, func(scope string) bool { return !slices.Contains(of, scope) })
		}
	}
	for _, a := range gone {
		delete(all, a)
	}
	return all
}

// words for what bars pods from nodes, such as "3 of 5 nodes: taint dedicated=training:NoSchedule (2), too little cpu (1)".
func (of *scope) words(all int) string {
	var list []string
	for _, why := range slices.Sorted(maps.Keys(of.barred)) {
		list = append(list, fmt.Sprintf("%s (%d)", why, of.barred[why]))
	}
	return fmt.Sprintf("%d of %d nodes are not for its pods: %s", all-len(of.nodes), all, strings.Join(list, ", "))
}

// most cards of a node that replicas can hold beside all else that they request.
func (s *scopes) most(free int, kind, node string) int {
	if most, known := s.cards[[2]string{kind, node}]; known && most >= 0 {
		return min(free, most)
	}
	return free
}

// ofPool are the scopes that a node which is bought will be of: those of one that has come, else those of one with the labels of the pool and no taint.
func (s *scopes) ofPool(e *jsonspec.ElasticCapacity) []string {
	for _, n := range s.nodes[e.Type] {
		if labels.SelectorFromSet(e.NodeSelector).Matches(labels.Set(n.Labels)) {
			return s.of[[2]string{e.Type, n.Name}]
		}
	}
	var list []string
	for _, named := range s.named {
		if named.kind.Type != e.Type {
			continue
		}
		node := &corev1.Node{}
		node.Labels = map[string]string{catalogue.ProductLabels(named.kind.ResourceName)[0]: named.kind.ProductNames[0]}
		maps.Copy(node.Labels, e.NodeSelector)
		if slices.Contains(s.view.classifier.Names(node.Labels), named.kind.Name) && named.template.bars(node, nil) == "" {
			list = append(list, named.name)
		}
	}
	return list
}
