package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
)

// explainAll explains the servers in the order of the names; names that no server has are the error.
func explainAll(d *control.Decision, names []string) ([]jsonspec.Explanation, error) {
	var all []jsonspec.Explanation
	var faults []error
	for _, name := range names {
		e, err := d.Explain(name)
		if err != nil {
			faults = append(faults, fmt.Errorf("--explain: %w", err))
			continue
		}
		all = append(all, *e)
	}
	return all, errors.Join(faults...)
}

func printExplanations(out io.Writer, plan *jsonspec.Solution) error {
	for i := range plan.Explanations {
		if err := printExplanation(out, &plan.Explanations[i], plan.Solver.Prices); err != nil {
			return err
		}
	}
	return nil
}

func printExplanation(out io.Writer, e *jsonspec.Explanation, prices map[string]float64) error {
	fmt.Fprintf(out, "\n%s: %s\n", e.Server, e.Summary)
	if len(e.Binding) > 0 {
		shown := make([]string, len(e.Binding))
		for i, t := range e.Binding {
			shown[i] = fmt.Sprintf("%s (%.2f)", t, prices[t])
		}
		fmt.Fprintf(out, "  types that bind, with what a card more would save in ¢/h: %s\n", strings.Join(shown, ", "))
	}
	w := newTable(out)
	fmt.Fprintln(w, "  \tCANDIDATE\tCARDS\tCOST ¢/h\tVALUE ¢/h\tSCARCITY ¢/h\tWHY")
	for _, c := range e.Candidates {
		mark := " "
		if c.Chosen {
			mark = "*"
		}
		if c.Replicas == 0 {
			fmt.Fprintf(w, "  %s\t%s\t-\t-\t-\t-\t%s\n", mark, orDash(c.Accelerator), c.Why)
			continue
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%.2f\t%.2f\t%.2f\t%s\n", mark, c.RunsOn, cards(c.Cards), c.Cost, c.Value, c.Scarcity, c.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	served := slices.ContainsFunc(e.Candidates, func(c jsonspec.ExplainedCandidate) bool { return c.Chosen && len(c.Lacks) == 0 })
	for _, c := range e.Candidates {
		for _, p := range c.Penalties {
			fmt.Fprintf(out, "  %s: %+.2f ¢/h, %s; lifted by %s\n", c.RunsOn, p.Cents, p.Reason, p.Lifted)
		}
		if len(c.Lacks) > 0 && !served {
			fmt.Fprintf(out, "  %s more would serve it with %s\n", cards(c.Lacks), c.RunsOn)
		}
	}
	return nil
}

// cards by type for people, such as "8 A100 + 2 L4".
func cards(m map[string]int) string {
	words := make([]string, 0, len(m))
	for _, t := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%d %s", m[t], t))
	}
	return orDash(strings.Join(words, " + "))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
