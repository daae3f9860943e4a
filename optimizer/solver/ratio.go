package solver

import (
	"cmp"
	"slices"
	"sort"
)

// Kept are numbers of replicas that keep the ratio of needed ones with at most so many in all: for the largest share f from 0 to 1,
//
//	nᵢ = ⌈f · neededᵢ⌉,   Σ nᵢ ≤ most.
//
// No number grows where another one shrinks, and nobody has a replica that the others do not need, for at the next smaller share one of them has one less.
// None has any where not each that is needed can have one.
func Kept(needed []int, most int) []int {
	kept := make([]int, len(needed))
	steps := steps(needed)
	if k := sort.Search(len(steps), func(k int) bool { return sum(steps[k].of(needed)) > most }); k > 0 {
		kept = steps[k-1].of(needed)
	}
	return kept
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

// steps are the shares at which one of the numbers is whole, rising, up to all.
func steps(needed []int) []share {
	var list []share
	for _, d := range needed {
		for n := 1; n <= d; n++ {
			list = append(list, share{n, d})
		}
	}
	compare := func(a, b share) int { return cmp.Compare(a.n*b.d, b.n*a.d) }
	slices.SortFunc(list, compare)
	return slices.CompactFunc(list, func(a, b share) bool { return compare(a, b) == 0 })
}

func sum(list []int) int {
	all := 0
	for _, n := range list {
		all += n
	}
	return all
}

// counts are the replicas of each part.
func (c *Candidate) counts() []int {
	list := make([]int, len(c.Parts))
	for i := range c.Parts {
		list[i] = c.Parts[i].Replicas
	}
	return list
}

// steps are the numbers of replicas in all with which it keeps its ratio, rising.
func (c *Candidate) steps() []int {
	needed := c.counts()
	var list []int
	for _, s := range steps(needed) {
		list = append(list, sum(s.of(needed)))
	}
	return list
}

// below is the largest of rising numbers for which something holds that holds for all that are smaller; 0 where it holds for none.
func below(rising []int, holds func(n int) bool) int {
	if k := sort.Search(len(rising), func(k int) bool { return !holds(rising[k]) }); k > 0 {
		return rising[k-1]
	}
	return 0
}

// next is how many replicas come next to so many: one, or, where a ratio is kept, those up to the next number that keeps it. 0 where it has all.
func (c *Candidate) next(replicas int) int {
	switch all := c.Replicas(); {
	case replicas >= all:
		return 0
	case !c.Ratio:
		return 1
	}
	steps := c.steps()
	at, _ := slices.BinarySearch(steps, replicas+1)
	return steps[at] - replicas
}

// at are the parts of a candidate of which a server has so many replicas: of several parts all, or as many as keep their ratio.
func (c *Candidate) at(replicas int) []Part {
	if replicas == c.Replicas() || len(c.Parts) != 1 && !c.Ratio {
		return c.Parts
	}
	parts := slices.Clone(c.Parts)
	if len(parts) == 1 {
		parts[0].Replicas = replicas
		return parts
	}
	for i, n := range Kept(c.counts(), replicas) {
		parts[i].Replicas = n
	}
	return parts
}

// had is a candidate as a server has it that has so many of its replicas, with their cost.
func (c *Candidate) had(replicas int) *Candidate {
	all := c.Replicas()
	if replicas == all || len(c.Parts) != 1 && !c.Ratio {
		return c
	}
	had := *c
	had.Parts = c.at(replicas)
	had.Cost = c.Cost * float64(replicas) / float64(max(all, 1))
	if c.Ratio {
		had.Cost = 0
		for i := range had.Parts {
			had.Cost += float64(had.Parts[i].Replicas) * had.Parts[i].Cost
		}
	}
	return &had
}
