package solver

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

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
	// MostPower in watts, of all that the share has at full; nil where there is no bound.
	MostPower *float64
}

// ShareUse is what a solution gives a share. Types that are absent are 0.
type ShareUse struct {
	Name string
	// Used and Due cards by type.
	Used, Due map[string]int
	// Cost of what is used, in cents per hour, and its Power at full, in watts.
	Cost, Power float64
}

// guarantees says whether others leave anything to the share.
func (s *Share) guarantees() bool {
	return len(s.Guaranteed) > 0 || len(s.Kept) > 0 || s.GuaranteedCost != nil
}

// alone is the share with what it is guaranteed as its bounds, of types that its servers can use.
func (s *Share) alone(types map[string]bool) Share {
	a := Share{Name: s.Name, Most: maps.Clone(s.Most), MostCost: s.MostCost, MostPower: s.MostPower}
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

// of is the capacity that the only share of a problem can use: bounds on its cards are bounds on those of types that have no nodes.
func (s *Share) of(capacity map[string]int, nodes []Node) map[string]int {
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
	// counts by type: of what there is, where anything is guaranteed of it, and of cohorts.
	counts, cohorts map[string][]*count
	// cards by share and type, and cost and power by share.
	cards       []map[string]int
	cost, power []float64
	// sums that are bounded, by share.
	sums [][]sumBound
	// due is the plan of each share alone; nil where nothing is guaranteed.
	due []Choice
}

// count of the places of a kind.
type count struct {
	kind
	capacity int
	// used and due by share, and the sum of whichever is more.
	used, due []int
	sum       int
	// cohort by name, and which shares are its members; empty where the count is of what there is.
	cohort  string
	members []bool
}

// count of a kind of which there is so much, none of it used.
func (l *shares) count(of kind, capacity int) *count {
	return &count{kind: of, capacity: capacity, used: make([]int, len(l.cards)), due: make([]int, len(l.cards))}
}

// newShares is nil where the problem has none.
func newShares(d *draft) *shares {
	p := d.p
	if len(p.Shares) == 0 {
		return nil
	}
	l := &shares{p: p, of: make([]int, len(p.Servers)), counts: map[string][]*count{}, cohorts: map[string][]*count{}, cards: make([]map[string]int, len(p.Shares)+1), cost: make([]float64, len(p.Shares)+1), power: make([]float64, len(p.Shares)+1)}
	l.sums = make([][]sumBound, len(p.Shares)+1)
	index := make(map[string]int, len(p.Shares))
	for n := range p.Shares {
		index[p.Shares[n].Name], l.sums[n] = n, p.Shares[n].sums()
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
	l.countCohorts(index)
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
			l.counts[name] = append(l.counts[name], l.count(k, d.places(k)))
		}
	}
	return l
}

// amount that a candidate takes in full of the places of a kind.
func (d *draft) amount(c *Candidate, k kind) int {
	n := 0
	for i := range c.Parts {
		if part := &c.Parts[i]; part.Type == k.name && part.UnitsPerPod() >= k.size && d.holds(part, k.scope) {
			n += k.taken(part, part.Replicas)
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
	n, had := l.of[server], c.had(replicas)
	had.types(func(kind string, cards int) {
		l.cards[n][kind] += sign * cards
		for k := range l.bearing(n, kind) {
			k.add(k.used, n, sign*d.amount(had, k.kind))
		}
	})
	l.cost[n] += float64(sign) * had.Cost
	l.power[n] += float64(sign) * had.power()
	for k := range l.sums[n] {
		l.sums[n][k].used += float64(sign) * l.sums[n][k].of(had)
	}
}

// allowed is the number of replicas of a candidate that the shares leave to a server, at most as many as it needs. Of several parts all or none, or as many
// as keep their ratio.
func (d *draft) allowed(server int, c *Candidate) int {
	n := d.allowedAtOnce(server, c)
	if n < 0 && c.Ratio {
		if n = c.most(func(n int) bool { had := c.had(n); return d.allowedAtOnce(server, had) >= had.Replicas() }); n == 0 {
			return -1
		}
	}
	return n
}

// allowedAtOnce is allowed, of several parts all or none.
func (d *draft) allowedAtOnce(server int, c *Candidate) int {
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
		for k := range l.bearing(n, kind) {
			bound(d.amount(c, k.kind), k.limit(n)-k.used[n])
		}
		if most, bounded := l.most(n, kind); bounded {
			bound(cards, most-l.cards[n][kind])
		}
	})
	for k := range l.sums[n] {
		b := &l.sums[n][k]
		switch left, amount := b.left()+sumTolerance, b.of(c); {
		case amount <= left:
		case len(c.Parts) == 1 && all > 0:
			replicas = min(replicas, max(0, int(left/(amount/float64(all)))))
		default:
			replicas = -1
		}
	}
	return replicas
}

// sumTolerance is the difference of sums of costs, in cents per hour, or of watts, that counts as none.
//
// Tuned: ¢/h or W; guard against rounding that is taken for a cost or a power beyond a bound
const sumTolerance = 1e-6

// sumBound bounds the sum of a quantity over all that a share has.
type sumBound struct {
	// of is how much a candidate has of it.
	of func(*Candidate) float64
	// most of it, and how much is used.
	most, used float64
	// unit of it, and what a share may do with it, for people.
	unit, verb string
}

// left of what is bounded.
func (b *sumBound) left() float64 { return b.most - b.used }

// sums that are bounded of the share.
func (s *Share) sums() []sumBound {
	var bounds []sumBound
	if s.MostCost != nil {
		bounds = append(bounds, sumBound{of: func(c *Candidate) float64 { return c.Cost }, most: *s.MostCost, unit: "¢/h", verb: "cost"})
	}
	if s.MostPower != nil {
		bounds = append(bounds, sumBound{of: (*Candidate).power, most: *s.MostPower, unit: "W", verb: "draw"})
	}
	return bounds
}

// power that all replicas of the candidate draw at full, in watts.
func (c *Candidate) power() float64 {
	watts := 0.0
	for i := range c.Parts {
		watts += float64(c.Parts[i].Replicas) * c.Parts[i].Watts
	}
	return watts
}

// most cards of a type that a share may take.
func (l *shares) most(share int, kind string) (most int, bounded bool) {
	if share < len(l.p.Shares) {
		most, bounded = l.p.Shares[share].Most[kind]
	}
	return most, bounded
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
		c := l.p.Servers[i].Candidates[choice.Candidate].had(choice.Replicas)
		c.types(func(kind string, _ int) {
			for k := range l.bearing(l.of[i], kind) {
				k.add(k.due, l.of[i], d.amount(c, k.kind))
			}
		})
	}
	for n := range l.p.Shares {
		for kind, kept := range l.p.Shares[n].Kept {
			for k := range l.bearing(n, kind) {
				if k.cards() {
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
			k.capacity += n * k.bring(e)
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
		list[n] = ShareUse{Name: l.p.Shares[n].Name, Used: map[string]int{}, Due: map[string]int{}, Cost: max(0, l.cost[n]), Power: max(0, l.power[n])}
		for kind, cards := range l.cards[n] {
			if cards > 0 {
				list[n].Used[kind] = cards
			}
		}
		for _, counts := range []map[string][]*count{l.counts, l.cohorts} {
			for kind := range counts {
				for k := range l.bearing(n, kind) {
					if k.cards() && k.due[n] > 0 {
						list[n].Due[kind] = k.due[n]
					}
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
	if d.shares == nil || len(d.shares.counts)+len(d.shares.cohorts) == 0 || !slices.ContainsFunc(p.Shares, func(s Share) bool { return s.guarantees() }) {
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
	q.Shares = make([]Share, len(p.Shares))
	for n := range q.Shares {
		q.Shares[n].Name = p.Shares[n].Name // cohorts bound them together
	}
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
	if q.Cohorts = l.among(some); len(some) == 1 {
		s := &q.Shares[0]
		s.within(q.Cohorts)
		if q.Cohorts = nil; !q.Unlimited {
			q.Capacity = s.of(q.Capacity, q.Nodes)
		}
	}
	return &q, servers
}

// dueWork is the least work for the plan of a share alone, in milliseconds of the reference machine.
//
// Tuned: ms; guard against small shares among large ones whose plan is not looked for
const dueWork = 10

// within says whether the places of nodes that are bought are of the count.
func (k *count) within(e *Elastic) bool {
	return e.Type == k.name && (k.scope == "" || slices.Contains(e.Scopes, k.scope))
}

// ownRows are the rows of a pool that are of one share alone.
type ownRows struct {
	// places by row of the pool: what is due of it to the share, and nobody else's.
	places map[int]int
	// bounds are rows of cards by type: what the share may have at most, and what its cohorts leave to it.
	bounds map[string][]int
	// sums are rows of what is bounded in sum, such as cost.
	sums []ownSum
}

// ownSum is a row with what candidates take of it.
type ownSum struct {
	row int
	of  func(*Candidate) float64
}

// ownRows makes the rows of shares. What a share is still due of a row is a row of its own, which the row that is everybody's no longer has; what the
// share takes beyond is taken of that one. So the capacity of the row that is everybody's keeps Σ_n max(used_n, due_n) within what there is.
func (f *pool) ownRows(d *draft) {
	l := d.shares
	if l == nil {
		return
	}
	f.above = slices.Repeat([]int32{-1}, len(f.capacity))
	add := func(left float64, above int) int {
		f.capacity, f.above, f.kinds = append(f.capacity, max(0, left)), append(f.above, int32(above)), append(f.kinds, kind{})
		return len(f.capacity) - 1
	}
	f.own = make([]ownRows, len(l.cards))
	for n := range f.own {
		own := ownRows{places: map[int]int{}, bounds: map[string][]int{}}
		for r, k := range f.kinds {
			if k.size > 0 {
				if due := l.stillDue(n, k); due > 0 {
					f.capacity[r] -= float64(due)
					own.places[r] = add(float64(due), r)
				}
			}
		}
		if n < len(l.p.Shares) {
			for _, kind := range slices.Sorted(maps.Keys(l.p.Shares[n].Most)) {
				own.bounds[kind] = []int{add(float64(l.p.Shares[n].Most[kind]-l.cards[n][kind]), -1)}
			}
		}
		for k := range l.sums[n] {
			own.sums = append(own.sums, ownSum{add(l.sums[n][k].left(), -1), l.sums[n][k].of})
		}
		f.own[n] = own
	}
	f.cohortRows(l, add)
}

// stillDue is what a share is due of the places of a kind beside what it uses.
func (l *shares) stillDue(share int, of kind) int {
	for _, k := range l.counts[of.name] {
		if k.kind == of {
			return max(0, k.due[share]-k.used[share])
		}
	}
	return 0
}

// share of a server; 0 where there are no shares.
func (l *shares) share(server int) int {
	if l == nil {
		return 0
	}
	return l.of[server]
}

// kinds of places of a type that count: those of shares where something is due of it.
func (d *draft) kinds(name string, sizes *sizesOf) []kind {
	if d.shares == nil || d.shares.counts[name] == nil {
		return sizes.kinds(name)
	}
	var list []kind
	for _, k := range d.shares.counts[name] {
		list = append(list, k.kind)
	}
	return list
}

// rowOf is the row that a share takes of in place of one that is everybody's: its own, where it is due something.
func (f *pool) rowOf(row, share int) int {
	if f.own != nil {
		if own, due := f.own[share].places[row]; due {
			return own
		}
	}
	return row
}

// bound adds what a candidate takes of the bounds of its share to the uses, and says whether that can be had at all.
func (f *pool) bound(d *draft, share int, c *Candidate) (possible bool) {
	if f.own == nil {
		return true
	}
	possible = true
	add := func(row int, amount float64) {
		if amount > 0 {
			f.uses = append(f.uses, use{row, amount})
			possible = possible && amount <= choicelp.Room(f.capacity, f.above, int32(row))+sumTolerance
		}
	}
	own := &f.own[share]
	c.types(func(kind string, cards int) {
		for _, row := range own.bounds[kind] {
			add(row, float64(cards))
		}
	})
	for _, sum := range own.sums {
		add(sum.row, sum.of(c))
	}
	return possible
}

// shareLacks notes what of a type the shares leave to a server that needs so many cards, beside its own.
func (d *draft) shareLacks(server int, kind string, needs, own int, note func(lack)) {
	l := d.shares
	if l == nil {
		return
	}
	n := l.of[server]
	for k := range l.bearing(n, kind) {
		switch left := k.limit(n) - k.used[n] + own; {
		case k.cohort != "":
			note(lack{kind: kind, needs: needs, left: max(left, 0), where: fmt.Sprintf(" of the %d that cohort %s may have", k.capacity, k.cohort)})
		case k.cards() && left < k.capacity-k.total()+own:
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

// sumLacks notes what the share of a server leaves of its cost, in whole cents per hour, and of its power, in whole watts.
func (d *draft) sumLacks(server int, c *Candidate, has *Choice, note func(lack)) {
	l := d.shares
	if l == nil {
		return
	}
	n := l.of[server]
	for k := range l.sums[n] {
		b := &l.sums[n][k]
		left := b.left()
		if has != nil && has.BestEffort {
			left += b.of(d.p.Servers[server].Candidates[has.Candidate].had(has.Replicas))
		}
		if needs := b.of(c); needs > left+sumTolerance {
			note(lack{kind: b.unit, needs: int(math.Ceil(needs)), left: int(max(left, 0)), where: fmt.Sprintf(" of the %g that share %s may %s", b.most, l.p.Shares[n].Name, b.verb)})
		}
	}
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
		if k.cards() {
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
		words = cmp.Or(words, l.forbids(n, kind, cards))
	})
	for k := range l.sums[n] {
		b := &l.sums[n][k]
		if over := b.of(c) - b.left(); over > sumTolerance {
			words = cmp.Or(words, fmt.Sprintf("share %s: %g %s at most, where it would be %.2f", name, b.most, strings.Replace(b.unit, "¢", "cents", 1), b.most+over))
		}
	}
	return words
}

// again gives a server what was taken from it.
func (d *draft) again(had Choice) {
	if had.Candidate >= 0 {
		d.give(had.Server, had.Candidate, had.Replicas)
	}
}
