package conformance

import (
	"fmt"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// use is what a share uses, or is due: cards by type, and cost.
type use struct {
	cards       map[string]int
	cost, watts float64
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
		if n := total(c); n > 0 && !(c.Ratio && choice.Replicas < n) {
			part.Cost *= float64(choice.Replicas) / float64(n)
		} else if n > 0 {
			part.Cost = 0
			for _, x := range part.Parts {
				part.Cost += float64(x.Replicas) * x.Cost
			}
		}
		of := u[p.Servers[i].Share]
		for _, x := range part.Parts {
			of.cards[x.Type] += x.Replicas * x.UnitsPerReplica
			of.watts += float64(x.Replicas) * x.Watts
		}
		of.cost += part.Cost
	}
	return u
}

// row counts the places for replicas of so many cards of a type on the nodes of a scope, empty for all of them; where the type has no nodes, cards.
type row struct {
	kind, scope string
	cards       int
}

// rows are those of a problem, with the places that there are of each after some purchases: of each type, for each size and scope that a candidate has.
func rows(p *solver.Problem, bought []int) map[row]int {
	places := map[row]int{}
	for t, n := range p.Capacity {
		places[row{t, "", 1}] = n
	}
	onNodes := map[string]bool{}
	for _, n := range p.Nodes {
		onNodes[n.Type] = true
		places[row{n.Type, "", 1}] = 0
	}
	for _, s := range p.Servers {
		for _, c := range s.Candidates {
			for _, x := range c.Parts {
				if onNodes[x.Type] && x.Replicas > 0 {
					for _, scope := range []string{"", x.Scope} {
						places[row{x.Type, scope, 1}], places[row{x.Type, scope, sizeOf(x).cards}] = 0, 0
					}
				}
			}
		}
	}
	for r := range places {
		for _, n := range p.Nodes {
			if n.Type == r.kind && (r.scope == "" || slices.Contains(n.Scopes, r.scope)) {
				places[r] += n.Free / r.cards
			}
		}
		for i, n := range bought {
			if e := p.Elastic[i]; e.Type == r.kind && (r.scope == "" || slices.Contains(e.Scopes, r.scope)) {
				places[r] += n * (e.Cards / r.cards)
			}
		}
	}
	return places
}

// takes is how many places of a row the choices of a share's servers stand for: of a scope, those of replicas that can be on no other nodes, whatever is bought.
func takes(p *solver.Problem, r row, share string, choices []solver.Choice) int {
	sum := 0
	for i, choice := range choices {
		if choice.Candidate < 0 || p.Servers[i].Share != share {
			continue
		}
		for _, x := range parts(p.Servers[i].Candidates[choice.Candidate], choice.Replicas) {
			if x.Type == r.kind && inside(p, x.Type, x.Scope, r.scope) {
				sum += pods(x) * (sizeOf(x).cards / r.cards)
			}
		}
	}
	return sum
}

// inside says whether all nodes of a scope are of another one, those that may be bought included. All nodes are inside no scope but themselves, and a scope
// that no node has inside no other.
func inside(p *solver.Problem, kind, scope, other string) bool {
	if other == "" || scope == other {
		return true
	}
	some := false
	for _, n := range p.Nodes {
		if n.Type == kind && slices.Contains(n.Scopes, scope) {
			if some = true; !slices.Contains(n.Scopes, other) {
				return false
			}
		}
	}
	return some && !slices.ContainsFunc(p.Elastic, func(e solver.Elastic) bool {
		return e.Type == kind && slices.Contains(e.Scopes, scope) && !slices.Contains(e.Scopes, other)
	})
}

// dues are what shares are due: of each row, and of the cards of a type that a cohort has.
type dues struct {
	of     map[row]map[string]int
	within map[string]map[string]map[string]int // by cohort, type and share
}

// owed is what each share is due: what its servers take in the plan of what they are due, and of all cards what is kept for it, as far as that is there.
func owed(p *solver.Problem, due []solver.Choice) dues {
	all := dues{of: map[row]map[string]int{}, within: map[string]map[string]map[string]int{}}
	keep := func(kind string, owed map[string]int, places int) {
		for _, n := range owed {
			places -= n
		}
		for _, s := range p.Shares {
			if n, member := owed[s.Name]; member {
				more := max(0, min(s.Kept[kind]-n, places))
				owed[s.Name] += more
				places -= more
			}
		}
	}
	for r, places := range rows(p, nil) {
		all.of[r] = map[string]int{}
		for _, s := range p.Shares {
			all.of[r][s.Name] = takes(p, r, s.Name, due)
		}
		if r.cards == 1 && r.scope == "" {
			keep(r.kind, all.of[r], places)
		}
	}
	cards := taken(p, due)
	for _, c := range p.Cohorts {
		all.within[c.Name] = map[string]map[string]int{}
		for t, most := range c.Most {
			all.within[c.Name][t] = map[string]int{}
			for _, name := range c.Shares {
				all.within[c.Name][t][name] = cards[name].cards[t]
			}
			keep(t, all.within[c.Name][t], most)
		}
	}
	return all
}

// faults of shares in a plan, where they are owed so much.
func faults(p *solver.Problem, choices []solver.Choice, bought []int, owed dues) []error {
	var faults []error
	used := taken(p, choices)
	for _, s := range p.Shares {
		for t, most := range s.Most {
			if n := used[s.Name].cards[t]; n > most {
				faults = append(faults, fmt.Errorf("share %s has %d × %s, may have %d", s.Name, n, t, most))
			}
		}
		if s.MostCost != nil && used[s.Name].cost > *s.MostCost+1e-5 {
			faults = append(faults, fmt.Errorf("share %s costs %v, may cost %v", s.Name, used[s.Name].cost, *s.MostCost))
		}
		if s.MostPower != nil && used[s.Name].watts > *s.MostPower+1e-5 {
			faults = append(faults, fmt.Errorf("share %s draws %v W, may draw %v", s.Name, used[s.Name].watts, *s.MostPower))
		}
	}
	for _, c := range p.Cohorts {
		for t, most := range c.Most {
			n := 0
			for _, name := range c.Shares {
				n += max(used[name].cards[t], owed.within[c.Name][t][name])
			}
			if n > most {
				faults = append(faults, fmt.Errorf("cohort %s has %d × %s or they are due to its shares, may have %d", c.Name, n, t, most))
			}
		}
	}
	if p.Unlimited {
		return faults
	}
	for r, places := range rows(p, bought) {
		left := places - takes(p, r, "", choices)
		for _, s := range p.Shares {
			left -= max(takes(p, r, s.Name, choices), owed.of[r][s.Name])
		}
		if left < 0 {
			faults = append(faults, fmt.Errorf("%d places for %d × %s of scope %q are missing of what shares are due", -left, r.cards, r.kind, r.scope))
		}
	}
	return faults
}

// checkShares judges what shares have, and what they are said to be due: within their guarantees, and left to them.
func checkShares(p *solver.Problem, s *solver.Solution) []error {
	if len(p.Shares) == 0 {
		return nil
	}
	used, due := taken(p, s.Choices), newUses(p)
	if len(s.Due) > 0 {
		due = taken(p, s.Due)
	}
	faults := faults(p, s.Choices, s.Bought, owed(p, s.Due))
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
		if math.Abs(said.Power-used[share.Name].watts) > 1e-5 {
			faults = append(faults, fmt.Errorf("share %s draws %v W, said are %v", share.Name, used[share.Name].watts, said.Power))
		}
		for t, n := range used[share.Name].cards {
			if said.Used[t] != n || math.Abs(said.Cost-used[share.Name].cost) > 1e-5 {
				faults = append(faults, fmt.Errorf("share %s uses %d × %s for %v, said are %+v", share.Name, n, t, used[share.Name].cost, said))
			}
		}
	}
	return faults
}

// Alone is the problem of the servers of a share which may have no more than it is guaranteed. Nothing is bought.
func Alone(p *solver.Problem, share int) *solver.Problem {
	s := p.Shares[share]
	alone := *p
	alone.Servers, alone.Elastic = nil, nil
	for _, x := range p.Servers {
		if x.Share == s.Name {
			alone.Servers = append(alone.Servers, x)
		}
	}
	own := solver.Share{Name: s.Name, Most: map[string]int{}, MostCost: s.MostCost, MostPower: s.MostPower}
	for t, n := range cards(p) {
		if g, guaranteed := s.Guaranteed[t]; guaranteed || s.GuaranteedCost == nil {
			n = min(n, g)
		}
		if most, bounded := s.Most[t]; bounded {
			n = min(n, most)
		}
		for _, c := range p.Cohorts {
			if most, bounded := c.Most[t]; bounded && slices.Contains(c.Shares, s.Name) {
				n = min(n, most)
			}
		}
		own.Most[t] = n
	}
	if g := s.GuaranteedCost; g != nil && (own.MostCost == nil || *g < *own.MostCost) {
		own.MostCost = g
	}
	alone.Shares, alone.Cohorts = []solver.Share{own}, nil
	return &alone
}

// part are the choices of a share's servers, in the order of the problem of the share alone.
func part(p *solver.Problem, share string, choices []solver.Choice) []solver.Choice {
	var own []solver.Choice
	for i, c := range choices {
		if p.Servers[i].Share == share {
			own = append(own, c)
		}
	}
	return own
}

// DueIsBest says whether the servers of each share are due what their best plan within its guarantee alone gives them: all plans are tried. Where there is no
// room for the best plans of all shares together it need not be so.
func DueIsBest(p *solver.Problem, s *solver.Solution) bool {
	for n, share := range p.Shares {
		if len(share.Guaranteed) == 0 && len(share.Kept) == 0 && share.GuaranteedCost == nil {
			continue
		}
		alone := Alone(p, n)
		if Of(alone, &solver.Solution{Choices: part(p, share.Name, s.Due)}).Compare(BruteForce(alone)) != 0 {
			return false
		}
	}
	return true
}
