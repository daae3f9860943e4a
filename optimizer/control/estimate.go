package control

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// Pair is a model on an accelerator.
type Pair struct{ Model, Accelerator string }

// pairs that are known, by model, in the order of accelerators. A model of which nothing is known has none.
type pairs map[string][]*sizing.Pair

// of a model on an accelerator, nil where there is none.
func (p pairs) of(model, accelerator string) *sizing.Pair {
	for _, pair := range p[model] {
		if pair.Accelerator.Name == accelerator {
			return pair
		}
	}
	return nil
}

// estimated is what the stage returns.
type estimated struct {
	pairs pairs
	// learned is what to remember.
	learned map[string]map[string]*v1alpha1.PairStatus
	// judgements of all observations in the order of models and accelerators.
	judgements []fleet.Judgement
	// assumptions about pairs of which no performance was given, in the same order.
	assumptions []fleet.Assumption
}

// pairsOf a model, by accelerator.
func pairsOf(m *fleet.Model, accelerators []fleet.Accelerator) []*sizing.Pair {
	var list []*sizing.Pair
	for i := range accelerators {
		a := &accelerators[i]
		for _, perf := range m.Performance {
			if perf.Acc == a.Name {
				list = append(list, &sizing.Pair{Model: m.Name, Accelerator: a, Performance: perf})
			}
		}
	}
	slices.SortFunc(list, func(a, b *sizing.Pair) int { return strings.Compare(a.Accelerator.Name, b.Accelerator.Name) })
	return list
}

// assume completes a pair of which no law was given by what physics and experience say, and returns the tokens that its cache probably holds. A pair
// that cannot be for want of memory, but runs, is: then it is what was said of it that is wrong.
func (st *Stages) assume(p *sizing.Pair, m v1alpha1.ModelProperties, runs bool) (kvTokens int) {
	if _, err := queueing.ParmsIn(p.Performance); !errors.Is(err, queueing.ErrNoParameters) {
		return 0
	}
	a, err := st.Knowledge.Assume(p.Model, m, p.Accelerator.Name, p.Accelerator.Given, p.Performance)
	if err != nil && !(runs && a.Law != nil) {
		p.Fault = err
		return 0
	}
	p.Performance, p.Assumed = a.Performance, a.From
	return a.KVTokens
}

// estimate prepares the law of every pair, from the performance that was given and what is learned of it.
func (st *Stages) estimate(snap *fleet.Snapshot, before map[string]map[string]*v1alpha1.PairStatus) estimated {
	seen, caches := Observations(snap), cacheSizes(snap)
	out := estimated{pairs: pairs{}, learned: map[string]map[string]*v1alpha1.PairStatus{}}
	given := map[string]v1alpha1.ModelProperties{}
	for i := range snap.Models {
		m := &snap.Models[i]
		out.pairs[m.Name], given[m.Name] = pairsOf(m, snap.Accelerators), m.Given
	}
	for _, model := range slices.Sorted(maps.Keys(out.pairs)) {
		for _, p := range out.pairs[model] {
			acc := p.Accelerator.Name
			list := seen[Pair{model, acc}]
			cache := st.assume(p, given[model], len(list) > 0)
			if a := (fleet.Assumption{Model: model, Accelerator: acc, From: p.Assumed}); p.Fault != nil {
				a.Fault = p.Fault.Error()
				out.assumptions = append(out.assumptions, a)
				if known := before[model][acc]; known != nil {
					out.remember(model, acc, known)
				}
				continue
			} else if p.Assumed != "" {
				out.assumptions = append(out.assumptions, a)
			}
			learned, judgements := st.learn(p, before[model][acc], list)
			for i := range judgements {
				out.judgements = append(out.judgements, judged(p, &list[i], &judgements[i]))
			}
			if learned = withCache(learned, acc, caches[Pair{model, acc}]); learned == nil {
				p.Performance.KVTokens = cmp.Or(p.Performance.KVTokens, cache)
				continue
			}
			p.Unreliable = learned.Unreliable
			p.Performance.KVTokens = cmp.Or(p.Performance.KVTokens, learned.KVTokens, cache)
			out.remember(model, acc, learned)
		}
	}
	return out
}

// remember what was learned of a pair.
func (e *estimated) remember(model, accelerator string, p *v1alpha1.PairStatus) {
	if e.learned[model] == nil {
		e.learned[model] = map[string]*v1alpha1.PairStatus{}
	}
	e.learned[model][accelerator] = p
}

// learn fills in a pair's law, and returns what to remember.
func (st *Stages) learn(p *sizing.Pair, before *v1alpha1.PairStatus, seen []estimation.Observation) (*v1alpha1.PairStatus, []estimation.Judgement) {
	e, err := st.Estimator.Estimate(p.Performance, before, seen)
	if err != nil {
		p.Fault = fmt.Errorf("estimating: %w", err)
		return before, e.Judgements
	}
	p.Performance = e.Performance
	p.Law, p.Fault = queueing.NewLaw(e.Performance)
	return e.Learned, e.Judgements
}

// cacheSizes are the sizes of the KV caches of engines, in tokens, by pair; the smallest where they differ.
func cacheSizes(snap *fleet.Snapshot) map[Pair]int {
	sizes := map[Pair]int{}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		if s.Seen == nil {
			continue
		}
		for _, g := range s.Seen.Groups {
			size := g.KVTokens.Or(0)
			if !(size >= 1 && size < math.MaxInt32) {
				continue
			}
			pair, n := Pair{s.Model, g.Accelerator}, int(size)
			if sizes[pair] == 0 || n < sizes[pair] {
				sizes[pair] = n
			}
		}
	}
	return sizes
}

// withCache remembers the size of the cache that was seen last, 0 for none; it changes nothing that others hold.
func withCache(learned *v1alpha1.PairStatus, acc string, size int) *v1alpha1.PairStatus {
	if size == 0 || (learned != nil && learned.KVTokens == size) {
		return learned
	}
	next := &v1alpha1.PairStatus{Acc: acc}
	if learned != nil {
		next = learned.DeepCopy()
	}
	next.KVTokens = size
	return next
}

func judged(p *sizing.Pair, o *estimation.Observation, j *estimation.Judgement) fleet.Judgement {
	return fleet.Judgement{
		Model: p.Model, Accelerator: p.Accelerator.Name, Source: o.Source, Running: fleet.Measured(o.Running), ITL: fleet.Measured(o.ITL),
		PredictedITL: fleet.Measured(j.PredictedITL), TTFT: fleet.Measured(o.TTFT), PredictedTTFT: fleet.Measured(j.PredictedTTFT),
		Accepted: j.Accepted, Reason: j.Reason,
	}
}

// Observations that a snapshot teaches, in the order of the servers. Replicas of a server that differ are told apart; each pair learns from
// all servers that run it. What was measured of a server as a whole teaches nothing: it may hold replicas that came within the window.
func Observations(snap *fleet.Snapshot) map[Pair][]estimation.Observation {
	seen := map[Pair][]estimation.Observation{}
	for i := range snap.Servers {
		s := &snap.Servers[i]
		if s.Seen == nil {
			continue
		}
		for j := range s.Seen.Groups {
			g := &s.Seen.Groups[j]
			pair := Pair{s.Model, g.Accelerator}
			seen[pair] = append(seen[pair], ofGroup(s, g))
		}
	}
	return seen
}

// ofGroup is what was measured of replicas that are alike, and were there for the whole window.
func ofGroup(s *fleet.Server, g *fleet.Group) estimation.Observation {
	admitted, admitting := g.AdmittedTokens.Get()
	e := estimation.Observation{
		Source: fmt.Sprintf("%s %d/%d", s.Name, g.MaxBatch, g.MaxBatchedTokens), Time: s.Seen.Time - g.Age, Window: g.Window, Replicas: float64(g.Replicas), Settled: true,
		MaxBatch: g.MaxBatch, MaxBatchedTokens: g.MaxBatchedTokens,
		Running: g.Running.OrNaN(), RunningSD: g.RunningSD.OrNaN(), Waiting: g.Waiting.OrNaN(),
		ArrivalRate: g.Admissions.OrNaN(), Admissions: g.Admissions.OrNaN(), Throughput: g.Completions.OrNaN(), Preemptions: g.Preemptions.OrNaN(),
		InputTokens: g.InputTokens.OrNaN(), OutputTokens: g.OutputTokens.OrNaN(), PrefixHitRate: g.PrefixHitRate.OrNaN(), Requests: g.Requests.OrNaN(),
		TTFT: g.TTFT.Mean.OrNaN(), TTFTP90: g.TTFT.P90.OrNaN(), ITL: g.ITL.Mean.OrNaN(), ITLP90: g.ITL.P90.OrNaN(),
	}
	// The prompts that the window's latencies are of are those that were computed in it. Others are those of requests that finished.
	if admitting {
		e.InputTokens = admitted
	}
	return e
}
