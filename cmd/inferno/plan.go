package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/specification"
	"github.com/llm-inferno/inferno/optimizer/whatif"
)

type planOptions struct {
	system, solver, queueModel, output, candidates string
	explain, whatIf                                []string
}

var outputFormats = []string{"table", "json", "yaml"}

func newPlanCommand() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan --system DIR|FILE",
		Short: "Plan accelerators, replicas and batch sizes for a system specification",
		Long: `Reads a system in the llm-inferno JSON format (a file, or a directory of accelerator-data.json, model-data.json, serviceclass-data.json,
server-data.json, capacity-data.json and optimizer-data.json) and prints what every server gets, and why.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.system, "system", "", "directory or file of the system specification")
	f.StringVar(&o.solver, "solver", "", "solver to use instead of the specification's: "+strings.Join(solver.Solvers().Names(), ", "))
	f.StringVar(&o.queueModel, "queue-model", "", "queueing model to use instead of the specification's: "+strings.Join(queueing.Models().Names(), ", "))
	f.StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	f.StringVar(&o.candidates, "candidates", "", "file to write every (server, accelerator) that was considered to, as JSON")
	f.StringArrayVar(&o.explain, "explain", nil, "server to explain the plan of: its candidates, what each costs, why it was taken or not; may be repeated")
	f.StringArrayVar(&o.whatIf, "what-if", nil, `change to show the difference of, as KIND.NAME=CHANGE; may be repeated. KIND: `+strings.Join(whatif.Kinds(), ", ")+
		` (of an accelerator type, a server or * for all in requests per minute, an accelerator in cents per hour, a service class in ms); CHANGE: +N, -N, *F or a number`)
	return cmd
}

func (o *planOptions) validate() error {
	var faults []error
	if o.system == "" {
		faults = append(faults, errors.New("--system: is missing, give the directory or file of the system specification"))
	}
	if !slices.Contains(outputFormats, o.output) {
		faults = append(faults, fmt.Errorf("--output: %q is not allowed, must be one of %s", o.output, strings.Join(outputFormats, ", ")))
	}
	if names := solver.Solvers().Names(); o.solver != "" && !slices.Contains(names, o.solver) {
		faults = append(faults, fmt.Errorf("--solver: %q is not allowed, must be one of %s", o.solver, strings.Join(names, ", ")))
	}
	if names := queueing.Models().Names(); o.queueModel != "" && !slices.Contains(names, o.queueModel) {
		faults = append(faults, fmt.Errorf("--queue-model: %q is not allowed, must be one of %s", o.queueModel, strings.Join(names, ", ")))
	}
	return errors.Join(faults...)
}

func (o *planOptions) run(ctx context.Context, out, errOut io.Writer) error {
	if err := o.validate(); err != nil {
		return badInput{err}
	}
	system, err := specification.Load(o.system)
	if missing := (*fs.PathError)(nil); errors.As(err, &missing) {
		err = fmt.Errorf("--system: %q: %w", o.system, missing.Err)
	}
	if err != nil {
		return badInput{err}
	}
	warnings, err := specification.Validate(system)
	for _, w := range warnings {
		fmt.Fprintln(errOut, "warning:", w)
	}
	if err != nil {
		return badInput{err}
	}
	if o.solver != "" {
		system.Optimizer.Spec.Solver = &jsonspec.Plug{Name: o.solver}
	}
	if o.queueModel != "" {
		system.Optimizer.Spec.QueueModel = &jsonspec.Plug{Name: o.queueModel}
	}
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		return badInput{err}
	}
	changed, changes, err := whatif.Ask(system, o.whatIf)
	if err != nil {
		return badInput{besideFlag(err)}
	}
	d, err := decide(ctx, stages, system)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		other, err := decide(ctx, stages, changed)
		if err != nil {
			return err
		}
		d.report.Plan.WhatIf = control.Difference(changes, &d.report.Plan, &other.report.Plan)
	}
	plan := &d.report.Plan
	if plan.Explanations, err = explainAll(d.core, o.explain); err != nil {
		return badInput{err}
	}
	if o.candidates != "" {
		if err := writeJSON(o.candidates, d.report.Candidates); err != nil {
			return err
		}
	}
	return printPlan(out, o.output, system, plan)
}

// besideFlag joins the faults of all changes of --what-if, each beside the flag.
func besideFlag(err error) error {
	var faults []error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, fault := range joined.Unwrap() {
			faults = append(faults, fmt.Errorf("--what-if %w", fault))
		}
	}
	return errors.Join(faults...)
}

// decided is a decision, and what is written down of it.
type decided struct {
	core   *control.Decision
	report *specification.Decision
}

// decide makes the plan and times the solver, whose deadline and clock are the caller's.
func decide(ctx context.Context, stages *control.Stages, system *jsonspec.System) (*decided, error) {
	began := map[string]time.Time{}
	d, err := stages.Decide(ctx, (&specification.Snapshot{System: *system}).Core(), control.State{}, func(stage string) { began[stage] = time.Now() })
	if err != nil {
		return nil, err
	}
	d.Plan.Solver.Seconds = began[control.StageExplain].Sub(began[control.StageSolve]).Seconds()
	return &decided{d, specification.Report(system, &d.Decision)}, nil
}

func writeJSON(file string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

func printPlan(out io.Writer, format string, system *jsonspec.System, plan *jsonspec.Solution) error {
	if format == "table" {
		return printTable(out, system, plan)
	}
	return writeAs(out, format, plan)
}

// writeAs writes a value as json or yaml.
func writeAs(out io.Writer, format string, v any) error {
	if format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return err
}

// printTable writes a plan for people: a line for every server by priority, class and name, then the servers that are not served and why.
func printTable(out io.Writer, system *jsonspec.System, plan *jsonspec.Solution) error {
	priority := map[string]int{}
	for _, c := range system.ServiceClasses.Spec {
		priority[c.Name] = c.Priority
	}
	servers := slices.Clone(system.Servers.Spec)
	slices.SortFunc(servers, func(a, b jsonspec.ServerEntry) int {
		if p := priority[a.Class] - priority[b.Class]; p != 0 {
			return p
		}
		if c := strings.Compare(a.Class, b.Class); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	w := newTable(out)
	fmt.Fprintln(w, "SERVER\tCLASS\tREQ/MIN\tACCELERATOR\tREPLICAS\tBATCH\tCOST ¢/h\tITL ms\tTTFT ms\tSLO")
	for _, s := range servers {
		a, ok := plan.Allocations[s.Name]
		if !ok {
			fmt.Fprintf(w, "%s\t%s\t%s\t-\t0\t-\t-\t-\t-\tnot served\n", s.Name, s.Class, rate(s.CurrentAlloc))
			continue
		}
		slo := "met"
		if a.BestEffort {
			slo = "best effort"
		}
		if rate := a.AdmissibleRate; rate != nil {
			slo += fmt.Sprintf(", of %.0f/min", *rate)
		}
		accelerator := orDash(a.On())
		if len(a.Parts) > 0 {
			accelerator = partsOf(a.Parts)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%.2f\t%.2f\t%.2f\t%s\n",
			s.Name, s.Class, rate(s.CurrentAlloc), accelerator, a.NumReplicas, a.MaxBatch, a.Cost, a.ITLAverage, a.TTFTAverage, slo)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, b := range plan.Bought {
		if i == 0 {
			fmt.Fprintln(out, "\nto buy:")
		}
		fmt.Fprintf(out, "  %d × %s: %d %s for %.2f ¢/h, there in %g s\n", b.Count, b.Pool, b.Cards, b.Type, b.Cost, b.DelaySeconds)
	}
	for i, b := range plan.TakenBack {
		if i == 0 {
			fmt.Fprintln(out, "\ntaken back:")
		}
		fmt.Fprintf(out, "  %s\n", b.Reason)
	}
	fmt.Fprintf(out, "\ntotal cost %.2f ¢/h, solver %s in %.3f s", plan.TotalCost, plan.Solver.Name, plan.Solver.Seconds)
	if g := plan.Solver.Gap; g != nil {
		fmt.Fprintf(out, ", at most %.3f %% above the optimum", 100**g)
	}
	if w := plan.Solver.Why; w != "" {
		fmt.Fprintf(out, " (%s)", w)
	}
	fmt.Fprintln(out)
	if len(plan.Unserved) > 0 {
		fmt.Fprintf(out, "\n%d of %d servers do not get what their targets need:\n", len(plan.Unserved), len(servers))
		for _, u := range plan.Unserved {
			fmt.Fprintf(out, "  %s: %s\n", u.Server, u.Reason)
		}
	}
	return errors.Join(printExplanations(out, plan), printDifference(out, plan.WhatIf))
}

// partsOf a split, such as "A100:3 L4:2", or of roles, "H200/prefill:2 H200/decode:1".
func partsOf(parts []jsonspec.AllocationPart) string {
	words := make([]string, len(parts))
	for i, p := range parts {
		words[i] = fmt.Sprintf("%s:%d", p.On(), p.Replicas)
	}
	return strings.Join(words, " ")
}

func rate(a *jsonspec.Allocation) string {
	if a == nil || a.Load == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f", a.Load.ArrivalRate)
}
