//go:build cgo && lpsolve

package solver

import (
	"slices"

	"github.com/draffensperger/golp"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

const haveLPSolve = true

// lpSolve solves the program in integers. It returns the column of each set, nil where no solution was found within the timeout, in
// seconds, and whether it is proven to be the best.
func lpSolve(p *choicelp.Program, timeout int) ([]int32, bool) {
	borrowed := p.Columns() // the first of the columns of what rows borrow
	lp := golp.NewLP(0, borrowed+len(p.Above))
	lp.SetVerboseLevel(golp.NEUTRAL)
	lp.SetTimeout(timeout)
	lp.SetObjFn(append(slices.Clone(p.Cost), make([]float64, len(p.Above))...))
	rows := make([][]golp.Entry, len(p.Capacity))
	for j := range p.Columns() {
		lp.SetBinary(j, true)
		for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
			rows[p.Row[e]] = append(rows[p.Row[e]], golp.Entry{Col: j, Val: p.Amount[e]})
		}
	}
	for r, above := range p.Above {
		if above >= 0 {
			rows[r] = append(rows[r], golp.Entry{Col: borrowed + r, Val: -1})
			rows[above] = append(rows[above], golp.Entry{Col: borrowed + r, Val: 1})
		}
	}
	lp.SetAddRowMode(true)
	for r, entries := range rows {
		if len(entries) > 0 && lp.AddConstraintSparse(entries, golp.LE, p.Capacity[r]) != nil {
			return nil, false
		}
	}
	for s := range p.Sets() {
		var entries []golp.Entry
		for j := p.First[s]; j < p.First[s+1]; j++ {
			entries = append(entries, golp.Entry{Col: int(j), Val: 1})
		}
		if lp.AddConstraintSparse(entries, golp.EQ, 1) != nil {
			return nil, false
		}
	}
	lp.SetAddRowMode(false)
	status := lp.Solve()
	if status != golp.OPTIMAL && status != golp.SUBOPTIMAL {
		return nil, false
	}
	x := lp.Variables()
	pick := make([]int32, p.Sets())
	for s := range pick {
		pick[s] = p.First[s]
		for j := p.First[s]; j < p.First[s+1]; j++ {
			if x[j] > x[pick[s]] {
				pick[s] = j
			}
		}
	}
	return pick, status == golp.OPTIMAL
}
