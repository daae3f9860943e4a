package placement

import (
	"maps"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

// Stock is the ledger of one type of card: what there is, on nodes where these are known, and the replicas that hold some of it.
type Stock struct {
	// left is the number of cards that no replica holds; below 0 where replicas hold more than there is.
	left int
	// nodes are the free cards of each node before any replica; nil where any cards make a replica.
	nodes []int
	// placed replicas, by cards each.
	placed map[int]int
}

// NewStock of so many cards, of which any make a replica.
func NewStock(cards int) *Stock { return &Stock{left: cards, placed: map[int]int{}} }

// NewStockOn nodes with so many free cards each.
func NewStockOn(nodes ...int) *Stock {
	s := NewStock(0)
	s.nodes = slices.Clone(nodes)
	slices.SortFunc(s.nodes, func(a, b int) int { return b - a })
	for _, free := range nodes {
		s.left += free
	}
	return s
}

// Stocks by type. A type that nodes are given of is counted by its nodes, whatever the count says.
func Stocks(c *v1alpha1.CapacityData) map[string]*Stock {
	all, nodes := map[string]*Stock{}, map[string][]int{}
	for _, n := range c.Count {
		if all[n.Type] == nil {
			all[n.Type] = NewStock(0)
		}
		all[n.Type].left += n.Count
	}
	for _, n := range c.Nodes {
		nodes[n.Type] = append(nodes[n.Type], n.Free)
	}
	for t, free := range nodes {
		all[t] = NewStockOn(free...)
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

// Left is the number of cards that no replica holds; below 0 where replicas hold more than there is.
func (s *Stock) Left() int {
	if s == nil {
		return 0
	}
	return s.left
}

// Room is the number of replicas of that many cards, at most want, that can be placed beside those that are.
func (s *Stock) Room(cards, want int) int {
	if s == nil || cards < 1 {
		return 0
	}
	n := max(min(want, s.left/cards), 0)
	if s.nodes == nil || n == 0 {
		return n
	}
	lo, hi := 0, n // lo fits
	for lo < hi {
		mid := (lo + hi + 1) / 2
		s.placed[cards] += mid
		if s.packable() {
			lo = mid
		} else {
			hi = mid - 1
		}
		s.placed[cards] -= mid
	}
	return lo
}

// Add places replicas, or takes them back where n is below 0.
func (s *Stock) Add(cards, n int) {
	if s == nil || cards < 1 {
		return
	}
	s.left -= cards * n
	s.placed[cards] += n
}

// Grow by nodes of so many cards each.
func (s *Stock) Grow(nodes, cards int) {
	s.left += nodes * cards
	if s.nodes != nil {
		s.nodes = append(s.nodes, slices.Repeat([]int{cards}, nodes)...)
	}
}

// OnNodes says whether a replica must find its cards on one node.
func (s *Stock) OnNodes() bool { return s != nil && s.nodes != nil }

// Places is the number of replicas of that many cards that fit beside those that are placed, as far as a count can tell: where the nodes are
// known, as many as they hold when they are empty less those that each placed replica stands for.
func (s *Stock) Places(cards int) int {
	switch {
	case s == nil:
		return 0
	case s.nodes == nil:
		return s.left / cards
	}
	n := 0
	for _, free := range s.nodes {
		n += free / cards
	}
	for size, replicas := range s.placed {
		n -= replicas * (size / cards)
	}
	return max(0, n)
}

// packable says whether the placed replicas fit on the nodes.
func (s *Stock) packable() bool { return s.Pack(s.nodes, nil) }

// Pack tries to put the placed replicas on nodes with so many free cards, the largest first, each on the fullest node that holds it. Where every
// size divides the next larger one, as powers of two do, that finds a packing if there is one. What it finds is told to assign, where that is not
// nil: the node's index, and the number of replicas of a size that it takes.
func (s *Stock) Pack(nodes []int, assign func(node, cards, replicas int)) bool {
	free := slices.Clone(nodes)
	sizes := slices.Sorted(maps.Keys(s.placed))
	slices.Reverse(sizes)
	for _, size := range sizes {
		n := s.placed[size]
		// Nodes whose free cards leave the smallest remainder come first: fragments are used up before whole nodes.
		order := make([]int, len(free))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if d := free[a]%size - free[b]%size; d != 0 {
				return d
			}
			return free[a] - free[b]
		})
		for _, i := range order {
			k := min(n, free[i]/size)
			free[i] -= k * size
			n -= k
			if k > 0 && assign != nil {
				assign(i, size, k)
			}
		}
		if n > 0 {
			return false
		}
	}
	return true
}
