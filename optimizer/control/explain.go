package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// cheapest is the option that stands for another way to serve a server in its explanation: the cheapest by what it costs, of those that serve it
// in full, the first of equals by name. Nil where there is none.
func (w *considered) cheapest() *option {
	var best *option
	for i := range w.options {
		if o := &w.options[i]; !o.short && (best == nil || compareCosts(o, best) < 0) {
			best = o
		}
	}
	return best
}

func compareCosts(a, b *option) int {
	return cmp.Or(cmp.Compare(a.cost, b.cost), strings.Compare(a.candidate.ID(), b.candidate.ID()))
}

// why says in one line why the option was chosen over the others. Each of its sentences follows from numbers of the explanation.
func (b *basis) why(w *considered, o *option, choice solver.Choice) string {
	if len(o.parts) == 0 {
		return "no load and no least number of replicas: scaled to zero"
	}
	parts := o.parts
	if choice.BestEffort {
		if o.candidate.Apart() {
			return fmt.Sprintf("%s of %s needed: best effort, in the ratio of the roles", sizing.Describe(o.candidate.Resize(choice.Replicas, nil, "")), sizing.Describe(parts))
		}
		return fmt.Sprintf("%d × %s of %d needed: best effort", choice.Replicas, o.candidate.ID(), o.replicas())
	}
	why := sizing.Describe(parts)
	least := w.cheapest()
	if least == nil || least.candidate == o.candidate {
		why += fmt.Sprintf(" is the cheapest of %d that meet the targets", len(w.sizing.Feasible))
	} else {
		why += fmt.Sprintf(" costs %.2f; %s would cost %.2f, but %s", o.cost, sizing.Describe(least.parts), least.cost, b.against(w, least, o))
	}
	if o.note != "" {
		why += " (" + o.note + ")"
	}
	if n := o.candidate.Renewing; n > 0 {
		why += fmt.Sprintf("; %d of them until all have its limits", n)
	}
	if g := o.candidate.Guarded; g > 0 {
		why += fmt.Sprintf("; predictions on %s do not hold, so at least %d by saturation", o.candidate.ID(), g)
	}
	return why
}

// against is what speaks against a cheaper option than the one that was chosen.
func (b *basis) against(w *considered, cheaper, chosen *option) string {
	if cheaper.value() >= chosen.value() {
		return fmt.Sprintf("counts %.2f instead of %.2f: %s", cheaper.value(), chosen.value(), penalties(cheaper))
	}
	if bound := b.spare.forbids(w, cheaper); bound != "" {
		return bound
	}
	if missing := b.spare.lacks(w, cheaper.parts); missing != nil && !b.problem.Unlimited {
		return "lacks " + words(missing)
	}
	return "the solver, which is not exact or stopped within its gap, passed it over"
}

// penalties of an option for people.
func penalties(o *option) string {
	list := make([]string, len(o.penalties))
	for i, p := range o.penalties {
		list[i] = fmt.Sprintf("%s (%+.2f)", p.Reason, p.Cents)
	}
	return strings.Join(list, ", ")
}

// words for cards by type, such as "4 × A100 and 2 × L4".
func words(cards map[string]int) string {
	var list []string
	for _, t := range slices.Sorted(maps.Keys(cards)) {
		list = append(list, fmt.Sprintf("%d × %s", cards[t], t))
	}
	return strings.Join(list, " and ")
}

// Explain says why a server got what it got. A name that no server has is an error that lists the known ones. A decision that was read from
// a record knows no server.
func (d *Decision) Explain(server string) (*jsonspec.Explanation, error) {
	b := &d.basis
	i, known := b.index[server]
	if !known {
		return nil, fmt.Errorf("server %q does not exist, known are %s", server, names(b.index))
	}
	w := &b.servers[i]
	e := &jsonspec.Explanation{Server: server, Summary: d.Verdicts[server].Message, Candidates: []jsonspec.ExplainedCandidate{}}
	if w.choice >= 0 {
		if err := b.explainOptions(e, w); err != nil {
			return nil, err
		}
	}
	for _, c := range w.sizing.Candidates {
		if slices.ContainsFunc(w.options, func(o option) bool { return o.candidate == c }) {
			continue
		}
		x := explained(c.ID(), c.Parts, sizing.Cost(c.Parts))
		if x.Value = x.Cost; c.Fault != nil {
			x.Why = c.Fault.Error()
		}
		e.Candidates = append(e.Candidates, x)
	}
	return e, nil
}

// explainOptions adds what the solver had to choose from, in the order of its worth under scarcity.
func (b *basis) explainOptions(e *jsonspec.Explanation, w *considered) error {
	why, err := solver.Explain(b.problem, b.solution, w.choice)
	if err != nil {
		return err
	}
	e.Binding = why.Binding
	for _, s := range why.Options {
		o := &w.options[s.Candidate]
		x := explained(o.candidate.ID(), o.parts, o.cost)
		x.Feasible, x.Chosen, x.Scarcity, x.Why, x.Value = true, s.Chosen, s.Scarcity, s.Why, o.value()
		for _, p := range o.penalties {
			x.Penalties = append(x.Penalties, jsonspec.Penalty{Cents: p.Cents, Reason: p.Reason, Lifted: p.Lifted})
		}
		if o.short || o.candidate.Fault != nil {
			x.Feasible = false
		}
		if fault := o.candidate.Fault; fault != nil && !o.short { // else the note says it
			x.Why += "; " + fault.Error()
		}
		if o.note != "" {
			x.Why += " (" + o.note + ")"
		}
		if x.Share = b.spare.forbids(w, o); x.Share == "" && !b.problem.Unlimited {
			x.Lacks = b.spare.lacks(w, o.parts)
		}
		e.Candidates = append(e.Candidates, x)
	}
	return nil
}

func explained(id string, parts []sizing.Part, cost float64) jsonspec.ExplainedCandidate {
	return jsonspec.ExplainedCandidate{Accelerator: id, RunsOn: sizing.Describe(parts), Replicas: sizing.Count(parts), Cost: cost, Cards: cards(parts)}
}

// shownLacks is the number of ways to serve it that an unserved server is told.
//
// Tuned: ways; guard against a status that is too long to read
const shownLacks = 3

// lacks are the ways to serve a server that miss the fewest cards of what the others leave. Those whose cards would go to others first, those
// that its share may not have, and those that are worth less than leaving it out, serve it with no number of them.
func (b *basis) lacks(w *considered, first map[int]map[string]bool) []jsonspec.Lack {
	var list []jsonspec.Lack
	for i := range w.options {
		o := &w.options[i]
		if o.candidate.Fault != nil || o.short || b.problem.WeightedSum && o.value() > b.problem.Servers[w.choice].Penalty {
			continue
		}
		if b.spare.forbids(w, o) != "" {
			continue
		}
		missing := b.spare.lacks(w, o.parts)
		taken := false
		for priority, types := range first {
			for kind := range missing {
				taken = taken || priority < w.priority() && types[kind]
			}
		}
		if missing != nil && !taken {
			list = append(list, jsonspec.Lack{Accelerator: o.candidate.ID(), Cards: missing})
		}
	}
	slices.SortStableFunc(list, func(a, b jsonspec.Lack) int {
		return cmp.Or(cmp.Compare(total(a.Cards), total(b.Cards)), strings.Compare(a.Accelerator, b.Accelerator))
	})
	list = slices.CompactFunc(list, func(a, b jsonspec.Lack) bool { return a.Accelerator == b.Accelerator })
	return list[:min(len(list), shownLacks)]
}

// first are, by priority, the types whose cards, if there were more, might go to servers of that priority first: those that have fewer than they need,
// whose best effort comes before the service of lower priorities unless it is delayed, and those that are served for more than they would be with
// them.
func (b *basis) first() map[int]map[string]bool {
	p := b.problem
	by := map[int]map[string]bool{}
	if p.WeightedSum || p.DelayedBestEffort || p.SaturationPolicy == "" || p.SaturationPolicy == jsonspec.SaturationNone {
		return by
	}
	for i := range b.servers {
		w := &b.servers[i]
		if w.choice < 0 {
			continue
		}
		if by[w.priority()] == nil {
			by[w.priority()] = map[string]bool{}
		}
		o, choice := b.got(w)
		served := o != nil && !choice.BestEffort
		for k := range w.options {
			if x := &w.options[k]; !served || x.value() < o.value() {
				for _, part := range x.parts {
					by[w.priority()][part.Accelerator.Type] = true
				}
			}
		}
	}
	return by
}

func total(cards map[string]int) int {
	n := 0
	for _, k := range cards {
		n += k
	}
	return n
}

// explainUnserved says for every unserved server what capacity would serve it.
func (b *basis) explainUnserved(list []jsonspec.Unserved) {
	first := b.first()
	for i := range list {
		if w := &b.servers[b.index[list[i].Server]]; w.choice >= 0 {
			list[i].Lacks = b.lacks(w, first)
		}
	}
}
