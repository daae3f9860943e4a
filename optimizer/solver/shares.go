package solver

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/branch"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

// Share bounds what some servers take together, such as those of a namespace or a team, and says what all others leave to them.
//
// What a share is due is what its servers use in their plan with the guaranteed cards and cents alone. Whatever a plan counts, cards of a type or places
// for replicas of a size, others use at most what remains when each share has what it is due or what it uses, whichever is more:
//
//	Σ_n max(used_n, due_n) ≤ capacity.
//
// So no share is served worse than its guarantee alone would serve it, and what it does not need of that is lent until it does.
type Share struct {
	// Name is unique among the shares of a problem.
	Name string
	// Guaranteed cards by type; none of a type that is absent, unless a cost is guaranteed.
	Guaranteed map[string]int
	// Kept cards by type are left to the share whether it needs them or not: guaranteed, and not lent.
	Kept map[string]int
	// Most cards by type; a type that is absent has no bound.
	Most map[string]int
	// GuaranteedCost and MostCost in cents per hour; nil where no cost is guaranteed, and where there is no bound.
	GuaranteedCost, MostCost *float64
}

// ShareUse is what a solution gives a share. Types that are absent are 0.
type ShareUse struct {
	Name string
	// Used and Due cards by type.
	Used, Due map[string]int
	// Cost of what is used, in cents per hour.
	Cost float64
}

// guarantees says whether others leave anything to the share.
func (s *Share) guarantees() bool {
	return len(s.Guaranteed) > 0 || len(s.Kept) > 0 || s.GuaranteedCost != nil
}

// alone is the share with what it is guaranteed as its bounds, of types that its servers can use.
func (s *Share) alone(types map[string]bool) Share {
	a := Share{Name: s.Name, Most: maps.Clone(s.Most), MostCost: s.MostCost}
	if a.Most == nil {
		a.Most = map[string]int{}
	}
	for t := range types {
		most, bounded := a.Most[t]
		n, known := s.Guaranteed[t]
		switch {
		case !known && s.GuaranteedCost != nil:
		case !bounded:
			a.Most[t] = n
		default:
			a.Most[t] = min(n, most)
		}
	}
	if c := s.GuaranteedCost; c != nil && (a.MostCost == nil || *c < *a.MostCost) {
		a.MostCost = c
	}
	return a
}

// within is the capacity that the only share of a problem can use: bounds on its cards are bounds on those of types that have no nodes.
func (s *Share) within(capacity map[string]int, nodes []Node) map[string]int {
	all := maps.Clone(capacity)
	for t, most := range s.Most {
		if n, known := all[t]; known && !slices.ContainsFunc(nodes, func(n Node) bool { return n.Type == t }) {
			all[t] = min(n, most)
			delete(s.Most, t)
		}
	}
	return all
}

// shares is the ledger of what the servers of each share take beside what others must leave to it.
type shares struct {
	p *Problem
	// of is the share of each server; those of none are together one more.
	of []int
	// counts by type.
	counts map[string][]*count
	// cards by share and type, and cost by share.
	cards []map[string]int
	cost  []float64
	// due is the plan of each share alone; nil where nothing is guaranteed.
	due []Choice
	// cuts are those found to be needed so far.
	cuts []cut
}

// count of the places of a kind.
type count struct {
	kind
	capacity int
	// used and due by share, and the sum of whichever is more.
	used, due []int
	sum       int
}

// newShares is nil where the problem has none.
func newShares(d *draft) *shares {
	p := d.p
	if len(p.Shares) == 0 {
		return nil
	}
	l := &shares{p: p, of: make([]int, len(p.Servers)), counts: map[string][]*count{}, cards: make([]map[string]int, len(p.Shares)+1), cost: make([]float64, len(p.Shares)+1)}
	index := make(map[string]int, len(p.Shares))
	for n := range p.Shares {
		index[p.Shares[n].Name] = n
	}
	for i := range p.Servers {
		l.of[i] = len(p.Shares)
		if n, known := index[p.Servers[i].Share]; known {
			l.of[i] = n
		}
	}
	for n := range l.cards {
		l.cards[n] = map[string]int{}
	}
	if p.Unlimited || !slices.ContainsFunc(p.Shares, func(s Share) bool { return s.guarantees() }) {
		return l
	}
	sizes := d.sizes(func(yield func(int)) {
		for i := range p.Servers {
			yield(i)
		}
	})
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		sizes[name].note(1, "") // cards are guaranteed, whatever replicas take
		for _, k := range sizes[name].kinds(name) {
			l.counts[name] = append(l.counts[name], &count{kind: k, capacity: d.places(k), used: make([]int, len(l.cards)), due: make([]int, len(l.cards))})
		}
	}
	return l
}

// amount that a candidate takes in full of the places of a kind.
func (d *draft) amount(c *Candidate, k kind) int {
	n := 0
	for i := range c.Parts {
		if part := &c.Parts[i]; part.Type == k.name && part.UnitsPerReplica >= k.size && d.holds(part, k.scope) {
			n += part.Replicas * (part.UnitsPerReplica / k.size)
		}
	}
	return n
}

// limit is the most of a count that a share can use.
func (k *count) limit(share int) int {
	others := k.sum - max(k.used[share], k.due[share])
	return max(k.due[share], k.capacity-others)
}

// add to what a share uses, or is due.
func (k *count) add(to []int, share, n int) {
	before := max(k.used[share], k.due[share])
	to[share] += n
	k.sum += max(k.used[share], k.due[share]) - before
}

// holdShare notes that a server takes so many replicas of a candidate, or gives them back where the sign is −1.
func (d *draft) holdShare(server int, c *Candidate, replicas, sign int) {
	l := d.shares
	if l == nil {
		return
	}
	n, all := l.of[server], c.Replicas()
	if len(c.Parts) != 1 {
		replicas = all
	}
	part := func(amount int) int { return sign * amount * replicas / max(all, 1) } // every replica takes the same
	c.types(func(kind string, cards int) {
		l.cards[n][kind] += part(cards)
		for _, k := range l.counts[kind] {
			k.add(k.used, n, part(d.amount(c, k.kind)))
		}
	})
	if all == 0 {
		l.cost[n] += float64(sign) * c.Cost
	} else {
		l.cost[n] += float64(sign*replicas) / float64(all) * c.Cost
	}
}

// allowed is the number of replicas of a candidate that the shares leave to a server, at most as many as it needs. Of several parts all or none.
func (d *draft) allowed(server int, c *Candidate) int {
	l, all := d.shares, c.Replicas()
	if l == nil {
		return all
	}
	n, replicas := l.of[server], all
	bound := func(amount, left int) {
		switch {
		case amount == 0 || amount <= left:
		case len(c.Parts) == 1:
			replicas = min(replicas, max(0, left)/(amount/all))
		default:
			replicas = -1
		}
	}
	c.types(func(kind string, cards int) {
		for _, k := range l.counts[kind] {
			bound(d.amount(c, k.kind), k.limit(n)-k.used[n])
		}
		if most, bounded := l.most(n, kind); bounded {
			bound(cards, most-l.cards[n][kind])
		}
	})
	if most := l.mostCost(n); c.Cost > most-l.cost[n]+centTolerance {
		switch left := most - l.cost[n] + centTolerance; {
		case len(c.Parts) == 1 && all > 0:
			replicas = min(replicas, max(0, int(left/(c.Cost/float64(all)))))
		default:
			replicas = -1
		}
	}
	return replicas
}

// centTolerance is the difference of sums of costs that counts as none.
//
// Tuned: ¢/h; guard against rounding that is taken for a cost beyond a bound
const centTolerance = 1e-6

// most cards of a type that a share may take.
func (l *shares) most(share int, kind string) (most int, bounded bool) {
	if share < len(l.p.Shares) {
		most, bounded = l.p.Shares[share].Most[kind]
	}
	return most, bounded
}

// mostCost that a share may have, infinite where there is no bound.
func (l *shares) mostCost(share int) float64 {
	if share == len(l.p.Shares) || l.p.Shares[share].MostCost == nil {
		return math.Inf(1)
	}
	return *l.p.Shares[share].MostCost
}

// owe makes a plan what the shares are due, and keeps for them what is not lent, as far as it is there.
func (d *draft) owe(due []Choice) {
	l := d.shares
	if l == nil {
		return
	}
	l.due = due
	for i, choice := range due {
		if choice.Candidate < 0 {
			continue
		}
		c := &l.p.Servers[i].Candidates[choice.Candidate]
		c.types(func(kind string, _ int) {
			for _, k := range l.counts[kind] {
				k.add(k.due, l.of[i], d.amount(c, k.kind)*choice.Replicas/max(c.Replicas(), 1))
			}
		})
	}
	for n := range l.p.Shares {
		for kind, kept := range l.p.Shares[n].Kept {
			for _, k := range l.counts[kind] {
				if k.size == 1 && k.scope == "" {
					k.add(k.due, n, max(0, min(kept-k.due[n], k.capacity-k.sum)))
				}
			}
		}
	}
}

// grow the capacity by purchases.
func (l *shares) grow(e *Elastic, n int) {
	if l == nil {
		return
	}
	for _, k := range l.counts[e.Type] {
		if k.within(e) {
			k.capacity += n * (e.Cards / k.size)
		}
	}
}

// uses by share.
func (l *shares) uses() []ShareUse {
	if l == nil {
		return nil
	}
	list := make([]ShareUse, len(l.p.Shares))
	for n := range list {
		list[n] = ShareUse{Name: l.p.Shares[n].Name, Used: map[string]int{}, Due: map[string]int{}, Cost: max(0, l.cost[n])}
		for kind, cards := range l.cards[n] {
			if cards > 0 {
				list[n].Used[kind] = cards
			}
		}
		for kind, counts := range l.counts {
			for _, k := range counts {
				if k.size == 1 && k.scope == "" && k.due[n] > 0 {
					list[n].Due[kind] = k.due[n]
				}
			}
		}
	}
	return list
}

// entitled is a draft in which every share is due what its servers use in their plan with its guarantee alone. Each share is planned by itself; where that
// is more than there is, such as after nodes went, all guarantees are planned together, by priority. Exact plans them, whichever solver has the rest, so that
// what is due does not hang on it. The error is one of the problem.
func entitled(p *Problem, o ExactOptions) (*draft, error) {
	d := newDraft(p)
	if d.shares == nil || len(d.shares.counts) == 0 {
		return d, nil
	}
	due := make([]Choice, len(p.Servers))
	plan := func(shares ...int) error {
		q, servers := d.shares.alone(shares)
		part := o
		part.Work = max(dueWork, o.Work*len(servers)/(2*len(p.Servers)))
		s, err := (&Auto{&Exact{part}}).Solve(context.Background(), q)
		if err != nil {
			return err
		}
		for k, i := range servers {
			due[i] = s.Choices[k]
		}
		return nil
	}
	var all []int
	for i := range due {
		due[i] = Choice{Server: i, Candidate: -1}
	}
	for n := range p.Shares {
		if p.Shares[n].guarantees() {
			all = append(all, n)
			if err := plan(n); err != nil {
				return nil, err
			}
		}
	}
	if !p.holds(due) {
		if err := plan(all...); err != nil {
			return nil, err
		}
	}
	d.owe(due)
	return d, nil
}

// holds says whether there is room for all choices together.
func (p *Problem) holds(choices []Choice) bool {
	q := *p
	q.Shares = nil
	d := newDraft(&q)
	for i, c := range choices {
		if c.Candidate < 0 {
			continue
		}
		candidate := p.Servers[i].Candidates[c.Candidate].Resized(c.Replicas)
		if !d.fits(i, &candidate) {
			return false
		}
		d.give(i, c.Candidate, c.Replicas)
	}
	return true
}

// alone is the problem of the servers of some shares with their guarantees alone, and which servers these are.
func (l *shares) alone(some []int) (*Problem, []int) {
	q := *l.p
	q.Servers, q.Shares, q.Elastic, q.Prices, q.StopAt = nil, nil, nil, nil, 0
	var servers []int
	types := map[string]bool{}
	for i, n := range l.of {
		if !slices.Contains(some, n) {
			continue
		}
		servers = append(servers, i)
		q.Servers = append(q.Servers, l.p.Servers[i])
		for j := range l.p.Servers[i].Candidates {
			for k := range l.p.Servers[i].Candidates[j].Parts {
				types[l.p.Servers[i].Candidates[j].Parts[k].Type] = true
			}
		}
	}
	for _, n := range some {
		q.Shares = append(q.Shares, l.p.Shares[n].alone(types))
	}
	if len(some) == 1 {
		q.Capacity = q.Shares[0].within(q.Capacity, q.Nodes)
	}
	return &q, servers
}

// dueWork is the least work for the plan of a share alone, in milliseconds of the reference machine.
//
// Tuned: ms; guard against small shares among large ones whose plan is not looked for
const dueWork = 10

// cut is a row of shares: some of them use at most what the others are not due of the places of a kind; or one has at most so many cards of a type, or so
// much cost. Of these rows, one for each set of shares and each bound, few are needed: they are added as plans are found that break them.
type cut struct {
	of      *count
	members []int
	// kind of cards, empty for the cost, where it is not of places.
	kind string
}

// tally is what shares would use beside what they do: places by count, cards by type, and cost, of each.
type tally struct {
	places map[*count][]float64
	cards  []map[string]float64
	cost   []float64
}

// tally of a part of what is used, by server, and of purchases.
func (f *pool) tally(d *draft) *tally {
	l := d.shares
	t := &tally{places: map[*count][]float64{}, cards: make([]map[string]float64, len(l.cards)), cost: slices.Clone(l.cost)}
	for _, counts := range l.counts {
		for _, k := range counts {
			t.places[k] = make([]float64, len(k.used)+1)
			for n, used := range k.used {
				t.places[k][n] = float64(used)
			}
			t.places[k][len(k.used)] = float64(k.capacity)
		}
	}
	for n := range l.cards {
		t.cards[n] = make(map[string]float64, len(l.cards[n]))
		for kind, cards := range l.cards[n] {
			t.cards[n][kind] = float64(cards)
		}
	}
	return t
}

// add a part of a server's option.
func (t *tally) add(f *pool, d *draft, server, option int, part float64) {
	s := &f.servers[server]
	n, c := d.shares.of[s.index], &d.p.Servers[s.index].Candidates[s.options[option].candidate]
	t.cost[n] += part * c.Cost
	c.types(func(kind string, cards int) {
		t.cards[n][kind] += part * float64(cards)
		for _, k := range d.shares.counts[kind] {
			t.places[k][n] += part * float64(d.amount(c, k.kind))
		}
	})
}

// buy adds a part of a purchase.
func (t *tally) buy(f *pool, d *draft, purchase int, part float64) {
	e := &d.p.Elastic[f.purchases[purchase].pool]
	for _, k := range d.shares.counts[e.Type] {
		if k.within(e) {
			t.places[k][len(k.used)] += part * float64(e.Cards/k.size)
		}
	}
}

// within says whether the places of nodes that are bought are of the count.
func (k *count) within(e *Elastic) bool {
	return e.Type == k.name && (k.scope == "" || slices.Contains(e.Scopes, k.scope))
}

// broken are the rows that a tally breaks by more than the tolerance, in cards.
func (l *shares) broken(t *tally, tolerance float64) []cut {
	var list []cut
	for _, name := range slices.Sorted(maps.Keys(l.counts)) {
		for _, k := range l.counts[name] {
			left := t.places[k][len(k.used)]
			var members []int
			for n, due := range k.due {
				left -= max(t.places[k][n], float64(due))
				if t.places[k][n] > float64(due) {
					members = append(members, n)
				}
			}
			if left < -tolerance && len(members) > 0 {
				list = append(list, cut{of: k, members: members})
			}
		}
	}
	card := l.dearest()
	for n := range l.p.Shares {
		for _, kind := range slices.Sorted(maps.Keys(l.p.Shares[n].Most)) {
			if t.cards[n][kind] > float64(l.p.Shares[n].Most[kind])+tolerance {
				list = append(list, cut{members: []int{n}, kind: kind})
			}
		}
		if t.cost[n] > l.mostCost(n)+tolerance*card {
			list = append(list, cut{members: []int{n}})
		}
	}
	return list
}

// dearest is the cost of the dearest card, in cents per hour, but 1 at least.
func (l *shares) dearest() float64 {
	most := 1.0
	for i := range l.p.Servers {
		for j := range l.p.Servers[i].Candidates {
			if c := &l.p.Servers[i].Candidates[j]; c.Units() > 0 {
				most = max(most, c.Cost/float64(c.Units()))
			}
		}
	}
	return most
}

// addRow adds the row of a cut to the pool.
func (f *pool) addRow(d *draft, c cut) {
	l, row := d.shares, len(f.capacity)
	left := 0.0
	switch n := c.members[0]; {
	case c.of != nil:
		left = float64(c.of.capacity)
		for n := range l.cards {
			if slices.Contains(c.members, n) {
				left -= float64(c.of.used[n])
			} else {
				left -= float64(max(c.of.used[n], c.of.due[n]))
			}
		}
		for i := range f.purchases {
			e := &d.p.Elastic[f.purchases[i].pool]
			if n := e.Cards / c.of.size; c.of.within(e) && n > 0 {
				f.purchases[i].cards = append(slices.Clone(f.purchases[i].cards), use{row, float64(n)})
				left += float64(n)
			}
		}
		f.kinds = append(f.kinds, c.of.kind)
	case c.kind != "":
		left = float64(l.p.Shares[n].Most[c.kind] - l.cards[n][c.kind])
		f.kinds = append(f.kinds, kind{})
	default:
		left = l.mostCost(n) - l.cost[n]
		f.kinds = append(f.kinds, kind{})
	}
	f.capacity = append(f.capacity, max(0, left))
	for i := range f.servers {
		s := &f.servers[i]
		if !slices.Contains(c.members, l.of[s.index]) {
			continue
		}
		for k := range s.options {
			o := &s.options[k]
			if amount := c.amount(d, &d.p.Servers[s.index].Candidates[o.candidate]); amount > 0 {
				o.uses = append(o.uses, use{row, amount})
				f.entries++
			}
		}
	}
}

// amount that a candidate takes of the row.
func (c *cut) amount(d *draft, x *Candidate) float64 {
	switch {
	case c.of != nil:
		return float64(d.amount(x, c.of.kind))
	case c.kind != "":
		return float64(x.cards(c.kind))
	}
	return x.Cost
}

// cutAll adds the cuts to the pool that it has not, and says whether there were any.
func (f *pool) cutAll(d *draft, cuts []cut) bool {
	before := len(d.shares.cuts)
	for _, c := range cuts {
		if !slices.ContainsFunc(d.shares.cuts, func(o cut) bool { return o.of == c.of && o.kind == c.kind && slices.Equal(o.members, c.members) }) {
			d.shares.cuts = append(d.shares.cuts, c)
			f.addRow(d, c)
		}
	}
	return len(d.shares.cuts) > before
}

// breaks says whether the picks break rows of shares, and adds those.
func (f *pool) breaks(d *draft, p picks) bool {
	if d.shares == nil {
		return false
	}
	t := f.tally(d)
	for i, k := range p.options {
		if k != unserved {
			t.add(f, d, i, k, 1)
		}
	}
	for i, yes := range p.bought {
		if yes {
			t.buy(f, d, i, 1)
		}
	}
	return f.cutAll(d, d.shares.broken(t, 1e-9))
}

// relaxShare is the share of the work that is left for adding rows to the relaxation.
//
// Tuned: share; guard against rows that are added until no work is left
const relaxShare = .25

// relax adds the rows of shares that the relaxation breaks, which are nearly all that plans would break.
func (f *pool) relax(d *draft) {
	if d.shares == nil {
		return
	}
	var st *choicelp.State
	end := f.meter.Spent() + int64(f.share(relaxShare))
	for f.meter.Spent() < end && !f.meter.Over() {
		penalties := f.penalties()
		if !f.weightedSum {
			penalties, _ = f.weights()
		}
		prog, columns := f.program(f.levels, nil, -1, penalties)
		f.meter.Charge(programming * prog.Columns())
		st = branch.Relax(f.meter, prog, st)
		t := f.tally(d)
		st.Parts(func(set int, column int32, x float64) {
			switch {
			case set >= len(f.servers):
				t.buy(f, d, set-len(f.servers), x*float64(columns[column]))
			case columns[column] != unserved:
				t.add(f, d, set, int(columns[column]), x)
			}
		})
		if !f.cutAll(d, d.shares.broken(t, relaxTolerance)) {
			f.cutAll(d, d.shares.broken(t, -relaxMargin))
			return
		}
	}
}

const (
	// relaxTolerance is by how much the relaxation may break a row.
	//
	// Tuned: cards; guard against rows that are added for nothing
	relaxTolerance = .01
	// relaxMargin is by how little it must keep a row for plans, which are whole, to need it.
	//
	// Tuned: cards; guard against rows that are found one after the other: about what a server takes
	relaxMargin = 4
)

// shareLacks notes what of a type the shares leave to a server that needs so many cards, beside its own.
func (d *draft) shareLacks(server int, kind string, needs, own int, note func(lack)) {
	l := d.shares
	if l == nil {
		return
	}
	n := l.of[server]
	for _, k := range l.counts[kind] {
		if left := k.limit(n) - k.used[n] + own; k.size == 1 && k.scope == "" && left < k.capacity-k.total()+own {
			note(lack{kind: kind, needs: needs, left: max(left, 0), where: " that no other share is due"})
		}
	}
	if most, bounded := l.most(n, kind); bounded {
		note(lack{kind: kind, needs: needs, left: max(most-l.cards[n][kind]+own, 0), where: fmt.Sprintf(" of the %d that share %s may have", most, l.p.Shares[n].Name)})
	}
}

// total that all shares use.
func (k *count) total() int {
	n := 0
	for _, used := range k.used {
		n += used
	}
	return n
}

// costLacks notes what the share of a server leaves of its cost, in whole cents per hour.
func (d *draft) costLacks(server int, c *Candidate, has *Choice, note func(lack)) {
	l := d.shares
	if l == nil {
		return
	}
	n := l.of[server]
	most, own := l.mostCost(n), 0.0
	if has != nil && has.BestEffort {
		x := &d.p.Servers[server].Candidates[has.Candidate]
		own = x.Cost * float64(has.Replicas) / float64(x.Replicas())
	}
	if left := most - l.cost[n] + own; c.Cost > left+centTolerance {
		note(lack{kind: "¢/h", needs: int(math.Ceil(c.Cost)), left: int(max(left, 0)), where: fmt.Sprintf(" of the %g that share %s may cost", most, l.p.Shares[n].Name)})
	}
}

// noDearer says whether a candidate takes no more of what shares bound than another of the same server, where they bound it.
func (d *draft) noDearer(server, candidate, other int) bool {
	if d.shares == nil {
		return true
	}
	a, b := &d.p.Servers[server].Candidates[candidate], &d.p.Servers[server].Candidates[other]
	no := a.Cost <= b.Cost
	a.types(func(kind string, cards int) { no = no && cards <= b.cards(kind) })
	return no
}

// Shared is what a solution leaves to the servers of shares.
type Shared struct{ d *draft }

// Shared is nil where the problem has no shares.
func (p *Problem) Shared(s *Solution) *Shared {
	if len(p.Shares) == 0 {
		return nil
	}
	return &Shared{p.after(s)}
}

// Lacks is how many cards of a type a server is short of because others are due what is left, where it needs so many in place of what it has.
func (x *Shared) Lacks(server int, kind string, needs int) int {
	if x == nil {
		return 0
	}
	had := x.d.choices[server]
	x.d.take(server)
	defer x.d.again(had)
	n, short := x.d.shares.of[server], 0
	for _, k := range x.d.shares.counts[kind] {
		if k.size == 1 && k.scope == "" {
			short = max(short, needs-(k.limit(n)-k.used[n]))
		}
	}
	return short
}

// Forbids names the bound of a server's share that forbids a candidate in place of what it has, whatever capacity there is; empty where none does.
func (x *Shared) Forbids(server int, c *Candidate) string {
	if x == nil {
		return ""
	}
	l := x.d.shares
	n := l.of[server]
	if n == len(l.p.Shares) {
		return ""
	}
	had := x.d.choices[server]
	x.d.take(server)
	defer x.d.again(had)
	name, words := l.p.Shares[n].Name, ""
	c.types(func(kind string, cards int) {
		if most, bounded := l.most(n, kind); bounded && l.cards[n][kind]+cards > most && words == "" {
			words = fmt.Sprintf("share %s: %d × %s at most, where it would be %d", name, most, kind, l.cards[n][kind]+cards)
		}
	})
	if cost := l.cost[n] + c.Cost; words == "" && cost > l.mostCost(n)+centTolerance {
		words = fmt.Sprintf("share %s: %g cents/h at most, where it would be %.2f", name, l.mostCost(n), cost)
	}
	return words
}

// again gives a server what was taken from it.
func (d *draft) again(had Choice) {
	if had.Candidate >= 0 {
		d.give(had.Server, had.Candidate, had.Replicas)
	}
}
