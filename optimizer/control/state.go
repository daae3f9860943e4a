package control

import (
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/sizing"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// State is what is remembered between decisions. The zero value is that of a first start.
type State struct {
	// Servers by name.
	Servers map[string]ServerState `json:"servers,omitempty"`
	// Learned performance by model, then by [v1alpha1.PairMemory.Key].
	Learned map[string]map[string]*v1alpha1.PairMemory `json:"learned,omitempty"`
	// Prices of cards by type in the last plan, cents per hour: where the solver starts from.
	Prices map[string]float64 `json:"prices,omitempty"`
	// Pools of elastic capacity by name.
	Pools map[string]PoolState `json:"pools,omitempty"`
	// Probing are the last probes of pairs, by model and accelerator, until the next may begin.
	Probing []Probing `json:"probing,omitempty"`
}

// ServerState is what is remembered of one server: the memories of the stages, each its own.
type ServerState struct {
	Demand    demand.Memory    `json:"demand,omitzero"`
	Sizing    sizing.Memory    `json:"sizing,omitzero"`
	Stability stability.Memory `json:"stability,omitzero"`
	// Ahead is what was needed ahead of time, by accelerator, where it has not come yet.
	Ahead map[string]Ahead `json:"ahead,omitempty"`
	// Waits says that the last plan had no capacity for it.
	Waits bool `json:"waits,omitempty"`
	// Doubted is when it began to wait, or the load that it waits with was last doubted, in seconds since the Unix epoch; 0 where it does not wait.
	Doubted float64 `json:"doubted,omitempty"`
}

// Decision is the outcome of a cycle.
type Decision struct {
	fleet.Decision
	// State for the next decision.
	State State

	basis basis
}

// Waiting are the servers of which replicas have waited for a node for longer than so many seconds.
func (s *State) Waiting(now, longer float64) map[string]bool {
	waiting := map[string]bool{}
	for name, m := range s.Servers {
		if m.Sizing.Waited(now) > longer {
			waiting[name] = true
		}
	}
	return waiting
}
