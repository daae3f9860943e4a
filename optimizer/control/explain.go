package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// basis is what a decision was made from, kept so that it can be explained.
type basis struct {
	problem  *solver.Problem
	solution *solver.Solution
	work     map[string]*work
	// solved are the indices of the servers that were put to the solver.
	solved map[string]int
	// types of nodes, given and bought, by the solver's names.
	types map[string]string
}

func newBasis(list []*work, p *solver.Problem, s *solver.Solution) basis {
	b := basis{problem: p, solution: s, work: make(map[string]*work, len(list)), solved: make(map[string]int, len(p.Servers)), types: nodeTypes(p, s)}
	for _, w := range list {
		b.work[w.entry.Name] = w
	}
	for i := range p.Servers {
		b.solved[p.Servers[i].Name] = i
	}
	return b
}

// Explain says why a server got what it got. A name that no server has is an error that lists the known ones. A decision that was read from
// a record knows no server.
func (d *Decision) Explain(server string) (*v1alpha1.Explanation, error) {
	w := d.basis.work[server]
	if w == nil {
		return nil, fmt.Errorf("server %q does not exist, known are %s", server, names(d.basis.work))
	}
	e := &v1alpha1.Explanation{Server: server, Summary: d.Verdicts[server].Message, Candidates: []v1alpha1.ExplainedCandidate{}}
	if i, ok := d.basis.solved[server]; ok {
		if err := d.basis.explainOptions(e, w, i); err != nil {
			return nil, err
		}
	}
	for _, c := range w.candidates {
		if slices.ContainsFunc(w.options, func(o stability.Option) bool { return w.feasible[o.Of] == c }) {
			continue
		}
		x := explained(&c.Candidate)
		if c.fault != nil {
			x.Why = c.fault.Error()
		}
		e.Candidates = append(e.Candidates, x)
	}
	return e, nil
}

// explainOptions adds what the solver had to choose from, in its order.
func (b *basis) explainOptions(e *v1alpha1.Explanation, w *work, server int) error {
	why, err := solver.Explain(b.problem, b.solution, server)
	if err != nil {
		return err
	}
	e.Binding = why.Binding
	choice := b.solution.Choices[server]
	var free *spare
	if choice.Candidate < 0 || choice.BestEffort {
		free = b.spare(server)
	}
	for _, o := range why.Options {
		option := &w.options[o.Candidate]
		x := explained(&option.Candidate)
		x.Feasible, x.Chosen, x.Scarcity, x.Why = true, o.Chosen, o.Scarcity, o.Why
		if c := w.feasible[option.Of]; c.fault != nil {
			x.Feasible = false
			x.Why += "; " + c.fault.Error()
		}
		if option.Note != "" {
			x.Why += " (" + option.Note + ")"
		}
		if free != nil {
			x.Lacks = free.lacks(&option.Candidate)
		}
		e.Candidates = append(e.Candidates, x)
	}
	return nil
}

func explained(c *solver.Candidate) v1alpha1.ExplainedCandidate {
	x := v1alpha1.ExplainedCandidate{Accelerator: c.ID, RunsOn: runsOn(c, c.Replicas()), Replicas: c.Replicas(), Cost: c.Cost, Value: c.Value}
	for _, p := range partsOf(c) {
		if x.Cards == nil {
			x.Cards = map[string]int{}
		}
		x.Cards[p.Type] += p.Replicas * p.UnitsPerReplica
	}
	return x
}

// partsOf are what a candidate runs on; none where it has no replicas.
func partsOf(c *solver.Candidate) []solver.Part {
	if c.Replicas() == 0 {
		return nil
	}
	return c.Parts
}

// shownLacks is the number of ways to serve it that an unserved server is told.
const shownLacks = 3

// lacks are the ways to serve a server that miss the fewest cards of what the others leave.
func (b *basis) lacks(w *work, others *spare) []v1alpha1.Lack {
	var list []v1alpha1.Lack
	for i := range w.options {
		if c := &w.options[i].Candidate; w.feasible[w.options[i].Of].fault == nil {
			if cards := others.lacks(c); cards != nil {
				list = append(list, v1alpha1.Lack{Accelerator: c.ID, Cards: cards})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b v1alpha1.Lack) int {
		return cmp.Or(cmp.Compare(total(a.Cards), total(b.Cards)), strings.Compare(a.Accelerator, b.Accelerator))
	})
	list = slices.CompactFunc(list, func(a, b v1alpha1.Lack) bool { return a.Accelerator == b.Accelerator })
	return list[:min(len(list), shownLacks)]
}

func total(cards map[string]int) int {
	n := 0
	for _, k := range cards {
		n += k
	}
	return n
}

// explainUnserved says for every unserved server what capacity would serve it.
func (b *basis) explainUnserved(list []v1alpha1.Unserved) {
	var idle *spare // what all leave, for servers that have nothing
	for i := range list {
		server, solved := b.solved[list[i].Server]
		if !solved {
			continue
		}
		others := idle
		if b.solution.Choices[server].Candidate >= 0 {
			others = b.spare(server)
		} else if idle == nil {
			idle = b.spare(server)
			others = idle
		}
		list[i].Lacks = b.lacks(b.work[list[i].Server], others)
	}
}

// spare is what all servers but one leave: cards by type, or by node where the type's nodes are known.
type spare struct {
	cards map[string]int
	nodes map[string][]int
}

// spare of a solution without what the server has. Bought cards count, and bought nodes.
func (b *basis) spare(server int) *spare {
	f := &spare{cards: maps.Clone(b.problem.Capacity), nodes: map[string][]int{}}
	if f.cards == nil {
		f.cards = map[string]int{}
	}
	type size struct {
		kind  string
		cards int
	}
	own := map[size]int{} // replicas of the server that are among the placed
	if choice := b.solution.Choices[server]; choice.Candidate >= 0 {
		for _, p := range b.problem.Servers[server].Candidates[choice.Candidate].Resized(choice.Replicas).Parts {
			own[size{p.Type, p.UnitsPerReplica}] += p.Replicas
		}
	}
	used := map[string]int{} // by node
	for _, p := range b.solution.Placement {
		z := size{b.types[p.Node], p.UnitsPerReplica}
		mine := min(p.Replicas, own[z])
		own[z] -= mine
		used[p.Node] += (p.Replicas - mine) * p.UnitsPerReplica
	}
	for _, n := range b.problem.Nodes {
		f.nodes[n.Type] = append(f.nodes[n.Type], n.Free-used[n.Name])
	}
	for i, n := range b.solution.Bought {
		e := &b.problem.Elastic[i]
		for k := range n {
			if f.nodes[e.Type] != nil {
				f.nodes[e.Type] = append(f.nodes[e.Type], e.Cards-used[boughtNode(e.Name, k)])
			}
		}
		f.cards[e.Type] += n * e.Cards
	}
	for i, ch := range b.solution.Choices {
		if i == server || ch.Candidate < 0 {
			continue
		}
		for _, p := range b.problem.Servers[i].Candidates[ch.Candidate].Resized(ch.Replicas).Parts {
			f.cards[p.Type] -= p.Replicas * p.UnitsPerReplica
		}
	}
	return f
}

// lacks are the cards by type that are missing for a candidate.
func (f *spare) lacks(c *solver.Candidate) map[string]int {
	var missing map[string]int
	for _, p := range partsOf(c) {
		n := p.Replicas*p.UnitsPerReplica - f.cards[p.Type]
		if free, onNodes := f.nodes[p.Type]; onNodes {
			room := 0
			for _, cards := range free {
				room += max(cards, 0) / p.UnitsPerReplica
			}
			n = (p.Replicas - room) * p.UnitsPerReplica
		}
		if n > 0 {
			if missing == nil {
				missing = map[string]int{}
			}
			missing[p.Type] += n
		}
	}
	return missing
}
