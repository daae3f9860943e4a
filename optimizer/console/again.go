package console

import (
	"context"
	"sync"
	"time"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/view"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

// longestDecision is what deciding again gets at most.
//
// Tuned: s; guard against a fleet that is too large to ask about while somebody waits
const longestDecision = 30 * time.Second

// decidedCycles is how many cycles are held that were decided again.
//
// Tuned: cycles; guard against memory: comparing two needs two
const decidedCycles = 3

// decided is a cycle that was decided again.
type decided struct {
	id       string
	ready    chan struct{}
	stages   *control.Stages
	decision *control.Decision
	plan     jsonspec.Solution
	err      error
}

// decider decides cycles again, each once while it is held.
type decider struct {
	mu   sync.Mutex
	last []*decided
	// turn is whose question is decided: sliders ask faster than questions are answered.
	turn sync.Mutex
}

// of a cycle; it waits for whoever decides the same.
func (d *decider) of(ctx context.Context, c *view.Cycle) *decided {
	d.mu.Lock()
	for _, x := range d.last {
		if x.id == c.ID {
			d.mu.Unlock()
			<-x.ready
			return x
		}
	}
	x := &decided{id: c.ID, ready: make(chan struct{})}
	d.last = append(d.last, x)
	d.last = d.last[max(len(d.last)-decidedCycles, 0):]
	d.mu.Unlock()
	defer close(x.ready)
	// Others may wait for it, so that it goes on when who asked is gone.
	x.stages, x.decision, x.plan, x.err = again(context.WithoutCancel(ctx), c, &c.Snapshot.System, control.StopAt(&c.Decision.Plan.Solver))
	return x
}

// again decides a cycle with a system, from the state that it was decided from.
func again(ctx context.Context, c *view.Cycle, s *jsonspec.System, stopAt int64) (*control.Stages, *control.Decision, jsonspec.Solution, error) {
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		return nil, nil, jsonspec.Solution{}, err
	}
	written := *c.Snapshot
	written.System = *s
	snapshot := written.Core()
	snapshot.StopAt = stopAt
	ctx, cancel := context.WithTimeout(ctx, longestDecision)
	defer cancel()
	d, err := stages.Decide(ctx, snapshot, c.State, nil)
	if err != nil {
		return nil, nil, jsonspec.Solution{}, err
	}
	return stages, d, specification.Solution(s, &d.Plan), nil
}

// Answer to a question about a cycle.
type Answer struct {
	*jsonspec.PlanDifference
	// Before is the cost of the plan without the changes, in cents per hour.
	Before float64 `json:"before"`
	// Seconds that it took to decide.
	Seconds float64 `json:"seconds"`
	// Drift is the number of servers that are decided otherwise now even without the changes, as where the record is of another release, or the plan of
	// a cluster rests on what its optimizer remembers.
	Drift int `json:"drift"`
}

// Ask a question about a cycle that nobody else asks about.
func Ask(ctx context.Context, c *view.Cycle, q *whatif.Question) (*Answer, error) {
	return new(decider).ask(ctx, c, q)
}

// ask a question about a cycle: what is decided with it, against what is without. A question that changes nothing has the cycle decided for the next one. An error
// is the question's.
func (d *decider) ask(ctx context.Context, c *view.Cycle, q *whatif.Question) (*Answer, error) {
	changed, said, err := q.Apply(&c.Snapshot.System)
	if err != nil {
		return nil, err
	}
	base := d.of(ctx, c)
	if base.err != nil {
		return nil, base.err
	}
	began, plan := time.Now(), base.plan
	if !q.Empty() {
		d.turn.Lock()
		defer d.turn.Unlock()
		if err := ctx.Err(); err != nil {
			return nil, err // nobody waits for it any more
		}
		if _, _, plan, err = again(ctx, c, changed, 0); err != nil {
			return nil, err
		}
	}
	if said == nil {
		said = []string{}
	}
	return &Answer{
		PlanDifference: control.Difference(said, &base.plan, &plan), Before: base.plan.TotalCost, Seconds: time.Since(began).Seconds(),
		Drift: len(control.Difference(nil, &c.Decision.Plan, &base.plan).Changed),
	}, nil
}
