package solver

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

// MILPName is the registered name of MILP.
const MILPName = "milp"

// MILPOptions are the options of MILP.
type MILPOptions struct {
	// Timeout of each pass, in seconds, from 1 to 3600. There is a pass for each priority that falls short, and one for the value.
	Timeout int `json:"timeout"`
}

// DefaultMILPOptions give each pass 20 seconds.
func DefaultMILPOptions() MILPOptions { return MILPOptions{Timeout: 20} }

// Validate implements plug.Option.
func (o MILPOptions) Validate() error {
	if o.Timeout < 1 || o.Timeout > 3600 {
		return fmt.Errorf("timeout: %d s is not between 1 and 3600", o.Timeout)
	}
	return nil
}

// MILP solves the problem as a mixed integer linear program with lp_solve 5.5: first the number of servers of each priority, the highest
// first, then the value. Its unit of work is a pass: the deadline is looked at between passes, and replayed there. What lp_solve does within a pass is
// bounded by time, for it counts nothing: a plan that a timeout has ended is not the same on every machine, and says that a deadline ended it.
type MILP struct{ o MILPOptions }

// errNoLPSolve says what to do where the program was built without lp_solve.
var errNoLPSolve = errors.New("milp: built without lp_solve; install it (Debian: liblpsolve55-dev) and build with cgo and -tags=lpsolve, " +
	"as make does where it finds the library; the solver \"exact\" needs neither")

// NewMILP makes a MILP; options out of range, and a program built without lp_solve, are errors.
func NewMILP(o MILPOptions) (*MILP, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if !haveLPSolve {
		return nil, errNoLPSolve
	}
	return &MILP{o}, nil
}

// Solve implements Solver.
func (m *MILP) Solve(ctx context.Context, p *Problem) (*Solution, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d, err := entitled(p, DefaultExactOptions())
	if err != nil {
		return nil, err
	}
	proven := true
	meter := work.NewMeter(ctx, math.MaxInt64, p.StopAt)
	lexicographic(d, levelsOf(p), func(d *draft, levels []level) float64 {
		f := newPool(d, levels)
		f.meter = meter
		p, optimal := m.solve(f)
		d.cut = d.cut || f.cut
		_, whole := f.give(d, p)
		proven = proven && optimal && whole
		return 0
	})
	s := d.solution(MILPName, math.NaN())
	if proven {
		s.LowerBound, s.Gap = s.Value+s.Penalty, 0
	}
	by, spent := meter.Ended()
	s.Work = spent
	switch {
	case by == work.Deadline:
		s.Ended = EndedDeadline
	case d.cut:
		s.Ended, s.Work = EndedDeadline, 0
	case proven:
		s.Ended = EndedOptimal
	}
	return s, nil
}

// solve makes the picks and says whether it is proven that none are better.
func (m *MILP) solve(f *pool) (picks, bool) {
	p := f.nothing()
	proven := true
	pass := func(prog *choicelp.Program, columns []int32) {
		if prog.Sets() == 0 {
			return
		}
		if f.meter.Over() {
			proven = false
			return
		}
		js, optimal := lpSolve(prog, m.o.Timeout)
		f.cut = f.cut || !optimal
		if proven = proven && optimal; js != nil && feasible(prog, js) {
			f.read(js, columns, p)
		}
	}
	if f.weightedSum {
		pass(f.program(f.levels, nil, -1, f.penalties()))
		return p, proven
	}
	out := make([]int, f.levels)
	for l := range f.levels {
		f.insert(p, l)
		if out[l] = f.left(p, l); out[l] > 0 {
			pass(f.program(l+1, out, l, nil))
			out[l] = f.left(p, l)
		}
	}
	pass(f.program(f.levels, out, -1, nil))
	return p, proven
}

// feasible says whether the pick keeps within the capacity of all rows.
func feasible(p *choicelp.Program, pick []int32) bool {
	left := slices.Clone(p.Capacity)
	for _, j := range pick {
		for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
			choicelp.Take(left, p.Above, p.Row[e], p.Amount[e])
		}
	}
	return p.Holds(left)
}
