package control

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

// estimate replaces the performance that was given by the one that was learned, and prepares the law of every pair. It returns what to
// remember, and the judgements of all observations in the order of models and accelerators.
func (st *Stages) estimate(cat *catalogue, snap *Snapshot, before map[string]map[string]*v1alpha1.PairStatus) (map[string]map[string]*v1alpha1.PairStatus, []v1alpha1.Judgement) {
	seen, caches := Observations(snap), cacheSizes(snap)
	after := map[string]map[string]*v1alpha1.PairStatus{}
	var judged []v1alpha1.Judgement
	for _, model := range slices.Sorted(maps.Keys(cat.pairs)) {
		for _, p := range cat.pairs[model] {
			acc := p.perf.Acc
			list := seen[Pair{model, acc}]
			e, err := st.Estimator.Estimate(p.perf, before[model][acc], list)
			learned := e.Learned
			if err != nil {
				p.fault = fmt.Errorf("estimating: %w", err)
				learned = before[model][acc]
			} else {
				p.perf = e.Performance
				p.law, p.fault = queueing.NewLaw(e.Performance)
			}
			for i, j := range e.Judgements {
				judged = append(judged, judgement(model, acc, &list[i], j))
			}
			learned = withCache(learned, acc, caches[Pair{model, acc}])
			if learned == nil {
				continue
			}
			p.unreliable = learned.Unreliable
			if p.perf.KVTokens == 0 {
				p.perf.KVTokens = learned.KVTokens
			}
			if after[model] == nil {
				after[model] = map[string]*v1alpha1.PairStatus{}
			}
			after[model][acc] = learned
		}
	}
	return after, judged
}

// cacheSizes are the sizes of the KV caches of engines, in tokens, by pair; the smallest where they differ.
func cacheSizes(snap *Snapshot) map[Pair]int {
	sizes := map[Pair]int{}
	for i := range snap.System.Servers.Spec {
		s := &snap.System.Servers.Spec[i]
		if s.Observation == nil {
			continue
		}
		for _, g := range s.Observation.Groups {
			pair := Pair{s.Model, g.Accelerator}
			if g.KVTokens == nil || !(*g.KVTokens >= 1 && *g.KVTokens < math.MaxInt32) {
				continue
			}
			if n := int(*g.KVTokens); sizes[pair] == 0 || n < sizes[pair] {
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

// judgement at the boundary.
func judgement(model, accelerator string, o *estimation.Observation, j estimation.Judgement) v1alpha1.Judgement {
	ms := func(seconds float64) *float64 { return known(v1alpha1.Milliseconds(seconds)) }
	return v1alpha1.Judgement{
		Model: model, Accelerator: accelerator, Source: o.Source, Running: known(o.Running),
		ITL: ms(o.ITL), PredictedITL: ms(j.PredictedITL), TTFT: ms(o.TTFT), PredictedTTFT: ms(j.PredictedTTFT), Accepted: j.Accepted, Reason: j.Reason,
	}
}

// careful is the law to size a pair by, at the operating point that the likeliest leads to: the likeliest, or, where confidence is asked for, one
// that is slower by as much as is not known of it.
func (st *Stages) careful(p *pair, likeliest queueing.Prediction, r queueing.Requests) (queueing.Law, error) {
	at := estimation.Point{Running: likeliest.InService, InputTokens: r.InputTokens, OutputTokens: r.OutputTokens}
	if !(st.Confidence > 0) || st.Confidence == 0.5 || !(at.Running > 0) {
		return p.law, nil
	}
	perf, err := estimation.Cautious(p.perf, at, st.Confidence)
	if err != nil {
		return nil, fmt.Errorf("confidence: %w", err)
	}
	return queueing.NewLaw(perf)
}

// sustained is the rate that a replica sustains, under the law to size it by.
func (st *Stages) sustained(c *candidate, t sizing.Targets, r queueing.Requests) (float64, queueing.Law, error) {
	law := c.pair.law
	rate, likeliest, err := sizing.RatePerReplica(st.Model, law, r, c.limits, t)
	if err != nil {
		return 0, nil, err
	}
	careful, err := st.careful(c.pair, likeliest, r)
	if err != nil || careful == law {
		return rate, law, err
	}
	rate, _, err = sizing.RatePerReplica(st.Model, careful, r, c.limits, t)
	if err != nil {
		return 0, nil, fmt.Errorf("with a confidence of %g: %w", st.Confidence, err)
	}
	return rate, careful, nil
}

// saturationFloor is the least number of replicas on an accelerator whose predictions do not hold: as many as are ready there, and more by as much as
// they are saturated,
//
//	ready · min(2, max(1, KV usage/0.8, 1 + waiting/running)),
//
// so that what is known to be wrong neither scales in nor leaves a queue alone. 0 where nothing runs there.
func saturationFloor(s *v1alpha1.ServerEntry, accelerator string) int {
	o := s.Observation
	if o == nil {
		return 0
	}
	ready := 0
	for _, p := range o.Parts {
		if p.Accelerator == accelerator {
			ready += p.Ready
		}
	}
	const comfortable, most = 0.8, 2.0
	saturation := 1.0
	if o.KVUsage != nil {
		saturation = max(saturation, *o.KVUsage/comfortable)
	}
	if o.Waiting != nil && o.Running != nil && *o.Running > 0 {
		saturation = max(saturation, 1 + *o.Waiting / *o.Running)
	}
	return int(math.Ceil(float64(ready)*min(most, saturation) - 1e-9))
}
