package loop

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const (
	// explained is the number of servers that are explained in a cycle: those whose plan or verdict changed, then others in turn.
	//
	// Tuned: servers; guard against a cycle that explains a large fleet to itself: each explanation weighs all that others got
	explained = 20
	// explanationLines is the number of ways, and of lines of each kind, that an explanation has.
	//
	// Tuned: lines; guard against a status that is too long to read
	explanationLines = 5
)

// explain some servers, by name: what changed is explained at once, and all of it is, sooner or later.
func (c *cycle) explain(r *observe.Readings, o *observe.Observation, d *control.Decision, report *specification.Decision) map[string]*v1alpha1.ServerExplanation {
	var names, others []string
	entries := o.Snapshot.System.Servers.Spec
	for k := range entries {
		name := entries[(k+int(c.report.Number)*explained)%len(entries)].Name
		s := &r.Resources.Servers[o.Index[name]]
		a := report.Plan.Allocations[name]
		if s.Status.Explanation == nil || s.Status.Desired == nil || !sameDecision(s.Status.Desired, specification.Desired(&a)) {
			names = append(names, name)
		} else {
			others = append(others, name)
		}
	}
	names = append(names, others...)
	all := map[string]*v1alpha1.ServerExplanation{}
	for _, name := range names[:min(len(names), explained)] {
		if e, err := d.Explain(name); err == nil {
			all[name] = shortly(e, o.Barred[name])
		}
	}
	return all
}

// shortly is an explanation in a few lines, for whoever has the server; nil where there is nothing to say, as of a plan that is held: an empty one would
// be written as null, which the API server refuses with all else of the status.
func shortly(e *jsonspec.Explanation, barred map[string]string) *v1alpha1.ServerExplanation {
	out := &v1alpha1.ServerExplanation{Binding: e.Binding[:min(len(e.Binding), explanationLines)]}
	candidates := slices.Clone(e.Candidates)
	rank := func(x *jsonspec.ExplainedCandidate) int {
		switch {
		case x.Chosen:
			return 0
		case x.Feasible:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(candidates, func(a, b jsonspec.ExplainedCandidate) int { return cmp.Compare(rank(&a), rank(&b)) })
	for i := range candidates[:min(len(candidates), explanationLines)] {
		x := &candidates[i]
		out.Ways = append(out.Ways, v1alpha1.Way{RunsOn: cmp.Or(x.RunsOn, x.Accelerator), CostPerHour: jsonspec.Digits(x.Cost), Taken: x.Chosen, Why: x.Why, Lift: lift(x)})
	}
	for _, a := range slices.Sorted(maps.Keys(barred))[:min(len(barred), explanationLines)] {
		out.Barred = append(out.Barred, a+": "+barred[a])
	}
	if len(out.Binding)+len(out.Ways)+len(out.Barred) == 0 {
		return nil
	}
	return out
}

// lift is what would let a way be taken: a larger bound of its share, cards that it lacks, else what would lift the largest of its penalties.
func lift(x *jsonspec.ExplainedCandidate) string {
	if x.Chosen {
		return ""
	}
	if x.Share != "" {
		return "a larger bound of " + x.Share
	}
	if len(x.Lacks) > 0 {
		var list []string
		for _, t := range slices.Sorted(maps.Keys(x.Lacks)) {
			list = append(list, fmt.Sprintf("%d × %s more", x.Lacks[t], t))
		}
		return strings.Join(list, " and ")
	}
	largest := jsonspec.Penalty{}
	for _, p := range x.Penalties {
		if p.Cents > largest.Cents {
			largest = p
		}
	}
	return largest.Lifted
}
