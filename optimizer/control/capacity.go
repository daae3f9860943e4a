package control

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// capacity puts what there is, and what can be bought in time, into the problem.
func capacity(p *solver.Problem, snap *fleet.Snapshot, pools elastic) {
	c := &snap.Capacity
	for _, t := range c.Count {
		p.Capacity[t.Type] += t.Count
	}
	for _, n := range c.Nodes {
		p.Nodes = append(p.Nodes, solver.Node{Name: nodeName(n), Type: n.Type, Free: n.Free, Scopes: n.Scopes, Portions: n.Portions, Domains: n.Domains})
	}
	longest := snap.Policy.MaxDelaySeconds
	for _, e := range c.Elastic {
		none := p.Capacity[e.Type] == 0 && !slices.ContainsFunc(p.Nodes, func(n solver.Node) bool { return n.Type == e.Type })
		if none { // what is bought comes as nodes: replicas must fit on one, and on those of their scope
			p.Nodes = append(p.Nodes, solver.Node{Name: "none (" + e.Type + ")", Type: e.Type})
		}
		if (longest == 0 || e.DelaySeconds <= longest) && !pools.withheld(e.Name) {
			p.Elastic = append(p.Elastic, solver.Elastic{
				Name: e.Name, Type: e.Type, Cards: e.Cards, Limit: max(0, e.Limit-e.Arrived), Price: e.Price, Scopes: e.Scopes, Domains: e.NodeSelector,
			})
		}
	}
}

// bound the purchases of each pool by what all servers can use of its type, where no two replicas share a node: each purchase is a decision of the solver.
func bound(p *solver.Problem) {
	for i := range p.Elastic {
		e := &p.Elastic[i]
		most := 0
		for k := range p.Servers {
			most = min(most+uses(&p.Servers[k], e), e.Limit)
		}
		e.Limit = most
	}
}

// uses of purchases by a server: those that the candidate with the most replicas of the type would take, alone.
func uses(s *solver.Server, e *solver.Elastic) int {
	most := 0
	for _, c := range s.Candidates {
		n := 0
		for _, part := range c.Parts {
			if part.Type == e.Type && part.UnitsPerReplica > 0 && part.UnitsPerPod() <= e.Cards {
				n += part.PodsOf(part.Replicas)
			}
		}
		most = max(most, n)
	}
	return most
}

// nodeName is the solver's name of a node, to which nodes of several types are several nodes.
func nodeName(n jsonspec.NodeCapacity) string { return n.Name + " (" + n.Type + ")" }

// boughtNode is the solver's name of the k-th purchase from a pool.
func boughtNode(pool string, k int) string { return fmt.Sprintf("%s/%d", pool, k) }

// holder of cards that is not put to the solver: of their type, on the nodes of a scope, and in groups of so many pods, each within one domain by a label.
type holder struct {
	kind, scope, domain string
	group               int
}

// take reserves cards for pods, and returns how many of them there are not, or not together on a node. Groups have those of one domain where one has them all,
// the fullest.
func take(p *solver.Problem, h holder, replicas, cards int) (short int) {
	short = max(replicas*cards-p.Capacity[h.kind], 0)
	p.Capacity[h.kind] = max(p.Capacity[h.kind]-replicas*cards, 0)
	var all []int
	domains := map[string][]int{}
	onNodes := false
	for i, n := range p.Nodes {
		onNodes = onNodes || n.Type == h.kind
		if n.Type == h.kind && (h.scope == "" || slices.Contains(n.Scopes, h.scope)) {
			all = append(all, i)
			if name := n.Domains[h.domain]; name != "" {
				domains[name] = append(domains[name], i)
			}
		}
	}
	if !onNodes {
		return short
	}
	short = 0
	if h.domain != "" {
		for ; replicas >= h.group; replicas -= h.group {
			at, least := all, math.MaxInt
			for _, name := range slices.Sorted(maps.Keys(domains)) {
				places := 0
				for _, i := range domains[name] {
					places += p.Nodes[i].Free / max(cards, 1)
				}
				if places >= h.group && places < least {
					at, least = domains[name], places
				}
			}
			short += takeOn(p, at, h.scope, h.group, cards)
		}
	}
	return short + takeOn(p, all, h.scope, replicas, cards)
}

// takeOn reserves cards on some nodes.
func takeOn(p *solver.Problem, at []int, scope string, replicas, cards int) (short int) {
	free := make([]int, len(at))
	for k, i := range at {
		free[k] = p.Nodes[i].Free
	}
	short = placement.Take(free, replicas, cards)
	for k, i := range at {
		n := &p.Nodes[i]
		n.Portions = beside(n.Portions, scope, (n.Free-free[k]+cards-1)/max(cards, 1))
		n.Free = free[k]
	}
	return short
}

// beside says what portions of the resources of a node become beside replicas of a scope that have taken theirs. Where these take all, none finds any.
func beside(portions map[string][]float64, scope string, replicas int) map[string][]float64 {
	taken := portions[scope]
	if len(taken) == 0 || replicas == 0 {
		return portions
	}
	of := make(map[string][]float64, len(portions))
	for name, list := range portions {
		of[name] = slices.Clone(list)
		for i, share := range list {
			if share > 0 {
				of[name][i] = share / max(1-float64(replicas)*taken[i], math.SmallestNonzeroFloat64)
			}
		}
	}
	return of
}

// nodeTypes are the types of the nodes, given and bought, by the solver's names.
func nodeTypes(p *solver.Problem, s *solver.Solution) map[string]string {
	types := make(map[string]string, len(p.Nodes))
	for i, n := range s.Bought {
		for k := range n {
			types[boughtNode(p.Elastic[i].Name, k)] = p.Elastic[i].Type
		}
	}
	for _, n := range p.Nodes {
		types[n.Name] = n.Type
	}
	return types
}

// placements writes the solver's packing.
func placements(c *jsonspec.CapacityData, p *solver.Problem, s *solver.Solution) []jsonspec.NodePlacement {
	if len(s.Placement) == 0 {
		return nil
	}
	names := make(map[string]string, len(c.Nodes))
	for _, n := range c.Nodes {
		names[nodeName(n)] = n.Name
	}
	types := nodeTypes(p, s)
	list := make([]jsonspec.NodePlacement, len(s.Placement))
	for i, at := range s.Placement {
		name, given := names[at.Node]
		if !given {
			name = at.Node
		}
		list[i] = jsonspec.NodePlacement{Node: name, Type: types[at.Node], CardsPerReplica: at.UnitsPerReplica, Replicas: at.Replicas, Scope: at.Scope, TopologyKey: at.Domain, PodsPerReplica: at.Group}
	}
	return list
}

// purchases writes what the solver bought, in the order of the pools, and remembers since when plans count on it.
func purchases(c *jsonspec.CapacityData, p *solver.Problem, s *solver.Solution, pools elastic, now float64) []jsonspec.Purchase {
	given := make(map[string]*jsonspec.ElasticCapacity, len(c.Elastic))
	for i := range c.Elastic {
		given[c.Elastic[i].Name] = &c.Elastic[i]
	}
	var list []jsonspec.Purchase
	for i, n := range s.Bought {
		e := p.Elastic[i]
		pools.order(e.Name, n, now)
		if n == 0 {
			continue
		}
		b := jsonspec.Purchase{Pool: e.Name, Type: e.Type, Count: n, Cards: n * e.Cards, Cost: float64(n) * e.Price, DelaySeconds: given[e.Name].DelaySeconds}
		if now > 0 {
			first := pools[e.Name].Orders[0].Since
			b.Since, b.Deadline = timeOf(first), timeOf(first+given[e.Name].Deadline())
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b jsonspec.Purchase) int { return strings.Compare(a.Pool, b.Pool) })
	return list
}
