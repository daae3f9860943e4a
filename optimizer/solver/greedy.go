package solver

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// GreedyName is the registered name of Greedy.
const GreedyName = "greedy"

// GreedyOptions are the options of Greedy.
type GreedyOptions struct {
	// Rounds of local improvement at most, from 0 to 100: in each, every server may have one other make way.
	Rounds int `json:"rounds"`
}

// DefaultGreedyOptions improve twice: what comes after is little.
func DefaultGreedyOptions() GreedyOptions { return GreedyOptions{Rounds: 2} }

// Validate implements plug.Option.
func (o GreedyOptions) Validate() error {
	if o.Rounds < 0 || o.Rounds > 100 {
		return fmt.Errorf("rounds: %d is not between 0 and 100", o.Rounds)
	}
	return nil
}

// Greedy serves servers one after the other: by priority, then by regret, what a server would lose by falling back to its next candidate.
// A server whose candidate does not fit falls back and takes its turn anew. Then single servers make way for others, by moving to another
// type, where that serves one more or lowers the value. It proves no bound. Its unit of work is a round.
type Greedy struct{ o GreedyOptions }

// NewGreedy makes a Greedy; options out of range are an error.
func NewGreedy(o GreedyOptions) (*Greedy, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Greedy{o}, nil
}

// Solve implements Solver.
func (g *Greedy) Solve(ctx context.Context, p *Problem) (*Solution, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	m := work.NewMeter(ctx, math.MaxInt64, p.StopAt)
	d, err := entitled(p, DefaultExactOptions())
	if err != nil {
		return nil, err
	}
	waiting := turns(p, rank(p))
	groups := byPriority(waiting)
	delayed := p.DelayedBestEffort || p.WeightedSum
	if delayed && len(waiting) > 0 {
		groups = [][]ranked{waiting}
	}
	for _, group := range groups {
		d.serve(group)
		for range g.o.Rounds {
			if m.Over() || !d.improve(group) {
				break
			}
		}
		priority := group[0].priority
		d.saturate(p.Servers, func(s *Server) bool { return delayed || s.Priority == priority })
	}
	s := d.solution(GreedyName, math.NaN())
	by, spent := m.Ended()
	if s.Work = spent; by == work.Deadline {
		s.Ended = EndedDeadline
	}
	return s, nil
}

// turns are the servers that have candidates, in the order of their turn.
func turns(p *Problem, servers []ranked) []ranked {
	servers = slices.DeleteFunc(servers, func(r ranked) bool { return len(r.candidates) == 0 })
	slices.SortFunc(servers, func(a, b ranked) int { return byRegret(p, &a, &b, 0, 0) })
	return servers
}

// byPriority cuts servers that are sorted by priority into groups of the same.
func byPriority(servers []ranked) [][]ranked {
	var groups [][]ranked
	for len(servers) > 0 {
		n := 1
		for n < len(servers) && servers[n].priority == servers[0].priority {
			n++
		}
		groups = append(groups, servers[:n])
		servers = servers[n:]
	}
	return groups
}

// serve gives each server the first candidate that fits when its turn comes.
func (d *draft) serve(group []ranked) {
	q := newQueue(group, func(a, b turn) int { return byRegret(d.p, a.server, b.server, a.at, b.at) })
	for q.Len() > 0 {
		t := q.pop()
		j := t.server.candidates[t.at]
		if c := &d.p.Servers[t.server.server].Candidates[j]; d.fits(t.server.server, c) {
			d.give(t.server.server, j, c.Replicas())
			continue
		}
		if t.at++; t.at < len(t.server.candidates) {
			q.push(t)
		}
	}
}
