package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

func printDifference(out io.Writer, d *jsonspec.PlanDifference) error {
	if d == nil {
		return nil
	}
	fmt.Fprintf(out, "\nwhat if %s\n", strings.Join(d.Changes, "; "))
	fmt.Fprintf(out, "  total cost %.2f ¢/h (%+.2f); servers: %d more served, %d lost; %d allocations change\n",
		d.TotalCost, d.CostChange, len(d.Served), len(d.Lost), len(d.Changed))
	if len(d.Served) > 0 {
		fmt.Fprintf(out, "  served: %s\n", strings.Join(d.Served, ", "))
	}
	if len(d.Lost) > 0 {
		fmt.Fprintf(out, "  lost: %s\n", strings.Join(d.Lost, ", "))
	}
	if len(d.Changed) == 0 {
		return nil
	}
	w := newTable(out)
	fmt.Fprintln(w, "  SERVER\tBEFORE\tAFTER\tCOST ¢/h")
	for _, c := range d.Changed {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%+.2f\n", c.Server, placed(c.Before), placed(c.After), cost(c.After)-cost(c.Before))
	}
	return w.Flush()
}

func cost(a *jsonspec.Allocation) float64 {
	if a == nil {
		return 0
	}
	return a.Cost
}

// placed says what an allocation runs on, such as "3 × A100 + 2 × L4".
func placed(a *jsonspec.Allocation) string {
	if a == nil || a.NumReplicas == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d × %s", a.NumReplicas, a.On())
	if len(a.Parts) > 0 {
		words := make([]string, len(a.Parts))
		for i, p := range a.Parts {
			words[i] = fmt.Sprintf("%d × %s", p.Replicas, p.On())
		}
		text = strings.Join(words, " + ")
	}
	if a.BestEffort {
		text += " (best effort)"
	}
	return text
}
