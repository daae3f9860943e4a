package control

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/stability"
)

// Snapshot is all that a decision is made from, besides the state: what is asked for, and what was seen at one time.
type Snapshot struct {
	// Time of the snapshot.
	Time metav1.MicroTime `json:"time"`
	// System that is asked for. A server's currentAlloc says what it runs on and its load, desiredAlloc the plan in force.
	System v1alpha1.System `json:"system"`
}

// seconds since the Unix epoch; 0 for a snapshot without a time.
func (s *Snapshot) seconds() float64 {
	if s.Time.IsZero() {
		return 0
	}
	return float64(s.Time.UnixMicro()) / 1e6
}

// State is what is remembered between decisions. The zero value is that of a first start.
type State struct {
	// Servers by name.
	Servers map[string]ServerState `json:"servers,omitempty"`
	// Learned performance by model, then accelerator.
	Learned map[string]map[string]*v1alpha1.PairStatus `json:"learned,omitempty"`
	// Prices of cards by type in the last plan, cents per hour: where the solver starts from.
	Prices map[string]float64 `json:"prices,omitempty"`
	// Pools of elastic capacity by name.
	Pools map[string]PoolState `json:"pools,omitempty"`
	// Probing are the last probes of pairs, by model and accelerator, until the next may begin.
	Probing []Probing `json:"probing,omitempty"`
}

// ServerState is what is remembered of one server.
type ServerState struct {
	// Forecast is what the forecaster remembers.
	Forecast forecast.Memory `json:"forecast,omitzero"`
	// Recent arrival rates as they were measured, oldest first: what a rise is seen in.
	Recent []forecast.Sample `json:"recent,omitempty"`
	// Lengths of requests, averaged over many.
	Lengths *Lengths `json:"lengths,omitempty"`
	// Bursts is the running median of the square of the CV of the times between arrivals; 0 where it was never observed.
	Bursts float64 `json:"bursts,omitempty"`
	// Waits says that the last plan had no capacity for it.
	Waits bool `json:"waits,omitempty"`
	// Stability is the stabiliser's memory.
	Stability stability.Memory `json:"stability,omitempty"`
	// Trims by accelerator, logarithms of factors on the rate that a replica is taken to sustain.
	Trims map[string]float64 `json:"trims,omitempty"`
	// Pending replicas by accelerator.
	Pending map[string]Pending `json:"pending,omitempty"`
	// CapacityPrice is what it costs to be able to serve a request, in cents; nil where that is not known yet.
	CapacityPrice *float64 `json:"capacityPrice,omitempty"`
	// Budgets that were chosen, by accelerator.
	Budgets map[string]Budget `json:"budgets,omitempty"`
}

// Verdict says how a decision about one server came out, as the reason and message of its condition Planned.
type Verdict struct {
	// Planned is true where the allocation meets the targets.
	Planned bool `json:"planned"`
	// Reason is one of the condition reasons of v1alpha1.
	Reason string `json:"reason"`
	// Message for a person.
	Message string `json:"message"`
}

// Decision is the outcome of a cycle.
type Decision struct {
	Plan v1alpha1.Solution `json:"plan"`
	// Candidates that were considered, by server, then accelerator.
	Candidates []v1alpha1.Candidate `json:"candidates"`
	// Verdicts by server.
	Verdicts map[string]Verdict `json:"verdicts"`
	// Learning are the judgements of what was observed, by model, then accelerator.
	Learning []v1alpha1.Judgement `json:"learning,omitempty"`
	// Probes that are suggested or acted on, by server.
	Probes []v1alpha1.Probe `json:"probes,omitempty"`
	// State for the next decision.
	State State `json:"-"`

	basis basis
}
