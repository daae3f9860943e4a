package placement

import (
	"cmp"
	"slices"
	"strings"
)

// Pack tries to put the placed replicas of all scopes on nodes with so many free cards, the largest first, each on the fullest node that holds it. Where
// every size divides the next larger one, as powers of two do, and all nodes are of one scope, that finds a packing if there is one. Of replicas of a
// size, those that can be on the fewest nodes come first, and each takes nodes first that the fewest other scopes want; where that finds no packing, all
// replicas of small scopes are tried before those of larger ones. No node gets more than it has of what shares are of. Groups come before all that is alone,
// each whole in the domain that they fill best; other ways to share domains out are tried while there are tries. What it finds is told to assign, where that
// is not nil: the node's index, and the number of pods that are alike that it takes.
func (s *Stock) Pack(nodes []Node, assign func(node int, of Alike, replicas int)) bool {
	groupsFirst := func(a, b Alike) int {
		return cmp.Or(min(b.Group, 1)-min(a.Group, 1), b.Group*b.Cards-a.Group*a.Cards, b.Group-a.Group)
	}
	last := func(a, b Alike) int {
		return cmp.Or(strings.Compare(a.Scope, b.Scope), strings.Compare(a.Domain, b.Domain))
	}
	return s.pack(nodes, assign, func(a, b Alike, nodes map[string]int) int {
		return cmp.Or(groupsFirst(a, b), b.Cards-a.Cards, nodes[a.Scope]-nodes[b.Scope], last(a, b))
	}) || len(s.scopes) > 0 && s.pack(nodes, assign, func(a, b Alike, nodes map[string]int) int {
		return cmp.Or(groupsFirst(a, b), nodes[a.Scope]-nodes[b.Scope], last(a, b), b.Cards-a.Cards)
	})
}

// tries bounds the ways to share domains out that a packing tries.
//
// Tuned: tries; measured by 2535 small fleets that can be packed (TestGroupsArePackedAsWellAsCanBe), of which 3 are not; at half: 3 are not; at twice: 3 are not
const tries = 16

// packing in the making.
type packing struct {
	*ledger
	nodes []Node
	// free cards of the nodes, and what is used of their other resources; nil where nothing is known of these.
	free []int
	used [][]float64
	// wanted counts, by node, the scopes and domains of it that something is to be placed in.
	wanted []int
	seats  []seat
	tries  int
}

// seat of pods that are alike on a node, by its index.
type seat struct {
	node int
	of   Alike
	pods int
}

func (l *ledger) pack(nodes []Node, assign func(node int, of Alike, replicas int), compare func(a, b Alike, nodes map[string]int) int) bool {
	p := packing{ledger: l, nodes: nodes, free: make([]int, len(nodes)), wanted: make([]int, len(nodes)), tries: tries}
	list := make([]Alike, 0, len(l.placed))
	width := map[string]int{"": len(nodes)}
	for r, n := range l.placed {
		if n > 0 {
			list = append(list, r)
		}
	}
	for i := range nodes {
		n := &nodes[i]
		p.free[i] = n.Free
		if p.used == nil && len(n.Portions) > 0 {
			p.used = make([][]float64, len(nodes))
		}
		for _, scope := range n.Scopes {
			width[scope]++
			if slices.ContainsFunc(list, func(r Alike) bool { return r.Scope == scope }) {
				p.wanted[i]++
			}
		}
		for key := range n.Domains {
			if slices.ContainsFunc(list, func(r Alike) bool { return r.Domain == key }) {
				p.wanted[i]++
			}
		}
	}
	slices.SortFunc(list, func(a, b Alike) int { return compare(a, b, width) })
	if !p.place(list) {
		return false
	}
	if assign != nil {
		for _, at := range p.seats {
			assign(at.node, at.of, at.pods)
		}
	}
	return true
}

// place all that are left to be placed.
func (p *packing) place(list []Alike) bool {
	if len(list) == 0 {
		return true
	}
	r, n := list[0], p.placed[list[0]]
	if r.Group > 0 {
		return p.groups(r, n/r.Group, p.domains(r), list[1:])
	}
	nodes := make([]int, 0, len(p.nodes))
	for i := range p.nodes {
		if p.room(r, i) > 0 {
			nodes = append(nodes, i)
		}
	}
	return p.fill(r, n, nodes) == 0 && p.place(list[1:])
}

// room of a node for pods.
func (p *packing) room(r Alike, node int) int {
	if r.Scope != "" && !slices.Contains(p.nodes[node].Scopes, r.Scope) {
		return 0
	}
	n := p.free[node] / r.Cards
	if p.used != nil {
		n = p.nodes[node].holds(r.Scope, p.used[node], n)
	}
	return n
}

// fill nodes with so many pods, and return how many are left. Nodes whose free cards leave the smallest remainder come first: fragments are used up before
// whole nodes.
func (p *packing) fill(r Alike, n int, nodes []int) int {
	slices.SortStableFunc(nodes, func(a, b int) int {
		return cmp.Or(p.wanted[a]-p.wanted[b], p.free[a]%r.Cards-p.free[b]%r.Cards, p.free[a]-p.free[b])
	})
	for _, i := range nodes {
		k := min(n, p.room(r, i))
		if k == 0 {
			continue
		}
		if p.used != nil {
			p.used[i] = p.nodes[i].use(r.Scope, p.used[i], k)
		}
		p.free[i] -= k * r.Cards
		p.seats = append(p.seats, seat{i, r, k})
		n -= k
	}
	return n
}

// domain of nodes.
type domain struct {
	name  string
	nodes []int
	// room for pods, and for groups of them, and for groups in all domains after it.
	pods, groups, after int
	wanted              int
}

// domains that have room for a group, those first that groups leave the fewest places of.
func (p *packing) domains(r Alike) []domain {
	var list []domain
	index := map[string]int{}
	for i := range p.nodes {
		name, room := p.nodes[i].Domains[r.Domain], p.room(r, i)
		if name == "" || room == 0 {
			continue
		}
		k, known := index[name]
		if !known {
			k, index[name] = len(list), len(list)
			list = append(list, domain{name: name})
		}
		d := &list[k]
		d.nodes, d.pods, d.wanted = append(d.nodes, i), d.pods+room, max(d.wanted, p.wanted[i])
	}
	for k := range list {
		list[k].groups = list[k].pods / r.Group
	}
	list = slices.DeleteFunc(list, func(d domain) bool { return d.groups == 0 })
	slices.SortFunc(list, func(a, b domain) int {
		return cmp.Or(a.wanted-b.wanted, a.pods%r.Group-b.pods%r.Group, a.pods-b.pods, strings.Compare(a.name, b.name))
	})
	for k := len(list) - 2; k >= 0; k-- {
		list[k].after = list[k+1].after + list[k+1].groups
	}
	return list
}

// groups that are left to be placed go to domains, as many as there is room for in the first, and fewer where what else is to be placed then finds room.
func (p *packing) groups(r Alike, n int, in []domain, list []Alike) bool {
	switch {
	case n == 0:
		return p.place(list)
	case len(in) == 0 || in[0].groups+in[0].after < n:
		return false
	}
	d := &in[0]
	before := p.save(d)
	for k := min(n, d.groups); k >= max(0, n-d.after) && p.tries > 0; k-- {
		p.fill(r, k*r.Group, slices.Clone(d.nodes))
		if p.groups(r, n-k, in[1:], list) {
			return true
		}
		p.tries--
		p.restore(d, before)
	}
	return false
}

// saved is what a domain was before it was filled.
type saved struct {
	free  []int
	used  [][]float64
	seats int
}

func (p *packing) save(d *domain) saved {
	s := saved{seats: len(p.seats)}
	for _, i := range d.nodes {
		s.free = append(s.free, p.free[i])
		if p.used != nil {
			s.used = append(s.used, slices.Clone(p.used[i]))
		}
	}
	return s
}

func (p *packing) restore(d *domain, s saved) {
	p.seats = p.seats[:s.seats]
	for k, i := range d.nodes {
		p.free[i] = s.free[k]
		if p.used != nil {
			p.used[i] = slices.Clone(s.used[k])
		}
	}
}

// places for pods of that many cards that domains have when they are empty.
func (s *Stock) places(cards int) map[string]int {
	places := map[string]int{}
	for i := range s.nodes {
		n := &s.nodes[i]
		if name := n.Domains[s.domain]; name != "" && (s.scope == "" || slices.Contains(n.Scopes, s.scope)) {
			places[name] += n.Free / cards
		}
	}
	return places
}

// groups of such pods that these hold, less those that each group stands for that is placed by the same label.
func (s *Stock) groups(cards int) int {
	groups := 0
	for _, n := range s.places(cards) {
		groups += n / s.group
	}
	for r, pods := range s.placed {
		if r.Domain == s.domain && (s.scope == "" || slices.Contains(s.scopes[r.Scope], s.scope)) {
			groups -= pods / r.Group * (r.Group * (r.Cards / cards) / s.group)
		}
	}
	return max(groups, 0)
}

// Largest is the largest number of pods of that many cards that one domain has places for when it is empty.
func (s *Stock) Largest(cards int) int {
	most := 0
	for _, n := range s.places(cards) {
		most = max(most, n)
	}
	return most
}
