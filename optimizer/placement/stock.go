package placement

import (
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Node with cards of one type.
type Node struct {
	// Free cards before any replica.
	Free int
	// Scopes are the sets of nodes that the node belongs to, by name: some replicas can only be on the nodes of one of them.
	Scopes []string
	// Portions are, by scope, what a replica takes of each of the node's other resources, such as processors and memory, as shares of what is free of them
	// before any replica, each 0 to 1, in one order for all scopes; absent where cards run out first, whatever is placed.
	Portions map[string][]float64
	// Domains are the values of the labels that domains of nodes are told by; a node without a label is in none of its domains.
	Domains map[string]string
}

// rounding of sums of shares that is no overdraft.
//
// Exact: shares are ratios of whole numbers, and sums of them are rounded in the last of 53 bits.
const rounding = 1e-12

// holds says how many of so many replicas, for which there are cards, find enough of the other resources beside those that are used.
func (n *Node) holds(scope string, used []float64, replicas int) int {
	for i, share := range n.Portions[scope] {
		left := 1 + rounding
		if used != nil {
			left -= used[i]
		}
		if share > 0 && float64(replicas)*share > left {
			replicas = max(int(left/share), 0)
		}
	}
	return replicas
}

// use is what is used when replicas of a scope are added.
func (n *Node) use(scope string, used []float64, replicas int) []float64 {
	portions := n.Portions[scope]
	if used == nil && len(portions) > 0 {
		used = make([]float64, len(portions))
	}
	for i, share := range portions {
		used[i] += float64(replicas) * share
	}
	return used
}

// Stock is the ledger of one type of card: what there is, on nodes where these are known, and the replicas that hold some of it. What it says, and
// what is placed with it, is of its scope: of all nodes, or of those of one set; see [Stock.Within].
type Stock struct {
	*ledger
	scope string
	// domain and group are of the pods that are placed; see [Stock.Together].
	domain string
	group  int
}

// ledger that the stocks of all scopes share.
type ledger struct {
	// left is the number of cards that no replica holds; below 0 where replicas hold more than there is.
	left int
	// nodes are those before any replica, those with most free cards first; nil where any cards make a replica.
	nodes []Node
	// placed pods that are alike; a replica of one pod is one.
	placed map[Alike]int
	// scopes that nodes have, with the scopes that hold all of their nodes, and perhaps more.
	scopes map[string][]string
}

// Alike is what pods have in common that are placed alike.
type Alike struct {
	// Cards of each, all on one node of the scope, which is empty for all nodes.
	Cards int
	Scope string
	// Domain is the key of a node label of which so many of them, a Group, need one and the same value; empty for pods that go each where they can.
	Domain string
	Group  int
}

// NewStock of so many cards, of which any make a replica.
func NewStock(cards int) *Stock {
	return &Stock{ledger: &ledger{left: cards, placed: map[Alike]int{}}}
}

// NewStockOn nodes.
func NewStockOn(nodes ...Node) *Stock {
	s := NewStock(0)
	s.nodes = slices.Clone(nodes)
	slices.SortStableFunc(s.nodes, func(a, b Node) int { return b.Free - a.Free })
	for _, n := range nodes {
		s.left += n.Free
	}
	s.relate()
	return s
}

// relate the scopes of the nodes to each other.
func (l *ledger) relate() {
	size, both := map[string]int{}, map[[2]string]int{}
	for _, n := range l.nodes {
		for _, a := range n.Scopes {
			size[a]++
			for _, b := range n.Scopes {
				both[[2]string{a, b}]++
			}
		}
	}
	l.scopes = map[string][]string{}
	for a, n := range size {
		for b := range size {
			if both[[2]string{a, b}] == n {
				l.scopes[a] = append(l.scopes[a], b)
			}
		}
	}
}

// Within a scope: the stock of the nodes of a set, of which others may be part. The empty scope is all nodes. Where the nodes are not known there is
// one scope.
func (s *Stock) Within(scope string) *Stock {
	if s == nil || s.nodes == nil || scope == s.scope {
		return s
	}
	return &Stock{ledger: s.ledger, scope: scope}
}

// Together is the stock of the same nodes for pods that come in groups of so many, each within one domain: a set of nodes with one value of a label. What it
// has room for, and what is added to it, are pods of whole groups. Without a label, or where the nodes are not known, nothing is asked of them.
func (s *Stock) Together(domain string, group int) *Stock {
	if s == nil || s.nodes == nil || domain == "" || group < 1 {
		return s
	}
	return &Stock{ledger: s.ledger, scope: s.scope, domain: domain, group: group}
}

// Stocks by type. A type that nodes are given of is counted by its nodes, whatever the count says.
func Stocks(c *jsonspec.CapacityData) map[string]*Stock {
	all, nodes := map[string]*Stock{}, map[string][]Node{}
	for _, n := range c.Count {
		if all[n.Type] == nil {
			all[n.Type] = NewStock(0)
		}
		all[n.Type].left += n.Count
	}
	for _, n := range c.Nodes {
		nodes[n.Type] = append(nodes[n.Type], Node{n.Free, n.Scopes, n.Portions, n.Domains})
	}
	for t, list := range nodes {
		all[t] = NewStockOn(list...)
	}
	return all
}

// Take takes the cards of replicas out of those that are free on each node, and returns how many there are not, or not together. Each replica comes
// from the tightest node that holds it, so that large ones stay whole; what no node holds is taken from those with most left.
func Take(free []int, replicas, cards int) (short int) {
	for range replicas {
		at := -1
		for i, n := range free {
			if n >= cards && (at < 0 || n < free[at]) {
				at = i
			}
		}
		if at >= 0 {
			free[at] -= cards
			continue
		}
		short += cards
		for missing := cards; missing > 0; {
			most := 0
			for i, n := range free {
				if n > free[most] {
					most = i
				}
			}
			if len(free) == 0 || free[most] <= 0 {
				break
			}
			taken := min(missing, free[most])
			free[most] -= taken
			missing -= taken
		}
	}
	return short
}

// Left is the number of cards that no replica holds, at least so far as that can be told without packing; below 0 where replicas hold more than there is.
func (s *Stock) Left() int {
	if s == nil {
		return 0
	}
	if s.nodes == nil || s.scope == "" {
		return s.left
	}
	left := s.left
	if len(s.scopes[s.scope]) == 0 {
		return min(left, 0) // it has no node
	}
	for _, wider := range s.scopes[s.scope] {
		left = min(left, s.count(wider, 1))
	}
	return left
}

// count of the places for replicas of that many cards on the nodes of a scope, when they are empty, less those that each replica stands for that is
// placed on no others.
func (l *ledger) count(scope string, cards int) int {
	n := 0
	for i := range l.nodes {
		if scope == "" || slices.Contains(l.nodes[i].Scopes, scope) {
			n += l.nodes[i].Free / cards
		}
	}
	for r, replicas := range l.placed {
		if scope == "" || slices.Contains(l.scopes[r.Scope], scope) {
			n -= replicas * (r.Cards / cards)
		}
	}
	return n
}

// Room is the number of replicas of that many cards, at most want, that can be placed beside those that are.
func (s *Stock) Room(cards, want int) int {
	if s == nil || cards < 1 {
		return 0
	}
	n := max(min(want, s.Left()/cards), 0)
	if s.nodes == nil || n == 0 {
		return n
	}
	unit := max(s.group, 1)
	if n /= unit; s.group > 0 {
		n = min(n, s.groups(cards))
	}
	lo, hi, r := 0, n, s.alike(cards) // lo fits
	for lo < hi {
		mid := (lo + hi + 1) / 2
		s.placed[r] += mid * unit
		if s.packable() {
			lo = mid
		} else {
			hi = mid - 1
		}
		s.placed[r] -= mid * unit
	}
	return lo * unit
}

// alike are pods of so many cards that are placed by the stock.
func (s *Stock) alike(cards int) Alike { return Alike{cards, s.scope, s.domain, s.group} }

// Add places replicas, or takes them back where n is below 0.
func (s *Stock) Add(cards, n int) {
	if s == nil || cards < 1 {
		return
	}
	s.left -= cards * n
	s.placed[s.alike(cards)] += n
}

// Grow by so many nodes that are alike.
func (s *Stock) Grow(nodes int, of Node) {
	s.left += nodes * of.Free
	if s.nodes != nil && nodes > 0 {
		s.nodes = append(s.nodes, slices.Repeat([]Node{of}, nodes)...)
		s.relate()
	}
}

// OnNodes says whether a replica must find its cards on one node.
func (s *Stock) OnNodes() bool { return s != nil && s.nodes != nil }

// Holds says whether all nodes of another scope are of this one: whatever is placed within the other is.
func (s *Stock) Holds(scope string) bool {
	return s != nil && (s.scope == "" || s.scope == scope || slices.Contains(s.scopes[scope], s.scope))
}

// Places is the number of replicas of that many cards that fit beside those that are placed, as far as a count can tell: where the nodes are
// known, as many as they hold when they are empty less those that each placed replica stands for.
func (s *Stock) Places(cards int) int {
	switch {
	case s == nil:
		return 0
	case s.nodes == nil:
		return s.left / cards
	case s.group > 0:
		return s.groups(cards) * s.group
	}
	return max(0, s.count(s.scope, cards))
}

// packable says whether the placed replicas fit on the nodes.
func (s *Stock) packable() bool { return s.Pack(s.nodes, nil) }
