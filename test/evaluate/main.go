// Command evaluate plays the scenarios of test/data/scenarios under every policy and writes the tables and pictures of docs/evaluation.md. It
// prints what changed against the committed tables.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llm-inferno/inferno/optimizer/simulation/contest"
	"github.com/llm-inferno/inferno/optimizer/simulation/policy"
	"github.com/llm-inferno/inferno/optimizer/simulation/scenario"
)

// contests are the scenarios in the order of the document, and how much is asked of each.
var contests = []struct {
	name    string
	options contest.Options
}{
	{"constant", contest.Options{Tune: true, TuneSpan: 7200, Oracle: true}},
	{"ramp", contest.Options{Tune: true, Oracle: true}},
	{"flash-crowd", contest.Options{Tune: true, Oracle: true}},
	{"azure-hour", contest.Options{Tune: true, Oracle: true}},
	{"shapes", contest.Options{Tune: true, TuneSpan: 7200, Oracle: true}},
	{"measured", contest.Options{Tune: true, Oracle: true}},
	{"wrong-priors", contest.Options{Tune: true, TuneSpan: 3600, Oracle: true}},
	{"wrong-priors-slow", contest.Options{Tune: true, TuneSpan: 3600, Oracle: true}},
	{"lost-nodes", contest.Options{Tune: true, TuneSpan: 5400, Oracle: true}},
	{"scarcity", contest.Options{Tune: true, TuneSpan: 4500, Oracle: true}},
	{"fleet-day", contest.Options{Tune: true, TuneSpan: 10800, Oracle: true}},
	{"day-2min", contest.Options{Tune: true, TuneSpan: 10800, Oracle: true}},
	{"day-30s", contest.Options{Tune: true, TuneSpan: 10800, Oracle: true}},
	{"day-8min", contest.Options{Tune: true, TuneSpan: 10800, Oracle: true}},
	{"fleet-2weeks", contest.Options{Tune: true, TuneSpan: 86400, Oracle: true}},
}

const (
	begin = "<!-- written by make evaluate: begin -->"
	end   = "<!-- written by make evaluate: end -->"
)

// request is what to play and where to write.
type request struct {
	scenarios, policies           names
	document, data, memory        string
	withoutTuning, withoutPlaying bool
}

// names to choose; all where there are none.
type names []string

func (n names) chosen(name string) bool { return len(n) == 0 || slices.Contains(n, name) }

// namesFlag parses names that are separated by commas and must be known.
func namesFlag(to *names, flagName, usage string, known []string) {
	flag.Func(flagName, usage+", separated by commas; all by default: "+strings.Join(known, ", "), func(value string) error {
		*to = strings.Split(value, ",")
		for _, n := range *to {
			if !slices.Contains(known, n) {
				return fmt.Errorf("%q is not known", n)
			}
		}
		return nil
	})
}

func main() {
	var r request
	var scenarios, policies []string
	for _, c := range contests {
		scenarios = append(scenarios, c.name)
	}
	for _, e := range policy.Entries() {
		policies = append(policies, e.Name)
	}
	namesFlag(&r.scenarios, "scenarios", "scenarios to play", scenarios)
	namesFlag(&r.policies, "policies", "policies to play", policies)
	flag.StringVar(&r.document, "write", "docs/evaluation.md", "document to write the tables into; pictures and results go into the folder of its name, where results of what is not played stay")
	flag.StringVar(&r.data, "data", "test/data/scenarios", "folder of the scenarios")
	flag.StringVar(&r.memory, "memory", "", "file that remembers what the searches of earlier runs found of the alternatives and schedules; delete it when the simulator or they change")
	flag.BoolVar(&r.withoutTuning, "defaults", false, "play the alternatives with their defaults alone, and search no settings")
	flag.BoolVar(&r.withoutPlaying, "draw", false, "play nothing: write the tables and the pictures of cost again from the results that are there")
	flag.Parse()
	if err := r.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "evaluate:", err)
		os.Exit(1)
	}
}

func (r *request) run(out io.Writer) error {
	pictures := strings.TrimSuffix(r.document, ".md")
	file := filepath.Join(pictures, "results.json")
	before, err := readResults(file)
	if err != nil {
		return err
	}
	var memory *contest.Memory
	if r.memory != "" {
		if memory, err = contest.ReadMemory(r.memory); err != nil {
			return err
		}
	}
	results := maps.Clone(before)
	if results == nil {
		results = map[string][]*contest.Outcome{}
	}
	for _, c := range contests {
		if r.withoutPlaying || !r.scenarios.chosen(c.name) {
			continue
		}
		began := time.Now()
		c.options.Memory, c.options.Tune = memory, c.options.Tune && !r.withoutTuning
		c.options.Progress = func(o *contest.Outcome) {
			fmt.Fprintf(os.Stderr, "%6s %s: %s %s: %.2f %% at %.0f ¢/h\n", time.Since(began).Round(time.Second), c.name, o.Policy, o.Settings, 100*o.Served, o.CostPerHour)
		}
		outcomes, err := r.hold(c.name, pictures, c.options)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		results[c.name] = merge(before[c.name], outcomes)
		fmt.Fprintf(out, "%s: %d runs shown, %s\n", c.name, len(outcomes), time.Since(began).Round(time.Second))
		changes(out, c.name, before[c.name], outcomes)
		// After every scenario, so that what was played is not lost.
		if err := errors.Join(writeResults(file, results), remember(memory, r.memory)); err != nil {
			return err
		}
	}
	faults := []error{writeTables(r.document, results)}
	for name, outcomes := range results {
		faults = append(faults, contest.DrawCost(pictures, name, outcomes))
	}
	return errors.Join(faults...)
}

// merge what was played now with what was played before and not again, in the order of the policies: with their defaults first, then tuned.
func merge(before, now []*contest.Outcome) []*contest.Outcome {
	var all []*contest.Outcome
	for _, tuned := range []bool{false, true} {
		for _, e := range policy.Entries() {
			is := func(o *contest.Outcome) bool { return o.Policy == e.Name && o.Tuned() == tuned }
			i, from := slices.IndexFunc(now, is), now
			if i < 0 {
				i, from = slices.IndexFunc(before, is), before
			}
			if i >= 0 {
				all = append(all, from[i])
			}
		}
	}
	return all
}

func remember(m *contest.Memory, file string) error {
	if m == nil {
		return nil
	}
	return m.Write(file)
}

func (r *request) hold(name, pictures string, o contest.Options) ([]*contest.Outcome, error) {
	s, err := scenario.Open(filepath.Join(r.data, name+".yaml"))
	if err != nil {
		return nil, err
	}
	f, err := policy.NewFleet(s)
	if err != nil {
		return nil, err
	}
	var entries []*policy.Entry
	for _, e := range policy.Entries() {
		if r.policies.chosen(e.Name) {
			entries = append(entries, &e)
		}
	}
	outcomes, err := contest.Hold(f, entries, o)
	if err != nil {
		return nil, err
	}
	if r.policies.chosen(policy.NameInferno) {
		err = contest.DrawSeries(pictures, f, outcomes)
	}
	return outcomes, err
}

func readResults(file string) (map[string][]*contest.Outcome, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	results := map[string][]*contest.Outcome{}
	return results, json.Unmarshal(data, &results)
}

func writeResults(file string, results map[string][]*contest.Outcome) error {
	data, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(data, '\n'), 0o644))
}

// changes prints what differs from the committed results by more than rounding.
func changes(out io.Writer, name string, before, after []*contest.Outcome) {
	key := func(o *contest.Outcome) string { return strings.TrimSpace(o.Policy + " " + kind(o)) }
	was := map[string]*contest.Outcome{}
	for _, o := range before {
		was[key(o)] = o
	}
	for _, o := range after {
		old := was[key(o)]
		switch {
		case old == nil:
			fmt.Fprintf(out, "  %s: new, %.2f %% at %.0f ¢/h\n", key(o), 100*o.Served, o.CostPerHour)
		case math.Abs(o.Served-old.Served) > 5e-5 || math.Abs(o.CostPerHour-old.CostPerHour) > 0.5:
			fmt.Fprintf(out, "  %s: %.2f → %.2f %% at %.0f → %.0f ¢/h\n", key(o), 100*old.Served, 100*o.Served, old.CostPerHour, o.CostPerHour)
		}
	}
}

// kind of settings: tuned or not.
func kind(o *contest.Outcome) string {
	if o.Tuned() {
		return "tuned"
	}
	return ""
}

// writeTables puts the tables between the marks of the document.
func writeTables(document string, results map[string][]*contest.Outcome) error {
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: lacks the lines %q and %q", document, begin, end)
	}
	var b strings.Builder
	summary(&b, results)
	for _, c := range contests {
		if outcomes := results[c.name]; len(outcomes) > 0 {
			table(&b, filepath.Base(strings.TrimSuffix(document, ".md")), c.name, outcomes)
		}
	}
	return os.WriteFile(document, []byte(head+begin+"\n\n"+b.String()+end+tail), 0o644)
}

// summary compares inferno with the cheapest of the others that serve at least as much.
func summary(b *strings.Builder, results map[string][]*contest.Outcome) {
	b.WriteString("| scenario | inferno: both targets | cost ¢/h | ÷ oracle | with the budget fixed | cheapest other that serves as much as inferno | its cost | inferno's against it |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range contests {
		var ours, fixed, rival *contest.Outcome
		for _, o := range results[c.name] {
			switch o.Policy {
			case policy.NameInferno:
				ours = o
			case policy.NameInfernoFixed:
				fixed = o
			}
		}
		if ours == nil || fixed == nil {
			continue
		}
		for _, o := range results[c.name] {
			if o.Policy != policy.NameInferno && o.Policy != policy.NameInfernoFixed && o.Served >= ours.Served && (rival == nil || o.CostPerHour < rival.CostPerHour) {
				rival = o
			}
		}
		other, cost, saved := "none", "", ""
		if rival != nil {
			other = fmt.Sprintf("%s %s (%.2f %%)", rival.Policy, kind(rival), 100*rival.Served)
			cost, saved = fmt.Sprintf("%.0f", rival.CostPerHour), fmt.Sprintf("%+.0f %%", 100*(ours.CostPerHour/rival.CostPerHour-1))
		}
		fmt.Fprintf(b, "| [%s](#%s) | %.2f %% | %.0f | %s | %.2f %% at %.0f | %s | %s | %s |\n", c.name, c.name, 100*ours.Served, ours.CostPerHour, oracle(ours), 100*fixed.Served, fixed.CostPerHour, other, cost, saved)
	}
	b.WriteString("\n")
}

func oracle(o *contest.Outcome) string {
	if o.ToOracle == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", *o.ToOracle)
}

func table(b *strings.Builder, pictures, name string, outcomes []*contest.Outcome) {
	fmt.Fprintf(b, "### %s\n\n%d requests. ![cost and misses](%s/%s-cost.svg) ![load, cost and misses over time](%s/%s-series.svg)\n\n", name, outcomes[0].Requests, pictures, name, pictures, name)
	b.WriteString("| policy | both targets % | TTFT % | ITL % | windows % | by class % | cost ¢/h | ÷ oracle | hours | peak | changes | reversals | follows after s | late | dropped |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, o := range outcomes {
		label := o.Policy
		if o.Settings != "" {
			label += " (" + o.Settings + ")"
		}
		follow := "–"
		if o.Follow != nil {
			follow = fmt.Sprintf("%.0f", *o.Follow)
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.1f | %s | %.0f | %s | %s | %d | %d | %d | %s | %d | %d |\n", label, 100*o.Served, 100*o.TTFT, 100*o.ITL, 100*o.Windows,
			contest.Words(o.Classes, 100, "%.2f"), o.CostPerHour, oracle(o), contest.Words(o.Hours, 1, "%.0f"), o.Peak, o.Changes, o.Reversals, follow, o.TimedOut, o.Dropped+o.Unfinished)
	}
	b.WriteString("\n")
}
