package solver

import (
	"slices"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/ratio"
)

// counts are the replicas of each part.
func (c *Candidate) counts() []int {
	list := make([]int, len(c.Parts))
	for i := range c.Parts {
		list[i] = c.Parts[i].Replicas
	}
	return list
}

// most is the largest number of replicas with which it keeps its ratio of those for which something holds that holds for all that are smaller; 0 where it holds
// for none.
func (c *Candidate) most(holds func(replicas int) bool) int {
	n := sort.Search(c.Replicas(), func(n int) bool { return !holds(n + 1) })
	return (&Candidate{Parts: c.at(n)}).Replicas()
}

// next is how many replicas come next to so many: one, or, where a ratio is kept, those up to the next number that keeps it. 0 where it has all.
func (c *Candidate) next(replicas int) int {
	switch all := c.Replicas(); {
	case replicas >= all:
		return 0
	case !c.Ratio:
		return 1
	}
	more := 1
	for (&Candidate{Parts: c.at(replicas + more)}).Replicas() <= replicas {
		more++
	}
	return more
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
	for i, n := range ratio.Within(c.counts(), replicas) {
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
