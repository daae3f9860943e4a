package specification

import (
	"fmt"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// Snapshot is what a decision was made from, as it is written down.
type Snapshot struct {
	// Time of the snapshot; zero where there is no clock.
	Time metav1.MicroTime `json:"time"`
	// HorizonSeconds that forecasts look ahead, StartUpSeconds of a replica, 0 where that is not known, and WindowSeconds that rates were
	// measured over, 0 for a minute.
	HorizonSeconds float64 `json:"horizonSeconds,omitempty"`
	StartUpSeconds float64 `json:"startUpSeconds,omitempty"`
	WindowSeconds  float64 `json:"windowSeconds,omitempty"`
	// System that is asked for. A server's currentAlloc says what it runs on and its load, desiredAlloc the plan in force.
	System jsonspec.System `json:"system"`
}

// defaultWindow in seconds, where a snapshot says none.
// Exact: the window of a loop that is asked for no other, as optimizer/loop has it.
const defaultWindow = 60

// Core is the snapshot in the units of the core. What it shares with the snapshot is not to be written to.
func (s *Snapshot) Core() *fleet.Snapshot {
	c := &fleet.Snapshot{
		Horizon: s.HorizonSeconds, StartUp: s.StartUpSeconds, Window: s.WindowSeconds, Capacity: s.System.Capacity, Policy: s.System.Optimizer.Spec.SolverPolicy,
		Shares: s.System.Optimizer.Spec.Shares, Cohorts: s.System.Optimizer.Spec.Cohorts,
	}
	if c.Window == 0 {
		c.Window = defaultWindow
	}
	if !s.Time.IsZero() {
		c.Time = float64(s.Time.UnixMicro()) / 1e6
	}
	for i := range s.System.Accelerators.Spec {
		a := &s.System.Accelerators.Spec[i]
		c.Accelerators = append(c.Accelerators, fleet.Accelerator{Name: a.Name, Base: a.Name, Type: a.CardType(a.Name), Cards: a.Cards(), Cost: a.Cost, Interruptions: a.InterruptionsPerHour, Power: a.Power, Given: a.AcceleratorProperties})
	}
	ways := waysOf(&s.System)
	c.Accelerators = ways.accelerators(c.Accelerators)
	c.Models = modelsOf(&s.System.Models)
	for i := range s.System.ServiceClasses.Spec {
		c.Classes = append(c.Classes, classOf(&s.System.ServiceClasses.Spec[i]))
	}
	for i := range s.System.Servers.Spec {
		server := serverOf(&s.System.Servers.Spec[i])
		server.Scopes, server.Unrun = ways.scopes(server.Scopes), ways.unrun(&s.System.Servers.Spec[i])
		c.Servers = append(c.Servers, server)
	}
	return c
}

// modelsOf are the models in the order in which they are named.
func modelsOf(d *jsonspec.ModelData) []fleet.Model {
	var list []fleet.Model
	index := map[string]int{}
	at := func(name string) *fleet.Model {
		i, known := index[name]
		if !known {
			i = len(list)
			index[name] = i
			list = append(list, fleet.Model{Name: name})
		}
		return &list[i]
	}
	for _, m := range d.Info {
		at(m.Name).Given = m.ModelProperties
	}
	served := map[string]string{}
	for _, m := range d.Info {
		served[m.Name] = m.ServedName
	}
	for _, p := range d.Spec {
		m := at(p.Name)
		perf := p.Performance
		perf.Acc = perf.On()
		m.Performance = append(m.Performance, perf)
	}
	for i := range list {
		m := &list[i]
		for _, e := range d.Roles {
			if name := e.Match["model"]; name == m.Name || name != "" && name == served[m.Name] {
				m.Roles = append(m.Roles, e)
			}
		}
	}
	return list
}

func classOf(e *jsonspec.ServiceClassEntry) fleet.Class {
	c := fleet.Class{Name: e.Name, Priority: e.Priority, Precisions: e.Precisions, Targets: make(map[string]fleet.Targets, len(e.ModelTargets))}
	for _, t := range e.ModelTargets {
		c.Targets[t.Model] = fleet.Targets{TTFT: jsonspec.Seconds(t.TTFT), ITL: jsonspec.Seconds(t.ITL), TPS: t.TPS, Percentile: t.Percentile}
	}
	if q := e.ForecastQuantile; q != nil {
		if c.Quantile = *q; !(*q > 0 && *q < 1) {
			c.Fault = fmt.Errorf("forecastQuantile: %v, want above 0 and below 1", *q)
		}
	}
	if x := e.ViolationCost; x != nil {
		if c.ViolationCost = *x; !(*x > 0) || math.IsInf(*x, 0) {
			c.Fault = fmt.Errorf("violationCost: %v is not allowed, must be a finite number above 0", *x)
		}
	}
	return c
}

func serverOf(e *jsonspec.ServerEntry) fleet.Server {
	s := fleet.Server{
		Name: e.Name, Namespace: e.Namespace, Class: e.Class, Model: e.Model, MinReplicas: e.MinNumReplicas, MaxReplicas: e.MaxNumReplicas, ServerPolicy: e.ServerPolicy, Scopes: e.Scopes, Refused: e.Refused, Share: e.Share,
		Fault: loadFault(e), Seen: observationOf(e.Observation), Plan: allocationOf(e.DesiredAlloc), Runs: allocationOf(e.CurrentAlloc),
	}
	if s.Fault == nil {
		l := e.CurrentAlloc.Load
		s.Load = &fleet.Load{
			Arrivals: jsonspec.PerSecond(l.ArrivalRate), Completions: jsonspec.PerSecond(l.Throughput), InputTokens: l.AvgInTokens, OutputTokens: l.AvgOutTokens,
		}
	}
	return s
}

// loadFault says why the load of a server is not known; nil where it is.
func loadFault(e *jsonspec.ServerEntry) *fleet.Fault {
	if o := e.Observation; o != nil && o.Fault != "" {
		return &fleet.Fault{Reason: o.Fault, Message: o.Detail}
	}
	missing := func(format string, args ...any) *fleet.Fault {
		return &fleet.Fault{Reason: v1alpha1.ReasonNoMetrics, Message: fmt.Sprintf(format, args...)}
	}
	if e.CurrentAlloc == nil || e.CurrentAlloc.Load == nil {
		return missing("the load of the server is not known (currentAlloc.load is missing)")
	}
	switch l := e.CurrentAlloc.Load; {
	case !(l.ArrivalRate >= 0 && l.ArrivalRate <= jsonspec.MaxArrivalRate):
		return missing("%v requests per minute are no arrival rate (currentAlloc.load.arrivalRate)", l.ArrivalRate)
	case l.ArrivalRate > 0 && l.AvgOutTokens == 0:
		return missing("requests arrive but their length is not known (avgOutTokens is 0): none has finished yet")
	}
	return nil
}

func allocationOf(a *jsonspec.Allocation) *fleet.Allocation {
	if a == nil {
		return nil
	}
	out := &fleet.Allocation{Cost: a.Cost, BestEffort: a.BestEffort, Admissible: measured(a.AdmissibleRate, jsonspec.PerSecond), Reason: a.Reason}
	for _, p := range a.Parts {
		out.Parts = append(out.Parts, fleet.Part{Accelerator: p.On(), Replicas: p.Replicas, Limits: fleet.Limits{MaxBatch: p.MaxBatchSize, MaxBatchedTokens: p.MaxBatchedTokens}, Share: p.Share, Ahead: p.Ahead})
	}
	if len(a.Parts) == 0 && a.Accelerator != "" {
		out.Parts = []fleet.Part{{Accelerator: a.On(), Replicas: a.NumReplicas, Limits: fleet.Limits{MaxBatch: a.MaxBatch, MaxBatchedTokens: a.MaxBatchedTokens}, Share: 1, Ahead: a.Ahead}}
	}
	if a.TTFTAverage != 0 || a.ITLAverage != 0 {
		out.TTFT, out.ITL = fleet.Known(jsonspec.Seconds(a.TTFTAverage)), fleet.Known(jsonspec.Seconds(a.ITLAverage))
	}
	return out
}

func observationOf(o *jsonspec.Observation) *fleet.Observation {
	if o == nil {
		return nil
	}
	out := &fleet.Observation{
		Time: float64(o.Time.UnixMilli()) / 1e3, Running: measured(o.Running, as), Waiting: measured(o.Waiting, as), KVUsage: measured(o.KVUsage, as),
		Attainment: measured(o.Attainment, as), ArrivalCV: measured(o.ArrivalCV, as), GivenUp: measured(o.GivenUp, jsonspec.PerSecond),
	}
	for _, p := range o.Parts {
		out.Pods = append(out.Pods, fleet.Pods{
			Accelerator: on(p.Accelerator, p.Variant), Ready: p.Ready, Starting: p.Starting, Failing: p.Failing, Limits: fleet.Limits{MaxBatch: p.MaxBatchSize, MaxBatchedTokens: p.MaxBatchedTokens},
		})
	}
	for _, s := range o.Starts {
		out.Starts = append(out.Starts, fleet.Start{Accelerator: on(s.Accelerator, s.Variant), ReadyAt: float64(s.ReadyAt.Unix()), Taken: s.Seconds})
	}
	for i := range o.Groups {
		out.Groups = append(out.Groups, groupOf(&o.Groups[i]))
	}
	return out
}

func as(x float64) float64 { return x }

// measured is a number in the units of the core; missing where it is not given, or is none.
func measured(p *float64, convert func(float64) float64) fleet.Maybe {
	if p == nil {
		return fleet.Maybe{}
	}
	return fleet.Measured(convert(*p))
}

func groupOf(g *jsonspec.ObservedGroup) fleet.Group {
	latency := func(l *jsonspec.ObservedLatency) (out fleet.Latency) {
		if l != nil {
			out.Mean, out.P90 = measured(&l.Mean, jsonspec.Seconds), measured(l.P90, jsonspec.Seconds)
		}
		return out
	}
	return fleet.Group{
		Accelerator: on(g.Accelerator, g.Variant), Limits: fleet.Limits{MaxBatch: g.MaxBatchSize, MaxBatchedTokens: g.MaxBatchedTokens}, Replicas: g.Replicas,
		Window: g.WindowSeconds, Age: g.AgeSeconds,
		Running: measured(g.Running, as), RunningSD: measured(g.RunningSD, as), Waiting: measured(g.Waiting, as),
		Admissions: measured(g.Admissions, jsonspec.PerSecond), Completions: measured(g.Throughput, jsonspec.PerSecond), Preemptions: measured(g.Preemptions, jsonspec.PerSecond),
		AdmittedTokens: measured(g.AdmittedTokens, as), InputTokens: measured(g.InputTokens, as), OutputTokens: measured(g.OutputTokens, as),
		InputTokensSD: measured(g.InputTokensSD, as), OutputTokensSD: measured(g.OutputTokensSD, as),
		PrefixHitRate: measured(g.PrefixHitRate, as), KVTokens: measured(g.KVTokens, as), TTFT: latency(g.TTFT), ITL: latency(g.ITL), Requests: measured(g.Requests, as),
	}
}

// Decision is what a decision came to, as it is written down.
type Decision struct {
	Plan jsonspec.Solution `json:"plan"`
	// Candidates that were considered, by server, then accelerator.
	Candidates []jsonspec.Candidate `json:"candidates"`
	// Verdicts by server.
	Verdicts map[string]fleet.Verdict `json:"verdicts"`
	// Learning are the judgements of what was observed, by model, then accelerator.
	Learning []jsonspec.Judgement `json:"learning,omitempty"`
	// Assumptions about pairs of which no performance was given, by model, then accelerator.
	Assumptions []fleet.Assumption `json:"assumptions,omitempty"`
	// Probes that are suggested or acted on, by server.
	Probes []jsonspec.Probe `json:"probes,omitempty"`
}

// Report writes a decision about the system down.
func Report(s *jsonspec.System, d *fleet.Decision) *Decision {
	r := &Decision{Plan: Solution(s, &d.Plan), Candidates: make([]jsonspec.Candidate, len(d.Candidates)), Verdicts: d.Verdicts, Assumptions: d.Assumptions, Probes: d.Probes}
	ways, models := waysOf(s), map[string]string{}
	for i := range s.Servers.Spec {
		models[s.Servers.Spec[i].Name] = s.Servers.Spec[i].Model
	}
	for i := range d.Candidates {
		r.Candidates[i] = candidate(&d.Candidates[i], ways[models[d.Candidates[i].Server]])
	}
	for i := range d.Judgements {
		r.Learning = append(r.Learning, judgement(&d.Judgements[i]))
	}
	return r
}

// Solution writes a plan for the system down. Allocations name the load that they were made for; those that are held stay as they are.
func Solution(s *jsonspec.System, p *fleet.Plan) jsonspec.Solution {
	out := jsonspec.Solution{
		Allocations: make(map[string]jsonspec.Allocation, len(p.Allocations)), TotalCost: p.TotalCost, Unserved: p.Unserved, Placement: p.Placement,
		Bought: p.Bought, TakenBack: p.TakenBack, Shares: p.Shares, Solver: p.Solver,
	}
	ways := waysOf(s)
	for i := range s.Servers.Spec {
		e := &s.Servers.Spec[i]
		a, planned := p.Allocations[e.Name]
		switch {
		case !planned:
		case a.Held && e.DesiredAlloc != nil:
			held := *e.DesiredAlloc
			held.Reason = a.Reason
			out.Allocations[e.Name] = held
		default:
			w := allocation(&a, ways[e.Model])
			if e.CurrentAlloc != nil {
				w.Load = e.CurrentAlloc.Load
			}
			out.Allocations[e.Name] = w
		}
	}
	return out
}

// milliseconds that were predicted.
func milliseconds(seconds float64) float64 { return jsonspec.Digits(jsonspec.Milliseconds(seconds)) }

// allocation as the specification has it: a split has parts, another its accelerator. Accelerator and limits of a split are those of the larger
// part.
func allocation(a *fleet.Allocation, of map[string]way) jsonspec.Allocation {
	out := jsonspec.Allocation{Cost: a.Cost, TTFTAverage: milliseconds(a.TTFT.Or(0)), ITLAverage: milliseconds(a.ITL.Or(0)), BestEffort: a.BestEffort, Reason: a.Reason}
	if rate, known := a.Admissible.Get(); known {
		rate = jsonspec.Digits(jsonspec.PerMinute(rate))
		out.AdmissibleRate = &rate
	}
	setParts(&out, allocationParts(a.Parts, of))
	return out
}

// allocationParts as the specification has them: one that gets everything names no share.
func allocationParts(list []fleet.Part, of map[string]way) []jsonspec.AllocationPart {
	out := make([]jsonspec.AllocationPart, 0, len(list))
	for _, p := range list {
		if len(list) == 1 {
			p.Share = 0
		}
		w, known := of[p.Accelerator]
		if !known {
			w.accelerator = p.Accelerator
		}
		out = append(out, jsonspec.AllocationPart{
			Accelerator: w.accelerator, Variant: w.variant, Role: w.role, TopologyKey: w.domain, Replicas: p.Replicas, MaxBatchSize: p.MaxBatch, MaxBatchedTokens: p.MaxBatchedTokens, Share: p.Share, Ahead: p.Ahead,
		})
	}
	return out
}

func candidate(c *fleet.Candidate, of map[string]way) jsonspec.Candidate {
	r := jsonspec.Candidate{
		Server: c.Server, Accelerator: c.ID, Type: c.Types, Priority: c.Priority, Units: c.Cards, Cost: c.Cost, Value: c.Value,
		ITL: milliseconds(c.ITL.Or(0)), TTFT: milliseconds(c.TTFT.Or(0)), RatePerReplica: jsonspec.Digits(jsonspec.PerMinute(c.Rate)), Trim: c.Trim, Feasible: c.Fault == nil,
	}
	for _, p := range c.Parts {
		r.NumReplicas += p.Replicas
	}
	if list := allocationParts(c.Parts, of); len(list) > 1 {
		r.Parts = list
	} else if len(list) == 1 {
		r.MaxBatch, r.MaxBatchedTokens = list[0].MaxBatchSize, list[0].MaxBatchedTokens
	}
	if c.Fault != nil {
		r.Reason = c.Fault.Error()
	}
	return r
}

func judgement(j *fleet.Judgement) jsonspec.Judgement {
	ms := func(m fleet.Maybe) *float64 {
		if x, known := m.Get(); known {
			x = milliseconds(x)
			return &x
		}
		return nil
	}
	return jsonspec.Judgement{
		Model: j.Model, Accelerator: j.Accelerator, Source: j.Source, Running: j.Running.Pointer(), ITL: ms(j.ITL), PredictedITL: ms(j.PredictedITL),
		TTFT: ms(j.TTFT), PredictedTTFT: ms(j.PredictedTTFT), Accepted: j.Accepted, Reason: j.Reason,
	}
}
