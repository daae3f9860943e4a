package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// lead is the least of a scenario that is left out: policies are not judged by how they begin.
const lead = 900

const header = `| scenario | run by | ITL off | TTFT off | it cost ¢/h | served | saving promised | shown | served | with budgets promised | shown | served |
|---|---|---|---|---|---|---|---|---|---|---|---|
`

// row of the table.
type row struct {
	scenario, rule string
	// itl and ttft are the errors of the fit that is worst, of all that were measured; NaN where none was.
	itl, ttft float64
	was       *contest.Outcome
	// fixed is with the token budgets that engines have, free with those that inferno plans.
	fixed, free promise
}

// promise of a saving, NaN where none is made, and what came.
type promise struct {
	promised, shown float64
	outcome         *contest.Outcome
}

// try a scenario that was run by an autoscaler that keeps a share of max-num-seqs, or at 0 with as many replicas as its peak needs.
func try(s *scenario.Scenario, share float64) (*row, error) {
	s.WarmUp, s.Exclude = max(s.WarmUp, lead), nil
	f, err := pinned(s)
	if err != nil {
		return nil, err
	}
	name, settings := policy.NameStatic, policy.Settings(nil)
	if share > 0 {
		name, settings = policy.NameHPA, policy.Settings{"share": share}
	}
	rule, err := policy.Find(name)
	if err != nil {
		return nil, err
	}
	h, err := live(f, rule, settings)
	if err != nil {
		return nil, err
	}
	q, err := h.question(f)
	if err != nil {
		return nil, err
	}
	studied, err := advise.Study(q)
	if err != nil {
		return nil, err
	}
	report, err := studied.Replay(q, advise.Options{
		Pools: advise.PoolsOf(h.cluster.Nodes), StartUp: f.Config.Times.StartUp, Span: s.Duration - s.WarmUp, TuneSpan: lead,
	})
	if err != nil {
		return nil, err
	}
	for _, row := range report.Rows {
		fmt.Fprintf(os.Stderr, "  %s %s: %.2f %% at %.0f ¢/h\n", row.Policy, row.Settings, 100*row.Attainment, row.CostPerHour)
	}
	if report.Why != "" {
		fmt.Fprintln(os.Stderr, "  no promise:", report.Why)
	}
	f.Scenario = told(f.Scenario, q, report)
	r := &row{scenario: s.Name, rule: strings.TrimSpace(name + " " + settings.String()), was: h.outcome, itl: math.NaN(), ttft: math.NaN()}
	for i := range report.Fits {
		fit := &report.Fits[i]
		r.itl, r.ttft = worst(r.itl, fit.ITLError), worst(r.ttft, fit.TTFTError)
		fmt.Fprintf(os.Stderr, "  %s on %s: of %d windows ITL tells in %d, TTFT in %d\n", fit.Model, fit.Accelerator, fit.Checked, fit.ITLChecked, fit.TTFTChecked)
	}
	if r.fixed, err = held(f, policy.NameInfernoFixed, report.Saving, h.outcome); err != nil {
		return nil, err
	}
	r.free, err = held(f, policy.NameInferno, report.SavingWithBudgets, h.outcome)
	return r, err
}

// told is a scenario whose planner is told of performance what advise learned, which is in the manifests that it writes, and for the rest is as it is installed.
func told(s *scenario.Scenario, q *advise.Question, r *advise.Report) *scenario.Scenario {
	with := *s
	with.System.Optimizer.Spec = advise.Installed()
	with.System.Models.Spec = slices.Clone(s.System.Models.Spec)
	for i := range q.Servers {
		server := &q.Servers[i]
		fit := r.Fits[slices.IndexFunc(r.Fits, func(f advise.Fit) bool {
			return f.Model == advise.ModelName(server) && f.Accelerator == server.Accelerator
		})]
		model := s.System.Servers.Spec[slices.IndexFunc(s.System.Servers.Spec, func(e jsonspec.ServerEntry) bool { return e.Name == server.Name })].Model
		for k := range with.System.Models.Spec {
			if e := &with.System.Models.Spec[k]; e.Name == model { // which is on one accelerator
				acc := e.Acc
				e.Performance = fit.Performance
				e.Acc = acc
			}
		}
	}
	return &with
}

func worst(so float64, x *float64) float64 {
	if x == nil || so > *x {
		return so
	}
	return *x
}

// held is a promise against the closed loop on the true engines.
func held(f *policy.Fleet, name string, promised *float64, was *contest.Outcome) (promise, error) {
	p := promise{promised: math.NaN()}
	if promised != nil {
		p.promised = *promised
	}
	e, err := policy.Find(name)
	if err != nil {
		return p, err
	}
	p.outcome, err = contest.Run(f, e, nil)
	if err == nil {
		p.shown = 1 - p.outcome.Counted/was.Counted
	}
	return p, err
}

func (r *row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %s | %.0f | %.2f %% | %s | %s |", r.scenario, r.rule, percent(r.itl), percent(r.ttft), r.was.Counted, 100*r.was.Served, &r.fixed, &r.free)
}

func (p *promise) String() string {
	return fmt.Sprintf("%s | %s | %.2f %%", percent(p.promised), percent(p.shown), 100*p.outcome.Served)
}

// percent of a share; a dash where there is none.
func percent(share float64) string {
	if math.IsNaN(share) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}
