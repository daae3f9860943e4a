package control

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// defaultMaxBatch is vLLM's default for max-num-seqs, taken where nothing says what the memory holds.
const defaultMaxBatch = 256

// candidate is one (server, accelerator) pair with all that is known of it.
type candidate struct {
	solver.Candidate
	pair   *pair
	limits queueing.Limits
	// rate is the highest rate a replica sustains within the targets, in requests per second; 0 where that was not asked.
	rate float64
	// demand is the total rate to share among the replicas, in requests per second.
	demand float64
	// replica predicts latencies; nil where there is no load to predict for.
	replica queueing.Replica
	// parts are what a split was made of, in the order of Parts; nil where there is one accelerator.
	parts []*candidate
	// trim is the logarithm of a factor on the rate, from measured attainment.
	trim float64
	// drain is the least number of replicas that serve in time what waits.
	drain int
	// late are the replicas among them that should have been ready and are not: they are not counted on.
	late int
	// fault says why the candidate does not meet the targets; nil where it does.
	fault error
	// guarded is the floor by saturation where it lies above the need that is predicted, 0 where it does not.
	guarded int
	// capped marks a candidate that stays below its need because of the server's maxNumReplicas.
	capped bool
}

// predict the mean latencies in seconds when n replicas share the demand. Zero where there is nothing to predict.
func (c *candidate) predict(n int) (ttft, itl float64) {
	if n == 0 {
		return 0, 0
	}
	return c.at(c.demand / float64(n))
}

// at predicts the mean latencies in seconds of a replica that gets so many requests per second. Zero where there is nothing to predict.
func (c *candidate) at(rate float64) (ttft, itl float64) {
	if c.replica == nil || rate == 0 {
		return 0, 0
	}
	p, err := c.replica.Open(rate)
	if err != nil {
		return 0, 0
	}
	return p.TTFT.Mean, p.ITL.Mean
}

// demand of a server in the core's units.
type demand struct {
	// rate in requests per second to size for.
	rate float64
	// drain is the rate at which requests that wait are to be served beside it, in requests per second.
	drain float64
	// tokens per request.
	in, out float64
	// inSD and outSD are their standard deviations, NaN where they were not measured.
	inSD, outSD float64
	// bursts is the square of the CV of the times between arrivals at the server; 0 where that is not known.
	bursts float64
	// turns says that the server's replicas take turns, or better.
	turns bool
	// replicas that the plan in force has.
	replicas int
	// unknown marks a server whose load nobody knows: it starts small.
	unknown bool
}

// candidates of one server, one for each accelerator the model has data for, in order of the accelerators' names. A server that needs no
// replica has one candidate without an accelerator.
func (st *Stages) candidates(s *v1alpha1.ServerEntry, a asked, d demand, present map[string]int, m *ServerState, late map[string]int, change *solver.Change) []*candidate {
	if d.rate == 0 || d.out == 0 {
		return idleCandidates(s, a, d, present, m.Budgets)
	}
	list := make([]*candidate, 0, len(a.pairs))
	for _, p := range a.pairs {
		c := newCandidate(p, limits(s, p, d, m.Budgets[p.perf.Acc].Tokens))
		c.demand, c.late, c.trim = a.targets.Demand(d.rate, d.out), late[c.ID], m.Trims[c.ID]
		if c.fault = allowed(s, p, present); c.fault == nil {
			c.fault = st.size(c, s, a.targets, d)
			st.keepRunning(c, s, a, d, change)
		}
		list = append(list, c)
	}
	return list
}

func newCandidate(p *pair, l queueing.Limits) *candidate {
	return &candidate{
		Candidate: solver.On(p.perf.Acc, p.accelerator.CardType(p.accelerator.Name), 0, p.unitsPerReplica(), 0),
		pair:      p, limits: l,
	}
}

// allowed says whether the server may use the accelerator at all.
func allowed(s *v1alpha1.ServerEntry, p *pair, present map[string]int) error {
	_, runs := present[p.perf.Acc]
	switch {
	case p.fault != nil:
		return p.fault
	case s.KeepAccelerator && len(present) > 0 && !runs:
		return fmt.Errorf("keepAccelerator holds the server on %s", names(present))
	}
	return nil
}

// batchTolerance is how far the max batch size in force may be from the one that memory holds before it changes: lengths of requests are
// estimates, and running pods keep what they were started with.
const batchTolerance = 0.25

// overcommit is by how much the batch may exceed what the cache holds of requests of their mean length. An engine admits what fits, and what is
// preempted now and then is computed again in a part of a second; but lengths are estimates, replicas keep the batch they were started with, and
// one that is too small leaves the cache empty while requests wait.
const overcommit = 2

// lastBatch is the max batch size that the plan in force gives on an accelerator, 0 where it gives none.
func lastBatch(s *v1alpha1.ServerEntry, accelerator string) int {
	d := s.DesiredAlloc
	if d == nil {
		return 0
	}
	for _, p := range d.Parts {
		if p.Accelerator == accelerator {
			return p.MaxBatchSize
		}
	}
	if d.Accelerator == accelerator {
		return d.MaxBatch
	}
	return 0
}

// limits of the engine on one accelerator: the token budget that the server fixes, or the given one, or the engines' default where that is 0; the
// batch that the server asks for, or the one that memory holds for requests of this length,
// unless the one in force is close to it.
func limits(s *v1alpha1.ServerEntry, p *pair, d demand, budget int) queueing.Limits {
	l := queueing.Limits{
		MaxBatch: s.MaxBatchSize, MaxQueue: s.MaxQueueSize, MaxBatchedTokens: s.MaxBatchedTokens, KVTokens: p.perf.KVTokens,
	}
	l.MaxBatchedTokens = cmp.Or(l.MaxBatchedTokens, budget, queueing.DefaultMaxBatchedTokens)
	switch {
	case l.MaxBatch > 0:
	case p.perf.MaxBatchSize > 0 && p.perf.AtTokens > 0 && d.out > 0:
		l.MaxBatch = max(int(float64(p.perf.MaxBatchSize*p.perf.AtTokens)/d.out), 1)
	case p.perf.MaxBatchSize > 0:
		l.MaxBatch = p.perf.MaxBatchSize
	default:
		l.MaxBatch = defaultMaxBatch
	}
	if room := overcommit * float64(l.KVTokens) / (d.in + d.out); s.MaxBatchSize == 0 && l.KVTokens > 0 && d.out > 0 {
		l.MaxBatch = min(l.MaxBatch, max(int(room), 1))
	}
	if last := lastBatch(s, p.perf.Acc); s.MaxBatchSize == 0 && math.Abs(float64(last-l.MaxBatch)) <= batchTolerance*float64(l.MaxBatch) {
		l.MaxBatch = last
	}
	// Every running sequence decodes one token an iteration: engines refuse a batch above the token budget.
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return l
}

// rate finds what a replica sustains. How irregular its arrivals are depends on how many replicas share them, and that on what a replica sustains:
// it is the least number of replicas that suffices with its share of what is irregular. Bursts that no replica stands however many there are are
// not sized for, and left out of the demand.
func (st *Stages) rate(c *candidate, t sizing.Targets, d *demand) (law queueing.Law, err error) {
	suffices := func(replicas int) bool {
		var rate float64
		if rate, law, err = st.sustained(c, t, requests(*d, replicas)); err == nil && !(rate > 0) {
			err = errNoLoad
		}
		if err != nil {
			return false
		}
		c.rate = c.trimmed(rate)
		return sizing.Replicas(c.demand, c.rate, 0) <= replicas
	}
	if !d.bursty() && !d.turns {
		suffices(1)
		return law, err
	}
	const many = 64 // replicas that share a burst
	enough := 1
	for !suffices(enough) && (err == nil && enough < most || err != nil && enough < many) {
		enough *= 2
	}
	if infeasible := new(sizing.Infeasible); d.bursty() && (errors.As(err, &infeasible) || errors.Is(err, errNoLoad)) {
		d.bursts = 0
		return st.rate(c, t, d)
	}
	if err != nil || enough == 1 {
		return law, err
	}
	suffices(enough/2 + 1 + sort.Search(enough/2-1, func(i int) bool { return suffices(enough/2 + 1 + i) }))
	return law, err
}

// most replicas of a server.
const most = 1 << 20

// errNoLoad says that targets are met without load only.
var errNoLoad = errors.New("a replica sustains no load")

// size fills in replicas and cost of a candidate under load.
func (st *Stages) size(c *candidate, s *v1alpha1.ServerEntry, t sizing.Targets, d demand) error {
	law, err := st.rate(c, t, &d)
	if err != nil {
		return err
	}
	if c.replica, err = st.Model.Replica(law, requests(d, c.needed(1, 0)), c.limits); err != nil {
		return err
	}
	// Requests that wait have missed their targets already: they are served as fast as can be, beside those that arrive.
	if d.drain > 0 {
		c.drain = sizing.Replicas(d.rate+d.drain, c.trimmed(c.replica.MaxRate()), 0)
	}
	need := c.needed(1, s.MinNumReplicas)
	if need > most || need < 0 {
		return fmt.Errorf("needs more than %d replicas", most)
	}
	if least := saturationFloor(s, c.ID); c.pair.unreliable && least > need {
		c.guarded, need = least, least
	}
	if s.MaxNumReplicas > 0 && need > s.MaxNumReplicas {
		c.capped = true
		err = fmt.Errorf("needs %d replicas, maxNumReplicas is %d", need, s.MaxNumReplicas)
		need = s.MaxNumReplicas
	}
	c.setReplicas(need)
	return err
}

func (c *candidate) setReplicas(n int) {
	c.Parts[0].Replicas = n
	c.Cost = float64(n) * c.pair.costPerReplica()
	c.Value = c.Cost
}

// idleCandidates are those of a server without load: its least replicas wherever it may run. Of a server whose load is unknown nothing can
// be observed before it runs, so that it gets at least one.
func idleCandidates(s *v1alpha1.ServerEntry, a asked, d demand, present map[string]int, budgets map[string]Budget) []*candidate {
	least := s.MinNumReplicas
	if d.unknown {
		least = max(least, 1)
	}
	if least == 0 {
		return []*candidate{{}}
	}
	list := make([]*candidate, 0, len(a.pairs))
	for _, p := range a.pairs {
		c := newCandidate(p, limits(s, p, d, budgets[p.perf.Acc].Tokens))
		// Nothing is gained by other limits where there is no load.
		c.limits, _ = inForce(s, c.ID, c.limits)
		c.fault = allowed(s, p, present)
		c.setReplicas(least)
		list = append(list, c)
	}
	return list
}

// report writes a candidate at the boundary.
func (c *candidate) report(server string, priority int) v1alpha1.Candidate {
	ttft, itl := c.predict(c.Replicas())
	if len(c.parts) > 0 {
		ttft, itl = c.predictSplit(c.Parts)
	}
	r := v1alpha1.Candidate{
		Server: server, Accelerator: c.ID, Type: c.Types(), Priority: priority, NumReplicas: c.Replicas(), Units: c.Units(),
		MaxBatch: c.limits.MaxBatch, MaxBatchedTokens: c.limits.MaxBatchedTokens, Cost: c.Cost, Value: c.Value,
		ITL: v1alpha1.Milliseconds(itl), TTFT: v1alpha1.Milliseconds(ttft), RatePerReplica: v1alpha1.PerMinute(c.rate), Trim: math.Expm1(c.trim), Feasible: c.fault == nil,
		Parts: c.allocationParts(c.Parts),
	}
	if c.fault != nil {
		r.Reason = c.fault.Error()
	}
	return r
}
