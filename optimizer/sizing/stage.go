package sizing

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Stage turns what servers are to be sized for into candidates. It is a value without memory of its own: what it remembers of a server is in
// its [Memory].
type Stage struct {
	Model queueing.Model
	// Confidence in a pair's parameters that is sized with, a probability; 0 stands for 0.5.
	Confidence float64
	// Heterogeneous says that servers may be split over two accelerators.
	Heterogeneous bool
	// Change is what changing costs; nil where it costs nothing.
	Change *jsonspec.ChangePolicy
}

// Memory is what is remembered of sizing one server.
type Memory struct {
	// Trims by accelerator, logarithms of factors on the rate that a replica is taken to sustain.
	Trims map[string]float64 `json:"trims,omitempty"`
	// Pending replicas by accelerator.
	Pending map[string]Pending `json:"pending,omitempty"`
	// BackOffs from accelerators on which pods fail.
	BackOffs map[string]BackOff `json:"backOffs,omitempty"`
	// Budgets that were chosen, by accelerator.
	Budgets map[string]Budget `json:"budgets,omitempty"`
	// CapacityPrice is what it costs to be able to serve a request, in cents; missing where that is not known yet.
	CapacityPrice fleet.Maybe `json:"capacityPrice,omitzero"`
}

// Server is what one server is to be sized with.
type Server struct {
	*fleet.Server
	// Pairs of its model, in the order of accelerators.
	Pairs   []*Pair
	Targets Targets
	Demand  demand.Demand
	// ViolationCost of a request beyond the targets in cents; 0 where its class says nothing.
	ViolationCost float64
	// Precisions that it may be served with; nil for all.
	Precisions []string
}

// Sizing is what came of it.
type Sizing struct {
	// Candidates, those that do not meet the targets included: one for each pair in its order, then splits.
	Candidates []*Candidate
	// Feasible are those that meet the targets, or, where every way needs more replicas than the server may have, those with as many as it may.
	Feasible []*Candidate
}

// Size one server. The error says why nothing meets its targets; candidates then say it one by one.
func (st *Stage) Size(s *Server, m Memory, now float64) (Sizing, Memory, error) {
	m.Trims = trim(m.Trims, s)
	m.Budgets = st.budgets(s, m.Budgets, now)
	m.Pending, m.BackOffs = pendingOf(s.Seen, m.Pending, now), backOffs(s.Seen, m.BackOffs, now)
	z := Sizing{Candidates: st.candidates(s, &m, st.late(s, m.Pending, now))}
	var capped []*Candidate
	for _, c := range z.Candidates {
		switch {
		case c.Fault == nil:
			z.Feasible = append(z.Feasible, c)
		case c.Capped:
			capped = append(capped, c)
		}
	}
	z.Feasible = withoutFailing(z.Feasible, m.BackOffs, now)
	if price := capacityPrice(z.Feasible); !price.IsZero() {
		m.CapacityPrice = price
	}
	if st.Heterogeneous {
		splits := splits(s, z.Feasible)
		z.Candidates, z.Feasible = append(z.Candidates, splits...), append(z.Feasible, splits...)
	}
	if len(z.Feasible) == 0 {
		z.Feasible = capped
	}
	if len(z.Feasible) == 0 {
		faults := make([]string, len(z.Candidates))
		for i, c := range z.Candidates {
			faults[i] = c.ID() + ": " + c.Fault.Error()
		}
		return z, m, errors.New("no accelerator meets the targets: " + strings.Join(faults, "; "))
	}
	return z, m, nil
}

// capacityPrice is what it costs to be able to serve a request, in cents: on the accelerator where that is cheapest, the price of a replica for
// the time in which it serves one. Missing where nothing could be sized.
func capacityPrice(feasible []*Candidate) fleet.Maybe {
	least := math.Inf(1)
	for _, c := range feasible {
		switch {
		case c.rated():
			least = min(least, c.Parts[0].Cost()/(c.Parts[0].Rate*secondsPerHour))
		case c.Apart() && c.Demand > 0:
			least = min(least, Cost(c.Parts)/(c.Demand*secondsPerHour))
		}
	}
	return fleet.Measured(least)
}

// Exact: an hour has so many seconds.
const secondsPerHour = 3600

// candidates of a server on one accelerator each. A server that needs no replica has one without any.
func (st *Stage) candidates(s *Server, m *Memory, late map[string]int) []*Candidate {
	if s.Demand.None() {
		return idle(s, m.Budgets)
	}
	inForce := s.InForce()
	list := make([]*Candidate, 0, len(s.Pairs))
	for _, p := range s.Pairs {
		if p.Performance.Role != "" {
			continue
		}
		name := p.Accelerator.Name
		one := &Sized{
			Pair: p, Limits: limits(s, p, m.Budgets[name].Tokens), Trim: m.Trims[name], late: late[name],
			demand: s.Targets.Demand(s.Demand.Rate, s.Demand.OutputTokens),
		}
		c := &Candidate{Parts: []Part{{one, 0, 1}}, Demand: one.demand}
		if c.Fault = allowed(s, p, inForce); c.Fault == nil {
			st.size(c, s)
			c = st.keepRunning(c, s)
		}
		list = append(list, c)
	}
	return append(list, st.apart(s, m, late)...)
}

// idle candidates are those of a server without load: its least replicas wherever it may run. Of a server whose load is unknown nothing can be
// observed before it runs, so that it gets at least one.
func idle(s *Server, budgets map[string]Budget) []*Candidate {
	least := s.MinReplicas
	if s.Demand.Unknown {
		least = max(least, 1)
	}
	if least == 0 {
		return []*Candidate{{}}
	}
	inForce := s.InForce()
	list := make([]*Candidate, 0, len(s.Pairs))
	for _, p := range s.Pairs {
		if p.Performance.Role != "" {
			continue
		}
		one := &Sized{Pair: p, Limits: limits(s, p, budgets[p.Accelerator.Name].Tokens)}
		one.Limits, _ = running(s, p.Accelerator.Name, one.Limits) // nothing is gained by other limits where there is no load
		list = append(list, &Candidate{Parts: []Part{{one, least, 1}}, Fault: allowed(s, p, inForce)})
	}
	return append(list, idleApart(s, least)...)
}

// allowed says whether the server may use the accelerator at all.
func allowed(s *Server, p *Pair, inForce map[string]int) error {
	runs := len(inForce) == 0
	for name := range inForce {
		of := PairOn(s.Pairs, name)
		runs = runs || name == p.Accelerator.Name || of != nil && of.Accelerator.Base == p.Accelerator.Base
	}
	precision := p.Performance.Match["precision"]
	switch {
	case p.Fault != nil:
		return p.Fault
	case s.Unrun[p.Accelerator.Name]:
		return errors.New("no workload of the server runs this variant of the model there (variants[].modelVariant and accelerators)")
	case s.KeepAccelerator && !runs:
		return fmt.Errorf("keepAccelerator holds the server on %s", strings.Join(slices.Sorted(maps.Keys(inForce)), ", "))
	case s.Precisions != nil && precision == "":
		return fmt.Errorf("its class allows the precisions %s, and the performance data do not say theirs", strings.Join(s.Precisions, ", "))
	case s.Precisions != nil && !slices.Contains(s.Precisions, precision):
		return fmt.Errorf("its class allows the precisions %s, not %s", strings.Join(s.Precisions, ", "), precision)
	}
	return nil
}

// most replicas of a server.
//
// Tuned: replicas; guard against a load that is a mistake
const most = 1 << 20

// size fills in the replicas of a candidate on one accelerator.
func (st *Stage) size(c *Candidate, s *Server) {
	part := &c.Parts[0]
	d := s.Demand
	law, err := st.rate(part.Sized, s.Targets, &d)
	if err == nil && (d.Bursty() || d.Turns) { // what is irregular depends on how many share it
		part.replica, err = st.Model.Replica(law, d.Requests(part.needed(1, 0)), part.Limits)
	}
	if err != nil {
		c.Fault = err
		return
	}
	// Requests that wait have missed their targets already: they are served as fast as can be, beside those that arrive.
	if d.Drain > 0 {
		part.drain = Replicas(d.Rate+d.Drain, part.trimmed(part.replica.MaxRate()), 0)
	}
	need := part.needed(1, s.MinReplicas)
	if need > most || need < 0 {
		c.Fault = fmt.Errorf("needs more than %d replicas", most)
		return
	}
	if least := saturationFloor(s.Seen, part.Accelerator.Name); part.Unreliable && least > need {
		c.Guarded, need = least, least
	}
	if s.MaxReplicas > 0 && need > s.MaxReplicas {
		c.Capped = true
		c.Fault = fmt.Errorf("needs %d replicas, maxNumReplicas is %d", need, s.MaxReplicas)
		need = s.MaxReplicas
	}
	part.Replicas = need
}

// mostSharing is the number of replicas that are tried to share a burst.
//
// Tuned: replicas; guard against bursts that no number of replicas stands
const mostSharing = 64

// errNoLoad says that targets are met without load only.
var errNoLoad = errors.New("a replica sustains no load")

// rate finds what a replica sustains. How irregular its arrivals are depends on how many replicas share them, and that on what a replica sustains:
// it is the least number of replicas that suffices with its share of what is irregular. Bursts that no replica stands however many there are are
// not sized for, and left out of the demand.
func (st *Stage) rate(one *Sized, t Targets, d *demand.Demand) (law queueing.Law, err error) {
	suffices := func(replicas int) bool {
		var rate float64
		if rate, law, one.replica, err = st.sustained(one, t, d.Requests(replicas)); err == nil && !(rate > 0) {
			err = errNoLoad
		}
		if err != nil {
			return false
		}
		one.Rate = one.trimmed(rate)
		return Replicas(one.demand, one.Rate, 0) <= replicas
	}
	if !d.Bursty() && !d.Turns {
		suffices(1)
		return law, err
	}
	enough := 1
	for !suffices(enough) && (err == nil && enough < most || err != nil && enough < mostSharing) {
		enough *= 2
	}
	if d.Bursty() && (errors.As(err, new(*Infeasible)) || errors.Is(err, errNoLoad)) {
		d.Bursts, one.even = 0, true
		return st.rate(one, t, d)
	}
	if err != nil || enough == 1 {
		return law, err
	}
	suffices(enough/2 + 1 + sort.Search(enough/2-1, func(i int) bool { return suffices(enough/2 + 1 + i) }))
	return law, err
}

// sustained is the rate that a replica sustains, under the law to size it by, and that replica.
func (st *Stage) sustained(one *Sized, t Targets, r queueing.Requests) (float64, queueing.Law, queueing.Replica, error) {
	s := Sizer{Model: st.Model}
	rate, likeliest, err := s.Rate(one.Law, r, one.Limits, t)
	if err != nil {
		return 0, nil, nil, err
	}
	careful, err := st.careful(one.Pair, likeliest, r)
	if err != nil || careful == one.Law {
		return rate, one.Law, s.replica, err
	}
	rate, _, err = s.Rate(careful, r, one.Limits, t)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("with a confidence of %g: %w", st.confidence(one.Pair), err)
	}
	return rate, careful, s.replica, nil
}

// highest rate that a replica sustains, and the means there.
func (st *Stage) highest(law queueing.Law, r queueing.Requests, l queueing.Limits, t Targets) (float64, queueing.Prediction, error) {
	s := Sizer{Model: st.Model}
	return s.Rate(law, r, l, t)
}

// careful is the law to size a pair by, at the operating point that the likeliest leads to: the likeliest, or, where confidence is asked for, one
// that is slower by as much as is not known of it.
func (st *Stage) careful(p *Pair, likeliest queueing.Prediction, r queueing.Requests) (queueing.Law, error) {
	at := estimation.Point{Running: likeliest.InService, InputTokens: r.InputTokens, OutputTokens: r.OutputTokens}
	confidence := st.confidence(p)
	if !(confidence > 0) || confidence == 0.5 || !(at.Running > 0) {
		return p.Law, nil
	}
	perf, err := estimation.Cautious(p.Performance, at, confidence)
	if err != nil {
		return nil, fmt.Errorf("confidence: %w", err)
	}
	return queueing.NewLaw(perf)
}

// confidence to size a pair with: 0 for the likeliest law.
func (st *Stage) confidence(p *Pair) float64 {
	if p.Assumed != "" {
		return max(st.Confidence, assumedConfidence)
	}
	return st.Confidence
}

// assumedConfidence is the least probability with which ITL is no longer than a law says that nobody gave: the wider a prior is, the more carefully
// it is planned with, and what is learned narrows it.
//
// Tuned: probability; measured by the scenarios azure-hour, constant, ramp and measured without the laws they give, first half hour: 99.6 to 99.7 % of
// requests within targets, for 1.0 to 1.5 times what given laws cost; at half: with 0.65, half as far from 0.5, 99.4 to 99.6 % for 1.06 to 1.43 times,
// with 0.5 for 1.05 to 1.43; at twice: with 0.9, half as far from 1, 99.5 % of azure-hour for 1.13 times
const assumedConfidence = 0.8

// Safe says whether replicas of a sized pair meet the targets at a rate even if the pair is slower, by what is not known of it with the given
// probability, than it is likely to be.
func (st *Stage) Safe(one *Sized, s *Server, rate, probability float64) bool {
	there, known := one.Means(rate)
	if !known || !(there.InService > 0) {
		return false
	}
	at := estimation.Point{Running: there.InService, InputTokens: s.Demand.InputTokens, OutputTokens: s.Demand.OutputTokens}
	slow, err := estimation.Cautious(one.Performance, at, max(probability, st.Confidence))
	if err != nil {
		return false
	}
	law, err := queueing.NewLaw(slow)
	if err != nil {
		return false
	}
	sustained, _, err := st.highest(law, s.Demand.Requests(s.Demand.Replicas), one.Limits, s.Targets)
	return err == nil && one.trimmed(sustained) >= rate
}

// saturationFloor is the least number of replicas on an accelerator whose predictions do not hold: as many as are ready there, and more by as much as
// they are saturated,
//
//	ready · min(2, max(1, KV usage/0.8, 1 + waiting/running)),
//
// so that what is known to be wrong neither scales in nor leaves a queue alone. 0 where nothing runs there.
func saturationFloor(o *fleet.Observation, accelerator string) int {
	if o == nil {
		return 0
	}
	saturation := max(1, o.KVUsage.Or(0)/comfortable)
	if running := o.Running.Or(0); running > 0 {
		saturation = max(saturation, 1+o.Waiting.Or(0)/running)
	}
	return int(math.Ceil(float64(o.ReadyOn(accelerator))*min(mostSaturation, saturation) - 1e-9))
}

const (
	// comfortable is the usage of the KV cache up to which a replica is not saturated.
	//
	// Tuned: share; measured by TestSaturationFloor; at half: no difference over the scenarios, and a replica that is less than half full is taken for saturated;
	// at twice: no difference with 0.9, half as far from 1
	comfortable = 0.8
	// mostSaturation is by how much a floor grows in a cycle.
	//
	// Tuned: 1; measured by TestSaturationFloor; at half: no difference over the scenarios, and a floor that does not grow leaves a queue alone;
	// at twice: no difference
	mostSaturation = 2.0
)
