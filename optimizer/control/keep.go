package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// keep solves again where servers get nothing that run where their targets cannot be met, as it seems now, while what could serve them is not free: they may
// keep what they run, which is better than nothing and asks for no card that they do not hold. The second solution stands where nobody has less by it.
// Where best effort is not wanted, nothing is kept.
func (st *Stages) keep(ctx context.Context, p *solver.Problem, first *solver.Solution, solved []int, questions []question, sizings []sizing.Sizing, servers []*sizing.Server, policy *policy, options [][]option) (*solver.Solution, error) {
	if p.Unlimited || p.WeightedSum || p.SaturationPolicy == "" || p.SaturationPolicy == jsonspec.SaturationNone {
		return first, nil
	}
	second := *p
	second.Servers = slices.Clone(p.Servers)
	kept := map[int]option{}
	for k, i := range solved {
		if first.Choices[k].Candidate >= 0 {
			continue
		}
		if o := policy.kept(servers[i], &sizings[i], options[i], questions[i].InForce()); o != nil {
			kept[k] = *o
			second.Servers[k].Candidates = append(slices.Clone(p.Servers[k].Candidates), o.asked(questions[i].Server))
		}
	}
	if len(kept) == 0 {
		return first, nil
	}
	again, err := st.Solver.Solve(ctx, &second)
	if err != nil {
		return nil, fmt.Errorf("solver %s: %w", st.Names["solver"], err)
	}
	for k, before := range first.Choices {
		after := again.Choices[k]
		full, same := after.Candidate >= 0 && !after.BestEffort, after.Candidate == before.Candidate && after.Replicas >= before.Replicas
		if before.Candidate >= 0 && !full && !(before.BestEffort && same) {
			return first, nil
		}
	}
	for k, o := range kept {
		options[solved[k]] = append(options[solved[k]], o)
		p.Servers[k].Candidates = second.Servers[k].Candidates
	}
	return again, nil
}

// kept is the option to keep what a server runs on an accelerator where its targets cannot be met, worth less than all others; nil where it runs on none.
func (p *policy) kept(s *sizing.Server, z *sizing.Sizing, options []option, inForce map[string]int) *option {
	for _, c := range z.Candidates {
		n := inForce[c.ID()]
		if len(c.Parts) != 1 || n == 0 || !errors.As(c.Fault, new(*sizing.Infeasible)) {
			continue
		}
		o := p.option(s, c, n, inForce)
		worst := o.value()
		for i := range options {
			worst = max(worst, options[i].value())
		}
		o.short, o.note = true, fmt.Sprintf("kept, though targets cannot be met there: %v", c.Fault)
		o.penalties = append(o.penalties, stability.Penalty{Cents: worst, Reason: "its targets cannot be met there", Lifted: "capacity elsewhere"})
		return &o
	}
	return nil
}
