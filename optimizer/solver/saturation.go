package solver

import (
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// saturate gives what is left to the servers that are of the scope and not served, by the problem's saturation policy. Servers take their
// turns by priority, then in the order in which they ran out of candidates; each is tried on its candidates in the order of value.
//
//   - None: nothing.
//   - PriorityExhaustive: each in turn takes all the replicas that fit.
//   - PriorityRoundRobin: the servers of a priority, one priority after the other, take one replica each, round after round.
//   - RoundRobin: all servers take one replica each, round after round.
//
// It says whether any server got anything.
func (d *draft) saturate(servers []Server, scope func(*Server) bool) bool {
	if d.p.SaturationPolicy == "" || d.p.SaturationPolicy == jsonspec.SaturationNone {
		return false
	}
	waiting := rankSome(d.p, func(i int) bool { return d.choices[i].Candidate < 0 && scope(&servers[i]) })
	waiting = slices.DeleteFunc(waiting, func(r ranked) bool { return d.startable(&r) < 0 }) // what is left only shrinks
	waiting = d.exhausted(waiting)
	switch d.p.SaturationPolicy {
	case jsonspec.SaturationPriorityExhaustive:
		for i := range waiting {
			d.exhaust(&waiting[i])
		}
	case jsonspec.SaturationPriorityRoundRobin:
		for _, group := range byPriority(waiting) {
			d.roundRobin(group)
		}
	case jsonspec.SaturationRoundRobin:
		d.roundRobin(waiting)
	}
	return slices.ContainsFunc(waiting, func(r ranked) bool { return d.choices[r.server].Candidate >= 0 })
}

// exhausted puts servers in the order in which they run out of candidates when they take turns by priority, then regret, and none fits.
func (d *draft) exhausted(servers []ranked) []ranked {
	waiting := turns(d.p, servers)
	q := newQueue(waiting, func(a, b turn) int { return byRegret(d.p, a.server, b.server, a.at, b.at) })
	order := make([]ranked, 0, len(waiting))
	for q.Len() > 0 {
		t := q.pop()
		if t.at++; t.at < len(t.server.candidates) {
			q.push(t)
		} else {
			order = append(order, *t.server)
		}
	}
	return order
}

// exhaust gives the server as many replicas as fit, of the first candidate of which any fits.
func (d *draft) exhaust(r *ranked) {
	if j := d.startable(r); j >= 0 {
		d.give(r.server, j, d.room(r.server, &d.p.Servers[r.server].Candidates[j]))
	}
}

// roundRobin gives the servers one replica each, round after round. A server stays with the candidate that its first replica was of.
func (d *draft) roundRobin(servers []ranked) {
	active := slices.Clone(servers)
	for len(active) > 0 {
		active = slices.DeleteFunc(active, func(r ranked) bool {
			j := d.choices[r.server].Candidate
			if j < 0 {
				j = d.startable(&r)
			}
			if j < 0 {
				return true
			}
			c := &d.p.Servers[r.server].Candidates[j]
			more := c.next(d.choices[r.server].Replicas)
			if more == 0 || !d.fitsMore(r.server, c, more) {
				return true
			}
			d.give(r.server, j, more)
			return false
		})
	}
}

// fitsMore says whether the server can have so many replicas of a candidate beside those that it has of it.
func (d *draft) fitsMore(server int, c *Candidate, replicas int) bool {
	has := d.choices[server].Replicas
	if !c.Ratio || has == 0 {
		return d.room(server, c) >= replicas
	}
	d.hold(server, c, has, -1)
	defer d.hold(server, c, has, 1)
	return d.room(server, c) >= has+replicas
}

// startable is the first candidate that can be had in part of which at least one replica fits, -1 where none does.
func (d *draft) startable(r *ranked) int {
	for _, j := range r.candidates {
		if c := &d.p.Servers[r.server].Candidates[j]; (len(c.Parts) == 1 || c.Ratio) && d.room(r.server, c) > 0 {
			return j
		}
	}
	return -1
}
