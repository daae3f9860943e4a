package jsonspec

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// PowerCurve is the power drawn by one accelerator as a piecewise linear function of its utilisation: idle at 0, midPower at midUtil, full
// at 1.
type PowerCurve struct {
	// Idle power in watts.
	Idle float64 `json:"idle,omitempty"`
	// Full is the power at utilisation 1, in watts.
	Full float64 `json:"full,omitempty"`
	// MidPower is the power at utilisation midUtil, in watts.
	MidPower float64 `json:"midPower,omitempty"`
	// MidUtil is the utilisation at the bend of the curve, from 0 to 1.
	MidUtil float64 `json:"midUtil,omitempty"`
}

// AcceleratorProperties says what an accelerator is, the same in the custom resource and in the JSON specification.
type AcceleratorProperties struct {
	// Type of the cards, such as A100: what capacity is counted in. Defaults to the name of the accelerator.
	Type string `json:"type,omitempty"`
	// Multiplicity is the number of cards of the type that make up one accelerator: 4 for a "4xA100". Defaults to 1.
	Multiplicity int `json:"multiplicity,omitempty"`
	// MemSize is the memory of the accelerator (all its cards) in GB.
	MemSize float64 `json:"memSize,omitempty"`
	// MemBW is the memory bandwidth of the accelerator (all its cards) in GB/s.
	MemBW float64 `json:"memBW,omitempty"`
	// Power curve of the accelerator.
	Power PowerCurve `json:"power,omitempty"`
	// Cost of the accelerator in cents per hour.
	Cost float64 `json:"cost"`
	// InterruptionsPerHour is how often on average a replica on it loses its node, as on spot capacity: each costs a start, and what is late meanwhile.
	InterruptionsPerHour float64 `json:"interruptionsPerHour,omitempty"`
}

// AcceleratorSpec says what an accelerator is and which nodes carry it.
type AcceleratorSpec struct {
	AcceleratorProperties `json:",inline"`
	// ProductNames are the values of the product label of nodes with these cards (nvidia.com/gpu.product, amd.com/gpu.product-name, …).
	// Defaults to what the built-in catalogue knows of the type.
	ProductNames []string `json:"productNames,omitempty"`
	// ResourceName of the cards on a node, such as nvidia.com/gpu. Defaults to what the built-in catalogue knows of the type, else
	// nvidia.com/gpu.
	ResourceName string `json:"resourceName,omitempty"`
	// NodeSelector are labels that nodes must have besides, by which pools of one product are told apart: spot and reserved, zones, teams. Each pool is an
	// Accelerator with its own cost and interruptions; a node belongs to every Accelerator whose labels it has. Absent: all nodes with the product.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
}

// PerfParms are the parameters of the reference service-time law "work": the time of one engine iteration in milliseconds is
// alpha + beta · computed tokens + gamma · KV tokens read.
type PerfParms struct {
	// Alpha is the time of an iteration whatever its batch, in ms.
	Alpha float64 `json:"alpha"`
	// Beta is the compute time in ms per token.
	Beta float64 `json:"beta"`
	// Gamma is the memory access time in ms per KV token read.
	Gamma float64 `json:"gamma"`
}

// DecodeParms are the decode half of the older service-time law "linear": a decode iteration of n requests takes alpha + beta · n ms.
type DecodeParms struct {
	// Alpha is the base time of a decode iteration, in ms.
	Alpha float64 `json:"alpha"`
	// Beta is the time in ms per request of the batch.
	Beta float64 `json:"beta"`
}

// PrefillParms are the prefill half of the older service-time law "linear": prefilling n requests of `in` prompt tokens takes
// gamma + delta · in · n ms.
type PrefillParms struct {
	// Gamma is the base time of a prefill, in ms.
	Gamma float64 `json:"gamma"`
	// Delta is the time in ms per prompt token.
	Delta float64 `json:"delta"`
}

// LawParms are the parameters of a service-time law by name, for laws beyond the two references.
type LawParms struct {
	// Name of the law, as registered.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Version of the law's parametrisation; parameters of another version are refused, never misread.
	// +optional
	Version int `json:"version,omitempty"`
	// Parameters by name, in the units the law documents.
	// +optional
	Parameters map[string]float64 `json:"parameters,omitempty"`
	// Order lists the parameters in the order of the covariance's rows.
	// +optional
	Order []string `json:"order,omitempty"`
	// Covariance of the logarithms of the parameters, row by row, in the given order.
	// +optional
	Covariance [][]float64 `json:"covariance,omitempty"`
}

// Performance says how fast a model runs on one accelerator: measured, fitted, or left out (then the prior from physics).
type Performance struct {
	// Acc names the accelerator.
	Acc string `json:"acc"`
	// Variant names this way to run the model on the accelerator where there are several, such as tp4-fp8: lower-case letters, digits, - and . Absent: the role.
	Variant string `json:"variant,omitempty"`
	// Role of replicas, prefill or decode, of a model whose prompts and decodes may run on replicas of their own; absent: both.
	Role string `json:"role,omitempty"`
	// AccCount is the number of accelerators one replica takes. Defaults to 1.
	AccCount int `json:"accCount,omitempty"`
	// PodsPerReplica that have its accelerators between them, each on one node, and come and go together. Defaults to 1.
	PodsPerReplica int `json:"podsPerReplica,omitempty"`
	// TopologyKey of a node label, such as nvidia.com/gpu.clique or that of a rack: the pods of a replica must be on nodes with one and the same value of it.
	// Absent: on any.
	TopologyKey string `json:"topologyKey,omitempty"`
	// Ranks of a replica with a role that each take requests of their own (attention data parallelism). Defaults to 1.
	Ranks int `json:"ranks,omitempty"`
	// TokensPerIteration that a decode of a replica with the role decode accepts on average where it speculates. Defaults to 1.
	TokensPerIteration float64 `json:"tokensPerIteration,omitempty"`
	// Transfer of KV caches to or from a replica with a role; absent: it takes no time.
	Transfer *Transfer `json:"transfer,omitempty"`
	// MaxBatchSize is the largest batch the accelerator's memory holds at atTokens generated tokens per request.
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// AtTokens is the number of tokens per request for which maxBatchSize holds.
	AtTokens int `json:"atTokens,omitempty"`
	// PerfParms of the law "work".
	PerfParms *PerfParms `json:"perfParms,omitempty"`
	// DecodeParms of the older law "linear"; given together with prefillParms, instead of perfParms.
	DecodeParms *DecodeParms `json:"decodeParms,omitempty"`
	// PrefillParms of the older law "linear".
	PrefillParms *PrefillParms `json:"prefillParms,omitempty"`
	// Law holds the parameters of any other registered law; where it is given it is used.
	Law *LawParms `json:"law,omitempty"`
	// KVTokens is the number of tokens the KV cache of a replica holds. Absent: unlimited by memory, maxBatchSize alone limits.
	KVTokens int `json:"kvTokens,omitempty"`
	// Match says which measurements the entry was fitted on, by column (engine, precision, tensor_parallel, …).
	Match map[string]string `json:"match,omitempty"`
}

// Roles of replicas.
const (
	RolePrefill = "prefill"
	RoleDecode  = "decode"
)

// Transfer is what the KV cache of a prompt goes over between replicas of two roles: the narrower bandwidth of both counts, and the longer delay.
type Transfer struct {
	// Bandwidth of a replica in GB/s.
	Bandwidth float64 `json:"bandwidth"`
	// Delay of a transfer whatever its size, in ms.
	Delay float64 `json:"delay,omitempty"`
	// BytesPerToken of the KV cache.
	BytesPerToken float64 `json:"bytesPerToken"`
}

// LinkOf both ends of a transfer: the narrower bandwidth, the longer delay and the larger cache; nil where none is given.
func LinkOf(ends ...*Transfer) *Transfer {
	var l *Transfer
	for _, t := range ends {
		if t == nil {
			continue
		}
		if l == nil {
			l = new(Transfer)
		}
		if l.Bandwidth == 0 || t.Bandwidth < l.Bandwidth {
			l.Bandwidth = t.Bandwidth
		}
		l.Delay, l.BytesPerToken = max(l.Delay, t.Delay), max(l.BytesPerToken, t.BytesPerToken)
	}
	return l
}

// ModelProperties are what is known of a model whatever the accelerator.
type ModelProperties struct {
	// ServedName is the model's name in the engine's metrics (label model_name). Defaults to the name of the model.
	ServedName string `json:"servedName,omitempty"`
	// Architecture of the model, for priors from physics.
	Architecture *Architecture `json:"architecture,omitempty"`
	// TrustedNamespaces are those whose pods teach the model to all. What the pods of another namespace show is learned for its own Servers, and for those
	// of others where two namespaces show the same.
	TrustedNamespaces []string `json:"trustedNamespaces,omitempty"`
}

// IsZero says that nothing is said of the model.
func (p *ModelProperties) IsZero() bool {
	return p.ServedName == "" && p.Architecture == nil && len(p.TrustedNamespaces) == 0
}

// ModelTarget are the service-level objectives of one model in a service class. An absent or zero target does not bind.
type ModelTarget struct {
	// Model the targets are for.
	Model string `json:"model"`
	// ITL is the target on the inter-token latency, in ms.
	ITL float64 `json:"slo-itl,omitempty"`
	// TTFT is the target on the time to first token, queueing included, in ms.
	TTFT float64 `json:"slo-ttft,omitempty"`
	// TPS is the number of generated tokens per second that the servers of the class must be able to sustain.
	TPS float64 `json:"slo-tps,omitempty"`
	// Percentile for which the latency targets hold, over requests; 0 means that they hold for the mean.
	Percentile float64 `json:"slo-percentile,omitempty"`
}

// ServiceClassSpec says how important a class of users is and what it is promised.
type ServiceClassSpec struct {
	// Priority from 1, the highest, to 100.
	Priority int `json:"priority"`
	// ForecastQuantile of the arrival rate that servers of the class are sized for, above 0 and below 1; absent: that of the Optimizer.
	ForecastQuantile *float64 `json:"forecastQuantile,omitempty"`
	// ViolationCost is what a request costs that misses its targets, in cents. Where it is given, the quantile follows from it and from what
	// it costs to be able to serve one request more: 1 − (price of a replica in cents per hour ÷ requests it sustains in an hour) ÷
	// violationCost, from 0.5 to 0.99.
	ViolationCost *float64 `json:"violationCost,omitempty"`
	// ModelTargets are the objectives, one entry for each model.
	ModelTargets []ModelTarget `json:"modelTargets,omitempty"`
	// Precisions that servers of the class may be served with, as performance entries name theirs (match.precision): fp8, bf16, …. Absent: all.
	Precisions []string `json:"precisions,omitempty"`
	// AllowedNamespaces selects by their labels, of which kubernetes.io/metadata.name is the name, the namespaces whose Servers may use the class.
	// Absent: all. A Server elsewhere is refused; one that was there before keeps its plan, and is given no other.
	AllowedNamespaces *metav1.LabelSelector `json:"allowedNamespaces,omitempty"`
	// MaxMinReplicas is the largest minReplicas of its Servers, which hold so much without load. A Server that asks for more is refused; one that was
	// there before is planned with so many. Defaults to 20; in the JSON specification absent is no bound.
	MaxMinReplicas *int `json:"maxMinReplicas,omitempty"`
	// PriorityClassName of the PriorityClass that pods of its Servers name, by which preemption and eviction agree with plans: its value is above those
	// of the classes that matter less. Absent: any.
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// ServerPolicy says how a server may be run.
type ServerPolicy struct {
	// KeepAccelerator forbids changing the accelerator.
	KeepAccelerator bool `json:"keepAccelerator,omitempty"`
	// MaxBatchSize fixes the max batch size; 0 leaves it to the optimizer.
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// MaxBatchedTokens fixes the token budget per iteration; 0 leaves it to the optimizer.
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// MaxQueueSize is the number of requests that may wait at one replica beyond its batch; 0 means none.
	MaxQueueSize int `json:"maxQueueSize,omitempty"`
	// Routing of requests to the server's replicas: it decides how load splits over replicas of unlike speed.
	Routing string `json:"routing,omitempty"`
}

// InTurns tells whether replicas get requests in turns or by what they have in hand, so that each gets its share more regularly than by chance.
func InTurns(routing string) bool {
	return routing == RoutingRoundRobin || routing == RoutingLeastRequest
}

// Routing policies of a server.
const (
	RoutingRoundRobin   = "RoundRobin"
	RoutingLeastRequest = "LeastRequest"
	RoutingWeighted     = "Weighted"
)

// Load is the traffic of a server.
type Load struct {
	// ArrivalRate is the offered load in requests per minute.
	// +kubebuilder:validation:Minimum=0
	ArrivalRate float64 `json:"arrivalRate"`
	// Throughput is the completed load in requests per minute.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Throughput float64 `json:"throughput,omitempty"`
	// AvgInTokens is the mean number of prompt tokens per request.
	// +kubebuilder:validation:Minimum=0
	AvgInTokens float64 `json:"avgInTokens"`
	// AvgOutTokens is the mean number of generated tokens per request.
	// +kubebuilder:validation:Minimum=0
	AvgOutTokens float64 `json:"avgOutTokens"`
}

// SolverPolicy says what the solver may do and how it serves when capacity does not suffice.
type SolverPolicy struct {
	// Unlimited ignores capacity: every server gets what is cheapest for it.
	Unlimited bool `json:"unlimited,omitempty"`
	// Heterogeneous allows replicas of one server on several accelerators.
	Heterogeneous bool `json:"heterogeneous,omitempty"`
	// MaxDelaySeconds is how long a plan may wait for elastic capacity: pools that take longer are not bought from. 0 is no bound.
	MaxDelaySeconds float64 `json:"maxDelaySeconds,omitempty"`
	// AheadSeconds is what a node takes from being asked for until pods can be on it. Plans then say which replicas beyond theirs the load will need that much
	// later than those of a pod that starts now: nodes for them are to be asked for by now. 0, the default, looks no further ahead.
	AheadSeconds float64 `json:"aheadSeconds,omitempty"`
	// DelayedBestEffort serves best effort only after all priorities had their turn, instead of priority by priority.
	DelayedBestEffort bool `json:"delayedBestEffort,omitempty"`
	// SaturationPolicy says how servers whose targets cannot be met share what capacity is left. Defaults to None.
	SaturationPolicy string `json:"saturationPolicy,omitempty"`
	// Objective of the plan: Lexicographic, the default, serves higher priorities first and then at the least value; WeightedSum takes the
	// least sum of values and of what leaving servers unserved costs.
	Objective string `json:"objective,omitempty"`
	// Counting says what serving a server counts among those of its priority: Servers, the default, each the same; Load, its requests per
	// minute.
	Counting string `json:"counting,omitempty"`
	// UnservedCost is what leaving a server of the highest priority unserved costs in a WeightedSum, in cents per hour: for a server, or,
	// where load is counted, for each request per minute.
	UnservedCost float64 `json:"unservedCost,omitempty"`
	// PriorityFactor is how many times less a server of the next lower priority costs to leave unserved. Defaults to 10.
	PriorityFactor float64 `json:"priorityFactor,omitempty"`
	// Change is what changing a plan costs, so that a plan moves only for a gain that pays back. Absent: nothing.
	Change *ChangePolicy `json:"change,omitempty"`
	// EnergyShare is the share of energy in the cost that is minimised, by the power curves of the accelerators: from 0, the cost of
	// accelerators only, to 1, energy only.
	EnergyShare float64 `json:"energyShare,omitempty"`
	// Confidence is the probability with which what is not known of a pair's parameters leaves ITL at or below what is planned with: 0.5,
	// the default, plans with the likeliest, 0.9 serves a fresh pair carefully and a well-known one nearly as tightly.
	Confidence float64 `json:"confidence,omitempty"`
	// ForecastQuantile of the arrival rate, at the time when a replica ordered now would serve, that servers are sized for: above 0 and below
	// 1. Of ten such times the rate is above the 0.9 quantile at one. Absent: what the forecaster gives, which is the 0.9 quantile, or the
	// present rate for the forecaster none. A ServiceClass may ask for another.
	ForecastQuantile *float64 `json:"forecastQuantile,omitempty"`
	// Probing suggests, where set to Suggest, a number of running requests that would make known what matters for a plan and is not.
	// Suggestions are written down, nothing is done about them. Where set to Act, replicas are added for some windows so that fewer requests
	// run on each: where cards are to spare, where the targets are met even by a pessimistic view of what is known, on one server of each
	// (model, accelerator) pair at a time. Nothing is ever taken away for a probe. An accelerator on which the model never ran is tried by one
	// replica, where that is expected to pay for itself before the next try. Defaults to none.
	Probing string `json:"probing,omitempty"`
	// ProbingCooldownSeconds is the least time from one probe of a pair to its next. Absent or 0: an hour.
	ProbingCooldownSeconds float64 `json:"probingCooldownSeconds,omitempty"`
	// CentsPerKWh is the price of energy; needed where energyShare is above 0.
	CentsPerKWh float64 `json:"centsPerKWh,omitempty"`
}

// MaxAheadSeconds is the largest SolverPolicy.AheadSeconds. Exact: a day, which is as far as forecasts look
const MaxAheadSeconds = 86400

// Values of SolverPolicy.Probing: suggestions only, and probes.
const (
	ProbingSuggest = "Suggest"
	ProbingAct     = "Act"
)

// ChangePolicy is what it costs to go from the plan in force to another.
type ChangePolicy struct {
	// StartupSeconds until a new replica serves. While it starts it costs, and what it replaces keeps running.
	StartupSeconds float64 `json:"startupSeconds,omitempty"`
	// Start is the price of starting a replica beside that, in cents: image pulls, lost warm caches.
	Start float64 `json:"start,omitempty"`
	// Switch is the price of moving a server to another accelerator, in cents.
	Switch float64 `json:"switch,omitempty"`
	// HorizonSeconds within which a change has to pay back.
	HorizonSeconds float64 `json:"horizonSeconds"`
}

// Objectives of a plan, and what serving a server counts.
const (
	ObjectiveLexicographic = "Lexicographic"
	ObjectiveWeightedSum   = "WeightedSum"
	CountingServers        = "Servers"
	CountingLoad           = "Load"
)

// DefaultPriorityFactor is how many times less a server of the next lower priority costs to leave unserved, where nothing else is said.
//
// Tuned: 1; option priorityFactor of the Optimizer; at half: five servers of the next lower priority outweigh one, after ten; at twice: twenty do
const DefaultPriorityFactor = 10

// Saturation policies: how servers whose targets cannot be met share the capacity that is left.
const (
	SaturationNone               = "None"
	SaturationPriorityExhaustive = "PriorityExhaustive"
	SaturationPriorityRoundRobin = "PriorityRoundRobin"
	SaturationRoundRobin         = "RoundRobin"
)

// Plug selects an implementation of a stage by its registered name, with its options.
type Plug struct {
	// Name of the implementation, as registered.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// Options of the implementation; each documents its own. Unknown options are refused.
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Schemaless
	// +optional
	Options *runtime.RawExtension `json:"options,omitempty"`
}

// Plugs selects the implementation of every stage; an absent one is the default.
type Plugs struct {
	// QueueModel predicts TTFT and ITL of one replica.
	// +optional
	QueueModel *Plug `json:"queueModel,omitempty"`
	// Estimator learns the service-time law.
	// +optional
	Estimator *Plug `json:"estimator,omitempty"`
	// Forecaster predicts arrival rates.
	// +optional
	Forecaster *Plug `json:"forecaster,omitempty"`
	// Solver chooses among the candidates of all servers.
	// +optional
	Solver *Plug `json:"solver,omitempty"`
	// Stability keeps plans from flapping.
	// +optional
	Stability *Plug `json:"stability,omitempty"`
}
