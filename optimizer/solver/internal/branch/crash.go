package branch

import (
	"math"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

const (
	// crashSets is the number of sets from which on the relaxation is worth starting with some of its columns.
	//
	// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: 439 servers of 600 are served after 436; at twice: no difference
	crashSets = 1000
	// crashRounds bounds how often columns are added.
	//
	// Tuned: rounds; guard against columns that join without end
	crashRounds = 30
	// sampleSets is the size of the sample whose prices stand for those of the whole.
	//
	// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: a gap of 0.005 % after 0.007 % for 5000 servers; at twice: the same gap of
	// 0.005 %
	sampleSets = 400
	// nearShare is the part of the sets, one in so many, that start with several columns.
	//
	// Tuned: sets; measured by eight fleets of 50 to 5000 servers; at half: a gap of 0.005 % after 0.007 % for 5000 servers; at twice: no difference
	nearShare = 8
)

// crash starts the relaxation of many sets near its optimum by sifting (Bixby, Gregory, Lustig, Marsten, Shanno 1992): a program of few columns
// of each set is solved, at its prices cheaper columns join, until there are none; its basis is installed. The first columns are the cheapest
// at the given prices, or without them at those of a sample. Where there is no solution at all, the state is the usual start.
func (s *search) crash(prices []float64) (st *choicelp.State, infeasible bool) {
	st = choicelp.Start(s.meter, s.p)
	if s.p.Sets() < crashSets {
		return st, false
	}
	if len(prices) != len(s.p.Capacity) {
		var ray []float64
		if prices, ray = s.sample(); s.p.Impossible(ray) {
			return st, true
		}
	}
	in := make([]bool, s.p.Columns())
	if s.pick != nil {
		for _, j := range s.pick {
			in[j] = true
		}
	} else {
		s.smallest(in)
	}
	s.close(in, prices)
	at := make([]int32, s.p.Columns()) // where the columns are in the part
	var keys, basis []int32
	for range crashRounds {
		r := s.reduce(prices, func(_ int, j int32, _ float64) bool { return in[j] })
		part := choicelp.Start(s.meter, r.p)
		if basis != nil {
			r.install(part, keys, basis, at)
		}
		switch part.Climb(math.Inf(1), maxPivots) {
		case choicelp.Infeasible:
			return st, s.p.Impossible(part.Ray())
		case choicelp.Stopped:
			return st, false
		}
		keys, basis = r.state(part)
		prices = part.Prices
		if !s.price(in, prices) {
			break
		}
	}
	st.Install(keys, basis)
	return st, false
}

// smallest adds of every set the column that takes the smallest share of the rows: with these there is a solution, if there is one.
func (s *search) smallest(in []bool) {
	s.meter.Charge(s.p.Columns())
	per := make([]float64, len(s.p.Capacity))
	for r, b := range s.p.Capacity {
		if root := s.p.Root(int32(r)); root != int32(r) {
			b += s.p.Capacity[root]
		}
		per[r] = 1 / max(b, 1)
	}
	for set := range s.p.Sets() {
		least, at := math.Inf(1), s.p.First[set]
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			if share := s.p.Reduced(per, j) - s.p.Cost[j]; share < least {
				least, at = share, j
			}
		}
		in[at] = true
	}
}

// close adds of every set the columns that are cheapest at the prices, or nearly.
func (s *search) close(in []bool, prices []float64) {
	s.meter.Charge(2 * s.p.Columns())
	limit := s.nearest(prices, s.p.Sets()/nearShare)
	for set := range s.p.Sets() {
		least := math.Inf(1)
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			least = min(least, s.p.Reduced(prices, j))
		}
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			in[j] = in[j] || s.p.Reduced(prices, j) <= least+limit
		}
	}
}

// price adds of every set the column that is cheapest at the prices, and says whether it is cheaper than those that are in.
func (s *search) price(in []bool, prices []float64) (cheaper bool) {
	s.meter.Charge(s.p.Columns())
	for set := range s.p.Sets() {
		least, at, had := math.Inf(1), int32(-1), math.Inf(1)
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			w := s.p.Reduced(prices, j)
			if in[j] {
				had = min(had, w)
			}
			if w < least {
				least, at = w, j
			}
		}
		if least < had-slack*(1e-3+math.Abs(had)) {
			in[at], cheaper = true, true
		}
	}
	return cheaper
}

// state gives the keys and the basis of a part in the columns of the whole.
func (r *reduced) state(part *choicelp.State) (keys, basis []int32) {
	keys = append(keys, r.pick...)
	for i, j := range part.Key {
		keys[r.sets[i]] = r.columns[j]
	}
	basis = append(basis, part.Basis()...)
	for i, v := range basis {
		if v >= 0 {
			basis[i] = r.columns[v]
		}
	}
	return keys, basis
}

// install is the inverse of state for a part that has all columns of the basis and the keys; at is scratch for all columns.
func (r *reduced) install(part *choicelp.State, keys, basis, at []int32) {
	for i, j := range r.columns {
		at[j] = int32(i)
	}
	inPart := make([]int32, len(r.sets))
	for i, set := range r.sets {
		inPart[i] = at[keys[set]]
	}
	mine := make([]int32, len(basis))
	for i, v := range basis {
		if mine[i] = v; v >= 0 {
			mine[i] = at[v]
		}
	}
	part.Install(inPart, mine)
}

// sample are the prices of a program of some sets, evenly spread, with their share of the capacity. Where it has no solution, they are nil and
// the ray is the combination of rows that shows it.
func (s *search) sample() (prices, ray []float64) {
	every := max(1, s.p.Sets()/sampleSets)
	taken := (s.p.Sets() + every - 1) / every
	capacity := make([]float64, len(s.p.Capacity))
	for r, b := range s.p.Capacity {
		capacity[r] = b * float64(taken) / float64(s.p.Sets())
	}
	p := choicelp.NewProgram(capacity, s.p.Above)
	for set := 0; set < s.p.Sets(); set += every {
		for j := s.p.First[set]; j < s.p.First[set+1]; j++ {
			p.Copy(s.p, j)
		}
		p.EndSet()
	}
	st := choicelp.Start(s.meter, p)
	if st.Climb(math.Inf(1), maxPivots) == choicelp.Infeasible {
		return make([]float64, len(capacity)), st.Ray()
	}
	return st.Prices, nil
}
