package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
)

// results by scenario.
type results map[string]*contest.Result

func readResults(file string) (results, error) {
	all := results{}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	return all, json.Unmarshal(data, &all)
}

func (r results) write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(data, '\n'), 0o644))
}

// find the outcome of a policy with its defaults or tuned; nil where it was not played.
func find(r *contest.Result, name string, tuned bool) *contest.Outcome {
	if r == nil {
		return nil
	}
	i := slices.IndexFunc(r.Outcomes, func(o *contest.Outcome) bool { return o.Policy == name && o.Tuned() == tuned })
	if i < 0 {
		return nil
	}
	return r.Outcomes[i]
}

// merge what was played now with what was played before and not again, in the order of the policies: with their defaults first, then tuned.
func merge(before, now *contest.Result) *contest.Result {
	all := &contest.Result{Schedules: now.Schedules}
	for _, tuned := range []bool{false, true} {
		for _, e := range policy.Entries() {
			for _, r := range []*contest.Result{now, before} {
				if o := find(r, e.Name, tuned); o != nil {
					all.Outcomes = append(all.Outcomes, o)
					break
				}
			}
		}
	}
	if len(all.Schedules) == 0 && before != nil {
		all.Schedules = before.Schedules
	}
	all.Compare()
	return all
}

// changes prints what differs from the results of before by more than rounding.
func changes(out io.Writer, before, now *contest.Result) {
	for _, o := range now.Outcomes {
		name := strings.TrimSpace(o.Policy + " " + kind(o))
		switch old := find(before, o.Policy, o.Tuned()); {
		case old == nil:
			fmt.Fprintf(out, "  %s: new, %.2f %% at %.0f ¢/h\n", name, 100*o.Served, o.CostPerHour)
		case math.Abs(o.Served-old.Served) > 5e-5 || math.Abs(o.CostPerHour-old.CostPerHour) > 0.5:
			fmt.Fprintf(out, "  %s: %.2f → %.2f %% at %.0f → %.0f ¢/h\n", name, 100*old.Served, 100*o.Served, old.CostPerHour, o.CostPerHour)
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
