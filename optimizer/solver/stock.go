package solver

import (
	"maps"
	"slices"
)

// stock is what there is of a type: cards, on nodes where these are known, and the replicas that hold some of them.
type stock struct {
	// left is the number of cards that no replica holds.
	left int
	// nodes are the free cards of each node before any replica, the most first; nil where any cards make a replica.
	nodes []int
	// placed replicas, by cards each.
	placed map[int]int
}

// stocks are those of a problem, by type. A type that nodes are given of is counted by its nodes, whatever the capacity says.
func stocks(p *Problem) map[string]*stock {
	all := make(map[string]*stock, len(p.Capacity))
	for t, n := range p.Capacity {
		all[t] = &stock{left: n, placed: map[int]int{}}
	}
	for _, n := range p.Nodes {
		s := all[n.Type]
		if s == nil || s.nodes == nil {
			s = &stock{nodes: []int{}, placed: map[int]int{}}
			all[n.Type] = s
		}
		s.nodes = append(s.nodes, n.Free)
		s.left += n.Free
	}
	for _, s := range all {
		slices.SortFunc(s.nodes, func(a, b int) int { return b - a })
	}
	return all
}

// room is the number of replicas of that many cards, at most want, that can be placed beside those that are.
func (s *stock) room(cards, want int) int {
	if s == nil {
		return 0
	}
	n := min(want, s.left/cards)
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

// add places replicas, or takes them back where n is below 0.
func (s *stock) add(cards, n int) {
	s.left -= cards * n
	s.placed[cards] += n
}

// packable says whether the placed replicas fit on the nodes, the largest first, each on the fullest node that holds it. Where every size
// divides the next larger one, as powers of two do, that finds a packing if there is one.
func (s *stock) packable() bool { return s.pack(nil) }

// pack tries the packing; assign, where it is not nil, gets the node (an index into the sorted nodes) and the number of replicas of a size
// that it takes.
func (s *stock) pack(assign func(node, cards, replicas int)) bool {
	free := slices.Clone(s.nodes)
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

// slots is the number of replicas of that many cards that the nodes hold when they are empty.
func (s *stock) slots(cards int) int {
	n := 0
	for _, f := range s.nodes {
		n += f / cards
	}
	return n
}
