package sizing

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// A server may be split over two of the splitTypes types that serve it cheapest, in splitPoints proportions: 18 ways beside those on one
// accelerator.
const (
	// splitTypes that a server may be split over.
	//
	// Tuned: types; derived from the 18 ways there are then, with which a large fleet stays quick to solve; at half: 3 ways, no difference over the scenarios;
	// at twice: 84 ways, no difference
	splitTypes = 4
	// splitPoints are the proportions of a split.
	//
	// Tuned: proportions; derived from the 18 ways there are then; at half: 6 ways, with 1 of them, no difference over the scenarios; at twice: 36
	// ways, no difference
	splitPoints = 3
)

// splits are the ways to serve a server on two types of cards at once, where two types serve it. Which load a split carries depends on the
// server's routing.
func splits(s *Server, feasible []*Candidate) []*Candidate {
	cheapest := cheapestOfTypes(feasible)
	all := splitsOf(s, cheapest[:min(len(cheapest), splitTypes)], splitPoints)
	if last := splitInForce(s, feasible); last != nil && !slices.ContainsFunc(all, func(c *Candidate) bool { return slices.Equal(c.Parts, last.Parts) }) {
		all = append(all, last)
	}
	return all
}

// cheapestOfTypes are the cheapest of each type, the cheapest first.
func cheapestOfTypes(feasible []*Candidate) []*Candidate {
	var list []*Candidate
	for _, c := range slices.SortedFunc(slices.Values(feasible), compare) {
		if c.rated() && !slices.ContainsFunc(list, func(o *Candidate) bool { return o.Types() == c.Types() }) {
			list = append(list, c)
		}
	}
	return list
}

// splitsOf makes splits over any two of the candidates that keep to the server's bounds on replicas: so many of each two, evenly spread from
// little of the first to little of the second.
//
// What a split carries depends on the routing. With round robin every replica gets the same share, so all n replicas carry what the
// weaker carries: n·min(r₁, r₂). With least request and with weights, load follows capacity: n₁r₁ + n₂r₂. Shares of the parts are
// nᵢ/n and nᵢrᵢ/(n₁r₁ + n₂r₂).
func splitsOf(s *Server, list []*Candidate, points int) []*Candidate {
	if len(list) < 2 {
		return nil
	}
	load := list[0].Demand
	for _, c := range list {
		load = max(load, float64(c.Parts[0].drain)*c.Parts[0].Rate)
	}
	sorted := slices.SortedFunc(slices.Values(list), func(a, b *Candidate) int {
		return cmp.Or(strings.Compare(a.Types(), b.Types()), compare(a, b))
	})
	var all []*Candidate
	for i, b := range sorted {
		for _, a := range sorted[:i] {
			if a.Types() == b.Types() {
				continue
			}
			for _, n := range proportions(a.Parts[0].Rate, b.Parts[0].Rate, load, s.Routing == jsonspec.RoutingRoundRobin, points) {
				c := &Candidate{Parts: []Part{{Sized: a.Parts[0].Sized, Replicas: n[0]}, {Sized: b.Parts[0].Sized, Replicas: n[1]}}, Demand: list[0].Demand}
				if total := c.Replicas(); total < s.MinReplicas || s.MaxReplicas > 0 && total > s.MaxReplicas {
					continue
				}
				share(c.Parts, s.Routing)
				all = append(all, c)
			}
		}
	}
	return all
}

// proportions are the numbers of replicas that carry a load together, where one carries the given rate.
func proportions(a, b, load float64, equal bool, points int) [][2]int {
	most, total := int(math.Ceil(load/a))-1, int(math.Ceil(load/min(a, b)))
	if equal {
		most = total - 1
	}
	var all [][2]int
	last := 0
	for k := 1; k <= points; k++ {
		n := (most*k + points/2) / (points + 1)
		if points >= most {
			n = k
		}
		if n <= last || n > most {
			continue
		}
		last = n
		m := total - n
		if !equal {
			m = int(math.Ceil((load - float64(n)*a) / b))
		}
		if m >= 1 {
			all = append(all, [2]int{n, m})
		}
	}
	return all
}

// splitInForce is the split on the accelerators in force that is nearest to what runs; nil where there is none.
func splitInForce(s *Server, feasible []*Candidate) *Candidate {
	inForce := s.InForce()
	if len(inForce) != 2 {
		return nil
	}
	var two []*Candidate
	for _, c := range feasible {
		if _, runs := inForce[c.ID()]; runs && c.rated() {
			two = append(two, c)
		}
	}
	if len(two) != 2 {
		return nil
	}
	all := splitsOf(s, two, max(two[0].Replicas(), two[1].Replicas()))
	if len(all) == 0 {
		return nil
	}
	return slices.MinFunc(all, func(a, b *Candidate) int { return cmp.Compare(a.Distance(inForce), b.Distance(inForce)) })
}
