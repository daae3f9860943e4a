package solver

import (
	"cmp"
	"math"
	"slices"
)

// ranked is a server with its candidates in the order of preference: the order in which servers and candidates come in plays no part.
type ranked struct {
	server   int // index into Problem.Servers
	name     string
	priority int
	// candidates are indices into the server's candidates, the best first.
	candidates []int
}

// rank puts servers in the order of their names and their candidates in that of value, then cost, ID, types and sizes. Candidates that
// are worth less than going without are left out.
func rank(p *Problem) []ranked {
	return rankSome(p, func(int) bool { return true })
}

// rankSome is rank of the servers, by index, that the filter holds for.
func rankSome(p *Problem, filter func(server int) bool) []ranked {
	servers := make([]ranked, 0, len(p.Servers))
	for i := range p.Servers {
		if !filter(i) {
			continue
		}
		s := &p.Servers[i]
		order := make([]int, 0, len(s.Candidates))
		for j := range s.Candidates {
			if !p.WeightedSum || s.Candidates[j].Value <= s.Penalty {
				order = append(order, j)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return compareCandidates(&s.Candidates[a], &s.Candidates[b]) })
		servers = append(servers, ranked{server: i, name: s.Name, priority: s.Priority, candidates: order})
	}
	slices.SortFunc(servers, func(a, b ranked) int { return cmp.Compare(a.name, b.name) })
	return servers
}

func compareCandidates(a, b *Candidate) int {
	switch {
	case a.Value != b.Value:
		return cmp.Compare(a.Value, b.Value)
	case a.Cost != b.Cost:
		return cmp.Compare(a.Cost, b.Cost)
	case a.ID != b.ID:
		return cmp.Compare(a.ID, b.ID)
	}
	return cmp.Or(
		slices.CompareFunc(a.Parts, b.Parts, func(x, y Part) int { return cmp.Compare(x.Type, y.Type) }),
		cmp.Compare(a.Replicas(), b.Replicas()),
		slices.CompareFunc(a.Parts, b.Parts, compareSizes),
	)
}

func compareSizes(a, b Part) int {
	return cmp.Or(cmp.Compare(a.UnitsPerReplica, b.UnitsPerReplica), cmp.Compare(a.Replicas, b.Replicas), cmp.Compare(a.Accelerator, b.Accelerator))
}

// regret is what the server loses by getting its candidate at position at+1 instead of the one at position at; infinite for the last.
func (r *ranked) regret(p *Problem, at int) float64 {
	if at+1 >= len(r.candidates) {
		return math.Inf(1)
	}
	c := p.Servers[r.server].Candidates
	return c[r.candidates[at+1]].Value - c[r.candidates[at]].Value
}

// byRegret orders servers for their turn: by priority, then those first that lose most by waiting, then the most valuable, then by name.
func byRegret(p *Problem, a, b *ranked, atA, atB int) int {
	if c := cmp.Compare(a.priority, b.priority); c != 0 {
		return c
	}
	if c := cmp.Compare(b.regret(p, atB), a.regret(p, atA)); c != 0 {
		return c
	}
	va := p.Servers[a.server].Candidates[a.candidates[atA]].Value
	vb := p.Servers[b.server].Candidates[b.candidates[atB]].Value
	return cmp.Or(cmp.Compare(vb, va), cmp.Compare(a.name, b.name))
}
