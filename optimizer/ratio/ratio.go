// Package ratio counts replicas that need each other, such as those of the roles of a server, whose numbers keep their ratio when there are fewer or more.
package ratio

import (
	"slices"
	"sort"
)

// Within are numbers of replicas that keep the ratio of needed ones with at most so many in all: for the largest share f from 0 to 1,
//
//	nᵢ = ⌈f · neededᵢ⌉,   Σ nᵢ ≤ most.
//
// No number grows where another one shrinks, and nobody has a replica that the others do not need, for at the next smaller share one of them has one less.
// None has any where not each that is needed can have one.
func Within(needed []int, most int) []int {
	best := share{0, 1}
	for _, d := range needed {
		s := share{sort.Search(d, func(k int) bool { return sum(share{k + 1, d}.of(needed)) > most }), d}
		if s.n > 0 && s.n*best.d > best.n*d {
			best = s
		}
	}
	return best.of(needed)
}

// Grow numbers of replicas, of which none is below what is needed, to so many in all: each more goes to those that have the least share of their need
// beyond it, the first of equals.
func Grow(needed, have []int, all int) []int {
	grown := slices.Clone(have)
	for n := sum(grown); n < all; n++ {
		least := -1
		for i := range grown {
			if needed[i] > 0 && (least < 0 || grown[i]*needed[least] < grown[least]*needed[i]) {
				least = i
			}
		}
		if least < 0 {
			break
		}
		grown[least]++
	}
	return grown
}

// share of what is needed: n of d.
type share struct{ n, d int }

// of numbers, rounded up.
func (s share) of(needed []int) []int {
	list := make([]int, len(needed))
	for i, n := range needed {
		list[i] = (n*s.n + s.d - 1) / s.d
	}
	return list
}

func sum(list []int) int {
	all := 0
	for _, n := range list {
		all += n
	}
	return all
}
