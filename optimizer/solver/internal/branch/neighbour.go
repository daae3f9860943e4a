package branch

import (
	"cmp"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

const (
	// neighbours is the number of sets that are decided anew together.
	neighbours = 40
	// neighbourWork is the effort for each column of a neighbourhood, in columns visited.
	neighbourWork = 5_000
	// neighbourShare is the part of the work, one in so many, that goes to neighbourhoods.
	neighbourShare = 3
	// manySets is the number of sets beyond which neighbourhoods cost more than they give.
	manySets = 2000
	// fruitless is the number of neighbourhoods without a better solution, per row, after which no more are tried.
	fruitless = 20
)

// neighbourhoods improves the best solution: the sets that share two rows, and some that take
// nothing, are decided anew, all others stay (large neighbourhood search,
// Shaw 1998). Pairs of rows, and of their sets where there are too many, come in a fixed pseudo-random order.
func (s *search) neighbourhoods(st *choicelp.State, bound float64) {
	if s.pick == nil || len(s.p.Capacity) == 0 || s.p.Sets() > manySets {
		return
	}
	stop := s.work - s.work/neighbourShare
	rows := len(s.p.Capacity)
	for round, idle := uint64(0), 0; idle < fruitless*rows && s.work > stop && !s.done() && !s.closed(bound); round++ {
		a, b := int32(hash(round, 1)%uint64(rows)), int32(hash(round, 2)%uint64(rows))
		var sets, idlers []int // those with columns of the rows, those that take nothing
		for set, j := range s.pick {
			switch {
			case s.amount(j, a) > 0 || s.amount(j, b) > 0:
				sets = append(sets, set)
			case s.p.Ptr[j] == s.p.Ptr[j+1]:
				idlers = append(idlers, set)
			}
		}
		sets = append(some(sets, neighbours, round), some(idlers, neighbours/4, round)...)
		open := make([]bool, s.p.Sets())
		for _, set := range sets {
			open[set] = true
		}
		before := s.best
		sub := s.reduce(st.Prices, func(set int, j int32, extra float64) bool {
			return j == s.pick[set] || open[set] && bound+extra < s.target()
		})
		if sub != nil && len(sub.sets) > 0 {
			work := neighbourWork * sub.p.Columns()
			sub.search(s, min(work, s.work), true)
		}
		if idle++; s.best < before {
			idle = 0
		}
	}
}

// some are at most n of the sets, in a pseudo-random order where there are more.
func some(sets []int, n int, round uint64) []int {
	if len(sets) <= n {
		return sets
	}
	slices.SortFunc(sets, func(x, y int) int { return cmp.Compare(hash(round, uint64(x)+3), hash(round, uint64(y)+3)) })
	return sets[:n]
}

// hash mixes two numbers (the finaliser of SplitMix64; Steele, Lea, Flood 2014).
func hash(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
