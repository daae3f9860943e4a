// Command evaluate plays the scenarios of test/data/scenarios under every policy and writes the tables and pictures of docs/evaluation.md. It
// prints what changed against the committed tables.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
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
	{"long-prompts", contest.Options{Tune: true, Oracle: true}},
	{"roles-shapes", contest.Options{Tune: true, TuneSpan: 9000, Oracle: true}},
	{"big-model", contest.Options{Tune: true, TuneSpan: 5400, Oracle: true}},
	{"lost-worker", contest.Options{Tune: true, TuneSpan: 5400, Oracle: true}},
	{"fleet-2weeks", contest.Options{Tune: true, TuneSpan: 86400, Oracle: true}},
}

// request is what to play and where to write.
type request struct {
	scenarios, policies           names
	document, data, memory        string
	withoutTuning, withoutPlaying bool
	admission, families, kinds    int
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
	flag.BoolVar(&r.withoutPlaying, "draw", false, "play nothing: compare the results that are there with schedules and bounds again, and write the tables and the pictures of cost")
	flag.IntVar(&r.admission, "admission", 0, "play nothing but the scarcity before gateways that do and do not refuse, with so many seeds")
	flag.IntVar(&r.kinds, "kinds", 0, "play nothing but the kinds of load that nothing is set on, with so many seeds: "+strings.Join(kinds, ", "))
	flag.IntVar(&r.families, "families", 0, "play nothing but families: so many draws of each base, and as many of the half that is judged")
	flag.Parse()
	if err := r.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "evaluate:", err)
		os.Exit(1)
	}
}

func (r *request) run(out io.Writer) error {
	if r.admission > 0 || r.families > 0 || r.kinds > 0 {
		var faults []error
		if r.kinds > 0 {
			faults = append(faults, r.playKinds())
		}
		if r.admission > 0 {
			faults = append(faults, r.admit())
		}
		if r.families > 0 {
			faults = append(faults, r.playFamilies())
		}
		return errors.Join(faults...)
	}
	pictures := strings.TrimSuffix(r.document, ".md")
	file := filepath.Join(pictures, "results.json")
	all, err := readResults(file)
	if err != nil {
		return err
	}
	var memory *contest.Memory
	if r.memory != "" {
		if memory, err = contest.ReadMemory(r.memory); err != nil {
			return err
		}
	}
	for _, c := range contests {
		if !r.scenarios.chosen(c.name) {
			continue
		}
		if r.withoutPlaying {
			if err := r.compare(c.name, all[c.name]); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			continue
		}
		began := time.Now()
		c.options.Memory, c.options.Tune = memory, c.options.Tune && !r.withoutTuning
		c.options.Progress = func(o *contest.Outcome) {
			fmt.Fprintf(os.Stderr, "%6s %s: %s\n", time.Since(began).Round(time.Second), c.name, o)
		}
		now, err := r.hold(c.name, pictures, c.options)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(out, "%s: %d runs shown, %s\n", c.name, len(now.Outcomes), time.Since(began).Round(time.Second))
		changes(out, all[c.name], now)
		all[c.name] = merge(all[c.name], now)
		// After every scenario, so that what was played is not lost.
		if err := errors.Join(all.write(file), remember(memory, r.memory)); err != nil {
			return err
		}
	}
	faults := []error{all.write(file), writeTables(r.document, all)}
	for name, result := range all {
		faults = append(faults, contest.DrawCost(pictures, name, result))
	}
	return errors.Join(faults...)
}

func remember(m *contest.Memory, file string) error {
	if m == nil {
		return nil
	}
	return m.Write(file)
}

// open a scenario by its name.
func (r *request) open(name string) (*scenario.Scenario, error) {
	if slices.Contains(scenario.BuiltIn(), name) {
		return scenario.Open(name)
	}
	return scenario.Open(filepath.Join(r.data, name+".yaml"))
}

// fleet of a scenario by its name.
func (r *request) fleet(name string) (*policy.Fleet, error) {
	s, err := r.open(name)
	if err != nil {
		return nil, err
	}
	return policy.NewFleet(s)
}

// compare what was played before again with schedules and bounds.
func (r *request) compare(name string, was *contest.Result) error {
	if was == nil {
		return nil
	}
	f, err := r.fleet(name)
	if err != nil {
		return err
	}
	was.Compare()
	return was.BoundBelow(f)
}

func (r *request) hold(name, pictures string, o contest.Options) (*contest.Result, error) {
	f, err := r.fleet(name)
	if err != nil {
		return nil, err
	}
	var entries []*policy.Entry
	for _, e := range policy.For(f.Scenario) {
		if r.policies.chosen(e.Name) {
			entries = append(entries, &e)
		}
	}
	result, err := contest.Hold(f, entries, o)
	if err != nil {
		return nil, err
	}
	if r.policies.chosen(policy.NameInferno) {
		err = contest.DrawSeries(filepath.Join(pictures, name+"-series.svg"), f, result.Outcomes)
	}
	return result, err
}
