package solver

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/branch"
	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

func sortLevels(levels []level) {
	slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(a.priority, b.priority) })
}

// millions of columns are the unit of ExactOptions.Work.
const millions = 1_000_000

// largeShare is the part of the work, one in so many, that is spent where the gap need not be 0.
const largeShare = 20

// countWork is the share of the work that maximising the number of servers of a priority may take.
const countWork = .2

// tieBreak is what all values together weigh while servers are counted, in servers: they only break ties.
const tieBreak = .01

// option is a candidate that a server can be served with: it fits the capacity, and none of the same type is better in value and units.
type option struct {
	candidate int
	row       int // of the type, −1 where it takes nothing
	units     int
	value     float64
}

// pool is what a round assigns: servers with their options, and the rows that these draw on.
type pool struct {
	servers  []server
	capacity []float64
	levels   int
	step     float64
}

// server is one of the pool.
type server struct {
	index   int // into Problem.Servers
	level   int
	options []option
}

// unserved stands for the option of getting nothing.
const unserved = -1

// assign serves the levels from what the draft has left, and returns by how much the value may be above the optimum of as many servers.
func (x *Exact) assign(ctx context.Context, d *draft, levels []level) float64 {
	f := newPool(d, levels)
	o := branch.Options{Step: f.step, Work: x.o.Work * millions}
	if len(f.servers) > x.o.ExactServers {
		o.Gap, o.Work = x.o.Gap, o.Work/largeShare
	}
	pick, missed := f.solve(ctx, o)
	f.give(d, pick)
	return missed
}

// give hands the picked options to the draft.
func (f *pool) give(d *draft, pick []int) {
	for i, k := range pick {
		if k == unserved {
			continue
		}
		s := &f.servers[i]
		j := s.options[k].candidate
		d.give(s.index, j, d.p.Servers[s.index].Candidates[j].Replicas)
	}
}

func newPool(d *draft, levels []level) *pool {
	f := &pool{levels: len(levels)}
	rows := map[string]int{}
	var values []float64
	for l := range levels {
		for _, r := range levels[l].servers {
			s := server{index: r.server, level: l}
			least := map[int]int{}
			for _, j := range r.candidates {
				c := &d.p.Servers[r.server].Candidates[j]
				if !d.fits(c) {
					continue
				}
				row := -1
				if !d.p.Unlimited && c.Units() > 0 {
					var ok bool
					if row, ok = rows[c.Type]; !ok {
						row = len(f.capacity)
						rows[c.Type] = row
						f.capacity = append(f.capacity, float64(d.left[c.Type]))
					}
				}
				if n, ok := least[row]; ok && n <= c.Units() || row >= 0 && has(least, -1) {
					continue // another of the type, or one that takes nothing, has no more value and takes no more
				}
				least[row] = c.Units()
				s.options = append(s.options, option{j, row, c.Units(), c.Value})
				values = append(values, c.Value)
			}
			if len(s.options) > 0 {
				f.servers = append(f.servers, s)
			}
		}
	}
	f.step = step(values)
	return f
}

func has(m map[int]int, k int) bool { _, ok := m[k]; return ok }

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

// solve picks an option for each server, or unserved, and says by how much the value may be above the optimum.
func (f *pool) solve(ctx context.Context, o branch.Options) ([]int, float64) {
	n := len(f.servers)
	if n == 0 {
		return nil, 0
	}
	all := make([]int, f.levels) // nobody is left out
	prog, columns := f.program(f.levels, all, -1, nil)
	res := branch.Solve(ctx, prog, o)
	if res.Pick != nil {
		return f.picked(res.Pick, columns), max(0, res.Cost-res.Bound)
	}
	pick := f.weighted(ctx, o)
	out := make([]int, f.levels)
	for l := range f.levels {
		f.insert(pick, l)
		if out[l] = f.left(pick, l); out[l] > 0 {
			prog, columns := f.program(l+1, out, l, nil)
			c := o
			c.Incumbent, c.Step, c.Excess, c.Work = f.columns(pick[:prog.Sets()], columns), 1, tieBreak, int(float64(o.Work)*countWork)
			res := branch.Solve(ctx, prog, c)
			if n := int(math.Floor(res.Cost)); n < out[l] {
				copy(pick, f.picked(res.Pick, columns))
				f.drop(pick, l)
				out[l] = n
			}
		}
	}
	prog, columns = f.program(f.levels, out, -1, nil)
	o.Incumbent = f.columns(pick, columns)
	res = branch.Solve(ctx, prog, o)
	return f.picked(res.Pick, columns), max(0, res.Cost-res.Bound)
}

// weighted is a good start: the value is minimised where a server that gets nothing costs the more the higher its level, though not so much
// more that lower levels count for nothing.
func (f *pool) weighted(ctx context.Context, o branch.Options) []int {
	most := 1.0
	for i := range f.servers {
		for _, c := range f.servers[i].options {
			most = max(most, c.value)
		}
	}
	ratio := min(weightRatio, math.Pow(1e9, 1/float64(f.levels)))
	weight := make([]float64, f.levels)
	for l := range weight {
		weight[l] = most * math.Pow(ratio, float64(f.levels-l))
	}
	prog, columns := f.program(f.levels, nil, -1, weight)
	o.Step, o.Gap, o.Work = 0, max(o.Gap, 1e-9), o.Work/10
	res := branch.Solve(ctx, prog, o)
	return f.picked(res.Pick, columns)
}

// weightRatio is how many times more a server weighs than one of the level below, or, on the lowest level, than the dearest option.
const weightRatio = 30

// drop leaves out those servers below the level that do not fit beside the others.
func (f *pool) drop(pick []int, level int) {
	left := slices.Clone(f.capacity)
	for i, k := range pick {
		if k == unserved {
			continue
		}
		c := f.servers[i].options[k]
		if c.row < 0 {
			continue
		}
		if f.servers[i].level > level && float64(c.units) > left[c.row] {
			pick[i] = unserved
			continue
		}
		left[c.row] -= float64(c.units)
	}
}

// program is that of the first so many levels. Of level l, out[l] servers at most get nothing: getting nothing is a column that takes one of
// out[l] of a row. Where count is a level, that level has no such limit, and the cost is the number of its servers that get nothing,
// plus a tie break; else the cost is the value. With weights instead, any server may get nothing, at that cost. The options that the columns are of are returned.
func (f *pool) program(levels int, out []int, count int, weight []float64) (*choicelp.Program, []int32) {
	capacity := slices.Clone(f.capacity)
	nothing := make([]int, levels)
	for l := range levels {
		nothing[l] = -1
		if weight == nil && out[l] > 0 && l != count {
			nothing[l] = len(capacity)
			capacity = append(capacity, float64(out[l]))
		}
	}
	scale := 1.0
	if count >= 0 {
		scale = tieBreak / f.most(levels)
	}
	p := choicelp.NewProgram(capacity)
	var columns []int32
	for i := range f.servers {
		s := &f.servers[i]
		if s.level >= levels {
			break
		}
		for k, c := range s.options {
			if c.row >= 0 {
				p.AddEntry(c.row, float64(c.units))
			}
			p.EndColumn(c.value * scale)
			columns = append(columns, int32(k))
		}
		switch {
		case weight != nil:
			p.EndColumn(weight[s.level])
			columns = append(columns, unserved)
		case s.level == count:
			p.EndColumn(1)
			columns = append(columns, unserved)
		case nothing[s.level] >= 0:
			p.AddEntry(nothing[s.level], 1)
			p.EndColumn(0)
			columns = append(columns, unserved)
		}
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
	return sum
}

// picked turns columns into options.
func (f *pool) picked(pick []int32, columns []int32) []int {
	options := make([]int, len(pick))
	for i, j := range pick {
		options[i] = int(columns[j])
	}
	return options
}

// columns turns options into columns of the program with that list.
func (f *pool) columns(pick []int, columns []int32) []int32 {
	var js []int32
	j := 0
	for i := 0; j < len(columns); i++ {
		end := j + len(f.servers[i].options)
		if end < len(columns) && columns[end] == unserved {
			end++
		}
		at := j + pick[i]
		if pick[i] == unserved {
			at = end - 1
		}
		js = append(js, int32(at))
		j = end
	}
	return js
}

// left is the number of servers of the level that the pick leaves out.
func (f *pool) left(pick []int, level int) int {
	n := 0
	for i := range f.servers {
		if f.servers[i].level == level && pick[i] == unserved {
			n++
		}
	}
	return n
}

// insert serves what servers of the level it can beside those that are served, first those that take the smallest share of a type.
func (f *pool) insert(pick []int, level int) {
	left := slices.Clone(f.capacity)
	var waiting []int
	for i := range f.servers {
		if k := pick[i]; k != unserved {
			if c := f.servers[i].options[k]; c.row >= 0 {
				left[c.row] -= float64(c.units)
			}
		} else if f.servers[i].level == level {
			waiting = append(waiting, i)
		}
	}
	share := func(i int) float64 {
		least := math.Inf(1)
		for _, c := range f.servers[i].options {
			if c.row < 0 {
				return 0
			}
			least = min(least, float64(c.units)/f.capacity[c.row])
		}
		return least
	}
	slices.SortStableFunc(waiting, func(a, b int) int { return cmp.Compare(share(a), share(b)) })
	for _, i := range waiting {
		best := math.Inf(1)
		for k, c := range f.servers[i].options {
			if c.row < 0 {
				pick[i] = k
				best = 0
				break
			}
			if s := float64(c.units) / left[c.row]; float64(c.units) <= left[c.row] && s < best {
				best, pick[i] = s, k
			}
		}
		if c := pick[i]; c != unserved && f.servers[i].options[c].row >= 0 {
			left[f.servers[i].options[c].row] -= float64(f.servers[i].options[c].units)
		}
	}
}
