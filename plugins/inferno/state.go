package inferno

import (
	"sync/atomic"

	fwk "k8s.io/kube-scheduler/framework"

	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// Keys under which the plugin keeps its data in the state of a scheduling cycle.
const (
	cycleKey     fwk.StateKey = Name
	placementKey fwk.StateKey = Name + "/placement"
)

// mostChoices bounds what a cycle remembers: there are few products in a fleet.
const mostChoices = 16

// choice is the option, or none, on nodes that carry these names, known by where they are kept.
type choice struct {
	names  *string
	option *seats.Option
}

// cycle is what PreFilter found out: the plan is read once for all nodes. It never changes, but for what it remembers of its own answers.
type cycle struct {
	server   types.NamespacedName
	kinds    *catalogue.Classifier
	decision seats.Decision
	// cards that the pod requests, by resource name.
	cards   map[string]int64
	choices atomic.Pointer[[]choice]
	// within are the domains that a pod of a group may go to, by accelerator; absent where it may go to any node.
	within map[string]within
}

// within are the domains by the key of a label that a pod may go to, the best first.
type within struct {
	key   string
	names []string
}

// Clone returns the same cycle: it never changes.
func (c *cycle) Clone() fwk.StateData { return c }

// seating is what Reserve settled.
type seating struct {
	label       string
	outcome     seats.Outcome
	reason      string
	annotations map[string]string
}

// Clone returns the same: it never changes.
func (p *seating) Clone() fwk.StateData { return p }

// read data of a type from the state; nil where it is not there.
func read[T fwk.StateData](state fwk.CycleState, key fwk.StateKey) (data T) {
	if d, err := state.Read(key); err == nil {
		data, _ = d.(T)
	}
	return data
}
