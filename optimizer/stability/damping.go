package stability

import (
	"errors"
	"fmt"

	"github.com/llm-inferno/inferno/optimizer/solver"
)

// Damping scales out at once, scales in only to the largest need of a hold-down period, and changes the accelerator only for a minimal
// gain.
type Damping struct {
	// ScaleInHoldDown is how long a need is remembered, in seconds.
	ScaleInHoldDown float64 `json:"scaleInHoldDownSeconds"`
	// MinimalGain is the share of the present cost that another accelerator must save before it is taken.
	MinimalGain float64 `json:"minimalGain"`
}

// DefaultDamping holds for five minutes, as the HorizontalPodAutoscaler does by default, and asks for a gain of a tenth, as llm-inferno's
// penalty for changing accelerator does.
func DefaultDamping() Damping { return Damping{ScaleInHoldDown: 300, MinimalGain: 0.1} }

// Validate joins every fault of the options.
func (d Damping) Validate() error {
	var faults []error
	if !(d.ScaleInHoldDown >= 0 && d.ScaleInHoldDown <= 86400) {
		faults = append(faults, fmt.Errorf("scaleInHoldDownSeconds: %v is not allowed, must be from 0 to 86400", d.ScaleInHoldDown))
	}
	if !(d.MinimalGain >= 0 && d.MinimalGain <= 1) {
		faults = append(faults, fmt.Errorf("minimalGain: %v is not allowed, must be from 0 to 1", d.MinimalGain))
	}
	return errors.Join(faults...)
}

// holdGain is the share of its value that an option which holds replicas is valued less than the one that does not: enough to be chosen, for
// solvers take values for equal that differ by rounding alone, and too little to cost anybody a card.
const holdGain = 1e-3

// Shape prices candidates on other accelerators than the present one by the minimal gain, and adds to the candidate on the present one
// an option that holds the replicas of the hold-down period. The option that holds is valued like the one that does not, a little less:
// the solver takes it unless its capacity is needed to serve another server, which then comes first.
func (d Damping) Shape(now float64, current Current, candidates []solver.Candidate, m Memory) ([]Option, Memory) {
	options := asTheyAre(candidates)
	at := -1
	for i, c := range candidates {
		if c.Accelerator == current.Accelerator {
			at = i
		}
	}
	if current.Accelerator == "" || at < 0 {
		return options, Memory{}
	}
	present := candidates[at]
	m = m.remember(now, current, present.Replicas, d.ScaleInHoldDown)
	for i := range options {
		if i != at {
			options[i].Value += d.MinimalGain * present.Cost
			options[i].Note = fmt.Sprintf("saves at least %g %% against %s", 100*d.MinimalGain, present.Accelerator)
		}
	}
	// What was not running cannot be held: needs above the present plan were never met, and scaling in starts from what is there.
	if held := min(m.largest(), max(current.Replicas, present.Replicas)); held > present.Replicas && present.Replicas > 0 {
		hold := options[at]
		perReplica := present.Cost / float64(present.Replicas)
		hold.Replicas = held
		hold.Cost = perReplica * float64(held)
		hold.Value = (1 - holdGain) * present.Value
		hold.Note = fmt.Sprintf("%d needed, %d held: scaling in waits for %g s of lower need", present.Replicas, held, d.ScaleInHoldDown)
		options = append(options, hold)
	}
	return options, m
}

// remember adds the need of now and forgets what lies further back than the hold-down. A memory of another accelerator, or none (after a
// restart), begins with the plan in force: it was needed once, though nobody remembers when.
func (m Memory) remember(now float64, current Current, replicas int, holdDown float64) Memory {
	old := m.Needs
	if m.Accelerator != current.Accelerator || len(old) == 0 {
		old = []Need{{Time: now, Replicas: current.Replicas}}
	}
	next := Memory{Accelerator: current.Accelerator}
	for _, n := range old {
		if n.Time > now-holdDown || (n.Time == now && holdDown > 0) {
			next.Needs = append(next.Needs, n)
		}
	}
	// A need that a later one exceeds can never again be the largest.
	for k := len(next.Needs); k > 0 && next.Needs[k-1].Replicas <= replicas; k-- {
		next.Needs = next.Needs[:k-1]
	}
	next.Needs = append(next.Needs, Need{Time: now, Replicas: replicas})
	return next
}

// largest of the remembered needs.
func (m Memory) largest() int {
	most := 0
	for _, n := range m.Needs {
		most = max(most, n.Replicas)
	}
	return most
}
