package choicelp

import "slices"

// Slim is the program without the rows that no pick can overdraw, and where rows that have nothing themselves are one with those above them. What it costs
// is linear in its entries; what it saves is a share of every pivot. to is, by row, where it is in there, −1 where it is not; nil where all are, as in a
// program in which no row has one above it.
func (p *Program) Slim() (slim *Program, to []int32) {
	if p.Above == nil {
		return p, nil
	}
	to = p.needed()
	var capacity []float64
	var above []int32
	for r := range to {
		if to[r] == int32(len(capacity)) {
			capacity = append(capacity, p.Capacity[r])
			if a := p.Above[r]; a < 0 {
				above = append(above, -1)
			} else {
				above = append(above, to[a])
			}
		}
	}
	if slices.Max(append(above, -1)) < 0 {
		above = nil
	}
	slim = NewProgram(capacity, above)
	slim.Grow(p.Sets(), p.Columns(), len(p.Row))
	for s := range p.Sets() {
		for j := p.First[s]; j < p.First[s+1]; j++ {
			for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
				if row := to[p.Row[e]]; row >= 0 {
					slim.AddEntry(int(row), p.Amount[e])
				}
			}
			slim.EndColumn(p.Cost[j])
		}
		slim.EndSet()
	}
	return slim, to
}

// needed numbers the rows that some pick can overdraw; rows that have nothing themselves are those above them, and others have −1.
func (p *Program) needed() []int32 {
	demand := p.demand()
	to := make([]int32, len(demand))
	for r := len(demand) - 1; r >= 0; r-- {
		if demand[r] <= p.Capacity[r] {
			to[r] = -1
		} else if a := p.Above[r]; a >= 0 {
			demand[a] += demand[r] - p.Capacity[r]
		}
	}
	n := int32(0)
	for r, a := range p.Above {
		switch {
		case to[r] < 0:
		case a >= 0 && to[a] < 0:
			to[r] = -1 // it gets whatever it lacks
		case a >= 0 && p.Capacity[r] == 0:
			to[r] = to[a]
		default:
			to[r] = n
			n++
		}
	}
	return to
}

// demand is the most that the columns of all sets together can take of each row.
func (p *Program) demand() []float64 {
	demand, most, of := make([]float64, len(p.Capacity)), make([]float64, len(p.Capacity)), make([]float64, len(p.Capacity))
	for s := range p.Sets() {
		for j := p.First[s]; j < p.First[s+1]; j++ {
			for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
				of[p.Row[e]] += p.Amount[e]
				most[p.Row[e]] = max(most[p.Row[e]], of[p.Row[e]])
			}
			for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
				of[p.Row[e]] = 0
			}
		}
		for e := p.Ptr[p.First[s]]; e < p.Ptr[p.First[s+1]]; e++ {
			demand[p.Row[e]] += most[p.Row[e]]
			most[p.Row[e]] = 0
		}
	}
	return demand
}
