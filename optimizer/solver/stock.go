package solver

import "github.com/llm-inferno/inferno/optimizer/placement"

// stocks are those of a problem, by type. A type that nodes are given of is counted by its nodes, whatever the capacity says.
func stocks(p *Problem) map[string]*placement.Stock {
	all, nodes := make(map[string]*placement.Stock, len(p.Capacity)), map[string][]int{}
	for t, n := range p.Capacity {
		all[t] = placement.NewStock(n)
	}
	for _, n := range p.Nodes {
		nodes[n.Type] = append(nodes[n.Type], n.Free)
	}
	for t, free := range nodes {
		all[t] = placement.NewStockOn(free...)
	}
	return all
}
