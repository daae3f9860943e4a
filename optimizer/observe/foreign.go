package observe

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Uncounted are bound pods that say they are replicas of a server and that no plan counts. Their cards are not there for plans to give.
type Uncounted struct {
	// Server that the pods name.
	Server types.NamespacedName
	// Why no plan counts them.
	Why string
	// Pods of them, and the Cards that they request.
	Pods, Cards int
}

// String for people, such as "llm/chat: 3 pods with 6 cards: there is no such Server".
func (u Uncounted) String() string {
	return fmt.Sprintf("%s: %d pods with %d cards: %s", u.Server, u.Pods, u.Cards, u.Why)
}

// serverOf a pod, by its label; false where it names none.
func serverOf(p *corev1.Pod) (types.NamespacedName, bool) {
	name := p.Labels[v1alpha1.ServerLabel]
	return types.NamespacedName{Namespace: p.Namespace, Name: name}, name != ""
}

// knownServer is what tells whether plans count a pod of a server.
type knownServer struct {
	// plan in force; nil where there is none.
	plan *v1alpha1.DesiredState
	// performs are what there is performance data of for its model, by accelerators and variants of the model: a plan counts by that.
	performs map[string]bool
	// binding to workloads, by whose variants pods say which variant of the model they run.
	binding *jsonspec.ServerBinding
}

// knownServers of the resources, whose names in the specification index has.
func knownServers(servers []v1alpha1.Server, system *jsonspec.System, index map[string]int) map[types.NamespacedName]knownServer {
	performs := map[string]map[string]bool{}
	for i := range system.Models.Spec {
		m := &system.Models.Spec[i]
		if performs[m.Name] == nil {
			performs[m.Name] = map[string]bool{}
		}
		performs[m.Name][m.On()] = true
	}
	known := make(map[types.NamespacedName]knownServer, len(servers))
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		s := &servers[index[e.Name]]
		known[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = knownServer{s.Status.Desired, performs[e.Model], &s.Spec.ServerBinding}
	}
	return known
}

// count the pods that bear the label of a server: those that plans count, and the others, with the reason.
func (v *view) count() {
	bound := map[types.NamespacedName][]*corev1.Pod{}
	for i := range v.cluster.Pods {
		p := &v.cluster.Pods[i]
		key, named := serverOf(p)
		if !named {
			continue
		}
		server, known := v.cluster.Servers[key]
		on := v.on(p)
		switch {
		case !known:
			v.uncounted[p] = "there is no such Server"
		case on != "" && !server.performs[on]:
			v.uncounted[p] = fmt.Sprintf("its Model has no performance data for %s, where they run", on) + unmeant(p, server.binding)
		default:
			v.counted[p] = true
			bound[key] = append(bound[key], p)
		}
	}
	for key, pods := range bound {
		if plan := v.cluster.Servers[key].plan; plan != nil {
			v.strays(plan, pods)
		}
	}
}

// unmeant says of a pod whose role only labels of other projects tell why no variant of its server is meant by it.
func unmeant(p *corev1.Pod, of *jsonspec.ServerBinding) string {
	role, said := placement.RoleOf(p)
	switch {
	case p.Labels[v1alpha1.VariantLabel] != "" || said == "" || of.Meant(role) != nil:
		return ""
	case role == "":
		return fmt.Sprintf("; their labels disagree (%s): give them the label %s", said, v1alpha1.VariantLabel)
	}
	return fmt.Sprintf("; of %s not one variant of the Server is meant, by name or modelVariant: give them the label %s", said, v1alpha1.VariantLabel)
}

// strays among the pods of a server are those bound where its plan has no replicas left, by whoever did not ask the plan. They stay where they are: to
// have others beyond them until the plan is realised would be to have more and more. What the template of a variant says is as good as the plan's word.
func (v *view) strays(plan *v1alpha1.DesiredState, pods []*corev1.Pod) {
	left := map[string]int{}
	for _, p := range plan.Parts {
		left[p.On()] += p.Replicas
	}
	var others []*corev1.Pod
	for _, p := range pods {
		switch {
		case p.Spec.NodeName == "" || finished(p) || p.DeletionTimestamp != nil:
		case p.Annotations[v1alpha1.AcceleratorAnnotation] != "" || p.Labels[v1alpha1.VariantLabel] != "" || v.variant(p) != "":
			left[v.on(p)]--
		default:
			others = append(others, p)
		}
	}
	slices.SortFunc(others, func(a, b *corev1.Pod) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	for _, p := range others {
		a := v.on(p)
		if left[a]--; left[a] < 0 {
			delete(v.counted, p)
			v.uncounted[p] = fmt.Sprintf("a scheduler that does not follow the plan (%q) put them where it has no replicas; see docs/scheduler.md", p.Spec.SchedulerName)
		}
	}
}

// uncountedPods that are bound, by server and reason.
func (v *view) uncountedPods() []Uncounted {
	type of struct {
		server types.NamespacedName
		why    string
	}
	sums := map[of]*Uncounted{}
	for p, why := range v.uncounted {
		if p.Spec.NodeName == "" || finished(p) {
			continue
		}
		key, _ := serverOf(p)
		u := sums[of{key, why}]
		if u == nil {
			u = &Uncounted{Server: key, Why: why}
			sums[of{key, why}] = u
		}
		u.Pods++
		u.Cards += v.cardsOf(p)
	}
	list := make([]Uncounted, 0, len(sums))
	for u := range maps.Values(sums) {
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b Uncounted) int {
		return cmp.Or(strings.Compare(a.Server.String(), b.Server.String()), strings.Compare(a.Why, b.Why))
	})
	return list
}

// cardsOf all kinds that a pod requests or holds by claims.
func (v *view) cardsOf(p *corev1.Pod) int {
	resources := map[string]bool{}
	n := v.devices.heldBy[p.UID]
	for _, kind := range v.classifier.Kinds() {
		if !resources[kind.ResourceName] {
			resources[kind.ResourceName] = true
			n += placement.Cards(plugged(p), kind)
		}
	}
	return n
}

// uncountedRequests of bound pods, by node.
func (v *view) uncountedRequests() map[string]corev1.ResourceList {
	foreign := map[string]corev1.ResourceList{}
	for i := range v.cluster.Pods {
		p := &v.cluster.Pods[i]
		if p.Spec.NodeName == "" || finished(p) || v.counted[p] {
			continue
		}
		if foreign[p.Spec.NodeName] == nil {
			foreign[p.Spec.NodeName] = corev1.ResourceList{}
		}
		add(foreign[p.Spec.NodeName], plugged(p))
	}
	return foreign
}

// plugged are the requests of a pod that no claim of the scheduler's serves: those of extended resources that it serves by devices are held by the claim.
func plugged(p *corev1.Pod) corev1.ResourceList {
	requests := placement.Requests(p)
	if s := p.Status.ExtendedResourceClaimStatus; s != nil {
		for _, m := range s.RequestMappings {
			delete(requests, corev1.ResourceName(m.ResourceName))
		}
	}
	return requests
}
