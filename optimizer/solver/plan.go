package solver

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// draft is a plan in the making: the choices so far and the capacity that is left.
type draft struct {
	p       *Problem
	choices []Choice
	left    map[string]int
}

func newDraft(p *Problem) *draft {
	d := &draft{p: p, choices: make([]Choice, len(p.Servers)), left: maps.Clone(p.Capacity)}
	if d.left == nil {
		d.left = map[string]int{}
	}
	for i := range d.choices {
		d.choices[i] = Choice{Server: i, Candidate: -1}
	}
	return d
}

// room is the number of replicas of the candidate that fit into what is left, at most as many as it needs.
func (d *draft) room(c *Candidate) int {
	if d.p.Unlimited || c.Units() == 0 {
		return c.Replicas
	}
	return min(c.Replicas, d.left[c.Type]/c.UnitsPerReplica)
}

// fits says whether the candidate can be had in full.
func (d *draft) fits(c *Candidate) bool { return d.room(c) >= c.Replicas }

// give adds replicas of the candidate to what the server has.
func (d *draft) give(server, candidate, replicas int) {
	c := &d.p.Servers[server].Candidates[candidate]
	ch := &d.choices[server]
	ch.Candidate = candidate
	ch.Replicas += replicas
	ch.BestEffort = ch.Replicas < c.Replicas
	if !d.p.Unlimited && replicas > 0 {
		d.left[c.Type] -= replicas * c.UnitsPerReplica
	}
}

// take takes back what the server has.
func (d *draft) take(server int) {
	ch := &d.choices[server]
	if ch.Candidate < 0 {
		return
	}
	c := &d.p.Servers[server].Candidates[ch.Candidate]
	if !d.p.Unlimited && ch.Replicas > 0 {
		d.left[c.Type] += ch.Replicas * c.UnitsPerReplica
	}
	*ch = Choice{Server: server, Candidate: -1}
}

// served says whether the server has all it needs.
func (d *draft) served(server int) bool {
	return d.choices[server].Candidate >= 0 && !d.choices[server].BestEffort
}

// solution closes the draft: reasons are given, the value is summed. bound is NaN where none was proven.
func (d *draft) solution(name string, bound float64) *Solution {
	s := &Solution{Choices: d.choices, LowerBound: bound, Solver: name}
	for i := range d.choices {
		if d.served(i) {
			s.Value += d.p.Servers[i].Candidates[d.choices[i].Candidate].Value
			continue
		}
		d.choices[i].Reason = d.reason(i)
	}
	s.Gap = gap(s.Value, bound)
	return s
}

// gap is how far value may be above the optimum, relative to the bound; bounds and values are at least 0.
func gap(value, bound float64) float64 {
	switch {
	case math.IsNaN(bound):
		return math.NaN()
	case value <= bound:
		return 0
	case bound <= 0:
		return math.Inf(1)
	}
	return (value - bound) / bound
}

// shownLacks is the number of alternatives that a reason spells out.
const shownLacks = 3

// reason says what a server lacks: for the types that come closest, what it needs and what is left.
func (d *draft) reason(server int) string {
	s := &d.p.Servers[server]
	if len(s.Candidates) == 0 {
		return "no accelerator meets its targets"
	}
	type lack struct {
		kind                 string
		needs, left, missing int
	}
	best := map[string]lack{}
	ch := &d.choices[server]
	for _, c := range s.Candidates {
		left := d.left[c.Type]
		if ch.BestEffort && s.Candidates[ch.Candidate].Type == c.Type {
			left += ch.Replicas * s.Candidates[ch.Candidate].UnitsPerReplica
		}
		l := lack{c.Type, c.Units(), left, c.Units() - left}
		if old, ok := best[c.Type]; !ok || l.missing < old.missing {
			best[c.Type] = l
		}
	}
	lacks := slices.SortedFunc(maps.Values(best), func(a, b lack) int {
		return cmp.Or(cmp.Compare(a.missing, b.missing), cmp.Compare(a.kind, b.kind))
	})
	var b strings.Builder
	if ch.BestEffort {
		fmt.Fprintf(&b, "best effort, %d of %d replicas: ", ch.Replicas, s.Candidates[ch.Candidate].Replicas)
	}
	for i, l := range lacks[:min(len(lacks), shownLacks)] {
		if i == 0 {
			fmt.Fprintf(&b, "needs %d × %s, %d left", l.needs, l.kind, l.left)
		} else {
			fmt.Fprintf(&b, "; or %d × %s, %d left", l.needs, l.kind, l.left)
		}
	}
	if more := len(lacks) - shownLacks; more > 0 {
		fmt.Fprintf(&b, "; or one of %d more types", more)
	}
	return b.String()
}
