// Package stability keeps plans from flapping. It acts before the solver, on the ways to serve a server: what it holds or penalises, the solver
// takes into account for all servers together, so that a stabilised plan never needs capacity that is not there. It bends no price: what speaks
// against an option is a [Penalty] beside its cost, with a reason.
package stability

import (
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/plug"
)

// Need is the number of replicas that a server needed at one time.
type Need struct {
	// Time in seconds since the Unix epoch.
	Time float64 `json:"time"`
	// Replicas that met the targets.
	Replicas int `json:"replicas"`
}

// Memory is what is remembered of one server between cycles.
type Memory struct {
	// Accelerator the needs are for.
	Accelerator string `json:"accelerator,omitempty"`
	// Moved is when the server came to the accelerator from another, in seconds since the Unix epoch; 0 for never.
	Moved float64 `json:"moved,omitempty"`
	// Moves is how many times it had moved by then in an hour, earlier ones counting for less.
	Moves float64 `json:"moves,omitempty"`
	// Loads that were sized for, oldest first, each larger than those after it, in the unit of Current.Load.
	Loads forecast.Samples `json:"loads,omitempty"`
	// Needs on it, oldest first.
	Needs []Need `json:"needs,omitempty"`
}

// Current is the plan in force for a server.
type Current struct {
	// At is the way that is in force, an index; -1 where there is no plan, or its accelerators meet the targets no more.
	At       int
	Replicas int
	// BestEffort is whether it has fewer replicas than it needs, for want of capacity.
	BestEffort bool
	// Load that is sized for, in any unit; 0 where it is not known.
	Load float64
	// StartUp of a replica in seconds.
	StartUp float64
}

// Way to serve the server that meets its targets.
type Way struct {
	// ID names its accelerators; empty only for a server that needs no replica.
	ID string
	// Replicas that it needs.
	Replicas int
	// Cost of so many replicas in cents per hour, and Value, which is the cost with whatever else counts for the solver. They rise with the replicas.
	Cost, Value func(replicas int) float64
	// Needed is the number of replicas for so many times the load, 0 where that is not known.
	Needed func(factor float64) int
}

// Penalty is what an option counts for beside its cost, and why.
type Penalty struct {
	// Cents per hour; below zero where something speaks for the option.
	Cents float64
	// Reason for people, and what would lift it.
	Reason, Lifted string
}

// Option is a way as the solver sees it.
type Option struct {
	// Of is the index of the way that the option was made from.
	Of int
	// Replicas of it.
	Replicas int
	// Penalties beside the value of the way with so many replicas.
	Penalties []Penalty
	// Note says to a person why it has other replicas than the way needs; empty where it has not.
	Note string
	// Short says that it has fewer replicas than the targets need, and keeps them rather than go elsewhere.
	Short bool
}

// Stabiliser shapes the ways of one server. Implementations are deterministic.
type Stabiliser interface {
	// Shape returns the options for the solver and what to remember; now is in seconds since the Unix epoch.
	Shape(now float64, current Current, ways []Way, memory Memory) ([]Option, Memory)
}

// Default is the stabiliser used where none is named.
const Default = "damped"

// Stabilisers are the registered stabilisers.
func Stabilisers() plug.Registry[Stabiliser] {
	return plug.NewRegistry("stability",
		plug.Of("none", func() plug.NoOptions { return plug.NoOptions{} }, func(plug.NoOptions) (Stabiliser, error) { return None{}, nil }),
		plug.Of("damped", DefaultDamping, func(d Damping) (Stabiliser, error) { return d, nil }),
	)
}

// None leaves the ways as they are.
type None struct{}

// Shape returns every way as it is.
func (None) Shape(_ float64, _ Current, ways []Way, _ Memory) ([]Option, Memory) {
	return asTheyAre(ways), Memory{}
}

func asTheyAre(ways []Way) []Option {
	options := make([]Option, len(ways))
	for i, w := range ways {
		options[i] = Option{Of: i, Replicas: w.Replicas}
	}
	return options
}
