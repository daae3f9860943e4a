// Command advice holds what inferno advise says against what it never sees. It plays each scenario of test/data/scenarios under somebody else's rule, has
// advise read what Prometheus would remember of that, and compares: what the laws predict with what was measured later, and the saving that is promised with
// the one that the closed loop then shows on the true engines. It prints a table as Markdown.
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

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
)

// histories are the scenarios and how their servers were run: as many replicas as the peak needs, or a HorizontalPodAutoscaler with the setting that a search
// found for the scenario (docs/evaluation.md), where one found any that serves.
var histories = []struct {
	name  string
	share float64 // of max-num-seqs
}{
	{"constant", 0.14}, {"ramp", 0.05}, {"flash-crowd", 0.14}, {"azure-hour", 0.1}, {"shapes", 0.05}, {"measured", 0.14}, {"wrong-priors", 0.07},
	{"wrong-priors-slow", 0.07}, {"lost-nodes", 0.14}, {"scarcity", 0.07}, {"fleet-day", 0.03}, {"day-2min", 0.03}, {"day-30s", 0.07}, {"day-8min", 0.02},
}

func main() {
	var known, chosen []string
	for _, h := range histories {
		known = append(known, h.name)
	}
	flag.Func("scenarios", "scenarios, separated by commas; all by default: "+strings.Join(known, ", "), func(value string) error {
		chosen = strings.Split(value, ",")
		for _, n := range chosen {
			if !slices.Contains(known, n) {
				return fmt.Errorf("%q is not known", n)
			}
		}
		return nil
	})
	data := flag.String("data", "test/data/scenarios", "folder of the scenarios")
	most := flag.Duration("most", 6*time.Hour, "longest stretch of a scenario, from its start")
	flag.Parse()
	if err := run(os.Stdout, *data, chosen, *most); err != nil {
		fmt.Fprintln(os.Stderr, "advice:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, data string, chosen []string, most time.Duration) error {
	fmt.Fprint(out, header)
	var faults []error
	for _, h := range histories {
		if len(chosen) > 0 && !slices.Contains(chosen, h.name) {
			continue
		}
		for _, share := range []float64{0, h.share} {
			began := time.Now()
			s, err := open(data, h.name)
			if err != nil {
				return err
			}
			s.Duration = min(s.Duration, most.Seconds())
			row, err := try(s, share)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", h.name, err))
				continue
			}
			fmt.Fprintln(out, row)
			fmt.Fprintf(os.Stderr, "%s: %s\n", h.name, time.Since(began).Round(time.Second))
		}
	}
	return errors.Join(faults...)
}

func open(data, name string) (*scenario.Scenario, error) {
	if slices.Contains(scenario.BuiltIn(), name) {
		return scenario.Open(name)
	}
	return scenario.Open(filepath.Join(data, name+".yaml"))
}
