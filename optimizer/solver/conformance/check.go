// Package conformance is what every solver must pass, and the independent judge of plans: it shares no code with the solvers.
package conformance

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// tolerance for sums of values, relative.
const tolerance = 1e-9

// Check judges a plan against the problem: capacity, the meaning of choices, reasons, value, bound and gap. It joins all that is wrong.
func Check(p *solver.Problem, s *solver.Solution) error {
	if len(s.Choices) != len(p.Servers) {
		return fmt.Errorf("%d choices for %d servers", len(s.Choices), len(p.Servers))
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	taken := map[string]int{}
	value := 0.0
	for i, c := range s.Choices {
		name := p.Servers[i].Name
		switch {
		case c.Server != i:
			fault("choice %d is of server %d", i, c.Server)
		case c.Candidate < -1 || c.Candidate >= len(p.Servers[i].Candidates):
			fault("%s: candidate %d of %d", name, c.Candidate, len(p.Servers[i].Candidates))
		case c.Candidate == -1:
			if c.Replicas != 0 || c.BestEffort || strings.TrimSpace(c.Reason) == "" {
				fault("%s: gets nothing, but %+v", name, c)
			}
		default:
			x := p.Servers[i].Candidates[c.Candidate]
			taken[x.Type] += c.Replicas * x.UnitsPerReplica
			switch {
			case c.BestEffort && (c.Replicas < 1 || c.Replicas >= x.Replicas || c.Reason == ""):
				fault("%s: best effort with %d of %d replicas, reason %q", name, c.Replicas, x.Replicas, c.Reason)
			case !c.BestEffort && (c.Replicas != x.Replicas || c.Reason != ""):
				fault("%s: served with %d of %d replicas, reason %q", name, c.Replicas, x.Replicas, c.Reason)
			case !c.BestEffort:
				value += x.Value
			}
			if c.BestEffort && (p.SaturationPolicy == "" || p.SaturationPolicy == "None") {
				fault("%s: best effort, but the policy is %q", name, p.SaturationPolicy)
			}
		}
	}
	for t, n := range taken {
		if !p.Unlimited && n > p.Capacity[t] {
			fault("%d of %d %s taken", n, p.Capacity[t], t)
		}
	}
	if math.Abs(value-s.Value) > tolerance*(1+value) {
		fault("value %v, but the choices sum to %v", s.Value, value)
	}
	if s.LowerBound > value+tolerance*(1+value) {
		fault("lower bound %v above the value %v", s.LowerBound, value)
	}
	if math.IsNaN(s.LowerBound) != math.IsNaN(s.Gap) {
		fault("lower bound %v with gap %v", s.LowerBound, s.Gap)
	}
	if want := (value - s.LowerBound) / s.LowerBound; s.LowerBound > 0 && math.Abs(s.Gap-max(want, 0)) > 1e-6 {
		fault("gap %v, but value and bound say %v", s.Gap, want)
	}
	if s.Solver == "" {
		fault("no solver named")
	}
	return errors.Join(faults...)
}

// Standing is how good a plan is: servers served in full by priority, the highest first, and their value.
type Standing struct {
	Priorities []int
	Served     []int
	Value      float64
}

// Of is the standing of a plan.
func Of(p *solver.Problem, s *solver.Solution) Standing {
	st := standing(p)
	for i, c := range s.Choices {
		if c.Candidate >= 0 && !c.BestEffort {
			st.add(p.Servers[i].Priority, 1)
			st.Value += p.Servers[i].Candidates[c.Candidate].Value
		}
	}
	return st
}

// Compare says whether the first standing is worse (1), as good (0) or better (-1) than the second.
func (st Standing) Compare(other Standing) int {
	for i := range st.Served {
		if d := other.Served[i] - st.Served[i]; d != 0 {
			return d / abs(d)
		}
	}
	switch d := st.Value - other.Value; {
	case d > 1e-7*(1+other.Value):
		return 1
	case d < -1e-7*(1+other.Value):
		return -1
	}
	return 0
}

func (st Standing) add(priority, n int) {
	for i, p := range st.Priorities {
		if p == priority {
			st.Served[i] += n
		}
	}
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

func standing(p *solver.Problem) Standing {
	has := map[int]bool{}
	highest := 0
	for _, s := range p.Servers {
		has[s.Priority] = true
		highest = max(highest, s.Priority)
	}
	var st Standing
	for q := 1; q <= highest; q++ {
		if has[q] {
			st.Priorities = append(st.Priorities, q)
		}
	}
	st.Served = make([]int, len(st.Priorities))
	return st
}

// BruteForce is the best standing that any plan without best effort reaches: all combinations are tried. For small problems only.
func BruteForce(p *solver.Problem) Standing {
	best := standing(p)
	best.Value = math.Inf(1)
	for i := range best.Served {
		best.Served[i] = -1
	}
	left := map[string]int{}
	for t, n := range p.Capacity {
		left[t] = n
	}
	now := standing(p)
	var try func(i int)
	try = func(i int) {
		if i == len(p.Servers) {
			if now.Compare(best) < 0 {
				copy(best.Served, now.Served)
				best.Value = now.Value
			}
			return
		}
		for _, c := range p.Servers[i].Candidates {
			units := c.Replicas * c.UnitsPerReplica
			if units > left[c.Type] && !p.Unlimited {
				continue
			}
			left[c.Type] -= units
			now.add(p.Servers[i].Priority, 1)
			before := now.Value
			now.Value += c.Value
			try(i + 1)
			now.Value = before
			now.add(p.Servers[i].Priority, -1)
			left[c.Type] += units
		}
		try(i + 1)
	}
	try(0)
	return best
}
