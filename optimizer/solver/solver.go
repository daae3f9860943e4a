// Package solver chooses, for all servers together, one candidate each: global plans over candidates and capacity.
//
// The package knows nothing of queues or Kubernetes: a candidate has a cost, a value to minimise and a number of units of one type that it
// takes. Solvers are chosen by registered name, are deterministic (ties go by name) and do not change their input.
//
// docs/solver.md writes the problem down as formulas.
package solver

import "context"

// Candidate is one way to serve a server.
type Candidate struct {
	// Accelerator names the accelerator; empty only for a server that needs no replica.
	Accelerator string
	// Type of the cards that the candidate takes capacity of.
	Type string
	// Replicas needed to meet the targets.
	Replicas int
	// UnitsPerReplica is the number of cards of the type that a replica takes, all on one node.
	UnitsPerReplica int
	// Cost in cents per hour.
	Cost float64
	// Value is what is minimised: the cost plus the price of change.
	Value float64
}

// Units is the number of cards the candidate takes in all.
func (c Candidate) Units() int { return c.Replicas * c.UnitsPerReplica }

// Server is one server with its ways to be served.
type Server struct {
	// Name is unique among the servers of a problem.
	Name string
	// Priority of the server's class: 1 is the highest.
	Priority int
	// Candidates that meet the server's targets, in any order. None: the server is reported as unserved.
	Candidates []Candidate
}

// Problem is what a solver is asked.
type Problem struct {
	// Servers, in any order.
	Servers []Server
	// Capacity is the number of cards that can be placed, by type. A type that is absent has none.
	Capacity map[string]int
	// Unlimited ignores Capacity.
	Unlimited bool
	// SaturationPolicy says how servers that cannot be served in full share what is left: a v1alpha1.Saturation constant; empty is None.
	SaturationPolicy string
	// DelayedBestEffort serves best effort after all priorities had their turn. Without it, the best effort of a priority comes before the
	// service of lower ones.
	DelayedBestEffort bool
}

// Choice is what a server gets.
type Choice struct {
	// Server is the index into Problem.Servers.
	Server int
	// Candidate is the index into the server's candidates, -1 where it gets nothing.
	Candidate int
	// Replicas it gets: those of the candidate, or fewer where BestEffort.
	Replicas int
	// BestEffort marks fewer replicas than the targets need.
	BestEffort bool
	// Reason says why the server gets nothing or less; empty where it is served in full.
	Reason string
}

// Solution is a solver's answer.
type Solution struct {
	// Choices, one for each server, in the order of Problem.Servers.
	Choices []Choice
	// Value is the sum of the values of the candidates of all servers that are served in full. Best effort does not count.
	Value float64
	// LowerBound on the value of any plan that serves as many servers of each priority; NaN where the solver proves none.
	LowerBound float64
	// Gap is (Value − LowerBound) / LowerBound, 0 where both are 0; NaN where there is no bound.
	Gap float64
	// Solver is the name of the solver that found the plan: that of the delegate where a solver delegates.
	Solver string
	// Why a solver that delegates picked this one; else empty.
	Why string
}

// Solver solves problems. At the context's deadline it returns the best plan it has. A problem that Validate finds fault with is an error.
type Solver interface {
	Solve(ctx context.Context, p *Problem) (*Solution, error)
}
