package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PlanPolicy says what plans may do, what counts in them, and how they serve when capacity does not suffice.
// +kubebuilder:validation:XValidation:rule="!has(self.objective) || self.objective != 'WeightedSum' || has(self.unservedCost) && double(self.unservedCost) > 0.0",message="unservedCost must be above 0 where the objective is WeightedSum"
// +kubebuilder:validation:XValidation:rule="!has(self.energyShare) || double(self.energyShare) == 0.0 || has(self.centsPerKWh) && double(self.centsPerKWh) > 0.0",message="centsPerKWh must be above 0 where energyShare is"
type PlanPolicy struct {
	// Capacity is Limited by the cards that there are, or can be had, or Unlimited: every server gets what is cheapest for it.
	// +kubebuilder:default=Limited
	// +kubebuilder:validation:Enum=Limited;Unlimited
	// +optional
	Capacity string `json:"capacity,omitempty"`
	// AcceleratorsPerServer that replicas of one server may be on at a time: One or Several.
	// +kubebuilder:default=One
	// +kubebuilder:validation:Enum=One;Several
	// +optional
	AcceleratorsPerServer string `json:"acceleratorsPerServer,omitempty"`
	// MaxDelay is how long a plan may wait for elastic capacity: pools that take longer are not bought from. Absent: no bound.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="maxDelay must be above 0s"
	// +optional
	MaxDelay *metav1.Duration `json:"maxDelay,omitempty"`
	// LookAhead is what a node takes from being asked for until pods can be on it. Plans then say which replicas beyond theirs the load will need that much
	// later than they look otherwise, as far as it can be foreseen. Absent: they do not.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('24h')",message="lookAhead must be above 0s and at most 24h"
	// +optional
	LookAhead *metav1.Duration `json:"lookAhead,omitempty"`
	// BestEffort is when servers whose targets cannot be met get what is left: ByPriority, before those of lower priorities have their turn, or
	// AfterAllPriorities.
	// +kubebuilder:default=ByPriority
	// +kubebuilder:validation:Enum=ByPriority;AfterAllPriorities
	// +optional
	BestEffort string `json:"bestEffort,omitempty"`
	// SaturationPolicy says how servers whose targets cannot be met share what capacity is left.
	// +kubebuilder:default=None
	// +kubebuilder:validation:Enum=None;PriorityExhaustive;PriorityRoundRobin;RoundRobin
	// +optional
	SaturationPolicy string `json:"saturationPolicy,omitempty"`
	// Objective of the plan: Lexicographic serves higher priorities first and then at the least value; WeightedSum takes the
	// least sum of values and of what leaving servers unserved costs.
	// +kubebuilder:default=Lexicographic
	// +kubebuilder:validation:Enum=Lexicographic;WeightedSum
	// +optional
	Objective string `json:"objective,omitempty"`
	// Counting says what serving a server counts among those of its priority: Servers, each the same; Load, its requests per minute.
	// +kubebuilder:default=Servers
	// +kubebuilder:validation:Enum=Servers;Load
	// +optional
	Counting string `json:"counting,omitempty"`
	// UnservedCost is what leaving a server of the highest priority unserved costs in a WeightedSum, in cents per hour: for a server, or,
	// where load is counted, for each request per minute.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="unservedCost must be at least 0"
	// +optional
	UnservedCost *Decimal `json:"unservedCost,omitempty"`
	// PriorityFactor is how many times less a server of the next lower priority costs to leave unserved. Defaults to 10.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.0",message="priorityFactor must be at least 1"
	// +optional
	PriorityFactor *Decimal `json:"priorityFactor,omitempty"`
	// Change is what changing a plan costs, so that a plan moves only for a gain that pays back. Absent: nothing.
	// +optional
	Change *ChangePolicy `json:"change,omitempty"`
	// EnergyShare is the share of energy in the cost that is minimised, by the power curves of the accelerators: from 0, the cost of
	// accelerators only, to 1, energy only. Absent: 0.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="energyShare must be from 0 to 1"
	// +optional
	EnergyShare *Decimal `json:"energyShare,omitempty"`
	// CentsPerKWh is the price of energy; needed where energyShare is above 0.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="centsPerKWh must be at least 0"
	// +optional
	CentsPerKWh *Decimal `json:"centsPerKWh,omitempty"`
	// Confidence is the probability with which what is not known of a pair's parameters leaves ITL at or below what is planned with: "0.5"
	// plans with the likeliest, "0.9" serves a fresh pair carefully and a well-known one nearly as tightly. Absent: 0.5.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0 && double(self) <= 0.999",message="confidence must be above 0 and at most 0.999"
	// +optional
	Confidence *Decimal `json:"confidence,omitempty"`
	// ForecastQuantile of the arrival rate, at the time when a replica ordered now would serve, that servers are sized for: above 0 and below
	// 1. Of ten such times the rate is above the 0.9 quantile at one. Absent: what the forecaster gives, which is the 0.9 quantile, or the
	// present rate for the forecaster none. A ServiceClass may ask for another.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0 && double(self) < 1.0",message="forecastQuantile must be above 0 and below 1"
	// +optional
	ForecastQuantile *Decimal `json:"forecastQuantile,omitempty"`
	// Probing with numbers of running requests that would make known what matters for a plan and is not. Suggest writes them down; nothing is done
	// about them. Act adds replicas for some windows so that fewer requests
	// run on each: where cards are to spare, where the targets are met even by a pessimistic view of what is known, on one server of each
	// (model, accelerator) pair at a time. Nothing is ever taken away for a probe. An accelerator on which the model never ran is tried by one
	// replica, where that is expected to pay for itself before the next try.
	// +kubebuilder:default=None
	// +kubebuilder:validation:Enum=None;Suggest;Act
	// +optional
	Probing string `json:"probing,omitempty"`
	// ProbingCooldown is the least time from one probe of a pair to its next. Absent: 1h.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="probingCooldown must be above 0s"
	// +optional
	ProbingCooldown *metav1.Duration `json:"probingCooldown,omitempty"`
}

// Values of PlanPolicy.
const (
	CapacityLimited              = "Limited"
	CapacityUnlimited            = "Unlimited"
	AcceleratorsOne              = "One"
	AcceleratorsSeveral          = "Several"
	BestEffortByPriority         = "ByPriority"
	BestEffortAfterAllPriorities = "AfterAllPriorities"
)

// ProbingNone is the value of PlanPolicy.Probing that probes nothing; in the JSON specification it is absent.
const ProbingNone = "None"

// ChangePolicy is what it costs to go from the plan in force to another.
type ChangePolicy struct {
	// StartupTime until a new replica serves. While it starts it costs, and what it replaces keeps running. Absent: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="startupTime must be at least 0s"
	// +optional
	StartupTime *metav1.Duration `json:"startupTime,omitempty"`
	// StartCost is the price of starting a replica beside that, in cents: image pulls, lost warm caches.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="startCost must be at least 0"
	// +optional
	StartCost *Decimal `json:"startCost,omitempty"`
	// SwitchCost is the price of moving a server to another accelerator, in cents.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="switchCost must be at least 0"
	// +optional
	SwitchCost *Decimal `json:"switchCost,omitempty"`
	// Horizon within which a change has to pay back.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="horizon must be above 0s"
	Horizon metav1.Duration `json:"horizon"`
}

// ElasticCapacity is a pool of nodes that can grow, such as a cloud provider's node pool.
type ElasticCapacity struct {
	// Name of the pool.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Type of its cards.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Type string `json:"type"`
	// Cards that come with each purchase, on one node.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Cards int `json:"cards"`
	// Limit is the largest number of purchases, those that arrived included.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	Limit int `json:"limit"`
	// NodeSelector are labels of the pool's nodes, by which those that arrived are counted. Without it all nodes with the type are the pool's.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// CostPerHour of a purchase in cents, beside the cost of the accelerators that use it. Absent: 0.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="costPerHour must be at least 0"
	// +optional
	CostPerHour *Decimal `json:"costPerHour,omitempty"`
	// Delay from the purchase until its cards can be used. Absent: 0s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="delay must be at least 0s"
	// +optional
	Delay *metav1.Duration `json:"delay,omitempty"`
	// Deadline after a plan began to count on cards of the pool: those that have not come by then are taken back from the plan, and no plan
	// counts on the pool for as long again. Defaults to twice delay, at least 60s.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="deadline must be above 0s"
	// +optional
	Deadline *metav1.Duration `json:"deadline,omitempty"`
}
