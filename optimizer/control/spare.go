package control

import (
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// left is what a solution leaves of what there is and was bought.
type left struct {
	cards map[string]int
	// nodes by type, of those whose nodes are known, with the cards that are left on each.
	nodes map[string][]int
	// placed replicas by their size, each with the node that holds it.
	placed map[size][]placed
	// overdrawn are the cards by type that plans which are held take beyond what there is: they come before all that is added.
	overdrawn map[string]int
}

// size of a replica.
type size struct {
	kind  string
	cards int
}

type placed struct{ node, replicas int }

// leftBy a solution.
func leftBy(p *solver.Problem, s *solver.Solution, overdrawn map[string]int) *left {
	l := &left{cards: maps.Clone(p.Capacity), nodes: map[string][]int{}, placed: map[size][]placed{}, overdrawn: overdrawn}
	if l.cards == nil {
		l.cards = map[string]int{}
	}
	types, index := map[string]string{}, map[string]int{}
	add := func(name, kind string, free int) {
		types[name], index[name] = kind, len(l.nodes[kind])
		l.nodes[kind] = append(l.nodes[kind], free)
	}
	for _, n := range p.Nodes {
		add(n.Name, n.Type, n.Free)
	}
	for i, n := range s.Bought {
		e := &p.Elastic[i]
		l.cards[e.Type] += n * e.Cards
		for k := range n {
			if l.nodes[e.Type] != nil {
				add(boughtNode(e.Name, k), e.Type, e.Cards)
			}
		}
	}
	for _, at := range s.Placement {
		kind, node := types[at.Node], index[at.Node]
		l.nodes[kind][node] -= at.Replicas * at.UnitsPerReplica
		z := size{kind, at.UnitsPerReplica}
		l.placed[z] = append(l.placed[z], placed{node, at.Replicas})
	}
	for i, ch := range s.Choices {
		if ch.Candidate < 0 {
			continue
		}
		for _, part := range p.Servers[i].Candidates[ch.Candidate].Resized(ch.Replicas).Parts {
			l.cards[part.Type] -= part.Replicas * part.UnitsPerReplica
		}
	}
	return l
}

// spare is what all servers but one leave.
type spare struct {
	*left
	// own cards by type that the one gives back, and the nodes of these types as they are then.
	own      map[string]int
	ownNodes map[string][]int
}

// spare beside the server, by its index in the problem.
func (b *basis) spare(server int) *spare {
	f := &spare{left: b.left, own: map[string]int{}, ownNodes: map[string][]int{}}
	choice := b.solution.Choices[server]
	if choice.Candidate < 0 {
		return f
	}
	for _, part := range b.problem.Servers[server].Candidates[choice.Candidate].Resized(choice.Replicas).Parts {
		f.own[part.Type] += part.Replicas * part.UnitsPerReplica
		nodes, known := f.nodes[part.Type]
		if !known {
			continue
		}
		if f.ownNodes[part.Type] == nil {
			f.ownNodes[part.Type] = slices.Clone(nodes)
		}
		back := part.Replicas
		for _, at := range f.placed[size{part.Type, part.UnitsPerReplica}] {
			n := min(back, at.replicas)
			f.ownNodes[part.Type][at.node] += n * part.UnitsPerReplica
			back -= n
		}
	}
	return f
}

// lacks are the cards by type that are missing for parts; nil where none is.
func (f *spare) lacks(parts []sizing.Part) map[string]int {
	var missing map[string]int
	for _, p := range parts {
		kind, each := p.Accelerator.Type, p.Cards()
		n := p.Replicas*each - f.cards[kind] - f.own[kind]
		nodes, onNodes := f.ownNodes[kind]
		if !onNodes {
			nodes, onNodes = f.nodes[kind]
		}
		if onNodes {
			room := 0
			for _, cards := range nodes {
				room += max(cards, 0) / each
			}
			n = (p.Replicas - room) * each
		}
		if n > 0 {
			n += (f.overdrawn[kind] + each - 1) / each * each // in whole replicas, for nodes
			if missing == nil {
				missing = map[string]int{}
			}
			missing[kind] += n
		}
	}
	return missing
}
