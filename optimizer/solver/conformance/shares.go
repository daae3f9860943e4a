package conformance

import (
	"fmt"
	"math"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// use is what a share uses, or is due: cards by type, and cost.
type use struct {
	cards map[string]int
	cost  float64
}

// uses by share; servers of none are under the empty name.
type uses map[string]*use

func newUses(p *solver.Problem) uses {
	u := uses{"": {cards: map[string]int{}}}
	for _, s := range p.Shares {
		u[s.Name] = &use{cards: map[string]int{}}
	}
	return u
}

// add a candidate of a server, or take it back where the sign is −1.
func (u uses) add(p *solver.Problem, server int, c solver.Candidate, sign int) {
	of := u[p.Servers[server].Share]
	for _, x := range c.Parts {
		of.cards[x.Type] += sign * x.Replicas * x.UnitsPerReplica
	}
	of.cost += float64(sign) * c.Cost
}

// taken by the choices of a solution.
func taken(p *solver.Problem, choices []solver.Choice) uses {
	u := newUses(p)
	for i, choice := range choices {
		if choice.Candidate < 0 {
			continue
		}
		c := p.Servers[i].Candidates[choice.Candidate]
		part := c
		part.Parts = parts(c, choice.Replicas)
		if n := total(c); n > 0 {
			part.Cost *= float64(choice.Replicas) / float64(n)
		}
		u.add(p, i, part, 1)
	}
	return u
}

// keep says whether the bounds of all shares are kept, and what each is due left to it by the others.
func (u uses) keep(p *solver.Problem, due uses) bool { return len(u.faults(p, due, cards(p))) == 0 }

// faults of shares, where there are so many cards.
func (u uses) faults(p *solver.Problem, due uses, have map[string]int) []error {
	var faults []error
	for _, s := range p.Shares {
		for t, most := range s.Most {
			if n := u[s.Name].cards[t]; n > most {
				faults = append(faults, fmt.Errorf("share %s has %d × %s, may have %d", s.Name, n, t, most))
			}
		}
		if s.MostCost != nil && u[s.Name].cost > *s.MostCost+1e-5 {
			faults = append(faults, fmt.Errorf("share %s costs %v, may cost %v", s.Name, u[s.Name].cost, *s.MostCost))
		}
	}
	if p.Unlimited {
		return faults
	}
	for t, n := range have {
		for name := range u {
			n -= max(u[name].cards[t], due[name].cards[t])
		}
		if n < 0 {
			faults = append(faults, fmt.Errorf("%d × %s are missing of what shares are due", -n, t))
		}
	}
	return faults
}

// checkShares judges what shares have, and what they are said to be due: within their guarantees, and left to them.
func checkShares(p *solver.Problem, s *solver.Solution, have map[string]int) []error {
	if len(p.Shares) == 0 {
		return nil
	}
	used, due := taken(p, s.Choices), newUses(p)
	if len(s.Due) > 0 {
		due = taken(p, s.Due)
	}
	faults := used.faults(p, due, have)
	for k, share := range p.Shares {
		for t, n := range due[share.Name].cards {
			if n > share.Guaranteed[t] && share.GuaranteedCost == nil {
				faults = append(faults, fmt.Errorf("share %s is due %d × %s, of %d guaranteed", share.Name, n, t, share.Guaranteed[t]))
			}
		}
		if c := share.GuaranteedCost; c != nil && due[share.Name].cost > *c+1e-5 {
			faults = append(faults, fmt.Errorf("share %s is due %v cents/h, of %v guaranteed", share.Name, due[share.Name].cost, *c))
		}
		said := s.Shares[k]
		for t, n := range used[share.Name].cards {
			if said.Used[t] != n || math.Abs(said.Cost-used[share.Name].cost) > 1e-5 {
				faults = append(faults, fmt.Errorf("share %s uses %d × %s for %v, said are %+v", share.Name, n, t, used[share.Name].cost, said))
			}
		}
	}
	return faults
}

// dues are what each share is due, by trying all plans of its servers within its guarantee. All must fit together.
func dues(p *solver.Problem) uses {
	due := newUses(p)
	if p.Unlimited {
		return due
	}
	for _, s := range p.Shares {
		alone := *p
		alone.Servers, alone.Shares, alone.Elastic, alone.Nodes = nil, nil, nil, nil
		alone.Capacity = map[string]int{}
		for _, x := range p.Servers {
			if x.Share == s.Name {
				alone.Servers = append(alone.Servers, x)
			}
		}
		for t, n := range cards(p) {
			most, bounded := s.Most[t]
			g, guaranteed := s.Guaranteed[t]
			if guaranteed || s.GuaranteedCost == nil {
				n = min(n, g)
			}
			if bounded {
				n = min(n, most)
			}
			alone.Capacity[t] = n
		}
		limit := math.Inf(1)
		for _, c := range []*float64{s.MostCost, s.GuaranteedCost} {
			if c != nil {
				limit = min(limit, *c)
			}
		}
		*due[s.Name] = best(&alone, limit)
		for t, kept := range s.Kept {
			due[s.Name].cards[t] = max(due[s.Name].cards[t], kept)
		}
	}
	return due
}

// best is what the best plan uses whose cost is at most the limit, by trying all.
func best(p *solver.Problem, limit float64) use {
	now, found := standing(p), standing(p)
	found.Value = math.Inf(1)
	for i := range found.Served {
		found.Served[i] = -1
	}
	of := use{cards: map[string]int{}}
	least := use{cards: map[string]int{}}
	var try func(i int)
	try = func(i int) {
		if i == len(p.Servers) {
			if now.Compare(found) < 0 {
				copy(found.Served, now.Served)
				found.Value = now.Value
				least = use{cards: map[string]int{}, cost: of.cost}
				for t, n := range of.cards {
					least.cards[t] = n
				}
			}
			return
		}
		s := p.Servers[i]
		for _, c := range s.Candidates {
			fits := of.cost+c.Cost <= limit+1e-9
			for _, x := range c.Parts {
				of.cards[x.Type] += x.Replicas * x.UnitsPerReplica
				fits = fits && of.cards[x.Type] <= p.Capacity[x.Type]
			}
			if fits {
				cost, value := of.cost, now.Value
				of.cost, now.Value = cost+c.Cost, value+c.Value
				now.add(s.Priority, max(1, s.Weight))
				try(i + 1)
				now.add(s.Priority, -max(1, s.Weight))
				of.cost, now.Value = cost, value
			}
			for _, x := range c.Parts {
				of.cards[x.Type] -= x.Replicas * x.UnitsPerReplica
			}
		}
		try(i + 1)
	}
	try(0)
	return least
}
