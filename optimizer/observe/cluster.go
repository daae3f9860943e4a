package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Cluster is the state of the cluster at one time.
type Cluster struct {
	Nodes        []corev1.Node
	Pods         []corev1.Pod
	Accelerators []v1alpha1.Accelerator
	// Servers whose pods plans count.
	Servers map[types.NamespacedName]knownServer
	// Slices and Claims of dynamic resource allocation, where the cluster has it.
	Slices []resourcev1.ResourceSlice
	Claims []resourcev1.ResourceClaim
	// Classes of devices.
	Classes []resourcev1.DeviceClass
}

// TypeCapacity is what there is of one type of card.
type TypeCapacity struct {
	// Nodes that carry the type.
	Nodes int
	// Capacity is the number of cards on nodes that take pods.
	Capacity int
	// Available is the capacity without what pods hold that no plan counts.
	Available int
}

// view answers questions about a cluster.
type view struct {
	classifier *catalogue.Classifier
	nodes      map[string]*corev1.Node
	cluster    *Cluster
	devices    *devices
	classes    *deviceClasses
	// kinds that nodes carry, by node, as far as was asked.
	kinds map[string][]string
	// counted are the pods that plans count as replicas; uncounted says why they do not count others that bear the label of a server.
	counted   map[*corev1.Pod]bool
	uncounted map[*corev1.Pod]string
	// foreign are the requests of bound pods that no plan counts, whoever's they are, by node.
	foreign map[string]corev1.ResourceList
}

func newView(c *Cluster) *view {
	v := &view{nodes: map[string]*corev1.Node{}, kinds: map[string][]string{}, cluster: c, counted: map[*corev1.Pod]bool{}, uncounted: map[*corev1.Pod]string{}}
	v.classifier = catalogue.ClassifierOf(c.Accelerators)
	for i := range c.Nodes {
		v.nodes[c.Nodes[i].Name] = &c.Nodes[i]
	}
	v.devices, v.classes = readDevices(c, v.classifier.Kinds()), newDeviceClasses(c.Classes)
	v.count()
	v.foreign = v.uncountedRequests()
	v.devices.hold(c, v.counted)
	return v
}

// usable says whether a node takes pods: neither cordoned nor going away, and ready.
func usable(n *corev1.Node) bool {
	if n.Spec.Unschedulable || n.DeletionTimestamp != nil {
		return false
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// capacity by type of card. A pod that no plan counts takes its cards away; what replicas hold is there for the plan to give.
func (v *view) capacity() map[string]TypeCapacity {
	byType := map[string]TypeCapacity{}
	for _, node := range v.cluster.Nodes {
		for _, kind := range v.kindsByType(&node) {
			t := byType[kind.Type]
			t.Nodes++
			if usable(&node) {
				capacity, available := v.cards(&node, kind)
				t.Capacity += capacity
				t.Available += available
			}
			byType[kind.Type] = t
		}
	}
	return byType
}

// capacityOf the nodes that carry an accelerator, which may be some of those with its type.
func (v *view) capacityOf(kind catalogue.Kind) (t TypeCapacity) {
	for i := range v.cluster.Nodes {
		node := &v.cluster.Nodes[i]
		if !slices.Contains(v.carried(node), kind.Name) {
			continue
		}
		t.Nodes++
		if usable(node) {
			capacity, available := v.cards(node, kind)
			t.Capacity += capacity
			t.Available += available
		}
	}
	return t
}

// free cards of every node that takes pods, by type, with the scopes that it is of.
func (v *view) free(s *scopes) []jsonspec.NodeCapacity {
	var list []jsonspec.NodeCapacity
	for _, node := range v.cluster.Nodes {
		if !usable(&node) {
			continue
		}
		for _, kind := range v.kindsByType(&node) {
			_, available := v.cards(&node, kind)
			list = append(list, jsonspec.NodeCapacity{
				Name: node.Name, Type: kind.Type, Free: s.most(available, kind.Type, node.Name), Scopes: s.of[[2]string{kind.Type, node.Name}],
				Portions: s.portions[[2]string{kind.Type, node.Name}],
			})
		}
	}
	return list
}

// inDomains says of nodes which values they have of the labels that models name as topologyKey.
func (v *view) inDomains(nodes []jsonspec.NodeCapacity, system *jsonspec.System) []jsonspec.NodeCapacity {
	for k := range system.Models.Spec {
		key := system.Models.Spec[k].Domain()
		for i := range nodes {
			n := &nodes[i]
			if value := v.nodes[n.Name].Labels[key]; value != "" {
				if n.Domains == nil {
					n.Domains = map[string]string{}
				}
				n.Domains[key] = value
			}
		}
	}
	return nodes
}

// arrived nodes of a pool: those with its labels and its type that take pods.
func (v *view) arrived(e *jsonspec.ElasticCapacity) int {
	n := 0
	of := labels.SelectorFromSet(e.NodeSelector)
	for _, node := range v.cluster.Nodes {
		if usable(&node) && of.Matches(labels.Set(node.Labels)) &&
			slices.ContainsFunc(v.kindsByType(&node), func(k catalogue.Kind) bool { return k.Type == e.Type }) {
			n++
		}
	}
	return n
}

// cards of a node, and those of them that pods leave which no plan counts. Cards that a device plugin and a driver of dynamic resource
// allocation both advertise are the same ones, and what either's users hold is gone. A device plugin has one product, that which the node is labelled with.
func (v *view) cards(node *corev1.Node, kind catalogue.Kind) (capacity, available int) {
	claimable, free := v.devices.of(node.Name, kind, nil)
	if !slices.Contains(v.classifier.Names(v.labels(node)), kind.Name) {
		return claimable, free
	}
	capacity = max(placement.Cards(node.Status.Allocatable, kind), claimable)
	return capacity, max(capacity-placement.Cards(v.foreign[node.Name], kind)-(claimable-free), 0)
}

// add requests to a sum.
func add(sum, requests corev1.ResourceList) {
	for resource, n := range requests {
		total := sum[resource]
		total.Add(n)
		sum[resource] = total
	}
}

// kindsByType are the accelerators a node carries, one for each type.
func (v *view) kindsByType(node *corev1.Node) []catalogue.Kind {
	return oneOfEachType(v.classifier, nil, v.carried(node))
}

// oneOfEachType adds the named accelerators to kinds of cards, but those of a type that is among them: an A100 and a 4xA100 are the same cards.
func oneOfEachType(c *catalogue.Classifier, kinds []catalogue.Kind, names []string) []catalogue.Kind {
	for _, name := range names {
		k, known := c.Kind(name)
		if known && !slices.ContainsFunc(kinds, func(o catalogue.Kind) bool { return o.Type == k.Type }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// accelerator a pod holds, by its name in the specification; empty where it has no node, or one that carries none that is known.
func (v *view) accelerator(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return ""
	}
	var carried []string
	if node := v.nodes[p.Spec.NodeName]; node != nil {
		carried = v.carried(node)
	}
	if product := v.devices.productOf[p.UID]; product != "" {
		carried = slices.DeleteFunc(slices.Clone(carried), func(name string) bool {
			kind, _ := v.classifier.Kind(name)
			return !slices.Contains(kind.ProductNames, product)
		})
	}
	kind, _ := placement.Holds(v.classifier, carried, p)
	return kind.Alias
}

// started says what a pod runs on, as of an engine that was started.
func (v *view) started(p *corev1.Pod) jsonspec.ObservedPart {
	part := startedWith(p)
	part.Accelerator, part.Variant = v.accelerator(p), v.variant(p)
	return part
}

// variant of its model that a pod runs; empty for the only one.
func (v *view) variant(p *corev1.Pod) string {
	key, _ := serverOf(p)
	if s, known := v.cluster.Servers[key]; known {
		return s.binding.Runs(placement.VariantOf(p))
	}
	return ""
}

// on is what a pod runs on, as that of a part of a plan; empty where it has no accelerator.
func (v *view) on(p *corev1.Pod) string {
	part := jsonspec.ObservedPart{Accelerator: v.accelerator(p), Variant: v.variant(p)}
	return part.On()
}

// podsByServer are the pods of every server that still run or will, sorted by name.
func (v *view) podsByServer() map[types.NamespacedName][]*corev1.Pod {
	by := map[types.NamespacedName][]*corev1.Pod{}
	for i := range v.cluster.Pods {
		p := &v.cluster.Pods[i]
		if key, named := serverOf(p); named && !finished(p) && p.DeletionTimestamp == nil {
			by[key] = append(by[key], p)
		}
	}
	for _, pods := range by {
		slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	}
	return by
}

// readySince is when a pod became ready; false where it is not.
func readySince(p *corev1.Pod) (time.Time, bool) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.LastTransitionTime.Time, c.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// leaves says whether the node of a pod is cordoned, as for a drain, or goes away. One that is not ready may come back.
func (v *view) leaves(p *corev1.Pod) bool {
	node := v.nodes[p.Spec.NodeName]
	return node != nil && (node.Spec.Unschedulable || node.DeletionTimestamp != nil)
}

// parts counts pods that plans count by accelerator and by the limits they were started with.
func (v *view) parts(pods []*corev1.Pod) []jsonspec.ObservedPart {
	var parts []jsonspec.ObservedPart
	for _, p := range pods {
		if !v.counted[p] {
			continue
		}
		part := v.started(p)
		i := slices.IndexFunc(parts, func(o jsonspec.ObservedPart) bool {
			return o.On() == part.On() && o.MaxBatchSize == part.MaxBatchSize && o.MaxBatchedTokens == part.MaxBatchedTokens
		})
		if i < 0 {
			parts = append(parts, part)
			i = len(parts) - 1
		}
		if _, ready := readySince(p); ready {
			parts[i].Ready++
			if v.leaves(p) {
				parts[i].Leaving++
			}
		} else {
			parts[i].Starting++
			if failure(p) != "" {
				parts[i].Failing++
			}
		}
	}
	slices.SortFunc(parts, func(a, b jsonspec.ObservedPart) int {
		return cmp.Or(strings.Compare(a.On(), b.On()), cmp.Compare(a.MaxBatchSize, b.MaxBatchSize), cmp.Compare(a.MaxBatchedTokens, b.MaxBatchedTokens))
	})
	return parts
}

// manyRestarts of a container that is not ready are no accident.
//
// Tuned: restarts; guard against one crash that is taken for all that will come
const manyRestarts = 3

// failure says why a pod that has a node will not become ready by itself: its containers crash again and again, or what they need is refused; "" where
// that is not so, or not known.
func failure(p *corev1.Pod) string {
	if p.Spec.NodeName == "" {
		return ""
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			s := &list[i]
			switch w := s.State.Waiting; {
			case w != nil && slices.Contains(failures, w.Reason):
				return w.Reason
			case !s.Ready && s.RestartCount >= manyRestarts && s.State.Terminated == nil:
				return "CrashLoopBackOff"
			}
		}
	}
	return ""
}

// failures are the reasons for which kubelets let a container wait until somebody mends something.
var failures = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// failing pods for people, by accelerator and reason, such as "h100: 3 × CrashLoopBackOff"; empty where none fails.
func (v *view) failing(pods []*corev1.Pod) string {
	count := map[string]int{}
	for _, p := range pods {
		if why := failure(p); why != "" && v.counted[p] {
			if _, ready := readySince(p); !ready {
				count[v.on(p)+"\x00"+why]++
			}
		}
	}
	var words []string
	for _, key := range slices.Sorted(maps.Keys(count)) {
		a, why, _ := strings.Cut(key, "\x00")
		words = append(words, fmt.Sprintf("%s: %d × %s", a, count[key], why))
	}
	return strings.Join(words, ", ")
}

// startedWith says which limits a pod's engine was started with; zero where it says none.
func startedWith(p *corev1.Pod) jsonspec.ObservedPart {
	return jsonspec.ObservedPart{
		MaxBatchSize: number(p.Annotations[v1alpha1.MaxNumSeqsAnnotation]), MaxBatchedTokens: number(p.Annotations[v1alpha1.MaxNumBatchedTokensAnnotation]),
	}
}

// number that an annotation holds; 0, for unknown, where it holds none.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// placed says where ready pods run, by accelerator, for people, such as "A100:2 H100:3".
func placed(parts []jsonspec.ObservedPart) string {
	ready := map[string]int{}
	for _, p := range parts {
		ready[p.On()] += p.Ready
	}
	var words []string
	for _, a := range slices.Sorted(maps.Keys(ready)) {
		if ready[a] > 0 && a != "" {
			words = append(words, fmt.Sprintf("%s:%d", a, ready[a]))
		}
	}
	return strings.Join(words, " ")
}
