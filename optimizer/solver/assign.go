package solver

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/branch"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/work"
)

func sortLevels(levels []level) {
	slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(a.priority, b.priority) })
}

// Shares of the work that is left.
const (
	// roundShare is that of a round, where others may follow.
	//
	// Tuned: share; guard against a round that leaves nothing to those of lower priorities: half and twice of it make no difference over eight fleets
	roundShare = .5
	// blindShare is that of the search for a way to serve everybody while none is found.
	//
	// Tuned: share; guard against a search for what is not there, which the relaxation does not tell: half and twice of it make no difference over eight fleets
	blindShare = .5
	// valueShare is that of the value where not everybody can be served, which is kept for it.
	//
	// Tuned: share; measured by eight fleets of 50 to 5000 servers; at half: 438 servers of 600 are served after 436, with 10 % more work for 50; at twice:
	// 20 % less work for 50 servers
	valueShare = .3
	// weightedShare is that of a start from weighted levels.
	//
	// Tuned: share; measured by eight fleets of 50 to 5000 servers; at half: 25 % less work for 50 servers; at twice: 66 % more
	weightedShare = .1
	// countShare is that of maximising the number of servers of a priority.
	//
	// Tuned: share; measured by eight fleets of 50 to 5000 servers; at half: no difference; at twice: 437 servers of 600 are served after 436
	countShare = .3
)

const (
	// pooling is the work of making an option of a candidate, which allocates memory.
	//
	// Tuned: units of work; measured by eight fleets of 50 to 5000 servers; at half: 25 ms are counted for 5000 servers after 41 ms, and the plans are the
	// same; at twice: 73 ms
	pooling = 150
	// programming is the work of making a column of an option, which allocates memory.
	//
	// Tuned: units of work; measured by eight fleets of 50 to 5000 servers; at half: 40 ms are counted for 5000 servers after 41 ms, and the plans are the
	// same; at twice: 44 ms
	programming = 15
)

// tieBreak is what all values together weigh while servers are counted, in servers: they only break ties.
//
// Tuned: servers; measured by eight fleets of 50 to 5000 servers; at half: 430 servers of 600 are served after 436; at twice: 437
const tieBreak = .01

// use is what an option takes of a row.
type use struct {
	row    int
	amount float64
}

// countGap is how many servers, as a share of all, may be served less than the bound allows where the gap need not be 0.
//
// Tuned: share; measured by eight fleets of 50 to 5000 servers and the 5000 of the large sample system; at half: 605 of 2000 of the lowest priority are 606, but
// 3752 of 5000 are 3677; at twice: 604 of the 605
const countGap = 1e-3

// option is a candidate that a server can be served with: it fits the capacity, and none is better in value and in all it takes.
type option struct {
	candidate int
	value     float64
	uses      []use
}

// server is one of the pool.
type server struct {
	index   int // into Problem.Servers
	level   int
	weight  int     // what serving it counts
	penalty float64 // of leaving it out, in a weighted sum
	options []option
}

// purchase is one that can be made. Its cards are part of the capacity of rows, of which it takes them while it is not made.
type purchase struct {
	pool  int // index into Problem.Elastic
	price float64
	cards []use
}

// pool is what a round assigns: servers with their options, and the rows that these draw on.
type pool struct {
	meter *work.Meter
	// end is what the meter may show at most, and cut says that a search ended for that.
	end int64
	cut bool

	servers   []server
	purchases []purchase
	capacity  []float64
	kinds     []kind  // of rows, those of shares after the others; empty where they are of a share alone
	above     []int32 // rows that give what a row lacks, −1 where it must not be overdrawn; nil where there are no shares
	own       []ownRows
	levels    int
	step      float64
	// weightedSum asks for the least sum of values and penalties.
	weightedSum bool
	// more is, by level, how much more weight might be served than is.
	more    []int
	options int   // of all servers
	uses    []use // what the options' uses are slices of
}

// kind is what a row counts: places for replicas of so many cards of a type, on the nodes of a scope, which is empty for all of them. Where the type has
// no nodes, it is cards.
type kind struct {
	name, scope string
	size        int
	// domain and group are of a row that counts places for groups of so many pods, each within one domain.
	domain string
	group  int
}

// cards says whether the row counts cards, whoever takes them.
func (k *kind) cards() bool { return k.size == 1 && k.scope == "" && k.group == 0 }

// taken is how many of the places so many replicas of a part take at least.
func (k *kind) taken(part *Part, replicas int) int {
	each := part.UnitsPerPod() / k.size
	switch {
	case k.group == 0:
		return part.PodsOf(replicas) * each
	case part.Domain == k.domain && part.Pods > 1:
		return replicas * (part.Pods * each / k.group)
	}
	return 0
}

// bring is how many places more there are at most with a purchase: of those of groups a node may make one whole.
func (k *kind) bring(e *Elastic) int {
	switch {
	case k.group == 0:
		return e.Cards / k.size
	case e.Domains[k.domain] == "":
		return 0
	}
	return (e.Cards/k.size + k.group - 1) / k.group
}

// unserved stands for the option of getting nothing.
//
// Exact: no option has this index.
const unserved = -1

// picks are an option for each server of a pool, or unserved, and whether each purchase is made.
type picks struct {
	options []int
	bought  []bool
}

// assign serves the levels from what the draft has left, and returns by how much the value may be above the optimum of as many servers.
func (x *Exact) assign(m *work.Meter, d *draft, levels []level) float64 {
	f := newPool(d, levels)
	m.Charge(pooling * f.options)
	f.meter, f.end = m, m.Spent()+int64(m.Left())
	if len(levels) > 1 && !d.p.DelayedBestEffort && !d.p.WeightedSum {
		f.end = m.Spent() + int64(roundShare*float64(m.Left()))
	}
	o := branch.Options{}
	if len(f.servers) > x.o.ExactServers {
		o.Gap = x.o.Gap
	}
	o.Step, o.Prices = f.step, f.hint(d.p.Prices)
	picks, bound, prices := f.solve(o)
	d.cut = d.cut || f.cut
	value, whole := f.give(d, picks)
	value += f.missing(d)
	d.prices = f.perCard(d, prices)
	if d.more == nil {
		d.more = map[int]int{}
	}
	for l := range levels {
		d.more[levels[l].priority] = f.more[l]
	}
	for i, k := range picks.options {
		if s := &f.servers[i]; k != unserved && !d.served(s.index) { // it does not fit on nodes after all
			d.more[levels[s.level].priority] += s.weight
		}
	}
	if !whole && !f.weightedSum {
		bound = f.least(d, prices) // of the servers that are served, which are not those that the other one is of
	}
	if missed := value - bound; missed > rounding*(1+value) {
		return missed
	}
	return 0
}

// missing is the sum of the penalties of the servers that the draft does not serve.
func (f *pool) missing(d *draft) float64 {
	sum := 0.0
	for i := range f.servers {
		if !d.served(f.servers[i].index) {
			sum += f.servers[i].penalty
		}
	}
	return sum
}

// rounding is the relative difference of sums that counts as none.
//
// Tuned: 1; guard against rounding that is taken for a gap
const rounding = 1e-9

// give hands the picks to the draft, purchases first. Rows are necessary for a packing, but for odd sizes of replicas they are not
// sufficient: a server whose option turns out not to fit gets the next that does. It returns the value given, and whether all got one.
func (f *pool) give(d *draft, p picks) (value float64, whole bool) {
	for i, yes := range p.bought {
		if yes {
			d.buy(f.purchases[i].pool, 1)
			value += f.purchases[i].price
		}
	}
	whole = true
	for i, k := range p.options {
		if k == unserved {
			continue
		}
		s := &f.servers[i]
		c := s.first(d, k)
		if whole = whole && c >= 0; c < 0 {
			continue
		}
		candidate := &d.p.Servers[s.index].Candidates[c]
		d.give(s.index, c, candidate.Replicas())
		value += candidate.Value
	}
	return value, whole
}

// least is a bound on the value of all picks that serve as many of each level as the draft does, by prices of the rows: the sum of the least reduced costs of
// so many servers, or of so much weight, less what the rows are worth,
//
//	L(λ) = Σ_l min { Σ_s x_s min_j (v_j + λ·a_j) : Σ_s w_s x_s = n_l, 0 ≤ x ≤ 1 } + Σ_k min (λ·c_k, b_k) − λ·C.
func (f *pool) least(d *draft, prices []float64) float64 {
	if len(prices) < len(f.capacity) {
		return 0
	}
	worth := func(uses []use) float64 {
		sum := 0.0
		for _, u := range uses {
			sum += prices[u.row] * u.amount
		}
		return sum
	}
	bound := 0.0
	for r, c := range f.capacity {
		bound -= prices[r] * c
	}
	for i := range f.purchases {
		bound += min(worth(f.purchases[i].cards), f.purchases[i].price)
	}
	type item struct{ cost, weight float64 }
	levels, served := make([][]item, f.levels), make([]float64, f.levels)
	for i := range f.servers {
		s := &f.servers[i]
		x := item{math.Inf(1), float64(s.weight)}
		for k := range s.options {
			x.cost = min(x.cost, s.options[k].value+worth(s.options[k].uses))
		}
		levels[s.level] = append(levels[s.level], x)
		if d.served(s.index) {
			served[s.level] += x.weight
		}
	}
	for l, items := range levels {
		slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.cost/a.weight, b.cost/b.weight) })
		for _, x := range items {
			part := min(1, served[l]/x.weight)
			bound += part * x.cost
			served[l] -= part * x.weight
		}
	}
	return max(0, bound)
}

// first is the candidate of the option, or of the first one that fits where it does not, −1 where none does.
func (s *server) first(d *draft, option int) int {
	candidates := d.p.Servers[s.index].Candidates
	if c := s.options[option].candidate; d.fits(s.index, &candidates[c]) {
		return c
	}
	for i := range s.options {
		if c := s.options[i].candidate; d.fits(s.index, &candidates[c]) {
			return c
		}
	}
	return -1
}

// perCard is what one card more of each type of the problem would save, given the prices of the rows.
func (f *pool) perCard(d *draft, prices []float64) map[string]float64 {
	per := make(map[string]float64, len(d.stock))
	for t := range d.stock {
		per[t] = 0
	}
	scoped := map[[2]string]float64{}
	for r, k := range f.kinds {
		switch {
		case r >= len(prices) || k.size == 0:
		case k.scope == "" && k.group == 0:
			per[k.name] += prices[r] / float64(k.size)
		default:
			scoped[[2]string{k.name, k.scope + k.domain}] += prices[r] / float64(k.size*max(k.group, 1))
		}
	}
	dearest := map[string]float64{}
	for k, price := range scoped {
		dearest[k[0]] = max(dearest[k[0]], price)
	}
	for name, price := range dearest {
		per[name] += price // a card more where it is scarcest
	}
	return per
}

func newPool(d *draft, levels []level) *pool {
	f := &pool{levels: len(levels), weightedSum: d.p.WeightedSum, more: make([]int, len(levels))}
	rows := f.rows(d, levels)
	f.ownRows(d)
	servers, candidates := 0, 0
	for l := range levels {
		servers += len(levels[l].servers)
		for _, r := range levels[l].servers {
			candidates += len(r.candidates)
		}
	}
	f.servers, f.uses = make([]server, 0, servers), make([]use, 0, candidates) // of one part on a type without nodes each, as most are
	values := make([]float64, 0, candidates)
	for l := range levels {
		for _, r := range levels[l].servers {
			s := server{index: r.server, level: l, weight: d.p.Servers[r.server].weight(), options: make([]option, 0, len(r.candidates))}
			if f.weightedSum {
				s.penalty = d.p.Servers[r.server].Penalty
				values = append(values, s.penalty)
			}
			for _, j := range r.candidates {
				c := &d.p.Servers[r.server].Candidates[j]
				o := option{candidate: j, value: c.Value}
				possible := true
				first := len(f.uses)
				if !d.p.Unlimited {
					for i := range c.Parts {
						if part := &c.Parts[i]; part.Replicas > 0 {
							for _, row := range rows[part.Type] {
								if d.holds(part, row.scope) {
									possible = f.take(first, row.rows, d.shares.share(r.server), part) && possible
								}
							}
							possible = possible && len(rows[part.Type]) > 0
						}
					}
				}
				possible = f.bound(d, d.shares.share(r.server), c) && possible
				o.uses = f.uses[first:len(f.uses):len(f.uses)]
				if possible && !slices.ContainsFunc(s.options, func(better option) bool { return better.within(o) }) {
					s.options = append(s.options, o)
					values = append(values, c.Value)
				} else {
					f.uses = f.uses[:first]
				}
			}
			if len(s.options) > 0 {
				f.servers = append(f.servers, s)
				f.options += len(s.options)
			}
		}
	}
	for i := range f.purchases {
		values = append(values, f.purchases[i].price)
	}
	f.step = step(values)
	return f
}

// holds says whether the nodes that a part can be on are all of a scope, those that may be bought included.
func (d *draft) holds(part *Part, scope string) bool {
	if scope == "" {
		return true
	}
	return d.stock[part.Type].Within(scope).Holds(part.Scope) && !slices.ContainsFunc(d.p.Elastic, func(e Elastic) bool {
		return e.Type == part.Type && slices.Contains(e.Scopes, part.Scope) && !slices.Contains(e.Scopes, scope)
	})
}

// within says whether the option takes no more of anything than the other. Options come in the order of value.
func (o *option) within(other option) bool {
	for _, u := range o.uses {
		if !slices.ContainsFunc(other.uses, func(v use) bool { return v.row == u.row && v.amount >= u.amount }) {
			return false
		}
	}
	return true
}

// take adds what the replicas of a part take of the rows of their type to the uses from the first on, those of one option, and says whether that can be had at
// all.
func (f *pool) take(first int, rows []int, share int, part *Part) (possible bool) {
	possible = true
	for _, r := range rows {
		n := float64(f.kinds[r].taken(part, part.Replicas))
		if n == 0 {
			continue
		}
		r := f.rowOf(r, share)
		at := first
		for at < len(f.uses) && f.uses[at].row != r {
			at++
		}
		if at == len(f.uses) {
			f.uses = append(f.uses, use{row: r})
		}
		f.uses[at].amount += n
		n = f.uses[at].amount
		possible = possible && n <= choicelp.Room(f.capacity, f.above, int32(r))
	}
	return possible
}

// scopedRows are the rows of a scope, the smallest size first.
type scopedRows struct {
	scope string
	rows  []int
}

// rows makes the rows of each type: one that counts cards; or, where there are nodes, one for each size of replicas and each scope, all nodes first,
// that counts the places for replicas of that size, and one for each size of groups within domains. A replica takes as many places of a smaller size as it would hold of them, in every scope that all
// nodes are of which it can be on.
func (f *pool) rows(d *draft, levels []level) map[string][]scopedRows {
	if d.p.Unlimited {
		return nil
	}
	sizes := d.sizes(func(yield func(int)) {
		for l := range levels {
			for _, r := range levels[l].servers {
				yield(r.server)
			}
		}
	})
	rows := map[string][]scopedRows{}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		for _, k := range d.kinds(name, sizes[name]) {
			of := rows[name]
			if len(of) == 0 || of[len(of)-1].scope != k.scope {
				of = append(of, scopedRows{scope: k.scope})
			}
			of[len(of)-1].rows = append(of[len(of)-1].rows, len(f.kinds))
			rows[name] = of
			f.kinds = append(f.kinds, k)
			f.capacity = append(f.capacity, float64(d.places(k)))
		}
	}
	for i, e := range d.p.Elastic {
		for range e.Limit - d.bought[i] {
			p := purchase{pool: i, price: e.Price}
			for _, of := range rows[e.Type] {
				if of.scope != "" && !slices.Contains(e.Scopes, of.scope) {
					continue
				}
				for _, r := range of.rows {
					if n := float64(f.kinds[r].bring(&e)); n > 0 {
						p.cards = append(p.cards, use{r, n})
						f.capacity[r] += n
					}
				}
			}
			if len(p.cards) > 0 {
				f.purchases = append(f.purchases, p)
			}
		}
	}
	return rows
}

// sizes of the candidates of some servers, by type.
func (d *draft) sizes(servers func(yield func(server int))) map[string]*sizesOf {
	sizes := map[string]*sizesOf{}
	servers(func(i int) {
		for j := range d.p.Servers[i].Candidates {
			d.p.Servers[i].Candidates[j].uses(func(part *Part) {
				z := sizes[part.Type]
				if z == nil {
					z = d.noSizes(part.Type)
					sizes[part.Type] = z
				}
				z.note(part.UnitsPerPod(), part.Scope)
				z.noteGroup(part)
			})
		}
	})
	return sizes
}

// sizesOf are the sizes of replicas on a type, and their scopes: in cards where it has nodes, one card, and all of them, where it has none.
type sizesOf struct {
	onNodes bool
	cards   []int
	scopes  []string
	// groups are the kinds of places that groups take within domains, of no scope.
	groups []kind
}

func (d *draft) noSizes(kind string) *sizesOf {
	if d.stock[kind].OnNodes() {
		return &sizesOf{onNodes: true, scopes: []string{""}}
	}
	return &sizesOf{cards: []int{1}, scopes: []string{""}}
}

func (z *sizesOf) note(cards int, scope string) {
	if z.onNodes && !slices.Contains(z.cards, cards) {
		z.cards = append(z.cards, cards)
	}
	if z.onNodes && !slices.Contains(z.scopes, scope) {
		z.scopes = append(z.scopes, scope)
	}
}

func (z *sizesOf) noteGroup(part *Part) {
	if !z.onNodes || part.Domain == "" || part.Pods < 2 {
		return
	}
	for _, group := range []int{1, part.Pods} { // places in any domain, and in one
		k := kind{name: part.Type, size: part.UnitsPerPod(), domain: part.Domain, group: group}
		if !slices.Contains(z.groups, k) {
			z.groups = append(z.groups, k)
		}
	}
}

// kinds of places that replicas of the sizes take, by scope, the smallest first, those of groups last.
func (z *sizesOf) kinds(name string) []kind {
	slices.Sort(z.cards)
	slices.Sort(z.scopes)
	slices.SortFunc(z.groups, func(a, b kind) int {
		return cmp.Or(a.size-b.size, cmp.Compare(a.domain, b.domain), a.group-b.group)
	})
	list := make([]kind, 0, len(z.scopes)*(len(z.cards)+len(z.groups)))
	for _, scope := range z.scopes {
		for _, size := range z.cards {
			list = append(list, kind{name: name, scope: scope, size: size})
		}
		for _, k := range z.groups {
			k.scope = scope
			list = append(list, k)
		}
	}
	return list
}

// places of a kind that are left.
func (d *draft) places(k kind) int {
	return d.stock[k.name].Within(k.scope).Together(k.domain, k.group).Places(k.size) / max(k.group, 1)
}

// step is the largest amount of which all values are multiples, to a hundredth of a cent; 0 where there is none.
func step(values []float64) float64 {
	const unit = .01
	g := 0
	for _, v := range values {
		n := math.Round(v / unit)
		if math.Abs(v-n*unit) > 1e-9*(1+v) || n > 1e12 {
			return 0
		}
		for a := int(n); a != 0; {
			g, a = a, g%a
		}
	}
	return float64(g) * unit
}

// solve makes the picks, with a bound on the value of all picks that serve as many of each level, and the prices of the rows.
func (f *pool) solve(o branch.Options) (picks, float64, []float64) {
	if f.weightedSum {
		return f.sum(o)
	}
	all := make([]int, f.levels) // nobody is left out
	prog, columns := f.program(f.levels, all, -1, nil)
	o.Blind = f.share(blindShare)
	res := f.search(prog, o, 1)
	o.Blind = 0
	if res.Pick != nil {
		p := f.nothing()
		f.read(res.Pick, columns, p)
		return p, res.Bound, res.Prices
	}
	hint := o.Prices
	end := f.end
	f.end -= int64(f.share(valueShare))
	p, out, least := f.serve(o)
	f.end = end
	for l := range out {
		f.more[l] = out[l] - least[l]
	}
	prog, columns = f.program(f.levels, out, -1, nil)
	o.Incumbent = f.write(p, columns)
	if o.Prices = slices.Clone(hint); hint != nil {
		for l := range out {
			if out[l] > 0 {
				o.Prices = append(o.Prices, f.dearest())
			}
		}
	}
	res = f.search(prog, o, 1)
	f.read(res.Pick, columns, p)
	return p, res.Bound, res.Prices
}

// share is the number of units of work that are a share of what is left.
func (f *pool) share(of float64) int { return int(of * float64(max(0, f.end-f.meter.Spent()))) }

// search solves a program with a share of the work that is left.
func (f *pool) search(p *choicelp.Program, o branch.Options, share float64) branch.Result {
	f.meter.Charge(programming * p.Columns())
	o.Work = f.share(share)
	res := branch.Solve(f.meter, p, o)
	f.cut = f.cut || res.Cut
	return res
}

// sum makes the picks of the least sum of values and penalties, with a bound on it.
func (f *pool) sum(o branch.Options) (picks, float64, []float64) {
	p := f.nothing()
	prog, columns := f.program(f.levels, nil, -1, f.penalties())
	o.Incumbent = f.write(p, columns)
	res := f.search(prog, o, 1)
	f.read(res.Pick, columns, p)
	return p, res.Bound, res.Prices
}

// penalties of the servers.
func (f *pool) penalties() []float64 {
	all := make([]float64, len(f.servers))
	for i := range all {
		all[i] = f.servers[i].penalty
	}
	return all
}

// serve picks options for as many servers as it can, the highest level first, and returns the weight of those of each level that get nothing,
// with what it is at least. It starts from a plan of weighted levels.
func (f *pool) serve(o branch.Options) (p picks, out, least []int) {
	p = f.nothing()
	prices, weight := f.weighted(o, p)
	out, least = make([]int, f.levels), make([]int, f.levels)
	total := f.weight()
	for l := range f.levels {
		f.insert(p, l)
		if out[l] = f.left(p, l); out[l] > 0 {
			prog, columns := f.program(l+1, out, l, nil)
			c := o
			c.Incumbent, c.Step, c.Excess = f.write(p, columns), 1, tieBreak
			c.Prices = scaled(prices, 1/weight[l])
			for q := range l {
				if out[q] > 0 {
					c.Prices = append(c.Prices, weight[q]/weight[l])
				}
			}
			if o.Gap > 0 {
				c.Near = countGap*total + tieBreak
			}
			res := f.search(prog, c, countShare)
			if n := int(math.Floor(res.Cost)); n < out[l] {
				f.read(res.Pick, columns, p)
				f.drop(p, l)
				out[l] = n
			}
			least[l] = min(out[l], max(0, int(math.Ceil(res.Bound-tieBreak-1e-6))))
		}
	}
	return p, out, least
}

// nothing serves nobody and buys nothing.
func (f *pool) nothing() picks {
	p := picks{make([]int, len(f.servers)), make([]bool, len(f.purchases))}
	for i := range p.options {
		p.options[i] = unserved
	}
	return p
}

// weighted is a good start: the value is minimised where a server that gets nothing costs the more the higher its level, though not so much
// more that lower levels count for nothing. The prices of the rows and the weights are returned.
func (f *pool) weighted(o branch.Options, p picks) (prices, weight []float64) {
	penalties, weight := f.weights()
	prog, columns := f.program(f.levels, nil, -1, penalties)
	o.Step, o.Gap, o.Prices = 0, weightGap, nil
	res := f.search(prog, o, weightedShare)
	if res.Pick != nil {
		f.read(res.Pick, columns, p)
	}
	return res.Prices, weight
}

// weights are what a server that gets nothing costs, and what it does by level and unit of weight.
func (f *pool) weights() (penalties, weight []float64) {
	ratio := min(weightRatio, math.Pow(1e8, 1/float64(f.levels)))
	weight = make([]float64, f.levels)
	each := float64(len(f.servers)) / f.weight()
	for l := range weight {
		weight[l] = f.dearest() * math.Pow(ratio, float64(f.levels-l)) * each
	}
	penalties = make([]float64, len(f.servers))
	for i := range penalties {
		penalties[i] = weight[f.servers[i].level] * float64(f.servers[i].weight)
	}
	return penalties, weight
}

// scaled are the prices times a factor.
func scaled(prices []float64, factor float64) []float64 {
	s := slices.Clone(prices)
	for i := range s {
		s[i] *= factor
	}
	return s
}

// hint are the prices of the rows, given those of cards by type; nil where none are given.
func (f *pool) hint(perCard map[string]float64) []float64 {
	if len(perCard) == 0 {
		return nil
	}
	prices := make([]float64, len(f.capacity))
	for r, k := range f.kinds {
		switch {
		case k.size > 0 && k.scope == "" && k.group == 0:
			prices[r] = max(0, perCard[k.name]*float64(k.size))
		case k.size == 0 && f.above[r] >= 0:
			prices[r] = prices[f.above[r]]
		}
	}
	return prices
}

// weight of all servers.
func (f *pool) weight() float64 {
	sum := 1e-9
	for i := range f.servers {
		sum += float64(f.servers[i].weight)
	}
	return sum
}

// weightGap is the gap at which the start is good enough.
//
// Tuned: 1; measured by eight fleets of 50 to 5000 servers; at half: no difference; at twice: 7 % more work for 50 servers
const weightGap = 1e-3

// weightRatio is how many times more a server weighs than one of the level below, or, on the lowest level, than the dearest option.
//
// Tuned: 1; measured by eight fleets of 50 to 5000 servers; at half: 6 % less work for 200 servers; at twice: no difference
const weightRatio = 300

func (f *pool) dearest() float64 {
	most := 1.0
	for i := range f.servers {
		for _, c := range f.servers[i].options {
			most = max(most, c.value)
		}
	}
	return most
}

// free is what the picks leave of the rows.
func (f *pool) free(p picks) []float64 {
	left := slices.Clone(f.capacity)
	for i, k := range p.options {
		if k != unserved {
			for _, u := range f.servers[i].options[k].uses {
				choicelp.Take(left, f.above, int32(u.row), u.amount)
			}
		}
	}
	for i, yes := range p.bought {
		if !yes {
			for _, u := range f.purchases[i].cards {
				left[u.row] -= u.amount
			}
		}
	}
	return left
}

// drop leaves out those servers below the level that do not fit beside the others.
func (f *pool) drop(p picks, level int) {
	had := slices.Clone(p.options)
	for i := range p.options {
		if f.servers[i].level > level {
			p.options[i] = unserved
		}
	}
	left := f.free(p)
	for i, k := range had {
		if k != unserved && p.options[i] == unserved && f.fits(&f.servers[i].options[k], left) {
			p.options[i] = k
			f.takeFrom(&f.servers[i].options[k], left)
		}
	}
}

func (f *pool) fits(o *option, left []float64) bool {
	for _, u := range o.uses {
		if u.amount > choicelp.Room(left, f.above, int32(u.row)) {
			return false
		}
	}
	return true
}

func (f *pool) takeFrom(o *option, left []float64) {
	for _, u := range o.uses {
		choicelp.Take(left, f.above, int32(u.row), u.amount)
	}
}

// portion is the largest share that the option takes of what is left of a row.
func (f *pool) portion(o *option, left []float64) float64 {
	most := 0.0
	for _, u := range o.uses {
		most = max(most, u.amount/choicelp.Room(left, f.above, int32(u.row)))
	}
	return most
}

// program is that of the first so many levels. Of level l, servers of the weight out[l] at most get nothing: getting nothing is a column that takes the weight
// of a row. Where count is a level, that level has no such limit, and the cost is the weight of its servers that get nothing,
// plus a tie break; else the cost is the value. With penalties, of each server, instead, any may get nothing, at that cost. The options
// that the columns are of are returned; of purchases, 0 is not made and 1 is.
func (f *pool) program(levels int, out []int, count int, penalties []float64) (*choicelp.Program, []int32) {
	capacity, above := slices.Clone(f.capacity), slices.Clone(f.above)
	nothing := make([]int, levels)
	for l := range levels {
		nothing[l] = -1
		if penalties == nil && out[l] > 0 && l != count {
			nothing[l] = len(capacity)
			if capacity = append(capacity, float64(out[l])); above != nil {
				above = append(above, -1)
			}
		}
	}
	scale := 1.0
	if count >= 0 {
		scale = tieBreak / f.most(levels)
	}
	p := choicelp.NewProgram(capacity, above)
	n := f.options + len(f.servers) + 2*len(f.purchases)
	p.Grow(len(f.servers)+len(f.purchases), n, len(f.uses)+len(f.servers)+len(f.purchases)*len(f.capacity))
	columns := make([]int32, 0, n)
	for i := range f.servers {
		s := &f.servers[i]
		if s.level >= levels {
			break
		}
		for k := range s.options {
			for _, u := range s.options[k].uses {
				p.AddEntry(u.row, u.amount)
			}
			p.EndColumn(s.options[k].value * scale)
			columns = append(columns, int32(k))
		}
		switch {
		case penalties != nil:
			p.EndColumn(penalties[i])
			columns = append(columns, unserved)
		case s.level == count:
			p.EndColumn(float64(s.weight))
			columns = append(columns, unserved)
		case nothing[s.level] >= 0:
			p.AddEntry(nothing[s.level], float64(s.weight))
			p.EndColumn(0)
			columns = append(columns, unserved)
		}
		p.EndSet()
	}
	for i := range f.purchases {
		for _, u := range f.purchases[i].cards {
			p.AddEntry(u.row, u.amount)
		}
		p.EndColumn(0)
		p.EndColumn(f.purchases[i].price * scale)
		columns = append(columns, 0, 1)
		p.EndSet()
	}
	return p, columns
}

// most is more than any plan of the first so many levels can cost.
func (f *pool) most(levels int) float64 {
	sum := 1.0
	for i := range f.servers {
		if f.servers[i].level < levels {
			sum += slices.MaxFunc(f.servers[i].options, func(a, b option) int { return cmp.Compare(a.value, b.value) }).value
		}
	}
	for i := range f.purchases {
		sum += f.purchases[i].price
	}
	return sum
}

// read turns a column for each set of a program into picks. Servers that are not in the program keep theirs.
func (f *pool) read(pick []int32, columns []int32, p picks) {
	n := len(pick) - len(f.purchases)
	for i, j := range pick {
		if i < n {
			p.options[i] = int(columns[j])
		} else {
			p.bought[i-n] = columns[j] == 1
		}
	}
}

// write turns picks into a column for each set of the program that the columns are of.
func (f *pool) write(p picks, columns []int32) []int32 {
	var pick []int32
	j := 0
	end := len(columns) - 2*len(f.purchases)
	for i := 0; j < end; i++ {
		next := j + len(f.servers[i].options)
		if next < end && columns[next] == unserved {
			next++
		}
		at := j + p.options[i]
		if p.options[i] == unserved {
			at = next - 1
		}
		pick = append(pick, int32(at))
		j = next
	}
	for _, yes := range p.bought {
		if yes {
			pick = append(pick, int32(j+1))
		} else {
			pick = append(pick, int32(j))
		}
		j += 2
	}
	return pick
}

// left is the weight of the servers of the level that the picks leave out.
func (f *pool) left(p picks, level int) int {
	n := 0
	for i, k := range p.options {
		if f.servers[i].level == level && k == unserved {
			n += f.servers[i].weight
		}
	}
	return n
}

// insert serves what servers of the level it can beside those that are served, first those that take the smallest share of a row.
func (f *pool) insert(p picks, level int) {
	left := f.free(p)
	var waiting []int
	share := make([]float64, len(f.servers))
	for i, k := range p.options {
		if k == unserved && f.servers[i].level == level {
			waiting = append(waiting, i)
			share[i] = math.Inf(1)
			for n := range f.servers[i].options {
				share[i] = min(share[i], f.portion(&f.servers[i].options[n], f.capacity)/float64(f.servers[i].weight))
			}
		}
	}
	slices.SortStableFunc(waiting, func(a, b int) int { return cmp.Compare(share[a], share[b]) })
	for _, i := range waiting {
		best := math.Inf(1)
		for k := range f.servers[i].options {
			if o := &f.servers[i].options[k]; f.fits(o, left) && f.portion(o, left) < best {
				best, p.options[i] = f.portion(o, left), k
			}
		}
		if k := p.options[i]; k != unserved {
			f.takeFrom(&f.servers[i].options[k], left)
		}
	}
}
