package control

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// considered is what became of one server on its way to a plan. It is made once, and read by whoever writes the plan and explains it.
type considered struct {
	*question
	sized   *sizing.Server
	sizing  *sizing.Sizing
	options []option
	// fault says why it was not put to the solver; nil where it was. held is then the plan that stays, nil where there is none.
	fault *fleet.Fault
	held  *fleet.Allocation
	// choice is its index among those that were put to the solver, -1 where it was not.
	choice int
	// unknown says that its load never was observed.
	unknown bool
	// growth is how many times the load that it is sized for is to be expected when a node asked for now has come, 1 or more.
	growth float64
}

// basis is what a decision was made from, kept so that it can be explained.
type basis struct {
	snap     *fleet.Snapshot
	stage    *sizing.Stage
	problem  *solver.Problem
	solution *solver.Solution
	servers  []considered
	// pairs of models on accelerators, by model and namespace.
	pairs pairs
	// spare is what the solution leaves.
	spare *spare
	// held is what held plans have, by share.
	held map[string]holding
	// index of servers by name.
	index map[string]int
}

// got is the option that the solver chose for a server, with the replicas that it gets; nil where it gets nothing.
func (b *basis) got(w *considered) (*option, solver.Choice) {
	if w.choice < 0 {
		return nil, solver.Choice{Candidate: -1}
	}
	choice := b.solution.Choices[w.choice]
	if choice.Candidate < 0 {
		return nil, choice
	}
	return &w.options[choice.Candidate], choice
}

// chosen are the options of all servers; nil where one has none, or only a part of it.
func (b *basis) chosen() []*option {
	list := make([]*option, len(b.servers))
	for i := range b.servers {
		if o, choice := b.got(&b.servers[i]); o != nil && !choice.BestEffort {
			list[i] = o
		}
	}
	return list
}

// decision writes the plan and its reasons.
func (b *basis) decision(solverName string, pools elastic) fleet.Decision {
	d := fleet.Decision{Plan: fleet.Plan{Allocations: map[string]fleet.Allocation{}, Unserved: []jsonspec.Unserved{}}, Verdicts: map[string]fleet.Verdict{}}
	taken := pools.takenBack(b.snap.Capacity.Elastic)
	for i := range b.servers {
		w := &b.servers[i]
		a, verdict := b.settle(w)
		if !verdict.Planned && w.choice >= 0 {
			verdict.Message += w.missed(taken)
		}
		d.Verdicts[w.Name] = verdict
		if a != nil {
			d.Plan.Allocations[w.Name] = *a
		}
		if !verdict.Planned {
			d.Plan.Unserved = append(d.Plan.Unserved, jsonspec.Unserved{Server: w.Name, Reason: verdict.Message, AdmissibleRate: nothing(a, verdict).Pointer()})
		}
	}
	reports := make([][]fleet.Candidate, len(b.servers))
	each(len(reports), func(i int) {
		for _, c := range b.servers[i].sizing.Candidates {
			reports[i] = append(reports[i], b.servers[i].report(c))
		}
	})
	d.Candidates = slices.Concat(reports...)
	slices.SortFunc(d.Plan.Unserved, func(a, b jsonspec.Unserved) int { return strings.Compare(a.Server, b.Server) })
	slices.SortStableFunc(d.Candidates, func(a, b fleet.Candidate) int {
		return cmp.Or(strings.Compare(a.Server, b.Server), strings.Compare(a.ID, b.ID))
	})
	b.explainUnserved(d.Plan.Unserved)
	capacity := &b.snap.Capacity
	d.Plan.Placement = placements(capacity, b.problem, b.solution)
	d.Plan.Bought = purchases(capacity, b.problem, b.solution, pools, b.snap.Time)
	d.Plan.TakenBack = taken
	d.Plan.Shares = b.shareStatuses()
	for _, name := range slices.Sorted(maps.Keys(d.Plan.Allocations)) { // in one order, so that equal plans have costs equal to the last bit
		d.Plan.TotalCost += d.Plan.Allocations[name].Cost
	}
	for _, p := range d.Plan.Bought {
		d.Plan.TotalCost += p.Cost
	}
	s := b.solution
	d.Plan.Solver = jsonspec.SolverReport{
		Name: cmp.Or(s.Solver, solverName), Why: s.Why, LowerBound: fleet.Measured(s.LowerBound).Pointer(), Gap: fleet.Measured(s.Gap).Pointer(), Prices: s.Prices,
		Served: servedCounts(b.problem, s), Ended: string(s.Ended), Work: s.Work,
	}
	return d
}

// settle is what a server gets, nil where it gets nothing, and how that came.
func (b *basis) settle(w *considered) (*fleet.Allocation, fleet.Verdict) {
	if f := w.fault; f != nil {
		if w.held != nil && w.Plan == nil {
			return w.held, fleet.Verdict{Reason: f.Reason, Message: "it keeps what it has: " + f.Message}
		}
		if w.held != nil {
			return w.held, fleet.Verdict{Reason: f.Reason, Message: "the last plan stands: " + f.Message}
		}
		return nil, fleet.Verdict{Reason: f.Reason, Message: f.Message}
	}
	o, choice := b.got(w)
	if o == nil {
		return nil, fleet.Verdict{Reason: v1alpha1.ReasonNoCapacity, Message: choice.Reason}
	}
	c := o.candidate
	parts := o.parts
	switch {
	case choice.Replicas == o.replicas():
	case len(parts) == 1:
		parts = []sizing.Part{{Sized: parts[0].Sized, Replicas: choice.Replicas, Share: 1}}
	case c.Apart():
		parts = c.Resize(choice.Replicas, nil, w.Routing)
	}
	a := &fleet.Allocation{Parts: partsOf(parts), Cost: sizing.Cost(parts), BestEffort: choice.BestEffort || c.Capped || o.short, Reason: b.why(w, o, choice)}
	a.TTFT, a.ITL = c.Latencies(parts)
	a.Admissible = b.admissible(w, parts, a.BestEffort)
	short := func(why string) (*fleet.Allocation, fleet.Verdict) {
		return a, fleet.Verdict{Reason: v1alpha1.ReasonBestEffort, Message: why + admitted(a.Admissible)}
	}
	switch {
	case choice.BestEffort:
		return short(choice.Reason)
	case c.Capped:
		return short(c.Fault.Error())
	case o.short:
		return short(o.note)
	case w.unknown:
		return a, fleet.Verdict{Planned: true, Reason: v1alpha1.ReasonPlanned, Message: "no load observed yet: " + a.Reason}
	}
	return a, fleet.Verdict{Planned: true, Reason: v1alpha1.ReasonPlanned, Message: a.Reason}
}

// missed says what was taken back of the cards that a server could use.
func (w *considered) missed(taken []jsonspec.TakenBack) string {
	text := ""
	for _, t := range taken {
		if slices.ContainsFunc(w.options, func(o option) bool { return cards(o.parts)[t.Type] > 0 }) {
			text += "; " + t.Reason
		}
	}
	return text
}

// partsOf an allocation.
func partsOf(parts []sizing.Part) []fleet.Part {
	var list []fleet.Part
	for _, p := range parts {
		list = append(list, fleet.Part{
			Accelerator: p.Accelerator.Name, Replicas: p.Replicas, Limits: fleet.Limits{MaxBatch: p.Limits.MaxBatch, MaxBatchedTokens: p.Limits.MaxBatchedTokens}, Share: p.Share,
		})
	}
	return list
}

// report a candidate. Its value is that of the option that has its replicas, if one has.
func (w *considered) report(c *sizing.Candidate) fleet.Candidate {
	r := fleet.Candidate{
		Server: w.Name, ID: c.ID(), Types: c.Types(), Priority: w.priority(), Parts: partsOf(c.Parts), Cost: sizing.Cost(c.Parts), Fault: c.Fault,
	}
	for _, p := range c.Parts {
		r.Cards += p.Replicas * p.Cards()
	}
	r.TTFT, r.ITL = c.Latencies(c.Parts)
	if len(c.Parts) == 1 {
		r.Rate, r.Trim = c.Parts[0].Rate, math.Expm1(c.Parts[0].Trim)
	}
	r.Value = r.Cost
	if i := slices.IndexFunc(w.options, func(o option) bool { return o.candidate == c && !o.short }); i >= 0 {
		r.Value = w.options[i].value()
	}
	return r
}

// servedCounts are what the solver says of the numbers it serves.
func servedCounts(p *solver.Problem, s *solver.Solution) []jsonspec.ServedCount {
	served := map[int]int{}
	for i, c := range s.Choices {
		if c.Candidate >= 0 && !c.BestEffort {
			served[p.Servers[i].Priority] += max(1, p.Servers[i].Weight)
		}
	}
	var list []jsonspec.ServedCount
	for _, priority := range slices.Sorted(maps.Keys(s.AtMost)) {
		list = append(list, jsonspec.ServedCount{Priority: priority, Served: served[priority], AtMost: s.AtMost[priority]})
	}
	return list
}
