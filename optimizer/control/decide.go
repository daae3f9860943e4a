package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// Stage names, in the order in which [Stages.Decide] enters them.
const (
	StageEstimate  = "estimate"
	StageForecast  = "forecast"
	StageSize      = "size"
	StageStabilise = "stabilise"
	StageSolve     = "solve"
	StageExplain   = "explain"
)

// work is one server on its way through the stages.
type work struct {
	entry   *v1alpha1.ServerEntry
	asked   asked
	demand  demand
	current stability.Current
	// present are the replicas of the plan in force, or of what runs where there is no plan, by accelerator.
	present map[string]int
	// verdict is set where the decision was made before the solver: the server is not put to it.
	verdict    *Verdict
	candidates []*candidate
	// feasible are the candidates that options refer to.
	feasible []*candidate
	options  []stability.Option
	memory   ServerState
	// probe says why there are more replicas than needed; empty where there are not.
	probe string
	// held is the plan that stays in force for want of a better one.
	held *v1alpha1.Allocation
}

// Decide makes the plan for a snapshot. It calls enter with the name of each stage as it begins, so that a caller with a clock can time
// them; enter may be nil. Faults of single servers are verdicts; the error is for faults that leave no plan at all. Where a deadline of the
// context ends the solver, which is bounded by its work before that, the plan says after how much of it: [Stages.StopAt] ends it there again.
func (st *Stages) Decide(ctx context.Context, snap *Snapshot, state State, enter func(stage string)) (*Decision, error) {
	if enter == nil {
		enter = func(string) {}
	}
	cat := newCatalogue(&snap.System)
	policy := &snap.System.Optimizer.Spec.SolverPolicy
	prices, err := pricesOf(policy)
	objective, wrong := objectiveOf(policy)
	if err := errors.Join(err, wrong); err != nil {
		return nil, fmt.Errorf("optimizer: %w", err)
	}

	enter(StageEstimate)
	learned, judged := st.estimate(cat, snap, state.Learned)

	enter(StageForecast)
	list := make([]*work, len(snap.System.Servers.Spec))
	for i := range snap.System.Servers.Spec {
		list[i] = st.begin(cat, &snap.System.Servers.Spec[i], state, snap.seconds())
	}

	enter(StageSize)
	for _, w := range list {
		if w.verdict == nil {
			st.sizeServer(w, &snap.System.Optimizer.Spec, prices.change, snap.seconds())
		}
	}

	enter(StageStabilise)
	for _, w := range list {
		if w.verdict == nil {
			prices.value(w)
			st.stabilise(w, snap.seconds())
		}
	}

	pools := elasticAt(state.Pools, snap.System.Capacity.Elastic, snap.seconds())
	problem, solved := pose(&snap.System, cat, pools, list)
	problem.Prices, problem.StopAt = usable(state.Prices), st.StopAt
	loads := make([]float64, len(solved))
	for i, w := range solved {
		loads[i] = w.demand.rate
	}
	objective.weigh(problem, loads)

	enter(StageSolve)
	solution, err := st.Solver.Solve(ctx, problem)
	if err != nil {
		return nil, fmt.Errorf("solver %s: %w", st.Names["solver"], err)
	}
	enter(StageExplain)
	suggested, probing := st.probe(solved, problem, solution, state.Probing, snap.seconds())
	d := assemble(list, problem, solution, solved)
	d.Plan.Placement = placements(&snap.System.Capacity, problem, solution)
	d.Plan.Bought = purchases(&snap.System.Capacity, problem, solution, pools, snap.seconds())
	d.Plan.TakenBack = pools.takenBack(snap.System.Capacity.Elastic)
	d.remind(d.Plan.TakenBack, list)
	for _, b := range d.Plan.Bought {
		d.Plan.TotalCost += b.Cost
	}
	if d.Plan.Solver.Name == "" {
		d.Plan.Solver.Name = st.Names["solver"]
	}
	d.State.Learned, d.State.Prices, d.State.Pools, d.Learning = learned, solution.Prices, pools, judged
	d.Probes, d.State.Probing = suggested, probing
	d.basis = newBasis(list, problem, solution)
	d.basis.explainUnserved(d.Plan.Unserved)
	return d, nil
}

// begin resolves a server's names and forecasts its load.
func (st *Stages) begin(cat *catalogue, s *v1alpha1.ServerEntry, state State, now float64) *work {
	w := &work{entry: s, memory: state.Servers[s.Name]}
	inForce := s.DesiredAlloc
	if inForce == nil {
		inForce = s.CurrentAlloc
	}
	if inForce != nil {
		w.current = stability.Current{Accelerator: inForce.Accelerator, Replicas: inForce.NumReplicas, BestEffort: inForce.BestEffort}
		w.present = replicasOf(inForce)
	}
	var missing *Verdict
	if w.asked, missing = cat.resolve(s); missing != nil {
		w.hold(*missing)
		return w
	}
	if fault := loadFault(s); fault != nil {
		switch d := s.DesiredAlloc; {
		case d == nil:
			w.demand.unknown = true
		case fault.Reason != v1alpha1.ReasonNoMetrics || d.NumReplicas > 0 || !w.memory.Waits || !w.recall():
			w.hold(*fault)
		}
		return w
	}
	load := s.CurrentAlloc.Load
	w.memory.Lengths = lengths(w.memory.Lengths, Lengths{now, load.AvgInTokens, load.AvgOutTokens}, v1alpha1.PerSecond(load.Throughput), st.window(), s.Observation)
	w.demand = demand{in: prompt(w.memory.Lengths.InputTokens, s.Observation), out: w.memory.Lengths.OutputTokens}
	w.demand.inSD, w.demand.outSD = deviations(s.Observation)
	w.memory.Bursts = bursts(w.memory.Bursts, s.Observation)
	w.demand.bursts, w.demand.replicas, w.demand.turns = w.memory.Bursts, w.current.Replicas, v1alpha1.InTurns(s.Routing)
	rate := v1alpha1.PerSecond(load.ArrivalRate)
	w.memory.Recent = forecast.Recent(w.memory.Recent, forecast.Sample{Time: now, Rate: rate})
	if now > 0 {
		rate = forecast.Level(w.memory.Recent, st.window(), w.memory.Bursts)
	}
	predictor := st.Forecaster.For(st.Horizon, st.quantile(&w.asked, &w.memory))
	w.memory.Forecast = predictor.Observe(w.memory.Forecast, forecast.Sample{Time: now, Rate: rate})
	w.demand.rate = predictor.Forecast(w.memory.Forecast, now).Upper
	rise := forecast.Rise(w.memory.Recent, st.window(), st.Horizon, w.memory.Bursts)
	if rise > rate {
		w.demand.rate = max(w.demand.rate, rise)
	}
	w.memory.Trims = trim(w.memory.Trims, w, !(rise > rate))
	w.demand.drain = backlog(s.Observation) / max(st.Horizon, minBacklogTime)
	return w
}

// recall takes the load that a server had when it was last measured, and tells whether it had any: there was no capacity for it, and who runs
// nothing is not measured, so that it would wait for ever.
func (w *work) recall() bool {
	m := &w.memory
	if m.Lengths == nil || len(m.Recent) == 0 {
		return false
	}
	w.demand = demand{in: m.Lengths.InputTokens, out: m.Lengths.OutputTokens, inSD: math.NaN(), outSD: math.NaN(), bursts: m.Bursts, turns: v1alpha1.InTurns(w.entry.Routing)}
	// Some were taken while its replicas went, others when they came back to all that had waited.
	rates := make([]float64, len(m.Recent))
	for i := range m.Recent {
		rates[i] = m.Recent[i].Rate
	}
	slices.Sort(rates)
	w.demand.rate = rates[len(rates)/2]
	return w.demand.rate > 0
}

// minBacklogTime is the least time in which requests that wait are to be served, in seconds.
const minBacklogTime = 60

// backlog is the number of requests that wait at the replicas of a server beyond one at each; they come on top of what arrives.
func backlog(o *v1alpha1.Observation) float64 {
	if o == nil || o.Waiting == nil {
		return 0
	}
	ready := 0
	for _, p := range o.Parts {
		ready += p.Ready
	}
	return max(*o.Waiting-1, 0) * float64(ready)
}

// replicasOf an allocation by accelerator. Pods that wait for a node have no accelerator yet.
func replicasOf(a *v1alpha1.Allocation) map[string]int {
	by := map[string]int{}
	for _, p := range a.Parts {
		if p.Accelerator != "" {
			by[p.Accelerator] += p.Replicas
		}
	}
	if len(a.Parts) == 0 && a.Accelerator != "" {
		by[a.Accelerator] = a.NumReplicas
	}
	return by
}

// loadFault says why the load of a server is not known; nil where it is.
func loadFault(s *v1alpha1.ServerEntry) *Verdict {
	switch o := s.Observation; {
	case o != nil && o.Fault != "":
		return &Verdict{Reason: o.Fault, Message: o.Detail}
	case s.CurrentAlloc == nil || s.CurrentAlloc.Load == nil:
		return &Verdict{Reason: v1alpha1.ReasonNoMetrics, Message: "the load of the server is not known (currentAlloc.load is missing)"}
	case !(s.CurrentAlloc.Load.ArrivalRate >= 0 && s.CurrentAlloc.Load.ArrivalRate <= v1alpha1.MaxArrivalRate):
		return &Verdict{Reason: v1alpha1.ReasonNoMetrics, Message: fmt.Sprintf("%v requests per minute are no arrival rate (currentAlloc.load.arrivalRate)", s.CurrentAlloc.Load.ArrivalRate)}
	case s.CurrentAlloc.Load.ArrivalRate > 0 && s.CurrentAlloc.Load.AvgOutTokens == 0:
		return &Verdict{Reason: v1alpha1.ReasonNoMetrics, Message: "requests arrive but their length is not known (avgOutTokens is 0): none has finished yet"}
	}
	return nil
}

// hold keeps the plan in force, if there is one, for the given reason.
func (w *work) hold(why Verdict) {
	if d := w.entry.DesiredAlloc; d != nil {
		held := *d
		held.Reason = "held: " + why.Message
		w.held = &held
		why.Message = "the last plan stands: " + why.Message
	}
	w.verdict = &why
}

func (st *Stages) sizeServer(w *work, o *v1alpha1.OptimizerEntry, change *solver.Change, now float64) {
	w.memory.Budgets = st.budgets(w, now)
	w.memory.Pending = pendingOf(w.entry.Observation, w.memory.Pending, now)
	w.candidates = st.candidates(w.entry, w.asked, w.demand, w.present, &w.memory, st.late(w.memory.Pending, now), change)
	var capped []*candidate
	for _, c := range w.candidates {
		switch {
		case c.fault == nil:
			w.feasible = append(w.feasible, c)
		case c.capped:
			capped = append(capped, c)
		}
	}
	w.priceCapacity()
	if o.Heterogeneous {
		if err := w.split(); err != nil {
			w.hold(Verdict{Reason: v1alpha1.ReasonInfeasible, Message: err.Error()})
			return
		}
	}
	// Where every way needs more replicas than the server may have, as many as it may have is the best that can be done.
	if len(w.feasible) == 0 {
		w.feasible = capped
	}
	if len(w.feasible) == 0 {
		faults := make([]string, len(w.candidates))
		for i, c := range w.candidates {
			faults[i] = c.ID + ": " + c.fault.Error()
		}
		w.hold(Verdict{Reason: v1alpha1.ReasonInfeasible, Message: "no accelerator meets the targets: " + strings.Join(faults, "; ")})
	}
}

func (st *Stages) stabilise(w *work, now float64) {
	plain := w.plain()
	w.current.StartUp, w.current.Load = st.StartUp, w.demand.rate
	w.current.Needed = func(accelerator string, factor float64) int {
		for _, c := range w.feasible {
			if c.ID == accelerator && c.rate > 0 && len(c.parts) == 0 {
				return c.needed(factor, w.entry.MinNumReplicas)
			}
		}
		return 0
	}
	w.options, w.memory.Stability = st.Stabiliser.Shape(now, w.current, plain, w.memory.Stability)
	w.unplain(w.options)
}

// pose writes the solver's problem; the second result are the servers put to the solver, in its order. What held plans take is not there
// for others.
func pose(s *v1alpha1.System, cat *catalogue, pools elastic, list []*work) (*solver.Problem, []*work) {
	o := &s.Optimizer.Spec
	p := &solver.Problem{
		Capacity: map[string]int{}, Unlimited: o.Unlimited, SaturationPolicy: o.SaturationPolicy, DelayedBestEffort: o.DelayedBestEffort,
	}
	capacity(p, s, pools)
	var solved []*work
	for _, w := range list {
		if w.verdict != nil {
			w.reserve(p, cat)
			continue
		}
		server := solver.Server{Name: w.entry.Name, Priority: w.asked.priority}
		for _, option := range w.options {
			server.Candidates = append(server.Candidates, option.Candidate)
		}
		p.Servers = append(p.Servers, server)
		solved = append(solved, w)
	}
	return p, solved
}

// reserve takes what a held plan uses out of the capacity.
func (w *work) reserve(from *solver.Problem, cat *catalogue) {
	if w.held == nil {
		return
	}
	parts := w.held.Parts
	if len(parts) == 0 {
		parts = []v1alpha1.AllocationPart{{Accelerator: w.held.Accelerator, Replicas: w.held.NumReplicas}}
	}
	for _, part := range parts {
		if p := cat.pair(w.entry.Model, part.Accelerator); p != nil {
			take(from, p.accelerator.CardType(p.accelerator.Name), part.Replicas, p.unitsPerReplica())
		}
	}
}

// assemble writes the decision.
func assemble(list []*work, p *solver.Problem, sol *solver.Solution, solved []*work) *Decision {
	d := &Decision{
		Plan:     v1alpha1.Solution{Allocations: map[string]v1alpha1.Allocation{}, Unserved: []v1alpha1.Unserved{}, Solver: v1alpha1.SolverReport{Name: sol.Solver, Why: sol.Why, Ended: string(sol.Ended), Work: sol.Work}},
		Verdicts: map[string]Verdict{},
		State:    State{Servers: map[string]ServerState{}},
	}
	for i, choice := range sol.Choices {
		w := solved[i]
		verdict := w.settle(choice, p.Unlimited)
		w.verdict = &verdict
	}
	for _, w := range list {
		name := w.entry.Name
		w.memory.Waits = w.verdict.Reason == v1alpha1.ReasonNoCapacity || w.memory.Waits && w.held != nil && w.held.NumReplicas == 0
		d.State.Servers[name] = w.memory
		d.Verdicts[name] = *w.verdict
		if w.held != nil {
			d.Plan.Allocations[name] = *w.held
		}
		if !w.verdict.Planned {
			d.Plan.Unserved = append(d.Plan.Unserved, v1alpha1.Unserved{Server: name, Reason: w.verdict.Message})
		}
		for _, c := range w.candidates {
			d.Candidates = append(d.Candidates, c.report(name, w.asked.priority))
		}
	}
	d.Plan.TotalCost = totalCost(d.Plan.Allocations)
	d.Plan.Solver.LowerBound, d.Plan.Solver.Gap, d.Plan.Solver.Prices = known(sol.LowerBound), known(sol.Gap), sol.Prices
	d.Plan.Solver.Served = servedCounts(p, sol)
	slices.SortFunc(d.Plan.Unserved, func(a, b v1alpha1.Unserved) int { return strings.Compare(a.Server, b.Server) })
	slices.SortStableFunc(d.Candidates, func(a, b v1alpha1.Candidate) int {
		if c := strings.Compare(a.Server, b.Server); c != 0 {
			return c
		}
		return strings.Compare(a.Accelerator, b.Accelerator)
	})
	return d
}

// servedCounts are what the solver says of the numbers it serves.
func servedCounts(p *solver.Problem, s *solver.Solution) []v1alpha1.ServedCount {
	served := map[int]int{}
	for i, c := range s.Choices {
		if c.Candidate >= 0 && !c.BestEffort {
			served[p.Servers[i].Priority] += max(1, p.Servers[i].Weight)
		}
	}
	var list []v1alpha1.ServedCount
	for _, priority := range slices.Sorted(maps.Keys(s.AtMost)) {
		list = append(list, v1alpha1.ServedCount{Priority: priority, Served: served[priority], AtMost: s.AtMost[priority]})
	}
	return list
}

// totalCost adds in the order of names, so that equal plans have costs equal to the last bit.
func totalCost(allocations map[string]v1alpha1.Allocation) float64 {
	keys := make([]string, 0, len(allocations))
	for k := range allocations {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	sum := 0.0
	for _, k := range keys {
		sum += allocations[k].Cost
	}
	return sum
}

// known is a number that may not be known, absent where it is NaN or infinite.
func known(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// settle turns the solver's choice into the server's allocation, kept in w.held, and the verdict.
func (w *work) settle(choice solver.Choice, unlimited bool) Verdict {
	if choice.Candidate < 0 {
		return Verdict{Reason: v1alpha1.ReasonNoCapacity, Message: choice.Reason}
	}
	option := w.options[choice.Candidate]
	c := w.feasible[option.Of]
	n := choice.Replicas
	ttft, itl := c.predict(n)
	a := &v1alpha1.Allocation{
		Accelerator: c.ID, NumReplicas: n, MaxBatch: c.limits.MaxBatch, MaxBatchedTokens: c.limits.MaxBatchedTokens,
		ITLAverage: v1alpha1.Milliseconds(itl), TTFTAverage: v1alpha1.Milliseconds(ttft), BestEffort: choice.BestEffort || c.capped || option.Short,
	}
	if c.pair != nil {
		a.Cost = float64(n) * c.pair.costPerReplica()
	}
	if len(c.parts) > 0 {
		w.settleSplit(a, c, option)
	}
	if w.entry.CurrentAlloc != nil {
		a.Load = w.entry.CurrentAlloc.Load
	}
	a.Reason = w.why(choice, option, unlimited)
	w.held = a
	switch {
	case choice.BestEffort:
		return Verdict{Reason: v1alpha1.ReasonBestEffort, Message: choice.Reason}
	case c.capped:
		return Verdict{Reason: v1alpha1.ReasonBestEffort, Message: c.fault.Error()}
	case option.Short:
		return Verdict{Reason: v1alpha1.ReasonBestEffort, Message: option.Note}
	case w.demand.unknown:
		return Verdict{Planned: true, Reason: v1alpha1.ReasonPlanned, Message: "no load observed yet: " + a.Reason}
	}
	return Verdict{Planned: true, Reason: v1alpha1.ReasonPlanned, Message: a.Reason}
}

// settleSplit writes a split into the allocation. Its accelerator and limits are those of the larger part.
func (w *work) settleSplit(a *v1alpha1.Allocation, c *candidate, option stability.Option) {
	ttft, itl := c.predictSplit(option.Parts)
	a.TTFTAverage, a.ITLAverage = v1alpha1.Milliseconds(ttft), v1alpha1.Milliseconds(itl)
	a.Cost = option.Cost
	a.Parts = c.allocationParts(option.Parts)
	largest := slices.MaxFunc(a.Parts, func(x, y v1alpha1.AllocationPart) int { return cmp.Compare(x.Replicas, y.Replicas) })
	a.Accelerator, a.MaxBatch, a.MaxBatchedTokens = largest.Accelerator, largest.MaxBatchSize, largest.MaxBatchedTokens
}

// why says in one line why the option was chosen over the others.
func (w *work) why(choice solver.Choice, option stability.Option, unlimited bool) string {
	if option.ID == "" {
		return "no load and no least number of replicas: scaled to zero"
	}
	best := option
	for _, o := range w.options {
		if o.Value < best.Value || (o.Value == best.Value && o.ID < best.ID) {
			best = o
		}
	}
	why := runsOn(&option.Candidate, choice.Replicas)
	switch {
	case choice.BestEffort:
		why += fmt.Sprintf(" of %d needed: best effort", option.Replicas())
	case best.Of == option.Of || unlimited:
		why += fmt.Sprintf(" is the cheapest of %d that meet the targets", len(w.feasible))
	default:
		why += fmt.Sprintf(" although %s would cost %.2f instead of %.2f: there is not enough %s", runsOn(&best.Candidate, best.Replicas()), best.Cost, option.Cost, best.Types())
	}
	if o := w.cheaper(option); o != nil {
		why += fmt.Sprintf("; %s would cost %.2f, but %.2f with the price of change and energy", runsOn(&o.Candidate, o.Replicas()), o.Cost, o.Value)
	}
	if option.Note != "" {
		why += " (" + option.Note + ")"
	}
	if w.probe != "" {
		why += "; " + w.probe
	}
	if c := w.feasible[option.Of]; c.guarded > 0 {
		why += fmt.Sprintf("; predictions on %s do not hold, so at least %d by saturation", c.ID, c.guarded)
	}
	return why
}

// cheaper is the option of least cost where it costs less than the given one but is worth less: its change or its energy costs more than it
// saves; nil where there is none.
func (w *work) cheaper(than stability.Option) *stability.Option {
	var least *stability.Option
	for i := range w.options {
		o := &w.options[i]
		if o.Of != than.Of && o.Cost < than.Cost && o.Value > than.Value && (least == nil || o.Cost < least.Cost) {
			least = o
		}
	}
	return least
}
