package control

import (
	"cmp"
	"fmt"
	"math"

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
	// tokens per request.
	in, out float64
	// inSD and outSD are their standard deviations, NaN where they were not measured.
	inSD, outSD float64
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
		c.demand, c.late, c.trim = a.targets.Demand(d.rate, d.out), late[c.Accelerator], m.Trims[c.Accelerator]
		if c.fault = allowed(s, p, present); c.fault == nil {
			c.fault = st.size(c, s, a.targets, requests(d))
			st.keepRunning(c, s, a, d, change)
		}
		list = append(list, c)
	}
	return list
}

func newCandidate(p *pair, l queueing.Limits) *candidate {
	return &candidate{
		Candidate: solver.Candidate{Accelerator: p.perf.Acc, Type: p.accelerator.CardType(p.accelerator.Name), UnitsPerReplica: p.unitsPerReplica()},
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
	// Beyond what the cache holds of whole requests, some are preempted and computed again.
	if room := float64(l.KVTokens) / (d.in + d.out); s.MaxBatchSize == 0 && l.KVTokens > 0 && d.out > 0 {
		l.MaxBatch = min(l.MaxBatch, max(int(room), 1))
	}
	if last := lastBatch(s, p.perf.Acc); s.MaxBatchSize == 0 && math.Abs(float64(last-l.MaxBatch)) <= batchTolerance*float64(l.MaxBatch) {
		l.MaxBatch = last
	}
	// Every running sequence decodes one token an iteration: engines refuse a batch above the token budget.
	l.MaxBatch = min(l.MaxBatch, l.MaxBatchedTokens)
	return l
}

// size fills in replicas and cost of a candidate under load.
func (st *Stages) size(c *candidate, s *v1alpha1.ServerEntry, t sizing.Targets, r queueing.Requests) error {
	rate, law, err := st.sustained(c, t, r)
	if err != nil {
		return err
	}
	if !(rate > 0) {
		return fmt.Errorf("a replica sustains no load")
	}
	rate = c.trimmed(rate)
	c.rate = rate
	need := sizing.Replicas(c.demand, rate, s.MinNumReplicas)
	c.late = min(c.late, need)
	need += c.late
	const most = 1 << 20
	if need > most || need < 0 {
		return fmt.Errorf("needs more than %d replicas", most)
	}
	if c.replica, err = st.Model.Replica(law, r, c.limits); err != nil {
		return err
	}
	if least := saturationFloor(s, c.Accelerator); c.pair.unreliable && least > need {
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
	c.Replicas = n
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
		c.limits, _ = inForce(s, c.Accelerator, c.limits)
		c.fault = allowed(s, p, present)
		c.setReplicas(least)
		list = append(list, c)
	}
	return list
}

// report writes a candidate at the boundary.
func (c *candidate) report(server string, priority int) v1alpha1.Candidate {
	ttft, itl := c.predict(c.Replicas)
	if len(c.parts) > 0 {
		ttft, itl = c.predictSplit(c.Parts)
	}
	r := v1alpha1.Candidate{
		Server: server, Accelerator: c.Accelerator, Type: c.Type, Priority: priority, NumReplicas: c.Replicas, Units: c.Units(),
		MaxBatch: c.limits.MaxBatch, MaxBatchedTokens: c.limits.MaxBatchedTokens, Cost: c.Cost, Value: c.Value,
		ITL: v1alpha1.Milliseconds(itl), TTFT: v1alpha1.Milliseconds(ttft), RatePerReplica: v1alpha1.PerMinute(c.rate), Trim: math.Expm1(c.trim), Feasible: c.fault == nil,
		Parts: c.allocationParts(c.Parts),
	}
	if c.fault != nil {
		r.Reason = c.fault.Error()
	}
	return r
}

// requests of the demand. How bursty arrivals are is not known.
func requests(d demand) queueing.Requests {
	return queueing.Requests{InputTokens: d.in, OutputTokens: d.out, InputTokensSD: d.inSD, OutputTokensSD: d.outSD, ArrivalCV: math.NaN()}
}

const (
	// promptChance is by how many standard errors, and promptChange by what share, the prompts of the last window must differ from those of the
	// last few to be taken for others: less is chance, or not worth another plan.
	promptChance, promptChange = 4, 0.25
)

// prompt is the mean length of the prompts that arrive: that of the last few windows, or, where those that were admitted in the last one differ
// from it by much and by more than chance, theirs. So what is noise is averaged out, and requests of another kind are sized for at once: while
// they are told from the others only bit by bit, a queue grows that takes longer still to serve.
func prompt(mean float64, o *v1alpha1.Observation) float64 {
	if o == nil {
		return mean
	}
	tokens, n := 0.0, 0.0
	for _, g := range o.Groups {
		if g.AdmittedTokens != nil && g.Requests != nil && *g.AdmittedTokens > 0 && *g.Requests > 0 {
			tokens, n = tokens+*g.Requests**g.AdmittedTokens, n+*g.Requests
		}
	}
	if n == 0 {
		return mean
	}
	sd, _ := deviations(o)
	if math.IsNaN(sd) {
		sd = mean // as if they were distributed exponentially
	}
	last := tokens / n
	if math.Abs(last-mean) > max(promptChance*sd/math.Sqrt(n), promptChange*mean) {
		return last
	}
	return mean
}

// deviations of the lengths of a server's requests: means over its measured replicas, NaN where none measured any.
func deviations(o *v1alpha1.Observation) (in, out float64) {
	var inSum, outSum, inCount, outCount float64
	if o != nil {
		for _, g := range o.Groups {
			n := float64(g.Replicas)
			if g.InputTokensSD != nil {
				inSum, inCount = inSum+n**g.InputTokensSD, inCount+n
			}
			if g.OutputTokensSD != nil {
				outSum, outCount = outSum+n**g.OutputTokensSD, outCount+n
			}
		}
	}
	return inSum / inCount, outSum / outCount
}
