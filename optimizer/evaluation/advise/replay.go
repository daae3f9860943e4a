package advise

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Pool is what there is of a type of card: Nodes with so many Cards each.
type Pool struct{ Cards, Nodes int }

// Row is what came of one way to have run the time.
type Row struct {
	Policy   string `json:"policy"`
	Settings string `json:"settings,omitempty"`
	// CostPerHour in cents, mean over the time.
	CostPerHour float64 `json:"costPerHour"`
	// Attainment is the share of requests within both targets, 0 to 1.
	Attainment float64 `json:"attainment"`
	// Replicas that were ready, by server over the time of the report, where they were kept.
	Replicas map[string]Series `json:"replicas,omitempty"`
}

// Title of a row for people.
func (r *Row) Title() string {
	switch r.Policy {
	case policy.NameInfernoFixed:
		return "inferno"
	case policy.NameInferno:
		return "inferno, token budgets too"
	}
	return r.Policy
}

// Series is a quantity over the time of the report: each value is the mean of one of equally long parts, absent where it is not known there.
type Series []*float64

// parts of the time that a series has, at most.
const parts = 120

// seriesOf values that are evenly spaced over the time; NaN is not known.
func seriesOf(values []float64) Series {
	s := make(Series, min(parts, len(values)))
	for i := range s {
		sum, known := 0.0, 0.0
		for _, v := range values[i*len(values)/len(s) : (i+1)*len(values)/len(s)] {
			if !math.IsNaN(v) {
				sum, known = sum+v, known+1
			}
		}
		if known > 0 {
			mean := sum / known
			s[i] = &mean
		}
	}
	return s
}

// Measured is what was done, as it was measured. What buckets of histograms do not tell is absent.
type Measured struct {
	CostPerHour float64  `json:"costPerHour"`
	Attainment  *float64 `json:"attainment,omitempty"`
}

// ServerReport is what was read of one server.
type ServerReport struct {
	*Server
	// MeanRate and PeakRate of requests per second, mean lengths in tokens.
	MeanRate     float64 `json:"meanRate"`
	PeakRate     float64 `json:"peakRate"`
	InputTokens  float64 `json:"inputTokens"`
	OutputTokens float64 `json:"outputTokens"`
	// Known is the share of the time for which its load is known, and Unknown the reasons for the rest, in windows.
	Known   float64        `json:"known"`
	Unknown map[string]int `json:"unknown,omitempty"`
	// Rate of requests per second and Ready replicas over the time.
	Rate  Series `json:"rate,omitempty"`
	Ready Series `json:"ready,omitempty"`
}

// Report is the advice.
type Report struct {
	From    time.Time      `json:"from"`
	Until   time.Time      `json:"until"`
	Servers []ServerReport `json:"servers"`
	Skipped []Skipped      `json:"skipped,omitempty"`
	Fits    []Fit          `json:"fits"`
	// Was is what was measured; Rows are the same time played again, what was done among them.
	Was  Measured `json:"was"`
	Rows []Row    `json:"rows"`
	// Saving is what inferno would have cost less than what was done, as a share, and SavingOfTuned less than the best tuned rule, with the token budgets that
	// engines have; absent where it is not promised, and Why says why. SavingWithBudgets is the one of what was done where engines take budgets from inferno.
	Saving            *float64 `json:"saving,omitempty"`
	SavingOfTuned     *float64 `json:"savingOfTuned,omitempty"`
	SavingWithBudgets *float64 `json:"savingWithBudgets,omitempty"`
	Why               string   `json:"why,omitempty"`
	// Elsewhere is what servers would need on accelerators, those that they run on first. None of it was seen but of those.
	Elsewhere   []Elsewhere `json:"elsewhere,omitempty"`
	Assumptions []string    `json:"assumptions"`
}

// leastKnown share of a server's time whose load must be known for it to be played again.
//
// Tuned: share; guard against a day that is made of a few minutes of it
const leastKnown = 0.5

// lead is how long before what is counted is played, as far as it was read: policies are not judged by how they begin, with replicas that others left.
//
// Tuned: duration; derived from the 300 s for which an autoscaler keeps what it had, and the hold-down of some start-ups of ours; at half: what was held of
// before is in the cost; at twice: a quarter more to play of an hour
const lead = 15 * time.Minute

// Options of a replay.
type Options struct {
	// Pools of cards by type; of a type without any there are as many as ran.
	Pools map[string]Pool
	// StartUp of a replica in seconds.
	StartUp float64
	// Span is how long of the end is played, in seconds; 0 for all.
	Span float64
	// TuneSpan is for how long from where it counts, in seconds, settings of rules are searched; 0 for all of it.
	TuneSpan float64
	// Progress is told what was played; nil tells nobody.
	Progress func(string)
}

// Replay plays the time again, under inferno and under rules that are tuned for it, and reports.
func (s *Studied) Replay(q *Question, o Options) (*Report, error) {
	before, asked := s, q
	s, q = before.last(asked, o.Span)
	r := s.Describe(q)
	for i := range r.Servers {
		if r.Servers[i].Known < leastKnown {
			r.Why = fmt.Sprintf("the load of %s is known for %.0f %% of the time only", r.Servers[i].ID(), 100*r.Servers[i].Known)
			return r, nil
		}
	}
	counted := len(q.Past)
	if o.Span > 0 {
		s, q = before.last(asked, o.Span+lead.Seconds())
	}
	warmUp := float64(len(q.Past)-counted) * q.Window.Seconds()
	played, err := s.scenario(q, &o, warmUp)
	if err != nil {
		return nil, err
	}
	fleet, err := s.fleet(played)
	if err != nil {
		return nil, err
	}
	entries := []*policy.Entry{nil, policy.Recorded(s.ready(q)), nil, nil, nil}
	for i, name := range map[int]string{0: policy.NameInfernoFixed, 2: policy.NameInferno, 3: policy.NameHPA, 4: policy.NameKEDA} {
		if entries[i], err = policy.Find(name); err != nil {
			return nil, err
		}
	}
	// With the budgets of before inferno is where laws were learned, which hold all that an estimator says there. It takes some of the waits of prompts for
	// computing, where they come in bursts or differ in length; on engines that have such a law it would do so again, and plan for engines slower than any that it
	// saw. With budgets of its own inferno is elsewhere, and learns.
	entries[0] = policy.Keeping(entries[0])
	if o.TuneSpan > 0 {
		o.TuneSpan += warmUp
	}
	result, err := contest.Hold(fleet, entries, contest.Options{Tune: true, TuneSpan: o.TuneSpan, Progress: func(played *contest.Outcome) {
		if o.Progress != nil {
			o.Progress(played.String())
		}
	}})
	if err != nil {
		return nil, err
	}
	for _, outcome := range result.Outcomes {
		row := Row{Policy: outcome.Policy, Settings: outcome.Settings, CostPerHour: outcome.Counted, Attainment: outcome.Served}
		for i := range q.Servers {
			if ready := outcome.Ready(q.Servers[i].played()); len(ready) > 0 {
				if row.Replicas == nil {
					row.Replicas = map[string]Series{}
				}
				row.Replicas[q.Servers[i].ID()] = seriesOf(ready[int(warmUp/played.Times.Window):])
			}
		}
		r.Rows = append(r.Rows, row)
	}
	r.promise(q)
	return r, nil
}

// last part of what was studied.
func (s *Studied) last(q *Question, span float64) (*Studied, *Question) {
	n := int(math.Ceil(span / q.Window.Seconds()))
	if n <= 0 || n >= len(q.Past) {
		return s, q
	}
	part, asked := *s, *q
	asked.Past = q.Past[len(q.Past)-n:]
	part.Histories = slices.Clone(s.Histories)
	for i := range part.Histories {
		h := &part.Histories[i]
		h.Moments = h.Moments[max(0, len(h.Moments)-n):]
	}
	return &part, &asked
}

// Describe what was read and learned.
func (s *Studied) Describe(q *Question) *Report {
	r := &Report{From: q.Past[0].Time.Add(-q.Window), Until: q.Past[len(q.Past)-1].Time, Fits: s.Fits}
	var attained, weight float64
	for i := range s.Histories {
		h := &s.Histories[i]
		out := ServerReport{Server: h.Server, Unknown: h.Unknown}
		known, lengths := 0.0, 0.0
		price, _ := q.Prices.Find(h.Accelerator)
		rates, ready := make([]float64, len(h.Moments)), make([]float64, len(h.Moments))
		for k, m := range h.Moments {
			rates[k], ready[k] = m.Rate, float64(m.Ready)
			r.Was.CostPerHour += float64(m.Ready*h.Cards) * price.CentsPerHour / float64(len(q.Past))
			if math.IsNaN(m.Rate) {
				continue
			}
			known++
			out.MeanRate += m.Rate
			out.PeakRate = max(out.PeakRate, m.Rate)
			if !math.IsNaN(m.OutputTokens) {
				out.InputTokens, out.OutputTokens, lengths = out.InputTokens+m.Rate*m.InputTokens, out.OutputTokens+m.Rate*m.OutputTokens, lengths+m.Rate
			}
			if !math.IsNaN(m.Attainment) {
				attained, weight = attained+m.Rate*m.Attainment, weight+m.Rate
			}
		}
		if out.Known = known / float64(len(q.Past)); known > 0 {
			out.MeanRate /= known
		}
		if lengths > 0 {
			out.InputTokens, out.OutputTokens = out.InputTokens/lengths, out.OutputTokens/lengths
		}
		out.Rate, out.Ready = seriesOf(rates), seriesOf(ready)
		r.Servers = append(r.Servers, out)
	}
	if weight > 0 {
		share := attained / weight
		r.Was.Attainment = &share
	}
	return r
}

// ready replicas of a server, by its name in the scenario, at a time from the start.
func (s *Studied) ready(q *Question) func(string, float64) int {
	return func(server string, at float64) int {
		for i := range s.Histories {
			if h := &s.Histories[i]; h.played() == server && len(h.Moments) > 0 {
				return h.Moments[min(max(int(at/q.Window.Seconds()), 0), len(h.Moments)-1)].Ready
			}
		}
		return 0
	}
}

// Installed is what the optimizer is told where nobody says otherwise: what is promised is promised of that.
func Installed() jsonspec.OptimizerEntry {
	var o jsonspec.OptimizerEntry
	o.SaturationPolicy = jsonspec.SaturationPriorityExhaustive
	o.QueueModel = &jsonspec.Plug{Name: queueing.ModelContinuousBatching}
	return o
}

// scenario of the time: what is told of it to planners is what was learned.
func (s *Studied) scenario(q *Question, o *Options, warmUp float64) (*scenario.Scenario, error) {
	play := &scenario.Scenario{
		Name: "past", Duration: float64(len(q.Past)) * q.Window.Seconds(), WarmUp: warmUp, Seed: 1, Initial: map[string]int{}, Pinned: map[string]string{}, System: *s.system,
	}
	play.System.Servers.Spec = slices.Clone(s.system.Servers.Spec)
	play.System.Optimizer.Spec = Installed()
	most := map[string]int{} // cards that ran at a time
	for i := range s.Histories {
		h := &s.Histories[i]
		e := &play.System.Servers.Spec[i]
		e.Name, e.Namespace, e.MaxBatchSize, e.Routing = h.played(), "", h.Serves.MaxNumSeqs.Value, jsonspec.RoutingLeastRequest
		e.ScaleTargetRef = nil
		load, peak, err := h.load(q)
		if err != nil {
			return nil, err
		}
		play.Load = append(play.Load, load)
		play.Initial[e.Name], play.Pinned[e.Name] = max(1, h.Moments[0].Ready), h.Accelerator
		most[h.Accelerator] += peak * h.Cards
	}
	for _, a := range s.system.Accelerators.Spec {
		p := o.Pools[a.Name]
		const usual = 8 // cards of a node
		cards := max(p.Cards, s.mostCards(), 1)
		if p.Cards == 0 {
			cards = max(cards, usual)
		}
		nodes := max(p.Nodes, (most[a.Name]+cards-1)/cards)
		play.Pools = append(play.Pools, scenario.Pool{Type: a.Name, Cards: cards, Nodes: nodes})
	}
	for i := range s.Fits {
		f := &s.Fits[i]
		const block = 16 // tokens
		play.Truths = append(play.Truths, scenario.Truth{
			Model: f.Model, Accelerator: f.Accelerator, NoiseCV: 0.05, Cache: simulation.Cache{BlockSize: block, Blocks: max(1, f.Performance.KVTokens/block), PrefixHitRate: f.prefixHitRate},
			StepTime: jsonspec.Plug{Name: "linear", Options: &runtime.RawExtension{Raw: []byte(`{"base": 0.01}`)}}, // until the law takes its place
		})
	}
	text, err := json.Marshal(play)
	if err != nil {
		return nil, err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	delete(fields, "defaults")
	fields["loop"] = map[string]any{"interval": 30, "window": 60}
	fields["times"] = map[string]any{"startUp": o.StartUp}
	if text, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return scenario.Decode(text, "past", "")
}

// mostCards of a replica.
func (s *Studied) mostCards() int {
	most := 1
	for i := range s.Histories {
		most = max(most, s.Histories[i].Cards)
	}
	return most
}

// played is the name of a server in the scenario, whose servers are of one namespace.
func (s *Server) played() string { return s.Namespace + "." + s.Name }

// load of a server, and the most replicas that were ready. Where it is not known it is as before.
func (h *History) load(q *Question) (scenario.Load, int, error) {
	load := scenario.Load{Server: h.played(), Counted: true} // what was counted has chance in it already
	cv := h.typical(func(m *Moment) float64 { return m.CV })
	load.Play.TokenCV = h.typical(func(m *Moment) float64 { return m.InputCV })
	load.Play.OutputCV = h.typical(func(m *Moment) float64 { return m.OutputCV })
	in, out, peak := math.NaN(), math.NaN(), 0
	for i, m := range h.Moments {
		peak = max(peak, m.Ready)
		if !math.IsNaN(m.OutputTokens) {
			in, out = m.InputTokens, m.OutputTokens
		}
		if math.IsNaN(m.Rate) || math.IsNaN(out) {
			continue
		}
		load.Steps = append(load.Steps, scenario.Step{At: float64(i) * q.Window.Seconds(), Rate: m.Rate, InputTokens: max(in, 1), OutputTokens: max(out, 1), CV: &cv})
	}
	if len(load.Steps) == 0 {
		return load, 0, fmt.Errorf("%s: no request is known", h.ID())
	}
	return load, peak, nil
}

// typical coefficient of variation of what was seen: the median, and 1 where nothing was, as if by chance.
func (h *History) typical(of func(*Moment) float64) float64 {
	const least, most = 0.05, 10 // what can be drawn
	var seen []float64
	for i := range h.Moments {
		if cv := of(&h.Moments[i]); !math.IsNaN(cv) {
			seen = append(seen, cv)
		}
	}
	if middle := median(seen); middle != nil {
		return min(max(*middle, least), most)
	}
	return 1
}

// fleet of a scenario whose engines follow the laws that were fitted.
func (s *Studied) fleet(play *scenario.Scenario) (*policy.Fleet, error) {
	fleet, err := policy.NewFleet(play)
	if err != nil {
		return nil, err
	}
	for i := range s.Fits {
		law, err := queueing.NewLaw(s.Fits[i].Performance)
		if err != nil {
			return nil, err
		}
		fleet.Config.Truths[i].StepTime = stepTime{law}
		if r, is := law.(queueing.Roofline); is {
			fleet.Config.Truths[i].RequestOverhead = r.Delay
		}
	}
	fleet.Profile = policy.NewProfile(play, fleet.Config)
	return fleet, nil
}

// stepTime is a law as engines of the simulation follow it.
type stepTime struct{ law queueing.Law }

func (s stepTime) Seconds(b simulation.Batch) float64 {
	return s.law.IterationTime(queueing.Batch{
		Decodes: float64(b.Decodes), DecodeContext: float64(b.DecodeContext), PrefillTokens: float64(b.PrefillTokens), PrefillContext: float64(b.PrefillContext),
		Prefills: float64(b.Prefills), PrefillPairs: b.PrefillPairs,
	})
}

func (s stepTime) Validate() error {
	if s.law == nil {
		return errors.New("law: is missing")
	}
	return nil
}

// result in words.
func (r *Row) result() string {
	return strings.TrimSpace(r.Title()+" "+r.Settings) + fmt.Sprintf(" serves %.2f %% for %.0f ¢/h", 100*r.Attainment, r.CostPerHour)
}

// promise a saving where inferno serves as much as what it is compared with, or as its targets ask.
func (r *Report) promise(q *Question) {
	goal := q.Targets.Percentile / 100
	for i := range q.Servers { // the highest that is asked for
		goal = max(goal, q.class(&q.Servers[i]).Targets.Percentile/100)
	}
	find := func(match func(*Row) bool) *Row {
		var best *Row
		for i := range r.Rows {
			if row := &r.Rows[i]; match(row) && (best == nil || row.CostPerHour < best.CostPerHour) {
				best = row
			}
		}
		return best
	}
	ours := find(func(row *Row) bool { return row.Policy == policy.NameInfernoFixed })
	free := find(func(row *Row) bool { return row.Policy == policy.NameInferno })
	was := find(func(row *Row) bool { return row.Policy == policy.NameRecorded })
	rule := find(func(row *Row) bool {
		return (row.Policy == policy.NameHPA || row.Policy == policy.NameKEDA) && row.Attainment >= min(ours.Attainment, goal)
	})
	saves := func(ours, than *Row) *float64 {
		if than == nil || ours.Attainment < min(than.Attainment, goal) || !(ours.CostPerHour < than.CostPerHour) {
			return nil
		}
		share := 1 - ours.CostPerHour/than.CostPerHour
		return &share
	}
	r.Saving, r.SavingOfTuned, r.SavingWithBudgets = saves(ours, was), saves(ours, rule), saves(free, was)
	switch {
	case r.Saving == nil:
		r.Why = fmt.Sprintf("against what was done: %s, %s", ours.result(), was.result())
	case r.SavingOfTuned == nil && rule != nil:
		r.Why = fmt.Sprintf("against rules: %s, %s", ours.result(), rule.result())
	}
}
