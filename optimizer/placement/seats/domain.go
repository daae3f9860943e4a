package seats

import (
	"fmt"
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// Domain is the key of the label of which the nodes of a group's pods must have one value where it takes the option; empty where they need not.
func (o *Option) Domain(group placement.Group) string {
	if o.Part == nil || group.Name == "" {
		return ""
	}
	return o.Part.TopologyKey
}

// Domain that the others together with a pod are in already, by the labels of the node that the first of them has: empty where none has a node, with a reason where that
// node is in none.
func (t Together) Domain(key string, group placement.Group, label func(node, key string) string) (name, why string) {
	if len(t.Nodes) == 0 {
		return "", ""
	}
	if name = label(t.Nodes[0], key); name == "" {
		why = fmt.Sprintf("its replica %s is on node %s, which has no label %s", group.Name, t.Nodes[0], key)
	}
	return name, why
}

// Domains that have room for all pods of a group of which none has a node, by the places that the nodes of each domain have for them, the best first
// ([placement.Domains]). Where there are none it says what there is.
func Domains(key string, group placement.Group, places map[string]int) (names []string, why string) {
	if names = placement.Domains(places, group.Size); len(names) > 0 {
		return names, ""
	}
	if len(places) == 0 {
		return nil, fmt.Sprintf("no node that its replica %s may be on has the label %s", group.Name, key)
	}
	most := slices.MaxFunc(slices.Sorted(maps.Keys(places)), func(a, b string) int { return places[a] - places[b] })
	return nil, fmt.Sprintf("no domain by %s has room for the %d pods of its replica %s: %s has most, for %d", key, group.Size, group.Name, most, places[most])
}
