package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/instances"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// instance is a problem with a name.
type instance struct {
	name    string
	problem *solver.Problem
}

// instancesOf are those of the table, of at most so many servers.
func instancesOf(data string, most int) ([]instance, error) {
	var list []instance
	for _, name := range []string{"small", "large"} {
		for _, share := range []float64{1, .75, .5, .25} {
			p, err := sample(filepath.Join(data, "systems", name), share, nil)
			if err != nil {
				return nil, err
			}
			list = append(list, instance{fmt.Sprintf("%s, capacity × %g", name, share), p})
		}
		for seed := range uint64(5) {
			p, err := sample(filepath.Join(data, "systems", name), .5, rand.New(rand.NewPCG(seed, 7)))
			if err != nil {
				return nil, err
			}
			list = append(list, instance{fmt.Sprintf("%s, perturbed %d", name, seed), p})
		}
	}
	for _, n := range []int{50, 100, 200, 500, 1000, 5000} {
		for _, share := range []float64{.9, .7, .6} {
			if n <= most {
				list = append(list, instance{fmt.Sprintf("fleet, capacity × %g", share), instances.Fleet(1, n, 20, share)})
			}
		}
	}
	return list, nil
}

// sample is the problem of a sample system at a share of its capacity. Where there is chance, loads change by up to a factor of 1.5 and
// capacities by a fifth.
func sample(folder string, share float64, chance *rand.Rand) (*solver.Problem, error) {
	s, err := specification.Load(folder)
	if err != nil {
		return nil, err
	}
	factor := func(most float64) float64 {
		if chance == nil {
			return 1
		}
		return math.Exp(math.Log(most) * (2*chance.Float64() - 1))
	}
	s.Optimizer.Spec.SaturationPolicy = jsonspec.SaturationNone
	for i := range s.Capacity.Count {
		c := &s.Capacity.Count[i]
		c.Count = int(share * factor(1.2) * float64(c.Count))
	}
	for i := range s.Servers.Spec {
		s.Servers.Spec[i].CurrentAlloc.Load.ArrivalRate *= factor(1.5)
	}
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		return nil, err
	}
	asked := &listener{}
	stages.Solver = asked
	_, err = stages.Decide(context.Background(), (&specification.Snapshot{System: *s}).Core(), control.State{}, nil)
	return asked.problem, err
}

// listener is a solver that keeps the problem it was asked, and serves nobody in vain.
type listener struct{ problem *solver.Problem }

func (l *listener) Solve(ctx context.Context, p *solver.Problem) (*solver.Solution, error) {
	l.problem = p
	return solver.Separable{}.Solve(ctx, p)
}
