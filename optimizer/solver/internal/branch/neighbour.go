package branch

import (
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

const (
	// neighbours is the number of sets that are decided anew together.
	//
	// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: 439 servers of 600 are served after 436, with 90 % more work for 200 and a gap
	// of 0.050 % after 0.043 % for 400; at twice: 439, with twice the work for 200
	neighbours = 40
	// neighbourWork is the effort for each column of a neighbourhood, in columns visited.
	//
	// Tuned: columns; measured by eight fleets of 50 to 5000 servers; at half: 4 % less work for 200 servers; at twice: 8 % more
	neighbourWork = 5_000
	// neighbourShare is the part of the work, one in so many, that goes to neighbourhoods.
	//
	// Tuned: 1; measured by eight fleets of 50 to 5000 servers; at half: 432 servers of 600 are served after 436, with a gap of 0.11 % after 0.05 %; at
	// twice: 438
	neighbourShare = 3
	// fruitless is the number of neighbourhoods without a better solution, per row, after which no more are tried.
	//
	// Tuned: neighbourhoods; measured by eight fleets of 50 to 5000 servers; at half: half the work for 2000 servers, no difference in plans; at twice: 80
	// % more
	fruitless = 20
)

// neighbourhoods improves the best solution: the sets that share two rows, and some that take nothing but could take of these, are decided
// anew, all others stay (large neighbourhood search, Shaw 1998). Pairs of rows, and of their sets where there are too many, come in a fixed
// pseudo-random order.
func (s *search) neighbourhoods(st *choicelp.State, bound float64) {
	if s.pick == nil || len(s.p.Capacity) == 0 {
		return
	}
	first, all := s.meter.Spent(), s.remains()
	roots := s.roots()
	rows := len(roots)
	for round, idle := uint64(0), 0; idle < fruitless*rows && s.meter.Spent() < first+int64(all/neighbourShare) && !s.done() && !s.closed(bound); round++ {
		a, b := roots[hash(round, 1)%uint64(rows)], roots[hash(round, 2)%uint64(rows)]
		var sets, idlers []int // those with columns of the rows, those that take nothing
		for set, j := range s.pick {
			switch {
			case s.amount(j, a) > 0 || s.amount(j, b) > 0:
				sets = append(sets, set)
			case s.p.Ptr[j] == s.p.Ptr[j+1] && s.could(set, a, b):
				idlers = append(idlers, set)
			}
		}
		sets = append(some(sets, neighbours, round), some(idlers, neighbours/4, round)...)
		slices.Sort(sets)
		before := s.best
		sub := s.around(st.Prices, sets, func(j int32, extra float64) bool { return bound+extra < s.target() })
		if len(sub.sets) > 0 {
			sub.search(s, min(neighbourWork*sub.p.Columns(), s.remains()), true)
		}
		s.meter.Charge(2 * s.p.Sets())
		if idle++; s.best < before {
			idle = 0
		}
	}
}

// roots are the rows that have none above them.
func (s *search) roots() []int32 {
	var roots []int32
	for r := range s.p.Capacity {
		if s.p.Root(int32(r)) == int32(r) {
			roots = append(roots, int32(r))
		}
	}
	return roots
}

// could says whether the set has a column that takes of one of two rows.
func (s *search) could(set int, a, b int32) bool {
	for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
		if s.amount(j, a) > 0 || s.amount(j, b) > 0 {
			return true
		}
	}
	return false
}

// around is the part of the sets, where all others stay as in the best solution: of the columns that keep holds for, given their reduced costs
// above the least of their set, and the best solution's.
func (s *search) around(prices []float64, sets []int, keep func(column int32, extra float64) bool) *reduced {
	r := &reduced{pick: slices.Clone(s.pick), cost: s.best}
	s.leave(s.pick)
	columns := 0
	for _, set := range sets {
		s.take(s.pick[set], -1)
		r.cost -= s.p.Cost[s.pick[set]]
		columns += int(s.p.First[set+1] - s.p.First[set])
	}
	r.p = s.p.Of(slices.Clone(s.left))
	r.p.Grow(len(sets), columns, columns)
	for _, set := range sets {
		least := math.Inf(1)
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			least = min(least, s.p.Reduced(prices, j))
		}
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			if j == s.pick[set] || keep(j, s.p.Reduced(prices, j)-least) {
				r.p.Copy(s.p, j)
				r.columns = append(r.columns, j)
			}
		}
		r.p.EndSet()
		r.sets = append(r.sets, set)
	}
	return r
}

// some are at most n of the sets, drawn pseudo-randomly where there are more; it changes the order of the sets.
func some(sets []int, n int, round uint64) []int {
	if len(sets) <= n {
		return sets
	}
	for k := range n {
		at := k + int(hash(round, uint64(k)+3)%uint64(len(sets)-k))
		sets[k], sets[at] = sets[at], sets[k]
	}
	return sets[:n]
}

// hash mixes two numbers (the finaliser of SplitMix64; Steele, Lea, Flood 2014).
func hash(a, b uint64) uint64 {
	z := a*0x9e3779b97f4a7c15 + b*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
