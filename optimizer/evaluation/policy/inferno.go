package policy

import (
	"context"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/evaluation/readings"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/realise"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// inferno plays the product: what API server and Prometheus would tell is observed, decided on and realised as in a cluster.
type inferno struct {
	fleet    *Fleet
	source   *readings.Source
	stages   *control.Stages
	state    control.State
	interval float64
	// completions makes the loop take completions for arrivals, as llm-inferno does.
	completions bool
	record      func(*loop.Record) error
}

func newInferno(f *Fleet, _ Settings) (cluster.Policy, error) {
	p, err := newLoop(f, f.Scenario.System, f.Scenario.Loop.Interval)
	if err != nil {
		return nil, err
	}
	p.record = f.Record
	return p, nil
}

func newInfernoFixed(f *Fleet, _ Settings) (cluster.Policy, error) {
	system := f.Scenario.System
	system.Servers.Spec = slices.Clone(system.Servers.Spec)
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		e.MaxBatchedTokens = f.Scenario.Limits(e.Name).MaxNumBatchedTokens
	}
	return newLoop(f, system, f.Scenario.Loop.Interval)
}

// newReference sets up the stages as llm-inferno's control loop has them.
func newReference(f *Fleet, set Settings) (cluster.Policy, error) {
	system := f.Scenario.System
	system.Optimizer.Spec.Plugs = jsonspec.Plugs{
		QueueModel: &jsonspec.Plug{Name: "mm1k-state-dependent"}, Estimator: system.Optimizer.Spec.Estimator, Forecaster: &jsonspec.Plug{Name: "none"},
		Solver: &jsonspec.Plug{Name: "greedy"}, Stability: &jsonspec.Plug{Name: "none"},
	}
	system.Optimizer.Spec.Heterogeneous = false
	system.Optimizer.Spec.Change = nil
	system.ServiceClasses.Spec = slices.Clone(system.ServiceClasses.Spec)
	for i := range system.ServiceClasses.Spec {
		c := &system.ServiceClasses.Spec[i]
		c.ModelTargets = slices.Clone(c.ModelTargets)
		for k := range c.ModelTargets {
			c.ModelTargets[k].Percentile = 0
		}
	}
	system.Servers.Spec = slices.Clone(system.Servers.Spec)
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		e.MaxBatchedTokens = f.Scenario.Limits(e.Name).MaxNumBatchedTokens
	}
	p, err := newLoop(f, system, set["interval"])
	if err != nil {
		return nil, err
	}
	p.completions = true
	return p, nil
}

// Keeping is a policy of inferno that learns no laws, and plans with those that it is told.
func Keeping(e *Entry) *Entry {
	return &Entry{e.Name, e.About, e.Knobs, func(f *Fleet, set Settings) (cluster.Policy, error) {
		fleet, told := *f, *f.Scenario
		told.System.Optimizer.Spec.Estimator = &jsonspec.Plug{Name: estimation.EstimatorFixed}
		fleet.Scenario = &told
		return e.new(&fleet, set)
	}}
}

func newLoop(f *Fleet, system jsonspec.System, interval float64) (*inferno, error) {
	system.Optimizer.Spec.Unlimited = false
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	system.Servers.Spec = slices.Clone(system.Servers.Spec)
	for i := range system.Servers.Spec {
		e := &system.Servers.Spec[i]
		e.CurrentAlloc, e.Observation, e.DesiredAlloc = nil, nil, nil
	}
	source, err := readings.New(&system, f.Config.Pools, f.Scenario.Loop.Window)
	if err != nil {
		return nil, err
	}
	p := &inferno{fleet: f, source: source, stages: stages, interval: interval}
	for i := range system.Servers.Spec {
		initial := f.server(system.Servers.Spec[i].Name).Initial
		p.source.Resources.Servers[i].Status.Desired = &v1alpha1.DesiredState{Replicas: initial.Replicas, Parts: initial.Parts}
	}
	return p, nil
}

func (p *inferno) Interval() float64 { return p.interval }
func (p *inferno) Lag() float64      { return lagOf(p.fleet) }

func (p *inferno) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	r := p.source.Read(v)
	o := observe.Observe(r)
	if p.completions {
		for i := range o.Snapshot.System.Servers.Spec {
			if a := o.Snapshot.System.Servers.Spec[i].CurrentAlloc; a != nil && a.Load != nil {
				a.Load.ArrivalRate = a.Load.Throughput
			}
		}
	}
	o.Snapshot.StartUpSeconds, o.Snapshot.WindowSeconds = observe.StartUp(r.Resources.Optimizer, r.Pods), r.Window.Seconds()
	o.Snapshot.HorizonSeconds = p.interval + o.Snapshot.StartUpSeconds
	d, err := p.stages.Decide(context.Background(), o.Snapshot.Core(), p.state, nil)
	if err != nil {
		return nil, err
	}
	report := specification.Report(&o.Snapshot.System, &d.Decision)
	if p.record != nil {
		r := &loop.Record{ID: fmt.Sprintf("%.0fs", v.Now), Snapshot: o.Snapshot, State: p.state, Decision: report}
		if err := p.record(r); err != nil {
			return nil, err
		}
	}
	p.state = d.State
	return p.realise(o, report), nil
}

// realise writes what was observed and planned into the statuses of the servers, and orders what adapter, autoscaler and scheduler plugin read there.
func (p *inferno) realise(o *observe.Observation, d *specification.Decision) map[string]cluster.Order {
	now := float64(o.Snapshot.Time.UnixMicro()) / 1e6
	plans := realise.Plans(&o.Snapshot.System, d.Plan.Allocations, p.state.Waiting(now, o.Snapshot.StartUpSeconds))
	orders := map[string]cluster.Order{}
	for name, i := range o.Index {
		last, verdict := p.source.Resources.Servers[i].Status.Desired, d.Verdicts[name]
		next := realise.Next(last, plans[name], verdict.Reason == v1alpha1.ReasonNoCapacity, o.Leaving(name), verdict.Message)
		p.source.Resources.Servers[i].Status = o.Statuses[name]
		p.source.Resources.Servers[i].Status.Desired = next
		if next != nil {
			order := cluster.Order{Replicas: next.Replicas, Parts: next.Parts}
			if perMinute := next.AdmissibleRate; perMinute != nil {
				rate := jsonspec.PerSecond(*perMinute)
				order.Admissible = &rate
			}
			orders[p.fleet.Config.Servers[i].Name] = order
		}
	}
	return orders
}
