//go:build cgo && lpsolve

package solver

import (
	"github.com/draffensperger/golp"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

const haveLPSolve = true

// lpSolve solves the program in integers. It returns the column of each set, nil where no solution was found within the timeout, in
// seconds, and whether it is proven to be the best.
func lpSolve(p *choicelp.Program, timeout int) ([]int32, bool) {
	lp := golp.NewLP(0, p.Columns())
	lp.SetVerboseLevel(golp.NEUTRAL)
	lp.SetTimeout(timeout)
	lp.SetObjFn(p.Cost)
	rows := make([][]golp.Entry, len(p.Capacity))
	for j := range p.Columns() {
		lp.SetBinary(j, true)
		for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
			rows[p.Row[e]] = append(rows[p.Row[e]], golp.Entry{Col: j, Val: p.Amount[e]})
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
