package choicelp_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"

	"github.com/llm-inferno/inferno/optimizer/solver/internal/choicelp"
)

func random(seed uint64) *choicelp.Program {
	r := rand.New(rand.NewPCG(seed, 2))
	m := 1 + r.IntN(5)
	b := make([]float64, m)
	for i := range b {
		b[i] = float64(r.IntN(20))
	}
	p := choicelp.NewProgram(b, above(r, m))
	for range 1 + r.IntN(12) {
		for range 1 + r.IntN(5) {
			for range r.IntN(3) {
				p.AddEntry(r.IntN(m), float64(r.IntN(8)-1))
			}
			p.EndColumn(float64(r.IntN(10)))
		}
		p.EndSet()
	}
	return p
}

// above are rows above some of so many; nil for every other program.
func above(r *rand.Rand, m int) []int32 {
	if r.IntN(2) == 0 {
		return nil
	}
	rows := make([]int32, m)
	for i := range rows {
		rows[i] = int32(r.IntN(i+1)) - 1
	}
	return rows
}

// reference solves with gonum's dense simplex; +Inf where it is infeasible.
func reference(t *testing.T, p *choicelp.Program, banned func(int32) bool) float64 {
	n, m, s := p.Columns(), len(p.Capacity), p.Sets()
	a := mat.NewDense(m+s, n+m+len(p.Above), nil)
	b := make([]float64, m+s)
	c := make([]float64, n+m+len(p.Above))
	for j := range n {
		c[j] = p.Cost[j]
		if banned(int32(j)) {
			c[j] = 1e7
		}
		for e := p.Ptr[j]; e < p.Ptr[j+1]; e++ {
			a.Set(int(p.Row[e]), j, a.At(int(p.Row[e]), j)+p.Amount[e])
		}
	}
	for r := range m {
		a.Set(r, n+r, 1)
		if p.Above != nil && p.Above[r] >= 0 {
			a.Set(r, n+m+r, -1)
			a.Set(int(p.Above[r]), n+m+r, 1)
		} else if p.Above != nil {
			a.Set(r, n+m+r, 1) // a second slack
		}
		b[r] = p.Capacity[r]
	}
	for k := range s {
		b[m+k] = 1
		for j := p.First[k]; j < p.First[k+1]; j++ {
			a.Set(m+k, int(j), 1)
		}
	}
	f, _, err := lp.Simplex(c, a, b, 1e-9, nil)
	if err != nil {
		if err != lp.ErrInfeasible {
			t.Skip(err)
		}
		return math.Inf(1)
	}
	if f > 1e5 {
		return math.Inf(1)
	}
	return f
}

func TestClimbAgainstReference(t *testing.T) {
	for seed := range uint64(500) { // gonum cycles on some later seeds
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := random(seed)
			st := choicelp.Start(nil, p)
			r := rand.New(rand.NewPCG(seed, 3))
			for range 4 {
				want := reference(t, p, st.Banned)
				status := st.Climb(math.Inf(1), 10000)
				if math.IsInf(want, 1) {
					if status != choicelp.Infeasible {
						t.Fatalf("status %v of an infeasible program", status)
					}
					return
				}
				if got := st.Bound(); status != choicelp.Optimal || math.Abs(got-want) > 1e-5 {
					t.Fatalf("status %v, bound %v, want %v", status, got, want)
				}
				if !st.Ban(int32(r.IntN(p.Columns()))) {
					return
				}
				st = st.Clone()
			}
		})
	}
}
