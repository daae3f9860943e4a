package control

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// A server may be split over two of the splitTypes types that serve it cheapest, in splitPoints proportions: 18 ways beside those on one
// accelerator, so that a large fleet stays quick to solve.
const (
	splitTypes  = 4
	splitPoints = 3
)

// split adds the ways to serve a server on two types of cards at once, where two types serve it. Which load a split carries depends on the
// server's routing.
func (w *work) split() error {
	cheapest := w.cheapestOfTypes()
	splits, err := w.splitsOf(cheapest[:min(len(cheapest), splitTypes)], splitPoints)
	if err != nil {
		return err
	}
	if last, err := w.splitInForce(); err != nil {
		return err
	} else if last != nil && !slices.ContainsFunc(splits, func(c *candidate) bool { return slices.Equal(c.Parts, last.Parts) }) {
		splits = append(splits, last)
	}
	w.candidates = append(w.candidates, splits...)
	w.feasible = append(w.feasible, splits...)
	return nil
}

// cheapestOfTypes are the cheapest feasible candidates of each type, the cheapest first.
func (w *work) cheapestOfTypes() []*candidate {
	sorted := slices.SortedFunc(slices.Values(w.feasible), func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.Cost, b.Cost), strings.Compare(a.ID, b.ID))
	})
	var list []*candidate
	for _, c := range sorted {
		if c.rate > 0 && c.fault == nil && !slices.ContainsFunc(list, func(o *candidate) bool { return o.Parts[0].Type == c.Parts[0].Type }) {
			list = append(list, c)
		}
	}
	return list
}

// splitsOf makes the splits over any two of the candidates that keep to the server's bounds on replicas.
func (w *work) splitsOf(list []*candidate, points int) ([]*candidate, error) {
	if len(list) < 2 {
		return nil, nil
	}
	rated := make([]solver.Rated, len(list))
	by := map[string]*candidate{}
	load := list[0].demand
	for i, c := range list {
		rated[i] = solver.Rated{Candidate: c.Candidate, Rate: c.rate}
		by[c.ID] = c
		load = max(load, float64(c.drain)*c.rate)
	}
	made, err := solver.Splits(rated, load, w.entry.Routing, points)
	if err != nil {
		return nil, err
	}
	var splits []*candidate
	for _, m := range made {
		if m.Replicas() < w.entry.MinNumReplicas || (w.entry.MaxNumReplicas > 0 && m.Replicas() > w.entry.MaxNumReplicas) {
			continue
		}
		c := &candidate{Candidate: m, demand: list[0].demand}
		for _, p := range m.Parts {
			c.parts = append(c.parts, by[p.Accelerator])
		}
		splits = append(splits, c)
	}
	return splits, nil
}

// splitInForce is the split on the accelerators in force that is nearest to what runs; nil where there is none.
func (w *work) splitInForce() (*candidate, error) {
	if len(w.present) != 2 {
		return nil, nil
	}
	var two []*candidate
	for _, c := range w.feasible {
		if _, runs := w.present[c.ID]; runs && c.rate > 0 && c.fault == nil {
			two = append(two, c)
		}
	}
	if len(two) != 2 {
		return nil, nil
	}
	all, err := w.splitsOf(two, max(two[0].Replicas(), two[1].Replicas()))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return slices.MinFunc(all, func(a, b *candidate) int { return cmp.Compare(w.distance(a), w.distance(b)) }), nil
}

// distance is the number of replicas in which a candidate differs from what is in force; math.MaxInt on other accelerators.
func (w *work) distance(c *candidate) int {
	parts := partsOf(&c.Candidate)
	if len(parts) != len(w.present) {
		return math.MaxInt
	}
	n := 0
	for _, p := range parts {
		have, runs := w.present[p.Accelerator]
		if !runs {
			return math.MaxInt
		}
		n += max(have-p.Replicas, p.Replicas-have)
	}
	return n
}

// plain are the feasible candidates as the stabiliser sees them: it knows one candidate of each accelerator, so that the split nearest to
// the one in force stands for its accelerators and others get names of their own.
func (w *work) plain() []solver.Candidate {
	nearest, least := -1, math.MaxInt
	for i, c := range w.feasible {
		if d := w.distance(c); len(c.parts) > 0 && d < least {
			nearest, least = i, d
		}
	}
	list := make([]solver.Candidate, len(w.feasible))
	for i, c := range w.feasible {
		list[i] = c.Candidate
		if len(c.parts) > 0 && i != nearest {
			list[i].ID = fmt.Sprintf("%s #%d", c.ID, i)
		}
	}
	if nearest >= 0 {
		w.current.Accelerator = w.feasible[nearest].ID
	}
	return list
}

// unplain undoes what plain did to the options that the stabiliser made. What it holds beyond the need of a split is on the accelerators that
// have it in force, and what it leaves out of the need is taken from the parts that lack most.
func (w *work) unplain(options []stability.Option) {
	for i := range options {
		o := &options[i]
		c := w.feasible[o.Of]
		o.ID = c.ID
		n, needed := o.Replicas(), c.Replicas()
		if n == needed || len(c.parts) == 0 {
			continue
		}
		n = max(n, len(c.parts)) // a plan that says fewer than its parts is not to be believed
		o.Parts, o.Cost = slices.Clone(c.Parts), c.Cost
		for range n - needed {
			at := c.short(o.Parts, w.present)
			o.Parts[at].Replicas++
			o.Cost += c.parts[at].pair.costPerReplica()
		}
		for range needed - n {
			at := beyond(o.Parts, w.present)
			o.Parts[at].Replicas--
			o.Cost -= c.parts[at].pair.costPerReplica()
		}
		c.share(o.Parts, w.entry.Routing)
	}
}

// short is the first part with fewer replicas than are in force, else the one whose replicas cost least.
func (c *candidate) short(parts []solver.Part, present map[string]int) int {
	least := 0
	for k, p := range parts {
		if p.Replicas < present[p.Accelerator] {
			return k
		}
		if c.parts[k].pair.costPerReplica() < c.parts[least].pair.costPerReplica() {
			least = k
		}
	}
	return least
}

// beyond is the part with more than one replica that has most more than are in force.
func beyond(parts []solver.Part, present map[string]int) int {
	most := -1
	more := func(k int) int { return parts[k].Replicas - present[parts[k].Accelerator] }
	for k, p := range parts {
		if p.Replicas > 1 && (most < 0 || more(k) > more(most)) {
			most = k
		}
	}
	return most
}

// share sets what part of the load each part gets under a routing: as many requests for every replica, or as many as it carries.
func (c *candidate) share(parts []solver.Part, routing string) {
	weight := func(i int) float64 {
		if routing == v1alpha1.RoutingRoundRobin {
			return float64(parts[i].Replicas)
		}
		return float64(parts[i].Replicas) * c.parts[i].rate
	}
	sum := 0.0
	for i := range parts {
		sum += weight(i)
	}
	for i := range parts {
		parts[i].Share = weight(i) / sum
	}
}

// predictSplit predicts the mean latencies in seconds, over all requests, of a split with the given parts.
func (c *candidate) predictSplit(parts []solver.Part) (ttft, itl float64) {
	for i, p := range parts {
		t, l := c.parts[i].at(p.Share * c.demand / float64(p.Replicas))
		ttft += p.Share * t
		itl += p.Share * l
	}
	return ttft, itl
}

// allocationParts writes the parts of a split at the boundary.
func (c *candidate) allocationParts(parts []solver.Part) []v1alpha1.AllocationPart {
	if len(c.parts) == 0 {
		return nil
	}
	var list []v1alpha1.AllocationPart
	for i, p := range parts {
		l := c.parts[i].limits
		list = append(list, v1alpha1.AllocationPart{Accelerator: p.Accelerator, Replicas: p.Replicas, MaxBatchSize: l.MaxBatch, MaxBatchedTokens: l.MaxBatchedTokens, Share: p.Share})
	}
	return list
}

// runsOn says what a candidate of n replicas runs on, such as "3 × A100 + 2 × L4".
func runsOn(c *solver.Candidate, n int) string {
	if len(c.Parts) < 2 {
		return fmt.Sprintf("%d × %s", n, c.ID)
	}
	words := make([]string, len(c.Parts))
	for i, p := range c.Parts {
		words[i] = fmt.Sprintf("%d × %s", p.Replicas, p.Accelerator)
	}
	return strings.Join(words, " + ")
}
