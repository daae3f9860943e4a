package solver

import (
	"context"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// ExactName is the registered name of Exact.
const ExactName = "exact"

// ExactOptions are the options of Exact.
type ExactOptions struct {
	// Gap to the optimum, relative, at which a fleet of more than ExactServers servers is solved well enough: from 0 to 1.
	Gap float64 `json:"gap"`
	// ExactServers is the largest number of servers for which the optimum is proven whatever it takes, within the work.
	ExactServers int `json:"exactServers"`
	// Work bounds the search, in milliseconds of the reference machine, from 1 to a million. It is counted, not timed: the same problem ends
	// at the same plan on every machine.
	Work int `json:"work"`
}

// DefaultExactOptions are to prove the optimum up to 200 servers, and 0.05 % beyond, in about half a second: a tenth of what the loop waits.
func DefaultExactOptions() ExactOptions {
	return ExactOptions{Gap: 5e-4, ExactServers: 200, Work: 500}
}

// millisecond is the number of units of work that the reference machine does in a millisecond.
//
// Tuned: units of work; derived from what one core of an AMD EPYC server does; at half: the same work is said to take twice as long, and the option
// work allows half of it; at twice: half as long, and twice of it
const millisecond = 400_000

// Validate implements plug.Option.
func (o ExactOptions) Validate() error {
	switch {
	case math.IsNaN(o.Gap) || o.Gap < 0 || o.Gap > 1:
		return fmt.Errorf("gap: %v is not between 0 and 1", o.Gap)
	case o.ExactServers < 0:
		return fmt.Errorf("exactServers: %d is below 0", o.ExactServers)
	case o.Work < 1 || o.Work > 1e6:
		return fmt.Errorf("work: %d is not between 1 and 1000000", o.Work)
	}
	return nil
}

// Exact finds the optimum, or a plan with a proven gap: for each priority, the highest first, the most servers that can be served, given
// those of higher ones, then the least value. The relaxation is solved in the prices of capacity; columns are pruned by dominance and by
// reduced cost; what stays fractional is branched on.
type Exact struct{ o ExactOptions }

// NewExact makes an Exact; options out of range are an error.
func NewExact(o ExactOptions) (*Exact, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Exact{o}, nil
}

// Solve implements Solver.
func (x *Exact) Solve(ctx context.Context, p *Problem) (*Solution, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	m := work.NewMeter(ctx, int64(x.o.Work)*millisecond, p.StopAt)
	if s := x.again(m, p); s != nil {
		return s, nil
	}
	d, err := entitled(p, x.o)
	if err != nil {
		return nil, err
	}
	missed := lexicographic(d, levelsOf(p), func(d *draft, levels []level) float64 {
		return x.assign(m, d, levels)
	})
	s := d.solution(ExactName, 0)
	if !p.WeightedSum {
		s.AtMost = d.atMost()
	}
	s.LowerBound = s.Value + s.Penalty - missed
	s.Gap = gap(s.Value+s.Penalty, s.LowerBound)
	x.ended(s, m, d)
	return s, nil
}

// ended writes into the solution what ended the search, and after how much work.
func (x *Exact) ended(s *Solution, m *work.Meter, d *draft) {
	by, spent := m.Ended()
	s.Work = spent
	most := 0 // that might be served beyond what is
	for _, n := range d.more {
		most = max(most, n)
	}
	switch {
	case by == work.Deadline:
		s.Ended = EndedDeadline
	case s.Gap == 0 && most == 0:
		s.Ended = EndedOptimal
	case len(d.p.Servers) > x.o.ExactServers && s.Gap <= x.o.Gap && float64(most) <= countGap*d.weight():
		s.Ended = EndedGap
	case by == work.Limit || d.cut:
		s.Ended = EndedWork
	default:
		s.Ended = EndedFinished
	}
}

// level are the servers of a priority that have candidates.
type level struct {
	priority int
	servers  []ranked
}

// levelsOf groups servers by priority, the highest first, by name within; where the problem is a weighted sum they are all of one level.
func levelsOf(p *Problem) []level {
	at := map[int]int{}
	var levels []level
	for _, r := range rank(p) {
		if p.WeightedSum {
			r.priority = 1
		}
		if len(r.candidates) == 0 {
			continue
		}
		i, ok := at[r.priority]
		if !ok {
			i = len(levels)
			at[r.priority] = i
			levels = append(levels, level{priority: r.priority})
		}
		levels[i].servers = append(levels[i].servers, r)
	}
	sortLevels(levels)
	return levels
}

// lexicographic plans in rounds. In each, assign serves the levels that are left; it returns by how much the value may be above the optimum.
// Without delayed best effort, the first level that falls short gets its best effort before lower levels are served, in the next round,
// from what that leaves; where nothing fits, the lower levels keep what they have. The sum of what the rounds may have missed is returned.
func lexicographic(d *draft, levels []level, assign func(*draft, []level) float64) float64 {
	missed := 0.0
	for len(levels) > 0 {
		missed += assign(d, levels)
		levels = levels[d.settled(levels):]
	}
	if d.p.DelayedBestEffort || d.p.WeightedSum {
		d.saturate(d.p.Servers, func(*Server) bool { return true })
	}
	return missed
}

// settled gives best effort to levels that fall short, and returns the number of levels that are done with.
func (d *draft) settled(levels []level) int {
	if d.p.DelayedBestEffort || d.p.WeightedSum {
		return len(levels)
	}
	for i := range levels {
		if d.short(&levels[i]) && d.bestEffort(levels[i].priority, levels[i+1:]) {
			return i + 1
		}
	}
	return len(levels)
}

// short says whether a server of the level is not served.
func (d *draft) short(l *level) bool {
	for _, r := range l.servers {
		if !d.served(r.server) {
			return true
		}
	}
	return false
}

// bestEffort takes back what lower levels have and saturates the priority. Where that gives nothing, the lower levels get theirs again, and
// it returns false.
func (d *draft) bestEffort(priority int, lower []level) bool {
	var had []Choice
	for _, l := range lower {
		for _, r := range l.servers {
			had = append(had, d.choices[r.server])
			d.take(r.server)
		}
	}
	if d.saturate(d.p.Servers, func(s *Server) bool { return s.Priority == priority }) {
		return true
	}
	for _, c := range had {
		if c.Candidate >= 0 {
			d.give(c.Server, c.Candidate, c.Replicas)
		}
	}
	return false
}
