package solver

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llm-inferno/inferno/optimizer/placement"
)

// draft is a plan in the making: the choices so far and the capacity that is left.
type draft struct {
	p       *Problem
	choices []Choice
	stock   map[string]*placement.Stock
	bought  []int
	prices  map[string]float64
	// shares are what these have of what there is; nil where there are none.
	shares *shares
	// more is, by priority, what might be served beyond what is.
	more map[int]int
	// cut says that a search ended because its share of the work was done.
	cut bool
}

func newDraft(p *Problem) *draft {
	d := &draft{p: p, choices: make([]Choice, len(p.Servers)), stock: stocks(p)}
	for i := range d.choices {
		d.choices[i] = Choice{Server: i, Candidate: -1}
	}
	if len(p.Elastic) > 0 {
		d.bought = make([]int, len(p.Elastic))
	}
	d.shares = newShares(d)
	return d
}

// of is the stock that a part draws on.
func (d *draft) of(part *Part) *placement.Stock {
	return d.stock[part.Type].Within(part.Scope).Together(part.Domain, part.Pods)
}

// left is the number of cards of the type that are not taken.
func (d *draft) left(kind string) int { return d.stock[kind].Left() }

// room is the number of replicas of a server's candidate that fit into what is left and may be taken of it, at most as many as it needs. Of several parts
// all fit or none; below 0 where not even a candidate without replicas may be had.
func (d *draft) room(server int, c *Candidate) int {
	allowed := d.allowed(server, c)
	switch {
	case d.p.Unlimited || c.Units() == 0 || allowed <= 0:
		return allowed
	case len(c.Parts) == 1:
		part := &c.Parts[0]
		return d.of(part).Room(part.UnitsPerPod(), part.PodsOf(allowed)) / part.PodsOf(1)
	case d.together(c.Parts):
		return allowed
	case c.Ratio:
		return c.most(func(n int) bool { return n <= allowed && d.together(c.at(n)) })
	}
	return 0
}

// together says whether the parts fit into what is left, all at once: each beside those before it.
func (d *draft) together(parts []Part) bool {
	if len(parts) == 0 {
		return true
	}
	part := &parts[0]
	if part.Replicas == 0 {
		return d.together(parts[1:])
	}
	s := d.of(part)
	each, n := part.UnitsPerPod(), part.PodsOf(part.Replicas)
	if s.Room(each, n) < n {
		return false
	}
	s.Add(each, n)
	defer s.Add(each, -n)
	return d.together(parts[1:])
}

// fits says whether the server can have the candidate in full.
func (d *draft) fits(server int, c *Candidate) bool {
	if c.Ratio && !d.p.Unlimited { // how much of it fits is another question
		return d.allowedAtOnce(server, c) >= c.Replicas() && d.together(c.Parts)
	}
	return d.room(server, c) >= c.Replicas()
}

// give adds replicas of the candidate to what the server has: of several parts, all, or as many as keep their ratio.
func (d *draft) give(server, candidate, replicas int) {
	c := &d.p.Servers[server].Candidates[candidate]
	ch := &d.choices[server]
	if c.Ratio && ch.Replicas > 0 {
		d.hold(server, c, ch.Replicas, -1)
		replicas, ch.Replicas = ch.Replicas+replicas, 0
	}
	ch.Candidate = candidate
	ch.Replicas += replicas
	ch.BestEffort = ch.Replicas < c.Replicas()
	d.hold(server, c, replicas, 1)
}

// take takes back what the server has.
func (d *draft) take(server int) {
	ch := &d.choices[server]
	if ch.Candidate < 0 {
		return
	}
	d.hold(server, &d.p.Servers[server].Candidates[ch.Candidate], ch.Replicas, -1)
	*ch = Choice{Server: server, Candidate: -1}
}

// hold takes the cards of so many replicas of the server's candidate, or gives them back where the sign is −1.
func (d *draft) hold(server int, c *Candidate, replicas, sign int) {
	d.holdShare(server, c, replicas, sign)
	if d.p.Unlimited {
		return
	}
	parts := c.at(replicas)
	for i := range parts {
		if part := &parts[i]; part.Replicas > 0 {
			d.of(part).Add(part.UnitsPerPod(), sign*part.PodsOf(part.Replicas))
		}
	}
}

// buy adds purchases from an elastic pool.
func (d *draft) buy(pool, n int) {
	e := &d.p.Elastic[pool]
	d.bought[pool] += n
	if d.stock[e.Type] == nil {
		d.stock[e.Type] = placement.NewStock(0)
	}
	d.stock[e.Type].Grow(n, placement.Node{Free: e.Cards, Scopes: e.Scopes, Domains: e.Domains})
	d.shares.grow(e, n)
}

// atMost adds what might be served to what is, by priority.
func (d *draft) atMost() map[int]int {
	most := map[int]int{}
	for i := range d.p.Servers {
		s := &d.p.Servers[i]
		if _, known := most[s.Priority]; !known {
			most[s.Priority] = d.more[s.Priority]
		}
		if d.served(i) {
			most[s.Priority] += s.weight()
		}
	}
	return most
}

// weight of all servers.
func (d *draft) weight() float64 {
	sum := 0.0
	for i := range d.p.Servers {
		sum += float64(d.p.Servers[i].weight())
	}
	return sum
}

// served says whether the server has all it needs.
func (d *draft) served(server int) bool {
	return d.choices[server].Candidate >= 0 && !d.choices[server].BestEffort
}

// solution closes the draft: reasons are given, the value is summed. bound is NaN where none was proven.
func (d *draft) solution(name string, bound float64) *Solution {
	d.trim()
	s := &Solution{Choices: d.choices, LowerBound: bound, Solver: name, Bought: d.bought, Prices: d.prices, Placement: d.placement(), Shares: d.shares.uses()}
	if d.shares != nil {
		s.Due = d.shares.due
	}
	for i, n := range d.bought {
		s.Value += float64(n) * d.p.Elastic[i].Price
	}
	for i := range d.choices {
		if d.served(i) {
			s.Value += d.p.Servers[i].Candidates[d.choices[i].Candidate].Value
			continue
		}
		if d.p.WeightedSum {
			s.Penalty += d.p.Servers[i].Penalty
		}
		d.choices[i].Reason = d.reason(i)
	}
	if !math.IsNaN(bound) && d.p.WeightedSum {
		s.LowerBound += s.Penalty // of those that no plan serves
	}
	s.Gap = gap(s.Value+s.Penalty, s.LowerBound)
	if s.Ended = EndedFinished; s.Gap == 0 {
		s.Ended = EndedOptimal
	}
	return s
}

// trim gives back what was bought and nothing needs that was chosen, the dearest first. What is bought is a share's due too: where there are shares, all stays.
func (d *draft) trim() {
	if d.shares != nil || d.p.Unlimited || len(d.p.Elastic) == 0 {
		return
	}
	order := make([]int, len(d.bought))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(d.p.Elastic[j].Price, d.p.Elastic[i].Price), d.p.Elastic[j].Cards-d.p.Elastic[i].Cards)
	})
	all := slices.Clone(d.bought)
	for _, i := range order {
		for d.bought[i] > 0 && d.without(i, all) {
			d.bought[i]--
		}
	}
	if !slices.Equal(all, d.bought) {
		d.stock = d.p.after(&Solution{Choices: d.choices, Bought: d.bought}).stock
	}
}

// without says whether what was chosen has room with one purchase less from a pool; all is what the stock counts on.
func (d *draft) without(pool int, all []int) bool {
	kind := d.p.Elastic[pool].Type
	d.bought[pool]--
	defer func() { d.bought[pool]++ }()
	if d.stock[kind].OnNodes() {
		return d.stock[kind].Pack(free(d.nodes()[kind]), nil)
	}
	left := d.left(kind)
	for i, n := range d.bought {
		if d.p.Elastic[i].Type == kind {
			left -= (all[i] - n) * d.p.Elastic[i].Cards
		}
	}
	return left >= 0
}

// nodes by type: those that are given, and those that were bought, which have the names of their pools with a number.
func (d *draft) nodes() map[string][]Node {
	by := map[string][]Node{}
	for _, n := range d.p.Nodes {
		by[n.Type] = append(by[n.Type], n)
	}
	for i, n := range d.bought {
		e := &d.p.Elastic[i]
		for k := range n {
			by[e.Type] = append(by[e.Type], Node{Name: fmt.Sprintf("%s/%d", e.Name, k), Type: e.Type, Free: e.Cards, Scopes: e.Scopes, Domains: e.Domains})
		}
	}
	return by
}

// free cards of nodes, as stocks pack them.
func free(nodes []Node) []placement.Node {
	list := make([]placement.Node, len(nodes))
	for i, n := range nodes {
		list[i] = placement.Node{Free: n.Free, Scopes: n.Scopes, Portions: n.Portions, Domains: n.Domains}
	}
	return list
}

// placement packs the replicas onto the nodes.
func (d *draft) placement() []Placement {
	if len(d.p.Nodes) == 0 || d.p.Unlimited {
		return nil
	}
	var all []Placement
	for kind, nodes := range d.nodes() {
		if !d.stock[kind].OnNodes() {
			continue
		}
		slices.SortFunc(nodes, func(a, b Node) int { return cmp.Or(cmp.Compare(b.Free, a.Free), cmp.Compare(a.Name, b.Name)) })
		d.stock[kind].Pack(free(nodes), func(node int, of placement.Alike, replicas int) {
			all = append(all, Placement{nodes[node].Name, of.Cards, replicas, of.Scope, of.Domain, of.Group})
		})
	}
	slices.SortFunc(all, func(a, b Placement) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(b.UnitsPerReplica, a.UnitsPerReplica), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Group, b.Group))
	})
	return all
}

// gap is how far value may be above the optimum, relative to the bound; bounds and values are at least 0.
func gap(value, bound float64) float64 {
	switch {
	case math.IsNaN(bound):
		return math.NaN()
	case value <= bound:
		return 0
	case bound <= 0:
		return math.Inf(1)
	}
	return (value - bound) / bound
}

// shownLacks is the number of alternatives that a reason spells out.
//
// Tuned: types; guard against a reason that is longer than a line
const shownLacks = 3

// reason says what a server lacks: for the types that come closest, what it needs and what is left.
func (d *draft) reason(server int) string {
	s := &d.p.Servers[server]
	if len(s.Candidates) == 0 {
		return "no accelerator meets its targets"
	}
	if d.p.WeightedSum && !slices.ContainsFunc(s.Candidates, func(c Candidate) bool { return c.Value <= s.Penalty }) {
		return fmt.Sprintf("every way to serve it costs more than %.2f cents/h, the penalty of leaving it out", s.Penalty)
	}
	best := map[string]lack{}
	ch := &d.choices[server]
	for i := range s.Candidates {
		c := &s.Candidates[i]
		l := d.lacks(server, c, ch)
		if old, ok := best[l.kind]; !ok || l.missing < old.missing || l.missing == old.missing && old.where != "" {
			best[l.kind] = l
		}
	}
	lacks := slices.SortedFunc(maps.Values(best), func(a, b lack) int {
		return cmp.Or(cmp.Compare(a.missing, b.missing), cmp.Compare(a.kind, b.kind))
	})
	var b strings.Builder
	if ch.BestEffort {
		fmt.Fprintf(&b, "best effort, %d of %d replicas: ", ch.Replicas, s.Candidates[ch.Candidate].Replicas())
	}
	for i, l := range lacks[:min(len(lacks), shownLacks)] {
		if i == 0 {
			b.WriteString("needs ")
		} else {
			b.WriteString("; or ")
		}
		b.WriteString(l.words())
	}
	if more := len(lacks) - shownLacks; more > 0 {
		fmt.Fprintf(&b, "; or one of %d more types", more)
	}
	return b.String()
}

// lack is what a candidate lacks: of several types, the one that it lacks most of.
type lack struct {
	kind                 string
	needs, left, missing int
	// where what is left is, if not anywhere, or whose it is, if not anybody's.
	where string
}

// words say what is needed and what is left.
func (l *lack) words() string {
	text := fmt.Sprintf("%d × %s, %d left%s", l.needs, l.kind, l.left, l.where)
	if l.missing <= 0 {
		text += ", on nodes with too few each"
	}
	return text
}

// lacks is what a candidate lacks beside what the server has as best effort, a choice that may be nil.
func (d *draft) lacks(server int, c *Candidate, has *Choice) lack {
	var worst lack
	first := true
	note := func(l lack) {
		if l.missing = l.needs - l.left; first || l.missing > worst.missing {
			worst, first = l, false
		}
	}
	c.uses(func(part *Part) {
		own, needs := 0, c.cards(part.Type)
		if has != nil && has.BestEffort {
			with := d.p.Servers[has.Server].Candidates[has.Candidate]
			with.Parts = with.at(has.Replicas)
			own = with.cards(part.Type)
		}
		l := lack{kind: part.Type, needs: needs, left: d.of(part).Left() + own}
		if part.Scope != "" {
			l.where = " on nodes that its pods can use"
		}
		if s := d.of(part); part.Domain != "" && part.Pods > 1 && s.OnNodes() {
			l.where += fmt.Sprintf(", %d × %d of one %s for each replica, of which the largest holds %d × %d", part.Pods, part.UnitsPerPod(), part.Domain, s.Largest(part.UnitsPerPod()), part.UnitsPerPod())
		}
		note(l)
		d.shareLacks(server, part.Type, needs, own, note)
	})
	d.sumLacks(server, c, has, note)
	return worst
}
