package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// between puts text between the marks of a section of the document; the tables of the scenarios are in that without a name.
func between(document, section, text string) error {
	by := "make evaluate"
	if section != "" {
		by = "go run ./test/evaluate -" + section
	}
	begin, end := "<!-- written by "+by+": begin -->", "<!-- written by "+by+": end -->"
	old, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(old), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: lacks the lines %q and %q", document, begin, end)
	}
	return os.WriteFile(document, []byte(head+begin+"\n\n"+text+end+tail), 0o644)
}

// writeTables puts the tables of the scenarios into the document.
func writeTables(document string, all results) error {
	var b strings.Builder
	summary(&b, all)
	for _, c := range contests {
		if r := all[c.name]; r != nil {
			table(&b, filepath.Base(strings.TrimSuffix(document, ".md")), c.name, r.Outcomes)
		}
	}
	return between(document, "", b.String())
}

// summary compares inferno with the cheapest of the others that serve at least as much.
func summary(b *strings.Builder, all results) {
	b.WriteString("| scenario | inferno: both targets | cost ¢/h | ÷ oracle | ÷ bound | with the budget fixed | cheapest other that serves as much as inferno | its cost | inferno's against it |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range contests {
		ours, fixed := find(all[c.name], policy.NameInferno, false), find(all[c.name], policy.NameInfernoFixed, false)
		if ours == nil || fixed == nil {
			continue
		}
		var rival *contest.Outcome
		for _, o := range all[c.name].Outcomes {
			if !o.Ours() && o.Served >= ours.Served && (rival == nil || o.CostPerHour < rival.CostPerHour) {
				rival = o
			}
		}
		other, cost, saved := "none", "", ""
		if rival != nil {
			other = fmt.Sprintf("%s %s (%.2f %%)", rival.Policy, kind(rival), 100*rival.Served)
			cost, saved = fmt.Sprintf("%.0f", rival.CostPerHour), fmt.Sprintf("%+.0f %%", 100*(ours.CostPerHour/rival.CostPerHour-1))
		}
		fmt.Fprintf(b, "| [%s](#%s) | %.2f %% | %.0f | %s | %s | %.2f %% at %.0f | %s | %s | %s |\n", c.name, c.name, 100*ours.Served, ours.CostPerHour, oracle(ours), bound(ours), 100*fixed.Served, fixed.CostPerHour, other, cost, saved)
	}
	b.WriteString("\n")
}

// bound is the cost over what no schedule can cost less than.
func bound(o *contest.Outcome) string {
	if o.Bound == nil || !(*o.Bound > 0) {
		return "–"
	}
	return fmt.Sprintf("%.2f", o.CostPerHour / *o.Bound)
}

func oracle(o *contest.Outcome) string {
	if o.ToOracle == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", *o.ToOracle)
}

func table(b *strings.Builder, pictures, name string, outcomes []*contest.Outcome) {
	fmt.Fprintf(b, "### %s\n\n%d requests. ![cost and misses](%s/%s-cost.svg) ![load, cost and misses over time](%s/%s-series.svg)\n\n", name, outcomes[0].Requests, pictures, name, pictures, name)
	b.WriteString("| policy | both targets % | TTFT % | ITL % | windows % | by class % | cost ¢/h | ÷ oracle | ÷ bound | hours | peak | changes | reversals | follows after s | late | dropped |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, o := range outcomes {
		label := o.Policy
		if o.Settings != "" {
			label += " (" + o.Settings + ")"
		}
		follow := "–"
		if o.Follow != nil {
			follow = fmt.Sprintf("%.0f", *o.Follow)
		}
		fmt.Fprintf(b, "| %s | %.2f | %.2f | %.2f | %.1f | %s | %.0f | %s | %s | %s | %d | %d | %d | %s | %d | %d |\n", label, 100*o.Served, 100*o.TTFT, 100*o.ITL, 100*o.Windows,
			contest.Words(o.Classes, 100, "%.2f"), o.CostPerHour, oracle(o), bound(o), contest.Words(o.Hours, 1, "%.0f"), o.Peak, o.Changes, o.Reversals, follow, o.TimedOut, o.Dropped+o.Unfinished)
	}
	b.WriteString("\n")
}
