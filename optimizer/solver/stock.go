package solver

import "github.com/llm-inferno/inferno/optimizer/placement"

// Left is the ledger of what a solution leaves of what there is and was bought, by type: who wants to know what fits beside it asks there. Every plan
// leaves all of a problem that is unlimited.
func (p *Problem) Left(s *Solution) map[string]*placement.Stock {
	return p.after(s).stock
}

// after is a draft in which a solution is made.
func (p *Problem) after(s *Solution) *draft {
	d := newDraft(p)
	d.owe(s.Due)
	for i, n := range s.Bought {
		d.buy(i, n)
	}
	for i, c := range s.Choices {
		if c.Candidate >= 0 {
			d.give(i, c.Candidate, c.Replicas)
		}
	}
	return d
}

// stocks are those of a problem, by type. A type that nodes are given of is counted by its nodes, whatever the capacity says.
func stocks(p *Problem) map[string]*placement.Stock {
	all, nodes := make(map[string]*placement.Stock, len(p.Capacity)), map[string][]placement.Node{}
	for t, n := range p.Capacity {
		all[t] = placement.NewStock(n)
	}
	for _, n := range p.Nodes {
		nodes[n.Type] = append(nodes[n.Type], placement.Node{Free: n.Free, Scopes: n.Scopes, Portions: n.Portions, Domains: n.Domains})
	}
	for t, list := range nodes {
		all[t] = placement.NewStockOn(list...)
	}
	return all
}
