package view

import (
	"cmp"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Node with cards of one type.
type Node struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Cards that plans may give.
	Cards int `json:"cards"`
	// Held are the cards of the plan's replicas on it, by server.
	Held []Holding `json:"held"`
}

// Holding is what a server has of cards.
type Holding struct {
	Server string `json:"server"`
	Class  string `json:"class"`
	// Replicas and the Cards that they take.
	Replicas int `json:"replicas"`
	Cards    int `json:"cards"`
}

// size of a replica on a type of card, and the nodes that it can use.
type size struct {
	kind  string
	cards int
	scope string
}

// waiting replicas of a server that are to be put on a node.
type waiting struct {
	Holding
	left int
}

// nodes with the servers that run on them, or, where that is not known, that the plan has on them. A plan packs sizes of replicas: whose they are is
// filled in by name. Where capacity is a number of cards alone, each type is one node.
func (c *Cycle) nodes(s *system) []Node {
	placement, sizes := c.Decision.Plan.Placement, c.sizes(s)
	nodes, index := []Node{}, map[[2]string]int{}
	at := func(name, kind string) *Node {
		i, known := index[[2]string{name, kind}]
		if !known {
			i = len(nodes)
			index[[2]string{name, kind}] = i
			nodes = append(nodes, Node{Name: name, Type: kind, Held: []Holding{}})
		}
		return &nodes[i]
	}
	for _, n := range s.Capacity.Nodes {
		at(n.Name, n.Type).Cards += n.Free
	}
	entries := map[string]*jsonspec.ServerEntry{}
	for i := range s.Servers.Spec {
		entries[s.Servers.Spec[i].Name] = &s.Servers.Spec[i]
	}
	for _, r := range c.OnNodes {
		e := entries[r.Server]
		kind, cards := s.cards(e.Model, r.Accelerator)
		at(r.Node, kind).take([]*waiting{{Holding{Server: e.Name, Class: e.Class, Cards: cards}, 1}}, 1)
	}
	if c.OnNodes != nil {
		placement = nil
	}
	for _, p := range placement {
		at(p.Node, p.Type).take(sizes[size{p.Type, p.CardsPerReplica, p.Scope}], p.Replicas)
	}
	counted := map[string]bool{}
	for _, n := range s.Capacity.Nodes {
		counted[n.Type] = true
	}
	for _, t := range s.Capacity.Count {
		if !counted[t.Type] && t.Count > 0 {
			at("all", t.Type).Cards = t.Count
		}
	}
	for k, list := range sizes {
		if !counted[k.kind] && c.OnNodes == nil {
			at("all", k.kind).take(list, total(list))
		}
	}
	for i := range nodes {
		slices.SortFunc(nodes[i].Held, func(a, b Holding) int { return strings.Compare(a.Server, b.Server) })
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name)) })
	return nodes
}

// sizes of replicas that the plan has, and whose they are.
func (c *Cycle) sizes(s *system) map[size][]*waiting {
	by := map[size][]*waiting{}
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a := c.Decision.Plan.Allocations[e.Name]
		for _, p := range partsOf(&a) {
			kind, cards := s.cards(e.Model, p.Accelerator)
			k := size{kind, cards, e.Scopes[p.Accelerator]}
			by[k] = append(by[k], &waiting{Holding{Server: e.Name, Class: e.Class, Cards: cards}, p.Replicas})
		}
	}
	return by
}

func total(list []*waiting) int {
	n := 0
	for _, w := range list {
		n += w.left
	}
	return n
}

// take replicas of those that wait, in their order.
func (n *Node) take(list []*waiting, replicas int) {
	for _, w := range list {
		k := min(w.left, replicas)
		if k == 0 {
			continue
		}
		w.left -= k
		replicas -= k
		if last := len(n.Held) - 1; last >= 0 && n.Held[last].Server == w.Server {
			n.Held[last].Replicas += k
			n.Held[last].Cards += k * w.Cards
			continue
		}
		n.Held = append(n.Held, Holding{Server: w.Server, Class: w.Class, Replicas: k, Cards: k * w.Cards})
	}
}
