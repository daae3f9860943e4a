package control

import (
	"maps"

	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// spare is what all servers but one leave: cards by type, or by node where the type's nodes are known.
type spare struct {
	cards map[string]int
	nodes map[string][]int
}

// spare of a solution without what the server has. Bought cards count, and bought nodes.
func (b *basis) spare(server int) *spare {
	f := &spare{cards: maps.Clone(b.problem.Capacity), nodes: map[string][]int{}}
	if f.cards == nil {
		f.cards = map[string]int{}
	}
	type size struct {
		kind  string
		cards int
	}
	own := map[size]int{} // replicas of the server that are among the placed
	if choice := b.solution.Choices[server]; choice.Candidate >= 0 {
		for _, p := range b.problem.Servers[server].Candidates[choice.Candidate].Resized(choice.Replicas).Parts {
			own[size{p.Type, p.UnitsPerReplica}] += p.Replicas
		}
	}
	used := map[string]int{} // by node
	for _, p := range b.solution.Placement {
		z := size{b.types[p.Node], p.UnitsPerReplica}
		mine := min(p.Replicas, own[z])
		own[z] -= mine
		used[p.Node] += (p.Replicas - mine) * p.UnitsPerReplica
	}
	for _, n := range b.problem.Nodes {
		f.nodes[n.Type] = append(f.nodes[n.Type], n.Free-used[n.Name])
	}
	for i, n := range b.solution.Bought {
		e := &b.problem.Elastic[i]
		for k := range n {
			if f.nodes[e.Type] != nil {
				f.nodes[e.Type] = append(f.nodes[e.Type], e.Cards-used[boughtNode(e.Name, k)])
			}
		}
		f.cards[e.Type] += n * e.Cards
	}
	for i, ch := range b.solution.Choices {
		if i == server || ch.Candidate < 0 {
			continue
		}
		for _, p := range b.problem.Servers[i].Candidates[ch.Candidate].Resized(ch.Replicas).Parts {
			f.cards[p.Type] -= p.Replicas * p.UnitsPerReplica
		}
	}
	return f
}

// lacks are the cards by type that are missing for parts; nil where none is.
func (f *spare) lacks(parts []sizing.Part) map[string]int {
	var missing map[string]int
	for _, p := range parts {
		kind, each := p.Accelerator.Type, p.Cards()
		n := p.Replicas*each - f.cards[kind]
		if free, onNodes := f.nodes[kind]; onNodes {
			room := 0
			for _, cards := range free {
				room += max(cards, 0) / each
			}
			n = (p.Replicas - room) * each
		}
		if n > 0 {
			if missing == nil {
				missing = map[string]int{}
			}
			missing[kind] += n
		}
	}
	return missing
}
