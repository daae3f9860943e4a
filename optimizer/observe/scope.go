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
	// key is the same of templates that say the same.
	key string
}

func newTemplate(spec *corev1.PodSpec) *template {
	t := &template{
		spec: spec, affinity: nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: *spec}), requests: placement.Requests(&corev1.Pod{Spec: *spec}),
	}
	var required *corev1.NodeSelector
	if a := spec.Affinity; a != nil && a.NodeAffinity != nil {
		required = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	key, err := json.Marshal([]any{spec.NodeSelector, required, spec.Tolerations, t.requests})
	if err != nil { // of a quantity beyond all bounds
		key = fmt.Appendf(nil, "%p", spec)
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
	for _, name := range slices.Sorted(maps.Keys(t.requests)) {
		if n := t.requests[name]; !isCard(name) {
			if has := free[name]; !n.IsZero() && has.Cmp(n) < 0 {
				return "too little " + string(name)
			}
		}
	}
	return ""
}

// isCard says whether a resource is an extended one, such as a card, of which there is a count of its own.
func isCard(name corev1.ResourceName) bool { return strings.Contains(string(name), "/") }

// cardsThat pods like it can hold on a node, if there were no others: as many as their other requests leave. Negative where they do not say how many
// cards each has.
func (t *template) cardsThat(kind catalogue.Kind, free corev1.ResourceList) int {
	each := 0
	if t != nil {
		each = placement.Cards(t.requests, kind)
	}
	if each == 0 {
		return -1
	}
	most := int64(-1)
	for name, n := range t.requests {
		if isCard(name) || n.Sign() <= 0 {
			continue
		}
		has := free[name]
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
func (v *view) templates(read map[Workload]*corev1.PodSpec) map[Workload]*template {
	newest := map[Workload]*corev1.Pod{}
	for p := range v.counted {
		server, _ := serverOf(p)
		w := Workload{server, p.Labels[v1alpha1.VariantLabel]}
		if o := newest[w]; o == nil || cmp.Or(o.CreationTimestamp.Compare(p.CreationTimestamp.Time), strings.Compare(o.Name, p.Name)) < 0 {
			newest[w] = p
		}
	}
	all := map[Workload]*template{}
	for w, spec := range read {
		all[w] = newTemplate(spec)
	}
	for w, p := range newest {
		all[w] = newTemplate(&p.Spec)
	}
	return all
}

// byVariant are the templates of a server's pods that are known.
func (s *scopes) byVariant(o *v1alpha1.Server) map[string]*template {
	of := map[string]*template{}
	w := Workload{Server: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}}
	for _, variant := range append([]v1alpha1.Variant{{}}, o.Spec.Variants...) {
		if w.Variant = variant.Name; s.templates[w] != nil {
			of[w.Variant] = s.templates[w]
		}
	}
	return of
}

// workloadFor an accelerator of a server.
func workloadFor(s *v1alpha1.Server, accelerator string) Workload {
	w := Workload{Server: types.NamespacedName{Namespace: s.Namespace, Name: s.Name}}
	for _, variant := range s.Spec.Variants {
		if slices.Contains(variant.Accelerators, accelerator) {
			w.Variant = variant.Name
		}
	}
	return w
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

func newScopes(v *view, read map[Workload]*corev1.PodSpec) *scopes {
	s := &scopes{
		view: v, templates: v.templates(read), nodes: map[string][]*corev1.Node{}, free: map[string]corev1.ResourceList{}, found: map[string]*scope{},
		names: map[string]string{}, of: map[[2]string][]string{}, cards: map[[2]string]int{},
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
		for _, kind := range v.kindsByType(v.labels(n.Name, n.Labels)) {
			s.nodes[kind.Type] = append(s.nodes[kind.Type], n)
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
		if slices.Contains(s.view.classifier.Names(s.view.labels(n.Name, n.Labels)), kind.Name) {
			why = t.bars(n, s.free[n.Name])
		}
		if why != "" {
			of.barred[why]++
			continue
		}
		of.nodes = append(of.nodes, n.Name)
		at := [2]string{kind.Type, n.Name}
		if most := t.cardsThat(kind, s.free[n.Name]); most >= 0 && s.cards[at] >= 0 {
			s.cards[at] = max(s.cards[at], most)
		} else {
			s.cards[at] = -1
		}
	}
	return of
}

// name of a scope, by whom it was first found for; empty where it is all nodes of the type.
func (s *scopes) name(of *scope, t *template, kind catalogue.Kind, server string) string {
	if len(of.nodes) == len(s.nodes[kind.Type]) {
		return ""
	}
	key := kind.Type + "\x00" + strings.Join(of.nodes, "\x00")
	if name := s.names[key]; name != "" {
		return name
	}
	name := server + " on " + kind.Alias
	s.names[key] = name
	s.named = append(s.named, namedScope{name, t, kind})
	for _, n := range of.nodes {
		at := [2]string{kind.Type, n}
		s.of[at] = append(s.of[at], name)
	}
	return name
}

// server finds the scopes of a server, by accelerator, and says what bars it from nodes of those that it cannot use all of.
func (s *scopes) server(o *v1alpha1.Server, e *v1alpha1.ServerEntry, system *v1alpha1.System) (names, barred map[string]string) {
	names, barred = map[string]string{}, map[string]string{}
	for i := range system.Models.Spec {
		m := &system.Models.Spec[i]
		kind, known := s.view.classifier.Kind(m.Acc)
		if m.Name != e.Model || !known {
			continue
		}
		t := s.templates[workloadFor(o, m.Acc)]
		of := s.scope(t, kind)
		if name := s.name(of, t, kind, e.Name); name != "" {
			names[m.Acc], barred[m.Acc] = name, of.words(len(s.nodes[kind.Type]))
		}
	}
	return names, barred
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
func (s *scopes) ofPool(e *v1alpha1.ElasticCapacity) []string {
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
