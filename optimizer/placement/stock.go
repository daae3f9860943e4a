package placement

import (
	"cmp"
	"slices"
	"strings"

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
}

// ledger that the stocks of all scopes share.
type ledger struct {
	// left is the number of cards that no replica holds; below 0 where replicas hold more than there is.
	left int
	// nodes are those before any replica, those with most free cards first; nil where any cards make a replica.
	nodes []Node
	// placed replicas that are alike.
	placed map[replica]int
	// scopes that nodes have, with the scopes that hold all of their nodes, and perhaps more.
	scopes map[string][]string
}

// replica of so many cards within a scope, empty for all nodes.
type replica struct {
	cards int
	scope string
}

// NewStock of so many cards, of which any make a replica.
func NewStock(cards int) *Stock {
	return &Stock{ledger: &ledger{left: cards, placed: map[replica]int{}}}
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
	return &Stock{s.ledger, scope}
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
		nodes[n.Type] = append(nodes[n.Type], Node{n.Free, n.Scopes, n.Portions})
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
		if scope == "" || slices.Contains(l.scopes[r.scope], scope) {
			n -= replicas * (r.cards / cards)
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
	lo, hi, r := 0, n, replica{cards, s.scope} // lo fits
	for lo < hi {
		mid := (lo + hi + 1) / 2
		s.placed[r] += mid
		if s.packable() {
			lo = mid
		} else {
			hi = mid - 1
		}
		s.placed[r] -= mid
	}
	return lo
}

// Add places replicas, or takes them back where n is below 0.
func (s *Stock) Add(cards, n int) {
	if s == nil || cards < 1 {
		return
	}
	s.left -= cards * n
	s.placed[replica{cards, s.scope}] += n
}

// Grow by nodes of so many cards each, of these scopes.
func (s *Stock) Grow(nodes, cards int, scopes ...string) {
	s.left += nodes * cards
	if s.nodes != nil && nodes > 0 {
		s.nodes = append(s.nodes, slices.Repeat([]Node{{Free: cards, Scopes: scopes}}, nodes)...)
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
	}
	return max(0, s.count(s.scope, cards))
}

// packable says whether the placed replicas fit on the nodes.
func (s *Stock) packable() bool { return s.Pack(s.nodes, nil) }

// Pack tries to put the placed replicas of all scopes on nodes with so many free cards, the largest first, each on the fullest node that holds it. Where
// every size divides the next larger one, as powers of two do, and all nodes are of one scope, that finds a packing if there is one. Of replicas of a
// size, those that can be on the fewest nodes come first, and each takes nodes first that the fewest other scopes want; where that finds no packing, all
// replicas of small scopes are tried before those of larger ones. No node gets more than it has of what shares are of. What it finds is told to assign, where that is not nil: the node's index, and the
// number of replicas of a size and scope that it takes.
func (s *Stock) Pack(nodes []Node, assign func(node, cards int, scope string, replicas int)) bool {
	return s.pack(nodes, assign, func(a, b replica, nodes map[string]int) int {
		return cmp.Or(b.cards-a.cards, nodes[a.scope]-nodes[b.scope], strings.Compare(a.scope, b.scope))
	}) || len(s.scopes) > 0 && s.pack(nodes, assign, func(a, b replica, nodes map[string]int) int {
		return cmp.Or(nodes[a.scope]-nodes[b.scope], strings.Compare(a.scope, b.scope), b.cards-a.cards)
	})
}

// seat of replicas that are alike on a node, by its index.
type seat struct {
	node     int
	of       replica
	replicas int
}

func (l *ledger) pack(nodes []Node, assign func(node, cards int, scope string, replicas int), compare func(a, b replica, nodes map[string]int) int) bool {
	sizes := make([]replica, 0, len(l.placed))
	wanted, width := make([]int, len(nodes)), map[string]int{"": len(nodes)}
	for r, n := range l.placed {
		if n > 0 {
			sizes = append(sizes, r)
		}
	}
	free := make([]int, len(nodes))
	var used [][]float64
	for i := range nodes {
		free[i] = nodes[i].Free
		if used == nil && len(nodes[i].Portions) > 0 {
			used = make([][]float64, len(nodes))
		}
		for _, scope := range nodes[i].Scopes {
			width[scope]++
			if slices.ContainsFunc(sizes, func(r replica) bool { return r.scope == scope }) {
				wanted[i]++
			}
		}
	}
	slices.SortFunc(sizes, func(a, b replica) int { return compare(a, b, width) })
	var seats []seat
	order := make([]int, 0, len(nodes))
	for _, r := range sizes {
		n := l.placed[r]
		order = order[:0]
		for i := range nodes {
			if free[i] >= r.cards && (r.scope == "" || slices.Contains(nodes[i].Scopes, r.scope)) {
				order = append(order, i)
			}
		}
		// Nodes whose free cards leave the smallest remainder come first: fragments are used up before whole nodes.
		slices.SortStableFunc(order, func(a, b int) int {
			return cmp.Or(wanted[a]-wanted[b], free[a]%r.cards-free[b]%r.cards, free[a]-free[b])
		})
		for _, i := range order {
			k := min(n, free[i]/r.cards)
			if used != nil {
				k = nodes[i].holds(r.scope, used[i], k)
				used[i] = nodes[i].use(r.scope, used[i], k)
			}
			free[i] -= k * r.cards
			if n -= k; k > 0 && assign != nil {
				seats = append(seats, seat{i, r, k})
			}
		}
		if n > 0 {
			return false
		}
	}
	for _, at := range seats {
		assign(at.node, at.of.cards, at.of.scope, at.replicas)
	}
	return true
}
