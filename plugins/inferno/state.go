package inferno

import (
	fwk "k8s.io/kube-scheduler/framework"

	"k8s.io/apimachinery/pkg/types"

	"github.com/llm-inferno/inferno/optimizer/catalogue"
)

// Keys under which the plugin keeps its data in the state of a scheduling cycle.
const (
	cycleKey     fwk.StateKey = Name
	placementKey fwk.StateKey = Name + "/placement"
)

// cycle is what PreFilter found out: the plan is read once for all nodes. It never changes.
type cycle struct {
	server   types.NamespacedName
	kinds    *catalogue.Classifier
	decision decision
	// cards that the pod requests, by resource name.
	cards map[string]int64
}

// Clone returns the same cycle: it never changes.
func (c *cycle) Clone() fwk.StateData { return c }

// placement is what Reserve settled.
type placement struct {
	label       string
	outcome     outcome
	reason      string
	annotations map[string]string
}

// Clone returns the same placement: it never changes.
func (p *placement) Clone() fwk.StateData { return p }

// read data of a type from the state; nil where it is not there.
func read[T fwk.StateData](state fwk.CycleState, key fwk.StateKey) (data T) {
	if d, err := state.Read(key); err == nil {
		data, _ = d.(T)
	}
	return data
}
