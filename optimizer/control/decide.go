package control

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// Stage names, in the order in which [Stages.Decide] enters them.
const (
	StageEstimate  = "estimate"
	StageDemand    = "demand"
	StageSize      = "size"
	StageStabilise = "stabilise"
	StageSolve     = "solve"
	StageExplain   = "explain"
)

// Decide makes the plan for a snapshot. It calls enter with the name of each stage as it begins, so that a caller with a clock can time
// them; enter may be nil. Faults of single servers are verdicts; the error is for faults that leave no plan at all. Where a deadline of the
// context ends the solver, which is bounded by its work before that, the plan says after how much of it: [StopAt] makes it end there again.
func (st *Stages) Decide(ctx context.Context, snap *fleet.Snapshot, state State, enter func(stage string)) (*Decision, error) {
	if enter == nil {
		enter = func(string) {}
	}
	policy, err := policyOf(&snap.Policy)
	if err != nil {
		return nil, fmt.Errorf("optimizer: %w", err)
	}
	n := len(snap.Servers)
	next := State{Servers: make(map[string]ServerState, n)}
	memories := make([]ServerState, n)
	for i := range snap.Servers {
		memories[i] = state.Servers[snap.Servers[i].Name]
	}

	enter(StageEstimate)
	known := st.estimate(snap, state.Learned)
	next.Learned = known.learned
	questions, faults := ask(snap, known.pairs)

	enter(StageDemand)
	demands := make([]demand.Demand, n)
	for i := range questions {
		if faults[i] == nil {
			clock := demand.Clock{Now: snap.Time, Window: snap.Window, Horizon: snap.Horizon - snap.StartUp + questions[i].startUp(), Ahead: policy.AheadSeconds}
			demands[i], memories[i].Demand, faults[i] = st.demand(&questions[i], memories[i], &policy, clock)
		}
	}

	enter(StageSize)
	stage := sizing.Stage{Model: st.Model, Confidence: policy.Confidence, Heterogeneous: policy.Heterogeneous, Change: policy.Change}
	sized, sizings := make([]*sizing.Server, n), make([]sizing.Sizing, n)
	each(n, func(i int) {
		q := &questions[i]
		sized[i] = &sizing.Server{Server: q.Server, Pairs: q.pairs, Targets: q.targets, Demand: demands[i]}
		if q.class != nil {
			sized[i].ViolationCost, sized[i].Precisions = q.class.ViolationCost, q.class.Precisions
		}
		if faults[i] != nil {
			return
		}
		var none error
		if sizings[i], memories[i].Sizing, none = stage.Size(sized[i], memories[i].Sizing, snap.Time); none != nil {
			faults[i] = &fleet.Fault{Reason: v1alpha1.ReasonInfeasible, Message: none.Error()}
		}
	})

	enter(StageStabilise)
	prober := newProber(&policy, &stage, snap, state.Probing)
	options := make([][]option, n)
	each(n, func(i int) {
		if faults[i] == nil {
			options[i], memories[i].Stability = st.stabilise(&questions[i], sized[i], &sizings[i], memories[i].Stability, &policy, snap)
		}
	})
	for i := range questions {
		if faults[i] == nil {
			options[i] = prober.offer(sized[i], &sizings[i], options[i])
		}
	}

	enter(StageSolve)
	pools := elasticAt(state.Pools, snap.Capacity.Elastic, snap.Time)
	problem := pose(snap, &policy, pools)
	problem.Prices, problem.StopAt = usable(state.Prices), snap.StopAt
	held, overdrawn, shared := make([]*fleet.Allocation, n), map[string]int{}, map[string]holding{}
	var solved []int
	var loads []float64
	for i := range questions {
		q := &questions[i]
		server := solver.Server{Name: q.Name, Priority: q.priority(), Share: shareOf(problem, q.Server)}
		if faults[i] == nil {
			options[i], faults[i] = powered(problem, server.Share, options[i])
		}
		for k := range options[i] {
			server.Candidates = append(server.Candidates, options[i][k].asked(q.Server))
		}
		if faults[i] == nil {
			faults[i] = solvable(&server)
		}
		if faults[i] != nil {
			runs := occupied(q.Server, known.pairs)
			if held[i] = hold(q.Server, faults[i]); held[i] == nil && q.Refused != "" {
				held[i] = runs // without a plan its pods would be placed wherever there is room
				held[i].Reason = q.Refused
			}
			reserve(problem, known.pairs, q.Server, cmp.Or(held[i], runs), overdrawn, shared)
			continue
		}
		problem.Servers = append(problem.Servers, server)
		solved, loads = append(solved, i), append(loads, demands[i].Rate)
	}
	bound(problem)
	policy.weigh(problem, loads)
	solution, err := st.Solver.Solve(ctx, problem)
	if err != nil {
		return nil, fmt.Errorf("solver %s: %w", st.Names["solver"], err)
	}
	if solution, err = st.keep(ctx, problem, solution, solved, questions, sizings, sized, &policy, options); err != nil {
		return nil, err
	}

	enter(StageExplain)
	b := basis{snap: snap, stage: &stage, problem: problem, solution: solution, pairs: known.pairs, spare: spareBeside(problem, solution, overdrawn), held: shared, servers: make([]considered, n), index: make(map[string]int, n)}
	for i := range questions {
		b.servers[i] = considered{question: &questions[i], sized: sized[i], sizing: &sizings[i], options: options[i], fault: faults[i], held: held[i], choice: -1, unknown: demands[i].Unknown, growth: growth(&questions[i], &demands[i])}
		b.index[questions[i].Name] = i
	}
	for k, i := range solved {
		b.servers[i].choice = k
	}
	d := &Decision{Decision: b.decision(st.Names["solver"], pools), State: next, basis: b}
	d.State.Prices, d.State.Pools = solution.Prices, pools
	d.Judgements, d.Assumptions = known.judgements, known.assumptions
	d.Probes, d.State.Probing = prober.settle(sized, b.chosen())
	for i := range memories {
		w := &b.servers[i]
		_, known := state.Servers[w.Name]
		memories[i].Ahead = b.ahead(w, d.Plan.Allocations[w.Name].Parts, memories[i].Ahead, policy.AheadSeconds, !known)
		memories[i].Waits = d.Verdicts[w.Name].Reason == v1alpha1.ReasonNoCapacity || memories[i].Waits && w.held != nil && w.held.Replicas() == 0
		switch m := &memories[i]; {
		case !m.Waits:
			m.Doubted = 0
		case m.Doubted == 0 || demands[i].Unknown:
			m.Doubted = snap.Time
		}
		d.State.Servers[w.Name] = memories[i]
	}
	return d, nil
}

// StopAt is the work after which a deadline ended the solver, for the snapshot of the decision to be made again; 0 where none did.
func StopAt(r *jsonspec.SolverReport) int64 {
	if r.Ended != string(solver.EndedDeadline) {
		return 0
	}
	return r.Work
}

// hold is the plan in force of a server that is not put to the solver, which stays; nil where there is none.
func hold(s *fleet.Server, why *fleet.Fault) *fleet.Allocation {
	if s.Plan == nil {
		return nil
	}
	held := *s.Plan
	held.Held, held.Reason = true, "held: "+why.Message
	return &held
}

// solvable says why a server cannot be put to the solver, such as a number of replicas or a cost beyond all bounds; nil where it can. It would be the fault of
// the whole problem.
func solvable(s *solver.Server) *fleet.Fault {
	if err := s.Validate(); err != nil {
		return &fleet.Fault{Reason: v1alpha1.ReasonInvalidSpec, Message: err.Error()}
	}
	return nil
}

// occupied is what the pods of a server hold, as a plan of its own.
func occupied(s *fleet.Server, known pairs) *fleet.Allocation {
	a := new(fleet.Allocation)
	if s.Seen == nil {
		return a
	}
	for _, p := range s.Seen.Pods {
		if p.Accelerator == "" {
			continue
		}
		part := a.Part(p.Accelerator)
		if part == nil {
			a.Parts = append(a.Parts, fleet.Part{Accelerator: p.Accelerator, Limits: p.Limits})
			part = &a.Parts[len(a.Parts)-1]
		}
		part.Replicas += p.Ready + p.Starting
		if pair := known.of(s.Model, s.Namespace, p.Accelerator); pair != nil {
			a.Cost += float64(p.Ready+p.Starting) * pair.Cost()
		}
	}
	return a
}

// pose writes the solver's problem, without servers.
func pose(snap *fleet.Snapshot, policy *policy, pools elastic) *solver.Problem {
	p := &solver.Problem{
		Capacity: map[string]int{}, Unlimited: policy.Unlimited, SaturationPolicy: policy.SaturationPolicy, DelayedBestEffort: policy.DelayedBestEffort,
		Shares: sharesOf(snap.Shares),
	}
	p.Cohorts = cohortsOf(snap.Cohorts, p.Shares)
	capacity(p, snap, pools)
	return p
}

// reserve takes what a held plan uses out of the capacity. What there is not of it is added to what is overdrawn, by type.
func reserve(from *solver.Problem, known pairs, s *fleet.Server, held *fleet.Allocation, overdrawn map[string]int, shared map[string]holding) {
	if held == nil {
		return
	}
	for _, part := range held.Parts {
		if p := known.of(s.Model, s.Namespace, part.Accelerator); p != nil {
			reserveShare(from, shared, s.Share, p.Accelerator.Type, part.Replicas*p.Cards(), float64(part.Replicas)*p.Cost(), heldPower(p, part.Replicas))
			pods, cards := p.Pods(part.Replicas)
			at := holder{p.Accelerator.Type, s.Scopes[part.Accelerator], p.Performance.Domain(), p.Performance.Pods()}
			overdrawn[p.Accelerator.Type] += take(from, at, pods, cards)
		}
	}
}

// usable are the prices that a solver can start from; a state that was read may hold anything.
func usable(prices map[string]float64) map[string]float64 {
	good := map[string]float64{}
	for t, x := range prices {
		if x >= 0 && !math.IsInf(x, 0) {
			good[t] = x
		}
	}
	if len(good) == 0 {
		return nil
	}
	return good
}
