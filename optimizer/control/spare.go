package control

import (
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// spare is the ledger of what a solution leaves.
type spare struct {
	problem  *solver.Problem
	solution *solver.Solution
	stock    map[string]*placement.Stock
	// overdrawn are the cards by type that plans which are held take beyond what there is: they come before all that is added.
	overdrawn map[string]int
	// shared is what the solution leaves to the servers of shares; nil where there are none.
	shared *solver.Shared
}

func spareBeside(p *solver.Problem, s *solver.Solution, overdrawn map[string]int) *spare {
	return &spare{problem: p, solution: s, stock: p.Left(s), overdrawn: overdrawn, shared: p.Shared(s)}
}

// lacks are the cards by type that are missing for parts of a server that was put to the solver, which gives back what it has: on nodes those of the
// replicas that find no room. Nil where none is missing.
func (f *spare) lacks(w *considered, parts []sizing.Part) map[string]int {
	if choice := f.solution.Choices[w.choice]; choice.Candidate >= 0 && !f.problem.Unlimited {
		own := f.problem.Servers[w.choice].Candidates[choice.Candidate].Resized(choice.Replicas).Parts
		for _, p := range own {
			stock := f.stock[p.Type].Within(p.Scope).Together(p.Domain, p.Pods)
			stock.Add(p.UnitsPerPod(), -p.PodsOf(p.Replicas))
			defer stock.Add(p.UnitsPerPod(), p.PodsOf(p.Replicas))
		}
	}
	missing := map[string]int{}
	for _, p := range parts {
		kind := p.Accelerator.Type
		all, each := p.Pods(p.Replicas)
		stock, n := f.stock[kind].Within(w.Scopes[p.Accelerator.Name]).Together(p.Performance.Domain(), p.Performance.Pods()), all
		if stock.OnNodes() {
			n = stock.Room(each, all)
			missing[kind] += (all - n) * each
		} else if short := all*each - max(stock.Left(), 0); short > 0 {
			missing[kind] += short
		}
		stock.Add(each, n)
		defer stock.Add(each, -n)
	}
	for kind, n := range cards(parts) {
		if short := f.shared.Lacks(w.choice, kind, n); short > missing[kind] {
			missing[kind] = short
		}
	}
	for kind, n := range missing {
		if n == 0 {
			delete(missing, kind)
			continue
		}
		missing[kind] += f.beyond(kind, parts)
	}
	if len(missing) == 0 {
		return nil
	}
	return missing
}

// forbids names the bound of a server's share that forbids an option, whatever capacity there is; empty where none does.
func (f *spare) forbids(w *considered, o *option) string {
	if f.shared == nil {
		return ""
	}
	c := o.asked(w.Server)
	return f.shared.Forbids(w.choice, &c)
}

// beyond are the cards that others must have first: what is overdrawn, in whole replicas where a node must hold one.
func (f *spare) beyond(kind string, parts []sizing.Part) int {
	each := 1
	for _, p := range parts {
		if p.Accelerator.Type == kind {
			_, cards := p.Pods(1)
			each = max(each, cards)
		}
	}
	return (f.overdrawn[kind] + each - 1) / each * each
}
