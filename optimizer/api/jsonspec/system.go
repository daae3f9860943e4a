package jsonspec

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SystemFile is a whole system specification in one file.
type SystemFile struct {
	System System `json:"system"`
}

// System is the llm-inferno JSON specification of everything a plan is made from.
type System struct {
	Accelerators   AcceleratorData  `json:"acceleratorData"`
	Models         ModelData        `json:"modelData"`
	ServiceClasses ServiceClassData `json:"serviceClassData"`
	Servers        ServerData       `json:"serverData"`
	Optimizer      OptimizerData    `json:"optimizerData"`
	Capacity       CapacityData     `json:"capacityData"`
}

// AcceleratorData lists the accelerators.
type AcceleratorData struct {
	Spec []AcceleratorEntry `json:"accelerators"`
}

// AcceleratorEntry is an accelerator of the JSON specification.
type AcceleratorEntry struct {
	Name            string `json:"name"`
	AcceleratorSpec `json:",inline"`
}

// ModelData lists the performance of models on accelerators, one entry for each pair, and what else is known of the models.
type ModelData struct {
	Spec []PerformanceEntry `json:"models"`
	// Info is what is known of the models themselves; a model that has none needs no entry.
	Info []ModelInfo `json:"info,omitempty"`
	// Roles is what was learned of pairs whose prompts and decodes run on workers of their own: the laws of entries with a role that give none.
	Roles []RolesEntry `json:"roles,omitempty"`
}

// RolesEntry is what was learned of one model on one accelerator, whatever the numbers of workers and their parallelism.
type RolesEntry struct {
	// Version of what the multipliers mean; entries of another one are refused.
	Version int `json:"version"`
	// Match is what it holds for: engine, model, accelerator, precision.
	Match map[string]string `json:"match"`
	// Architecture and Card are what the physics are derived from.
	Architecture Architecture `json:"architecture"`
	// Guessed is true where the architecture is guessed from the model's name.
	Guessed bool           `json:"guessed,omitempty"`
	Card    CardProperties `json:"card"`
	// Multipliers are the logarithms of the factors by which engines differ from the physics.
	Multipliers map[string]float64 `json:"multipliers"`
	// Order lists the multipliers in the order of the covariance's rows.
	Order      []string    `json:"order,omitempty"`
	Covariance [][]float64 `json:"covariance,omitempty"`
	// Reach of the measured points in TTFT, as a multiple of that in ITL.
	Reach float64 `json:"reach,omitempty"`
	// Points are measured ones that correct what is predicted near them.
	Points []RolesPoint `json:"points,omitempty"`
}

// CardProperties are the numbers of one card that bound what an iteration takes.
type CardProperties struct {
	Name string `json:"name"`
	// Memory in bytes, Bandwidth and Link in bytes per second.
	Memory    float64 `json:"memory"`
	Bandwidth float64 `json:"bandwidth"`
	Link      float64 `json:"link,omitempty"`
	// BF16, FP8 and FP4 are FLOP/s.
	BF16 float64 `json:"bf16"`
	FP8  float64 `json:"fp8,omitempty"`
	FP4  float64 `json:"fp4,omitempty"`
}

// RolesPoint is where a point was measured, and its weights in the correction of ITL and TTFT.
type RolesPoint struct {
	At   []float64 `json:"at"`
	ITL  float64   `json:"itl"`
	TTFT float64   `json:"ttft"`
}

// ModelInfo is what is known of a model whatever the accelerator.
type ModelInfo struct {
	Name            string `json:"name"`
	ModelProperties `json:",inline"`
}

// PerformanceEntry is the performance of one model on one accelerator in the JSON specification.
type PerformanceEntry struct {
	Name        string `json:"name"`
	Performance `json:",inline"`
}

// ServiceClassData lists the service classes.
type ServiceClassData struct {
	Spec []ServiceClassEntry `json:"serviceClasses"`
}

// ServiceClassEntry is a service class of the JSON specification.
type ServiceClassEntry struct {
	Name             string `json:"name"`
	ServiceClassSpec `json:",inline"`
}

// ServerData lists the servers.
type ServerData struct {
	Spec []ServerEntry `json:"servers"`
}

// ServerEntry is a server of the JSON specification, with what it runs on now.
type ServerEntry struct {
	Name string `json:"name"`
	// Namespace that the server is in; empty where there are none.
	Namespace      string `json:"namespace,omitempty"`
	Class          string `json:"class"`
	Model          string `json:"model"`
	MinNumReplicas int    `json:"minNumReplicas,omitempty"`
	// MaxNumReplicas bounds the number of replicas; 0 means no bound.
	MaxNumReplicas int `json:"maxNumReplicas,omitempty"`
	ServerPolicy   `json:",inline"`
	ServerBinding  `json:",inline"`
	// Scopes are, by accelerator, the nodes that pods of the server can use; absent for all that carry it. A scope that no node has is of none.
	Scopes map[string]string `json:"scopes,omitempty"`
	// Refused says why the server may not use its class; empty where it may.
	Refused string `json:"refused,omitempty"`
	// Share is the name of the server's share; empty for none.
	Share        string      `json:"share,omitempty"`
	CurrentAlloc *Allocation `json:"currentAlloc,omitempty"`
	DesiredAlloc *Allocation `json:"desiredAlloc,omitempty"`
	// Observation is what was measured of the server, beyond its load.
	Observation *Observation `json:"observation,omitempty"`
}

// Observation is what was measured of a server at one time; a nil field was not measured, which is not the same as zero.
type Observation struct {
	// Time of the measurement.
	Time metav1.Time `json:"time"`
	// Running requests per ready replica, mean over the window.
	Running *float64 `json:"running,omitempty"`
	// Waiting requests per ready replica, mean over the window.
	Waiting *float64 `json:"waiting,omitempty"`
	// KVUsage is the used share of the KV cache, 0 to 1, mean over replicas.
	KVUsage *float64 `json:"kvUsage,omitempty"`
	// Attainment is the share of requests that met both targets over the window, 0 to 1.
	Attainment *float64 `json:"attainment,omitempty"`
	// ArrivalCV is the coefficient of variation of the times between arrivals at the server: 1 for Poisson, more where they come in bursts.
	ArrivalCV *float64 `json:"arrivalCV,omitempty"`
	// GivenUp requests per minute came and were not served, nor are they there any more: their clients gave up, or admission refused them. They are part of
	// the arrivals. Absent: none, or nothing tells.
	GivenUp *float64 `json:"givenUp,omitempty"`
	// Parts are the pods of the server by accelerator, with the limits they were started with.
	Parts []ObservedPart `json:"parts,omitempty"`
	// Starts are those of its pods that became ready in the last quarter of an hour.
	Starts []ObservedStart `json:"starts,omitempty"`
	// Scopes are, by accelerator, the sets of nodes that all nodes of its pods there are of; absent where one of these takes no pods.
	Scopes map[string][]string `json:"scopes,omitempty"`
	// Groups are the measurements of its replicas, those that are alike together.
	Groups []ObservedGroup `json:"groups,omitempty"`
	// Fault says why the load is missing, as a condition reason; empty where the load is known.
	Fault string `json:"fault,omitempty"`
	// Detail explains the fault to a person.
	Detail string `json:"detail,omitempty"`
}

// ObservedGroup is what was measured of those replicas of a server that are alike (on one accelerator, started with the same limits) and
// were ready for the whole window, so that a mean over them is of none that came or went meanwhile. What is absent was not measured.
type ObservedGroup struct {
	// Accelerator and variant of the model that the replicas run, and the limits they were started with, 0 where they say none.
	Accelerator      string `json:"accelerator"`
	Variant          string `json:"variant,omitempty"`
	MaxBatchSize     int    `json:"maxBatchSize,omitempty"`
	MaxBatchedTokens int    `json:"maxBatchedTokens,omitempty"`
	// Replicas that were measured, and the engines in each of them.
	Replicas int `json:"replicas"`
	Engines  int `json:"engines,omitempty"`
	// WindowSeconds that was measured over, and AgeSeconds of the oldest of the replicas' newest samples.
	WindowSeconds float64 `json:"windowSeconds"`
	AgeSeconds    float64 `json:"ageSeconds"`
	// Running requests per engine, mean over the tokens that they yielded, and the standard deviation of their number over time.
	Running   *float64 `json:"running,omitempty"`
	RunningSD *float64 `json:"runningSD,omitempty"`
	// Waiting requests per engine, mean over the window.
	Waiting *float64 `json:"waiting,omitempty"`
	// Admissions (first tokens), Throughput (completions) and Preemptions per engine in requests per minute.
	Admissions  *float64 `json:"admissions,omitempty"`
	Throughput  *float64 `json:"throughput,omitempty"`
	Preemptions *float64 `json:"preemptions,omitempty"`
	// AdmittedTokens are the prompt tokens of a request whose first token came within the window.
	AdmittedTokens *float64 `json:"admittedTokens,omitempty"`
	// InputTokens and OutputTokens per request and their standard deviations, over a longer window.
	InputTokens    *float64 `json:"inputTokens,omitempty"`
	OutputTokens   *float64 `json:"outputTokens,omitempty"`
	InputTokensSD  *float64 `json:"inputTokensSD,omitempty"`
	OutputTokensSD *float64 `json:"outputTokensSD,omitempty"`
	// PrefixHitRate is the share of prompt tokens found in the prefix cache, 0 to 1.
	PrefixHitRate *float64 `json:"prefixHitRate,omitempty"`
	// KVUsage is the used share of the KV cache, 0 to 1, mean; KVTokens its size in tokens per engine, that of the smallest.
	KVUsage  *float64 `json:"kvUsage,omitempty"`
	KVTokens *float64 `json:"kvTokens,omitempty"`
	// TTFT and ITL in ms.
	TTFT *ObservedLatency `json:"ttft,omitempty"`
	ITL  *ObservedLatency `json:"itl,omitempty"`
	// Requests that had their first token within the window.
	Requests *float64 `json:"requests,omitempty"`
}

// ObservedLatency is the distribution of a latency in ms; percentiles are interpolated in a histogram, and absent where there is none.
type ObservedLatency struct {
	Mean float64  `json:"mean"`
	P90  *float64 `json:"p90,omitempty"`
	P99  *float64 `json:"p99,omitempty"`
}

// ObservedStart is how long a pod took from its creation until it was ready.
type ObservedStart struct {
	Accelerator string      `json:"accelerator"`
	Variant     string      `json:"variant,omitempty"`
	ReadyAt     metav1.Time `json:"readyAt"`
	Seconds     float64     `json:"seconds"`
}

// ObservedPart counts the pods of a server on one accelerator.
type ObservedPart struct {
	// Accelerator the pods run on, empty for pods that wait for a node.
	// +optional
	Accelerator string `json:"accelerator,omitempty"`
	// Variant of the model that the pods run, where it has several.
	// +optional
	Variant string `json:"variant,omitempty"`
	// Ready pods.
	Ready int `json:"ready"`
	// Leaving are those of the ready whose node is cordoned or goes away: others are to be ready before they go.
	// +optional
	Leaving int `json:"leaving,omitempty"`
	// Starting pods: created, not yet ready.
	// +optional
	Starting int `json:"starting,omitempty"`
	// Failing are those of the starting that crash again and again, or whose image or configuration is refused.
	// +optional
	Failing int `json:"failing,omitempty"`
	// MaxBatchSize that the pods were started with, 0 where they say none.
	// +optional
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// MaxBatchedTokens that the pods were started with, 0 where they say none.
	// +optional
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
}

// Allocation is what one server gets, or has.
type Allocation struct {
	Accelerator string `json:"accelerator"`
	// Variant of the model that runs on it, where it has several.
	Variant string `json:"variant,omitempty"`
	// TopologyKey of the label of which the nodes of a replica's pods have one value; where there are parts they have it.
	TopologyKey string  `json:"topologyKey,omitempty"`
	NumReplicas int     `json:"numReplicas"`
	MaxBatch    int     `json:"maxBatch"`
	Cost        float64 `json:"cost"`
	// ITLAverage is the predicted or measured mean inter-token latency in ms.
	ITLAverage float64 `json:"itlAverage"`
	// TTFTAverage is the predicted or measured mean time to first token in ms.
	TTFTAverage float64 `json:"ttftAverage"`
	// MaxBatchedTokens is the token budget per iteration, 0 where it is left to the engine.
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// Ahead is the number of replicas beyond these that the load will need by the time a node asked for now has come; where there are parts they have it.
	Ahead int `json:"ahead,omitempty"`
	// BestEffort marks an allocation that does not meet its targets.
	BestEffort bool `json:"bestEffort,omitempty"`
	// AdmissibleRate is the highest rate in requests per minute that is served within the targets, below that of the load: what a gateway may let through.
	// Absent where all of the load can be admitted, or that is not known.
	AdmissibleRate *float64 `json:"admissibleRate,omitempty"`
	// Parts of an allocation over several accelerators; empty where there is one.
	Parts []AllocationPart `json:"parts,omitempty"`
	// Reason says why this allocation was chosen.
	Reason string `json:"reason,omitempty"`
	// Load the allocation was made for. Absent means unknown, which is not zero.
	Load *Load `json:"load,omitempty"`
}

// OptimizerData holds the optimizer's options.
type OptimizerData struct {
	Spec OptimizerEntry `json:"optimizer"`
}

// OptimizerEntry are the optimizer's options in the JSON specification.
type OptimizerEntry struct {
	SolverPolicy `json:",inline"`
	Plugs        `json:",inline"`
	// MILPSolver asks for the solver "milp" where plugs name none.
	MILPSolver bool `json:"milpSolver,omitempty"`
	// Shares bound what servers that name them take together.
	Shares []ShareBounds `json:"shares,omitempty"`
	// Cohorts bound what several shares take together.
	Cohorts []Cohort `json:"cohorts,omitempty"`
	// UseCplex is read for compatibility. There is no CPLEX here; true is refused.
	UseCplex bool `json:"useCplex,omitempty"`
}

// CapacityData says what is there.
type CapacityData struct {
	Count []AcceleratorCount `json:"count"`
	// Nodes with their free cards. Of the types of these nodes they replace the count: what is left on a node is capacity only for replicas
	// that it holds.
	Nodes []NodeCapacity `json:"nodes,omitempty"`
	// Elastic is capacity that does not exist yet but can be bought.
	Elastic []ElasticCapacity `json:"elastic,omitempty"`
}

// NodeCapacity is a node with cards of one type. A node that has several types is given once for each.
type NodeCapacity struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Free cards: those that the plan may give, on a node that takes pods.
	Free int `json:"free"`
	// Scopes are the sets of nodes that it belongs to, by name: servers name those that their pods can use.
	Scopes []string `json:"scopes,omitempty"`
	// Portions are, by scope, what a replica takes of each of the node's other resources, such as processors and memory, as shares of what is free of them
	// before any replica, each 0 to 1, in one order for all scopes. Absent where cards run out first, whatever is placed.
	Portions map[string][]float64 `json:"portions,omitempty"`
	// Domains are the values of the labels that entries of models name as topologyKey; a node without one is in no domain of it.
	Domains map[string]string `json:"domains,omitempty"`
}

// ElasticCapacity is a pool of nodes that can grow, such as a cloud provider's node pool.
type ElasticCapacity struct {
	// Name of the pool.
	Name string `json:"name"`
	// Type of its cards.
	Type string `json:"type"`
	// Cards that come with each purchase, on one node; at least 1.
	Cards int `json:"cards"`
	// Limit is the largest number of purchases, those that arrived included.
	Limit int `json:"limit"`
	// Arrived is the number of purchases that are there: their cards are counted with the others. In a cluster it is counted.
	Arrived int `json:"arrived,omitempty"`
	// Scopes are the sets of nodes that a node of the pool will belong to. In a cluster they are found.
	Scopes []string `json:"scopes,omitempty"`
	// NodeSelector are labels of the pool's nodes, by which those that arrived are counted. Without it all nodes with the type are the pool's. A node that
	// is bought is in the domains that these labels tell, and in no other.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Price of a purchase in cents per hour, beside the cost of the accelerators that use it.
	Price float64 `json:"price,omitempty"`
	// DelaySeconds from the purchase until its cards can be used.
	DelaySeconds float64 `json:"delaySeconds,omitempty"`
	// DeadlineSeconds after a plan began to count on cards of the pool, those that have not come are taken back from the plan, and no plan
	// counts on the pool for as long again. Defaults to twice delaySeconds, at least 60.
	DeadlineSeconds float64 `json:"deadlineSeconds,omitempty"`
	// InsufficientUntil is the time before which no plan counts on the pool, for whom it buys from had no capacity. In a cluster it is seen.
	InsufficientUntil *metav1.Time `json:"insufficientUntil,omitempty"`
}

// Deadline in seconds, with its default.
func (e *ElasticCapacity) Deadline() float64 {
	if e.DeadlineSeconds > 0 {
		return e.DeadlineSeconds
	}
	return max(60, 2*e.DelaySeconds)
}

// AcceleratorCount is the number of cards of one type that can be placed.
type AcceleratorCount struct {
	Type  string `json:"type"`
	Count int    `json:"count"`
}

// Solution is the answer to a system: the plan.
type Solution struct {
	// Allocations by server.
	Allocations map[string]Allocation `json:"allocations"`
	// TotalCost of all allocations and purchases in cents per hour.
	TotalCost float64 `json:"totalCost"`
	// Unserved servers and why, sorted by name.
	Unserved []Unserved `json:"unserved"`
	// Placement is a packing of the replicas onto the nodes that were given, sorted by node: it shows that the plan fits. The scheduler may
	// find another. Plans that are held for want of measurements are not in it; their cards are reserved.
	Placement []NodePlacement `json:"placement,omitempty"`
	// Bought is the elastic capacity that the plan counts on, sorted by pool.
	Bought []Purchase `json:"bought,omitempty"`
	// TakenBack is elastic capacity that earlier plans counted on and that has not come by its deadline, sorted by pool.
	TakenBack []TakenBack `json:"takenBack,omitempty"`
	// Shares are what the plan gives each share.
	Shares []ShareStatus `json:"shares,omitempty"`
	// Solver that found the plan and how good it is.
	Solver SolverReport `json:"solver"`
	// Explanations of the servers that were asked for, in the order of the questions.
	Explanations []Explanation `json:"explanations,omitempty"`
	// WhatIf is the difference to the plan of a changed question, where one was asked.
	WhatIf *PlanDifference `json:"whatIf,omitempty"`
}

// NodePlacement says that a node holds replicas of a size.
type NodePlacement struct {
	// Node by name; one that is bought has the name of its pool with a number, such as pool/0.
	Node string `json:"node"`
	Type string `json:"type"`
	// CardsPerReplica of the type.
	CardsPerReplica int `json:"cardsPerReplica"`
	Replicas        int `json:"replicas"`
	// Scope of the replicas, where they cannot be on all nodes of the type.
	Scope string `json:"scope,omitempty"`
	// TopologyKey of the replicas, where these are so many pods of PodsPerReplica.
	TopologyKey    string `json:"topologyKey,omitempty"`
	PodsPerReplica int    `json:"podsPerReplica,omitempty"`
}

// Purchase is what a plan counts on from an elastic pool.
type Purchase struct {
	Pool string `json:"pool"`
	Type string `json:"type"`
	// Count of purchases, and the cards they bring.
	Count int `json:"count"`
	Cards int `json:"cards"`
	// Cost of the purchases in cents per hour.
	Cost float64 `json:"cost"`
	// DelaySeconds until the cards can be used.
	DelaySeconds float64 `json:"delaySeconds,omitempty"`
	// Since when plans count on the oldest of them, and the deadline by which it is taken back; absent where the time is not known.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// +optional
	Deadline *metav1.Time `json:"deadline,omitempty"`
}

// TakenBack is elastic capacity that has not come by its deadline.
type TakenBack struct {
	Pool string `json:"pool"`
	Type string `json:"type"`
	// Count of purchases that have not come, and the cards they were to bring.
	Count int `json:"count"`
	Cards int `json:"cards"`
	// Until when no plan counts on the pool.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
	// Reason for people.
	Reason string `json:"reason"`
}

// Unserved is a server without an allocation that meets its targets.
type Unserved struct {
	Server string `json:"server"`
	Reason string `json:"reason"`
	// Lacks are the ways to serve it that lack the fewest cards, at most three, the one that lacks fewest first; absent where no capacity
	// would do.
	Lacks []Lack `json:"lacks,omitempty"`
	// AdmissibleRate is 0 where nothing serves it, absent where pods may that nobody planned.
	AdmissibleRate *float64 `json:"admissibleRate,omitempty"`
}

// Lack is what capacity would serve a server on an accelerator.
type Lack struct {
	Accelerator string `json:"accelerator"`
	// Cards by type that would have to be added, on nodes that hold whole replicas, beside what others have.
	Cards map[string]int `json:"cards"`
}

// SolverReport says which solver found a plan and how far from the optimum it can be at most.
type SolverReport struct {
	Name string `json:"name"`
	// Why this solver, where it was picked among several.
	Why string `json:"why,omitempty"`
	// LowerBound on the value (cost plus price of change) of any plan that serves as many servers of each priority in full, in cents per
	// hour, over those servers; for the objective WeightedSum, on the value of any plan with what it leaves unserved. Absent where the solver
	// proves none.
	LowerBound *float64 `json:"lowerBound,omitempty"`
	// Gap is (value − lowerBound) / lowerBound, where value is what lowerBound is on; absent where there is no bound.
	Gap *float64 `json:"gap,omitempty"`
	// Served in full, by priority, the highest first; absent where the solver does not know how many could be.
	Served []ServedCount `json:"served,omitempty"`
	// Prices are what one card more of each type would save, in cents per hour, 0 where there is enough: what to buy next. Absent where the
	// solver has none.
	Prices map[string]float64 `json:"prices,omitempty"`
	// Ended is what ended the solver's search: optimal, gap, work, deadline, or finished where it proves less than it was asked for.
	Ended string `json:"ended,omitempty"`
	// Work is the number of units of work until then, which are counted and not timed: with as many the same search ends at the same plan.
	Work int64 `json:"work,omitempty"`
	// Seconds the solver took; set by the caller that owns a clock.
	Seconds float64 `json:"seconds"`
}

// ServedCount is what is served in full of a priority: servers, or their requests per minute where load is counted.
type ServedCount struct {
	Priority int `json:"priority"`
	Served   int `json:"served"`
	// AtMost is what any plan can be shown to serve at most beside as many of each higher priority: the number is proven to be the largest
	// where it is the same.
	AtMost int `json:"atMost"`
}

// Candidate is one (server, accelerator) pair that was considered, or a split of a server over two accelerators, which is named by both.
type Candidate struct {
	Server      string `json:"server"`
	Accelerator string `json:"accelerator"`
	// Type of the cards.
	Type     string `json:"type"`
	Priority int    `json:"priority"`
	// NumReplicas needed to meet the targets.
	NumReplicas int `json:"numReplicas"`
	// Units of the type taken in all.
	Units            int `json:"units"`
	MaxBatch         int `json:"maxBatch"`
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// Cost in cents per hour.
	Cost float64 `json:"cost"`
	// Value is what the solver minimises: the cost and the penalties, such as the price of change.
	Value float64 `json:"value"`
	// ITL predicted, in ms.
	ITL float64 `json:"itl"`
	// TTFT predicted, in ms.
	TTFT float64 `json:"ttft"`
	// Parts of a split; absent where there is one accelerator.
	Parts []AllocationPart `json:"parts,omitempty"`
	// RatePerReplica is the highest rate at which a replica meets the targets, in requests per minute.
	RatePerReplica float64 `json:"ratePerReplica,omitempty"`
	// Trim is the factor on that rate which measured attainment asks for, less 1; absent where there is none. A large one means a bad model.
	Trim     float64 `json:"trim,omitempty"`
	Feasible bool    `json:"feasible"`
	// Reason why the candidate is infeasible, empty where it is feasible.
	Reason string `json:"reason,omitempty"`
}
