package inferno

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// keepTogether leaves a pod of a group the domains that its plan lets it be in: that of the others where any has a node, else those with room for all of
// them, beside what groups that have begun there still need. Options without any are taken away; where none is left it says why.
func (c *cluster) keepTogether(cy *cycle, pod *v1.Pod, nodes []fwk.NodeInfo) string {
	group := placement.GroupOf(pod)
	keys := map[string]string{} // by accelerator
	for name, o := range cy.decision.Options {
		if key := o.Domain(group); key != "" {
			keys[name] = key
		}
	}
	if len(keys) == 0 {
		return ""
	}
	together := c.ledger.Together(cy.server, pod)
	options := maps.Clone(cy.decision.Options)
	cy.within = map[string]within{}
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		key := keys[name]
		domain, why := together.Domain(key, group, c.fleet.label)
		at := []string{domain}
		if domain == "" && why == "" {
			at, why = seats.Domains(key, group, c.places(cy, pod, name, key, nodes))
		}
		if why != "" {
			reasons = append(reasons, why)
			delete(options, name)
			continue
		}
		cy.within[name] = within{key, at}
	}
	if cy.decision.Options = options; len(options) > 0 {
		return ""
	}
	return strings.Join(slices.Compact(reasons), "; ")
}

// places for pods like one by the domain of the nodes that carry an accelerator.
func (c *cluster) places(cy *cycle, pod *v1.Pod, accelerator, key string, nodes []fwk.NodeInfo) map[string]int {
	begun := c.ledger.Begun(pod)
	places := map[string]int{}
	for _, n := range nodes {
		node := n.Node()
		if o, ok := cy.optionOn(n); ok && o.Accelerator == accelerator && node.Labels[key] != "" {
			places[node.Labels[key]] += placement.Places(pod, node, free(n))
		}
	}
	for node, pods := range begun {
		if domain := c.fleet.label(node, key); places[domain] > 0 {
			places[domain] -= pods
		}
	}
	return places
}

// free of a node is what the scheduler has not given away.
func free(n fwk.NodeInfo) v1.ResourceList {
	all, used := n.GetAllocatable(), n.GetRequested()
	list := v1.ResourceList{
		v1.ResourceCPU:              *resource.NewMilliQuantity(all.GetMilliCPU()-used.GetMilliCPU(), resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(all.GetMemory()-used.GetMemory(), resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(all.GetEphemeralStorage()-used.GetEphemeralStorage(), resource.BinarySI),
	}
	for name, has := range all.GetScalarResources() {
		list[name] = *resource.NewQuantity(has-used.GetScalarResources()[name], resource.DecimalSI)
	}
	return list
}

// domainOn a node, of those that the pod may go to with an option, by its place among them; true where it may be there.
func (c *cycle) domainOn(o *seats.Option, node *v1.Node) (at int, in bool) {
	w, bound := c.within[o.Accelerator]
	if !bound {
		return 0, true
	}
	at = slices.Index(w.names, node.Labels[w.key])
	return at, at >= 0
}
