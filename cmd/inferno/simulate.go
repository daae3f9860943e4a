package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/loop"
)

type simulateOptions struct {
	scenario, output, report, log, plot string
	policies                            []string
	tune, oracle                        bool
}

func newSimulateCommand() *cobra.Command {
	var o simulateOptions
	var names []string
	for _, e := range policy.Entries() {
		names = append(names, e.Name)
	}
	cmd := &cobra.Command{
		Use:   "simulate --scenario NAME|FILE",
		Short: "Play a scenario in virtual time under one or several scaling policies",
		Long: `Plays a scenario (a fleet with prices, servers with classes and load, how engines really behave, and what goes wrong; docs/evaluation.md
describes the file) under each policy: inferno's own loop with the decision core of the cluster, and alternatives. Prints attainment, cost,
accelerator hours, changes and drops.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.OutOrStdout(), cmd.ErrOrStderr()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.scenario, "scenario", "", "scenario: a file, YAML or JSON, or one that is built in: "+strings.Join(scenario.BuiltIn(), ", "))
	f.StringSliceVar(&o.policies, "policy", []string{policy.NameInferno}, "policies, separated by commas, or all: "+strings.Join(names, ", "))
	f.BoolVar(&o.tune, "tune", false, "also search the settings of the alternatives for the cheapest that reaches inferno's attainment")
	f.BoolVar(&o.oracle, "oracle", false, "also find the cheapest schedule that knows every arrival, at each policy's attainment")
	f.StringVarP(&o.output, "output", "o", "table", "output format: table, json")
	f.StringVar(&o.log, "log", "", "file to write inferno's decision log to, for inferno replay")
	f.StringVar(&o.plot, "plot", "", "SVG to draw load, cost and misses over time to, of the first four policies")
	f.StringVar(&o.report, "report", "", "folder to write pictures and the series behind them to")
	return cmd
}

func (o *simulateOptions) validate() ([]*policy.Entry, error) {
	var faults []error
	if o.scenario == "" {
		faults = append(faults, fmt.Errorf("--scenario: is missing, give a file or one of %s", strings.Join(scenario.BuiltIn(), ", ")))
	}
	if o.output != "table" && o.output != "json" {
		faults = append(faults, fmt.Errorf("--output: %q is not allowed, must be table or json", o.output))
	}
	var chosen []*policy.Entry
	if o.all() {
		return nil, errors.Join(faults...)
	}
	for _, name := range o.policies {
		e, err := policy.Find(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("--policy: %w", err))
		}
		chosen = append(chosen, e)
	}
	return chosen, errors.Join(faults...)
}

// all that can serve the scenario.
func (o *simulateOptions) all() bool { return slices.Equal(o.policies, []string{"all"}) }

func (o *simulateOptions) run(out, progress io.Writer) error {
	chosen, err := o.validate()
	if err != nil {
		return badInput{err}
	}
	s, err := scenario.Open(o.scenario)
	if err != nil {
		return badInput{err}
	}
	if o.all() {
		for _, e := range policy.For(s) {
			chosen = append(chosen, &e)
		}
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		return badInput{err}
	}
	if o.log != "" {
		file, err := os.Create(o.log)
		if err != nil {
			return badInput{err}
		}
		defer file.Close()
		f.Record = loop.NewDecisionLog(file).Write
	}
	result, err := contest.Hold(f, chosen, contest.Options{Tune: o.tune, Oracle: o.oracle, Progress: func(r *contest.Outcome) {
		fmt.Fprintln(progress, "played", r)
	}})
	if err != nil {
		return err
	}
	if o.plot != "" {
		if err := contest.DrawSeries(o.plot, f, result.Outcomes); err != nil {
			return err
		}
	}
	if o.report != "" {
		if err := contest.WriteReport(o.report, f, result); err != nil {
			return err
		}
	}
	if o.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(result.Outcomes)
	}
	return printOutcomes(out, result.Outcomes)
}

func printOutcomes(out io.Writer, outcomes []*contest.Outcome) error {
	w := newTable(out)
	fmt.Fprintln(w, "POLICY\tSETTINGS\tREQUESTS\tBOTH %\tTTFT %\tITL %\tWINDOWS %\tCOST ¢/h\t÷ ORACLE\t÷ BOUND\tCLASSES %\tHOURS")
	for _, o := range outcomes {
		oracle, bound := "-", "-"
		if o.ToOracle != nil {
			oracle = fmt.Sprintf("%.2f", *o.ToOracle)
		}
		if o.Bound != nil && *o.Bound > 0 {
			bound = fmt.Sprintf("%.2f", o.CostPerHour / *o.Bound)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t%.1f\t%.1f\t%s\t%s\t%s\t%s\n", o.Policy, orDash(o.Settings), o.Requests, 100*o.Served, 100*o.TTFT,
			100*o.ITL, 100*o.Windows, o.CostPerHour, oracle, bound, contest.Words(o.Classes, 100, "%.2f"), contest.Words(o.Hours, 1, "%.1f"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := printMoves(out, outcomes); err != nil {
		return err
	}
	return printLatencies(out, outcomes)
}

// printMoves says how every policy followed the load.
func printMoves(out io.Writer, outcomes []*contest.Outcome) error {
	w := newTable(out)
	fmt.Fprintln(w, "\nPOLICY\tSETTINGS\tPEAK\tCHANGES\tREVERSALS\tFOLLOW s\tDROPPED\tLATE")
	for _, o := range outcomes {
		follow := "-"
		if o.Follow != nil {
			follow = fmt.Sprintf("%.0f", *o.Follow)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%d\t%d\n", o.Policy, orDash(o.Settings), o.Peak, o.Changes, o.Reversals, follow, o.Dropped, o.TimedOut)
	}
	return w.Flush()
}

// printLatencies of every server under every policy, in ms.
func printLatencies(out io.Writer, outcomes []*contest.Outcome) error {
	w := newTable(out)
	fmt.Fprintln(w, "\nPOLICY\tSETTINGS\tSERVER\tTTFT ms P50\tP90\tP99\tITL ms P50\tP90\tP99")
	for _, o := range outcomes {
		for _, server := range slices.Sorted(maps.Keys(o.Latencies)) {
			fmt.Fprintf(w, "%s\t%s\t%s", o.Policy, orDash(o.Settings), server)
			for _, q := range []contest.Quantiles{o.Latencies[server].TTFT, o.Latencies[server].ITL} {
				for _, seconds := range []float64{q.P50, q.P90, q.P99} {
					fmt.Fprintf(w, "\t%.1f", jsonspec.Milliseconds(seconds))
				}
			}
			fmt.Fprintln(w)
		}
	}
	return w.Flush()
}
