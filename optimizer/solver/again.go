package solver

import (
	"cmp"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/branch"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

const (
	// againSets is the number of servers that are decided anew.
	//
	// Tuned: servers; measured by eight fleets of 50 to 5000 servers; at half: no difference; at twice: a gap of 0.003 % after 0.006 % where prices are
	// known
	againSets = 300
	// againReach is how many times the largest margin of these servers a candidate may cost more than the cheapest, at the prices.
	//
	// Tuned: 1; measured by eight fleets of 50 to 5000 servers; at half: no difference; at twice: a gap of 0.003 % after 0.006 % where prices are known
	againReach = 2
	// againWork is the effort for them, in units of work.
	//
	// Tuned: units of work; guard against an attempt that spends the work of the search after it: half and twice of it make no difference over eight fleets
	againWork = 20_000_000
)

// again solves a large problem that differs little from one whose prices are known, in which all servers were served. At these prices
//
//	L(λ) = Σ_s min_j (v_j + λ·a_j) − λ·C
//
// bounds the value of all plans that serve everybody. Most servers get their cheapest candidate at the prices, by a margin; only those with the
// least margins are decided anew, from what the others leave. The plan is good if it is within the gap of the bound: nil if not, or if the
// problem is of another kind.
func (x *Exact) again(m *work.Meter, p *Problem) *Solution {
	if len(p.Prices) == 0 || len(p.Servers) <= x.o.ExactServers || p.Unlimited || p.WeightedSum || len(p.Nodes)+len(p.Elastic)+len(p.Shares) > 0 {
		return nil
	}
	a := newAppraisal(m, p)
	if !a.price(p.Prices) {
		return nil
	}
	open, limit := a.open(againSets)
	if a.overdrawn(open) {
		return nil
	}
	d := newDraft(a.p)
	for i, j := range a.cheapest {
		if !open[i] {
			d.give(i, j, a.p.Servers[i].Candidates[j].Replicas())
		}
	}
	servers := a.near(open, againReach*limit)
	f := newPool(d, []level{{priority: 1, servers: servers}})
	if len(f.servers) < len(servers) {
		return nil
	}
	prog, columns := f.program(1, make([]int, 1), -1, nil)
	res := branch.Solve(m, prog, branch.Options{Step: f.step, Gap: x.o.Gap, Prices: f.hint(a.prices), Work: min(againWork, m.Left())})
	if res.Pick == nil {
		return nil
	}
	picks := f.nothing()
	f.read(res.Pick, columns, picks)
	if _, whole := f.give(d, picks); !whole {
		return nil
	}
	bound := a.bound
	d.prices = a.prices
	if prices := f.perCard(d, res.Prices); a.price(prices) && a.bound > bound {
		bound, d.prices = a.bound, prices
	}
	s := d.solution(ExactName, bound)
	s.AtMost = d.atMost()
	if s.Gap > x.o.Gap {
		return nil
	}
	x.ended(s, m, d)
	return s
}

// appraisal is what the candidates of a problem are worth at prices of cards.
type appraisal struct {
	meter  *work.Meter
	p      *Problem
	prices map[string]float64
	// bound on the value of all plans that serve everybody.
	bound float64
	cards map[string]card
	// cheapest candidate of each server, and by how much it is cheaper than the next.
	cheapest []int
	margin   []float64
}

// card is a type's price and capacity.
type card struct {
	price    float64
	capacity int
}

func newAppraisal(m *work.Meter, p *Problem) *appraisal {
	return &appraisal{meter: m, p: p, cheapest: make([]int, len(p.Servers)), margin: make([]float64, len(p.Servers))}
}

// price appraises all candidates. False: a server has none that the capacity could hold.
func (a *appraisal) price(prices map[string]float64) bool {
	a.prices, a.bound = prices, 0
	for t, n := range a.p.Capacity {
		a.bound -= prices[t] * float64(n)
	}
	a.cards = make(map[string]card, len(a.p.Capacity))
	for t, n := range a.p.Capacity {
		a.cards[t] = card{prices[t], n}
	}
	for i := range a.p.Servers {
		candidates := a.p.Servers[i].Candidates
		a.meter.Charge(2 * len(candidates))
		first, second, at := math.Inf(1), math.Inf(1), -1
		for j := range candidates {
			c := &candidates[j]
			w := a.worth(c)
			switch {
			case math.IsInf(w, 1):
			case at < 0 || w < first || w == first && compareCandidates(c, &candidates[at]) < 0:
				first, second, at = w, first, j
			default:
				second = min(second, w)
			}
		}
		if at < 0 {
			return false
		}
		a.cheapest[i], a.margin[i] = at, second-first
		a.bound += first
	}
	return true
}

// worth is the value of a candidate with the price of its cards; infinite where the capacity does not hold it.
func (a *appraisal) worth(c *Candidate) float64 {
	w := c.Value
	for i := range c.Parts {
		part := &c.Parts[i]
		k, n := a.cards[part.Type], part.Replicas*part.UnitsPerReplica
		if n > k.capacity {
			return math.Inf(1)
		}
		w += k.price * float64(n)
	}
	return w
}

// open are about so many servers, those with the least margins, and all whose margin is none but for rounding; limit is the largest margin.
func (a *appraisal) open(sets int) (open []bool, limit float64) {
	sorted := slices.Clone(a.margin)
	slices.Sort(sorted)
	mean := a.bound / float64(len(sorted))
	tied, _ := slices.BinarySearch(sorted, tie*(1+math.Abs(mean)))
	limit = sorted[min(tied+sets, len(sorted))-1]
	open = make([]bool, len(a.margin))
	for i, m := range a.margin {
		open[i] = m <= limit
	}
	return open, limit
}

// overdrawn says whether the servers that are not open take more cards than there are.
func (a *appraisal) overdrawn(open []bool) bool {
	left := make(map[string]int, len(a.p.Capacity))
	for t, n := range a.p.Capacity {
		left[t] = n
	}
	for i, j := range a.cheapest {
		if !open[i] {
			a.p.Servers[i].Candidates[j].uses(func(part *Part) { left[part.Type] -= part.Replicas * part.UnitsPerReplica })
		}
	}
	for _, n := range left {
		if n < 0 {
			return true
		}
	}
	return false
}

// near are the open servers in the order of their names, all of one priority, with those of their candidates that are at most so much dearer at
// the prices than the cheapest.
func (a *appraisal) near(open []bool, reach float64) []ranked {
	var servers []ranked
	for i := range a.p.Servers {
		if !open[i] {
			continue
		}
		s := &a.p.Servers[i]
		most := a.worth(&s.Candidates[a.cheapest[i]]) + reach
		r := ranked{server: i, name: s.Name, priority: 1}
		for j := range s.Candidates {
			if a.worth(&s.Candidates[j]) <= most {
				r.candidates = append(r.candidates, j)
			}
		}
		slices.SortStableFunc(r.candidates, func(a, b int) int { return compareCandidates(&s.Candidates[a], &s.Candidates[b]) })
		servers = append(servers, r)
	}
	slices.SortFunc(servers, func(a, b ranked) int { return cmp.Compare(a.name, b.name) })
	return servers
}

// tie is the margin, relative to the mean value of a server, that counts as none: prices are as exact as this.
//
// Tuned: 1; guard against rounding of prices that is taken for a margin
const tie = 1e-5
