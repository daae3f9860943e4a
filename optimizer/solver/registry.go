package solver

import "github.com/llm-inferno/inferno/optimizer/plug"

// Solvers are the registered solvers, by name.
func Solvers() plug.Registry[Solver] {
	return plug.NewRegistry[Solver]("solver",
		plug.Of(SeparableName, none, func(plug.NoOptions) (Solver, error) { return Separable{}, nil }),
		plug.Of(GreedyName, DefaultGreedyOptions, func(o GreedyOptions) (Solver, error) { return NewGreedy(o) }),
		plug.Of(AutoName, DefaultExactOptions, func(o ExactOptions) (Solver, error) { return NewAuto(o) }),
		plug.Of(MILPName, DefaultMILPOptions, func(o MILPOptions) (Solver, error) { return NewMILP(o) }),
		plug.Of(ExactName, DefaultExactOptions, func(o ExactOptions) (Solver, error) { return NewExact(o) }),
	)
}

func none() plug.NoOptions { return plug.NoOptions{} }
