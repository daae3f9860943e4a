// Package stability keeps plans from flapping. It acts before the solver, on the candidates: what it holds or prices, the solver takes into
// account for all servers together, so that a stabilised plan never needs capacity that is not there.
package stability

import (
	"github.com/llm-inferno/inferno/optimizer/plug"
	"github.com/llm-inferno/inferno/optimizer/solver"
)

// Need is the number of replicas that a server needed at one time.
type Need struct {
	// Time in seconds since the Unix epoch.
	Time float64 `json:"time"`
	// Replicas that met the targets.
	Replicas int `json:"replicas"`
}

// Load that was sized for at one time.
type Load struct {
	// Time in seconds since the Unix epoch.
	Time float64 `json:"time"`
	// Rate in the unit of Current.Load.
	Rate float64 `json:"rate"`
}

// Memory is what is remembered of one server between cycles.
type Memory struct {
	// Accelerator the needs are for.
	Accelerator string `json:"accelerator,omitempty"`
	// Moved is when the server came to the accelerator from another, in seconds since the Unix epoch; 0 for never.
	Moved float64 `json:"moved,omitempty"`
	// Loads that were seen, oldest first, each larger than those after it.
	Loads []Load `json:"loads,omitempty"`
	// Needs on it, oldest first.
	Needs []Need `json:"needs,omitempty"`
}

// Current is the plan in force for a server.
type Current struct {
	// Accelerator is empty where there is no plan.
	Accelerator string
	Replicas    int
	// BestEffort is whether it has fewer replicas than it needs, for want of capacity.
	BestEffort bool
	// Load that is sized for, in any unit; 0 where it is not known.
	Load float64
	// StartUp of a replica in seconds.
	StartUp float64
	// Needed is the number of replicas on an accelerator for so many times the load, 0 where that is not known; nil where it never is.
	Needed func(accelerator string, factor float64) int
}

// Option is a candidate as the solver sees it.
type Option struct {
	solver.Candidate
	// Of is the index of the candidate that the option was made from.
	Of int
	// Note says to a person how the option differs from that candidate; empty where it does not.
	Note string
	// Short says that it has fewer replicas than the targets need, and keeps them rather than go elsewhere.
	Short bool
}

// Stabiliser shapes the candidates of one server. Implementations are deterministic.
type Stabiliser interface {
	// Shape returns the options for the solver and what to remember. Candidates meet the targets; now is in seconds since the Unix epoch.
	Shape(now float64, current Current, candidates []solver.Candidate, memory Memory) ([]Option, Memory)
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

// None leaves candidates as they are.
type None struct{}

// Shape returns every candidate as it is.
func (None) Shape(_ float64, _ Current, candidates []solver.Candidate, _ Memory) ([]Option, Memory) {
	return asTheyAre(candidates), Memory{}
}

func asTheyAre(candidates []solver.Candidate) []Option {
	options := make([]Option, len(candidates))
	for i, c := range candidates {
		options[i] = Option{Candidate: c, Of: i}
	}
	return options
}
