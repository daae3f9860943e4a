package v1alpha1

import (
	"cmp"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AcceleratorSpec says what an accelerator is, what it costs, and which nodes carry it.
type AcceleratorSpec struct {
	// Type of the cards, such as A100: what capacity is counted in. Defaults to the name of the accelerator.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Type string `json:"type,omitempty"`
	// Cards of the type that make up one accelerator: 4 for a "4xA100".
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	Cards int `json:"cards,omitempty"`
	// CostPerHour of the accelerator, in cents.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="costPerHour must be at least 0"
	CostPerHour Decimal `json:"costPerHour"`
	// InterruptionsPerHour is how often on average a replica on it loses its node, as on spot capacity: each costs a start, and what is late meanwhile.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 60.0",message="interruptionsPerHour must be from 0 to 60"
	// +optional
	InterruptionsPerHour *Decimal `json:"interruptionsPerHour,omitempty"`
	// Memory of the accelerator, all its cards, such as 80G. Absent: what the built-in catalogue knows of the type.
	// +optional
	Memory *resource.Quantity `json:"memory,omitempty"`
	// MemoryBandwidth of the accelerator, all its cards, in bytes per second, such as 2039G. Absent: what the built-in catalogue knows of the type.
	// +optional
	MemoryBandwidth *resource.Quantity `json:"memoryBandwidth,omitempty"`
	// Power that the accelerator draws. Absent: not known.
	// +optional
	Power *Power `json:"power,omitempty"`
	// ProductNames are the values of the product label of nodes with these cards (nvidia.com/gpu.product, amd.com/gpu.product-name, …).
	// Absent: what the built-in catalogue knows of the type.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	ProductNames []string `json:"productNames,omitempty"`
	// ResourceName of the cards on a node, such as nvidia.com/gpu. Absent: what the built-in catalogue knows of the type, else
	// nvidia.com/gpu.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
	// NodeSelector are labels that nodes must have besides, by which pools of one product are told apart: spot and reserved, zones, teams. Each pool is an
	// Accelerator with its own cost and interruptions; a node belongs to every Accelerator whose labels it has. Absent: all nodes with the product.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
}

// CardType is the type that capacity of the accelerator is counted in: that of the spec, else the name of the accelerator.
func (s *AcceleratorSpec) CardType(name string) string { return cmp.Or(s.Type, name) }

// Power drawn as a piecewise linear function of utilisation: idle at 0, middle at middleUtilization, full at 1.
type Power struct {
	// Idle power in watts.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="idle must be at least 0"
	Idle Decimal `json:"idle"`
	// Full is the power at utilisation 1, in watts.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="full must be at least 0"
	Full Decimal `json:"full"`
	// Middle is the power at middleUtilization, in watts.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="middle must be at least 0"
	// +optional
	Middle *Decimal `json:"middle,omitempty"`
	// MiddleUtilization is the utilisation at the bend of the curve, from 0 to 1.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="middleUtilization must be from 0 to 1"
	// +optional
	MiddleUtilization *Decimal `json:"middleUtilization,omitempty"`
}

// AcceleratorStatus says what of the accelerator is there.
type AcceleratorStatus struct {
	// ObservedGeneration of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Nodes that carry the type.
	// +optional
	Nodes int `json:"nodes,omitempty"`
	// Capacity is the number of cards of the type on nodes that can take pods.
	// +optional
	Capacity int `json:"capacity,omitempty"`
	// Available is the capacity without what pods that are not inferno's hold.
	// +optional
	Available int `json:"available,omitempty"`
	// Allocated is the number of cards that the last plan gives to servers.
	// +optional
	Allocated int `json:"allocated,omitempty"`
	// Conditions of the accelerator: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Accelerator is a kind of accelerator that replicas can run on.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=acc,categories=inferno
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Cards",type=integer,JSONPath=`.spec.cards`
// +kubebuilder:printcolumn:name="Cost",type=string,JSONPath=`.spec.costPerHour`,description="cents per hour"
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Allocated",type=integer,JSONPath=`.status.allocated`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Accelerator struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AcceleratorSpec   `json:"spec"`
	Status AcceleratorStatus `json:"status,omitempty"`
}

// AcceleratorList is a list of accelerators.
// +kubebuilder:object:root=true
type AcceleratorList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Accelerator `json:"items"`
}

// ModelStatus says what is known of a model; what was learned of it is in its Estimates.
type ModelStatus struct {
	// ObservedGeneration of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// LearnedOn are the accelerators on which its performance was learned.
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +optional
	LearnedOn []string `json:"learnedOn,omitempty"`
	// Conditions of the model: Ready, Learned.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Model is a model that servers serve.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=inferno
// +kubebuilder:printcolumn:name="Served as",type=string,JSONPath=`.spec.servedName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Model struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ModelSpec   `json:"spec"`
	Status ModelStatus `json:"status,omitempty"`
}

// ModelList is a list of models.
// +kubebuilder:object:root=true
type ModelList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Model `json:"items"`
}

// ServiceClassSpec says how important a class of users is and what it is promised.
// +kubebuilder:validation:XValidation:rule="!(has(self.forecastQuantile) && has(self.violationCost))",message="forecastQuantile follows from violationCost; give one"
type ServiceClassSpec struct {
	// Priority from 1 to 100: of two classes the one with the higher priority matters more, as with PriorityClasses. In the JSON specification it is 101 less
	// this.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Priority int `json:"priority"`
	// ForecastQuantile of the arrival rate that servers of the class are sized for, above 0 and below 1. Absent: that of the Optimizer.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0 && double(self) < 1.0",message="forecastQuantile must be above 0 and below 1"
	// +optional
	ForecastQuantile *Decimal `json:"forecastQuantile,omitempty"`
	// ViolationCost is what a request costs that misses its targets, in cents. Where it is given, the quantile follows from it and from what
	// it costs to be able to serve one request more: 1 − (price of a replica in cents per hour ÷ requests it sustains in an hour) ÷
	// violationCost, from 0.5 to 0.99.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0",message="violationCost must be above 0"
	// +optional
	ViolationCost *Decimal `json:"violationCost,omitempty"`
	// Targets are what the class is promised, one entry for each model. The entry of the model * is for all models that have none of their own.
	// +listType=map
	// +listMapKey=model
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Targets []Target `json:"targets,omitempty"`
	// Precisions that its Servers may be served with, as the performance entries of Models name theirs (match.precision): fp8, bf16. Absent: all. Which of
	// them are good enough for the class is the user's to say.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Precisions []string `json:"precisions,omitempty"`
	// AllowedNamespaces selects by their labels, of which kubernetes.io/metadata.name is the name, the namespaces whose Servers may use the class.
	// Absent: all. A Server elsewhere is refused; one that was there before keeps its plan, and is given no other.
	// +optional
	AllowedNamespaces *metav1.LabelSelector `json:"allowedNamespaces,omitempty"`
	// MaxMinReplicas is the largest minReplicas of its Servers, which hold so much without load. A Server that asks for more is refused; one that was
	// there before is planned with so many. Defaults to 20; in the JSON specification absent is no bound.
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxMinReplicas *int `json:"maxMinReplicas,omitempty"`
	// PriorityClassName of the PriorityClass that pods of its Servers name, by which preemption and eviction agree with plans: its value is above those
	// of the classes that matter less. Absent: any.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`
}

// AnyModel is the model of a Target that is for all models without one of their own.
const AnyModel = "*"

// Target is what a class is promised of a model. What is absent is not promised.
type Target struct {
	// Model that it is for: the name of a Model, or * for all that have no entry of their own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Model string `json:"model"`
	// ITL is the longest inter-token latency, such as 30ms.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="itl must be above 0s"
	// +optional
	ITL *metav1.Duration `json:"itl,omitempty"`
	// TTFT is the longest time to first token, queueing included, such as 500ms.
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s')",message="ttft must be above 0s"
	// +optional
	TTFT *metav1.Duration `json:"ttft,omitempty"`
	// TokensPerSecond that the servers of the class must be able to generate.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0",message="tokensPerSecond must be above 0"
	// +optional
	TokensPerSecond *Decimal `json:"tokensPerSecond,omitempty"`
	// Percentile of requests for which itl and ttft hold, above 0 and below 100. Absent: they hold for the mean.
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0 && double(self) < 100.0",message="percentile must be above 0 and below 100"
	// +optional
	Percentile *Decimal `json:"percentile,omitempty"`
}

// TargetFor is the entry for a model, its own or that for all; nil where there is none.
func (c *ServiceClassSpec) TargetFor(model string) *Target {
	var found *Target
	for i := range c.Targets {
		switch c.Targets[i].Model {
		case model:
			return &c.Targets[i]
		case AnyModel:
			found = &c.Targets[i]
		}
	}
	return found
}

// ServiceClassStatus says who uses a class.
type ServiceClassStatus struct {
	// ObservedGeneration of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Servers of the class.
	// +optional
	Servers int `json:"servers,omitempty"`
	// Conditions of the class: Ready.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ServiceClass is a class of users with latency targets and a priority.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=slo,categories=inferno
// +kubebuilder:printcolumn:name="Priority",type=integer,JSONPath=`.spec.priority`
// +kubebuilder:printcolumn:name="Servers",type=integer,JSONPath=`.status.servers`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServiceClassSpec   `json:"spec"`
	Status ServiceClassStatus `json:"status,omitempty"`
}

// ServiceClassList is a list of service classes.
// +kubebuilder:object:root=true
type ServiceClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceClass `json:"items"`
}

// GatewayCounter is a counter of requests at a gateway that serves several namespaces, and how its series tell whose requests they are.
type GatewayCounter struct {
	// Counter is the name of the metric, as Servers name it in spec.arrivals.
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_:][a-zA-Z0-9_:]*$`
	// +kubebuilder:validation:MaxLength=256
	Counter string `json:"counter"`
	// Namespace of the gateway's pods: the label namespace of the series.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Label of the series that tells to which namespace the requests go.
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	// +kubebuilder:validation:MaxLength=256
	Label string `json:"label"`
	// Value of that label for requests to a namespace: a regular expression that matches it whole, in which $(namespace) stands for the
	// namespace's name, such as outbound\|[0-9]+\|\|[^.]+\.$(namespace)\..*. Absent: $(namespace).
	// +kubebuilder:validation:XValidation:rule="self.contains('$(namespace)')",message="value must contain $(namespace)"
	// +kubebuilder:validation:MaxLength=256
	// +optional
	Value string `json:"value,omitempty"`
}

// ServerSpec says whom a workload serves and how it may be run.
// +kubebuilder:validation:XValidation:rule="!has(self.maxReplicas) || !has(self.minReplicas) || self.maxReplicas >= self.minReplicas",message="maxReplicas must be at least minReplicas"
// +kubebuilder:validation:XValidation:rule="!has(self.routeRef) || (has(self.variants) && self.variants.size() > 1)",message="routeRef needs two variants or more"
// +kubebuilder:validation:XValidation:rule="!has(self.routeRef) || !has(self.variants) || self.variants.all(v, has(v.backendRef))",message="routeRef needs a backendRef of each variant"
// +kubebuilder:validation:XValidation:rule="!has(self.variants) || self.variants.all(v, !has(v.backendRef) || self.variants.exists_one(o, has(o.backendRef) && o.backendRef == v.backendRef))",message="each backendRef must be of one variant"
type ServerSpec struct {
	// Model that is served: the name of a Model. It does not change: another model is another Server.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="model does not change; make another Server"
	Model string `json:"model"`
	// ServiceClass that is served: the name of a ServiceClass.
	// +kubebuilder:validation:MinLength=1
	ServiceClass string `json:"serviceClass"`
	// MinReplicas is the least number of replicas, 0 for scale to zero. Defaults to 1.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:default=1
	// +optional
	MinReplicas *int `json:"minReplicas,omitempty"`
	// MaxReplicas is the largest number of replicas. Absent: no bound.
	// +kubebuilder:validation:Minimum=1
	// +optional
	MaxReplicas *int `json:"maxReplicas,omitempty"`

	// Placement says how its pods get their seats: Scheduler (the scheduler plugin picks their nodes) or Gates (their gates are lifted as the plan has seats for
	// them, and any scheduler picks the node). Absent: what the Optimizer says.
	// +kubebuilder:validation:Enum=Scheduler;Gates
	// +optional
	Placement string `json:"placement,omitempty"`

	// AcceleratorChange says whether plans may move it from the accelerator that it runs on: Allowed or Forbidden.
	// +kubebuilder:default=Allowed
	// +kubebuilder:validation:Enum=Allowed;Forbidden
	// +optional
	AcceleratorChange string `json:"acceleratorChange,omitempty"`
	// MaxBatchSize fixes the max batch size. Absent: the optimizer chooses.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	// +optional
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// MaxBatchedTokens fixes the token budget per iteration. Absent: the optimizer chooses.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	MaxBatchedTokens int `json:"maxBatchedTokens,omitempty"`
	// MaxQueueSize is the number of requests that may wait at one replica beyond its batch. Absent: none.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	// +optional
	MaxQueueSize int `json:"maxQueueSize,omitempty"`
	// Routing of requests to its replicas, by which load splits over replicas of unlike speed: RoundRobin, LeastRequest or Weighted.
	// +kubebuilder:validation:Enum=RoundRobin;LeastRequest;Weighted
	// +optional
	Routing string `json:"routing,omitempty"`

	jsonspec.ServerBinding `json:",inline"`
}

// Values of ServerSpec.AcceleratorChange.
const (
	AcceleratorChangeAllowed   = "Allowed"
	AcceleratorChangeForbidden = "Forbidden"
)

// Latencies are mean latencies in ms.
type Latencies struct {
	// TTFT in ms; absent where an engine does not show it.
	// +optional
	TTFT *float64 `json:"ttft,omitempty"`
	// ITL in ms; absent where an engine does not show it.
	// +optional
	ITL *float64 `json:"itl,omitempty"`
}

// MeasuredTransfer is what it takes to hand the KV cache of a prompt over, where prompts and decodes run apart and engines tell (vLLM with NIXL).
type MeasuredTransfer struct {
	// Time that a transfer takes in ms, without the wait for it.
	Time float64 `json:"time"`
	// Expected is the time in ms that the transfer of the Model's performance says for a mean prompt, alone on its link; absent where that says nothing.
	// +optional
	Expected *float64 `json:"expected,omitempty"`
	// Bytes that a request moves: fewer than its prompt has where a cache had some already.
	// +optional
	Bytes float64 `json:"bytes,omitempty"`
	// Bandwidth of a replica in GB/s: the bytes over the time.
	// +optional
	Bandwidth float64 `json:"bandwidth,omitempty"`
}

// DesiredState is the plan for one server: all that the metrics adapter and the scheduler plugin read.
type DesiredState struct {
	// DecidedAt is when the plan last changed.
	DecidedAt metav1.Time `json:"decidedAt"`
	// ConfirmedAt is when a cycle last stood by the plan.
	ConfirmedAt metav1.Time `json:"confirmedAt"`
	// StaleAfterSeconds is how long after confirmedAt the plan may be followed; 0 means for ever.
	// +kubebuilder:validation:Minimum=0
	// +optional
	StaleAfterSeconds int64 `json:"staleAfterSeconds,omitempty"`
	// Replicas to run now: those of the parts, and the surge.
	// +kubebuilder:validation:Minimum=0
	Replicas int `json:"replicas"`
	// Surge is the number of replicas beyond those of the parts while pods change accelerator or limits, so that no capacity is lost
	// meanwhile. The parts say where; pods on an accelerator that is not known belong to none.
	// +kubebuilder:validation:Minimum=0
	// +optional
	Surge int `json:"surge,omitempty"`
	// Parts of the plan by accelerator and variant of the model.
	// +listType=map
	// +listMapKey=accelerator
	// +listMapKey=variant
	// +optional
	Parts []jsonspec.AllocationPart `json:"parts,omitempty"`
	// CostPerHour in cents.
	// +optional
	CostPerHour float64 `json:"costPerHour,omitempty"`
	// Predicted latencies under the plan.
	// +optional
	Predicted *Latencies `json:"predicted,omitempty"`
	// Load that the plan was made for.
	// +optional
	Load *jsonspec.Load `json:"load,omitempty"`
	// BestEffort marks a plan that does not meet the targets.
	// +optional
	BestEffort bool `json:"bestEffort,omitempty"`
	// AdmissibleRate is the highest rate in requests per minute that is served within the targets, where that is below the load: a gateway that lets
	// through no more keeps the targets of what it lets through. Absent where all of the load can be admitted, or it is not known.
	// +kubebuilder:validation:Minimum=0
	// +optional
	AdmissibleRate *float64 `json:"admissibleRate,omitempty"`
	// Reason why this plan was chosen.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// Fresh tells whether the plan may still be followed at the time now.
func (d *DesiredState) Fresh(now time.Time) bool {
	return d.StaleAfterSeconds <= 0 || now.Sub(d.ConfirmedAt.Time).Seconds() <= float64(d.StaleAfterSeconds)
}

// ObservedLoad is the load of a server with the time it was measured at.
type ObservedLoad struct {
	jsonspec.Load `json:",inline"`
	// ObservedAt is the time of the measurement.
	ObservedAt metav1.Time `json:"observedAt"`
}

// ServerExplanation says why a server gets what it gets, in a few lines.
type ServerExplanation struct {
	// Binding are the types of cards whose scarcity shapes the plan, the dearest first.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Binding []string `json:"binding,omitempty"`
	// Ways to serve it: the one that was taken, then the others in the order of their worth.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Ways []Way `json:"ways,omitempty"`
	// Barred says what keeps its pods from nodes that carry an accelerator, such as taints that they do not tolerate.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	// +optional
	Barred []string `json:"barred,omitempty"`
}

// VariantWeight is what a variant gets of the requests that a route splits over the variants of a server.
type VariantWeight struct {
	// Variant by its name.
	Variant string `json:"variant"`
	// Weight in thousandths of these requests.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Weight int `json:"weight"`
}

// Way to serve a server.
type Way struct {
	// RunsOn says it for people, such as "3 × A100 + 2 × L4".
	RunsOn string `json:"runsOn"`
	// CostPerHour in cents.
	CostPerHour float64 `json:"costPerHour"`
	// Taken is true of the plan's.
	// +optional
	Taken bool `json:"taken,omitempty"`
	// Why it was taken or not.
	Why string `json:"why"`
	// Lift is what would let it be taken, where that can be said.
	// +optional
	Lift string `json:"lift,omitempty"`
}

// ServerStatus is what was observed of a server and what was decided for it.
type ServerStatus struct {
	// ObservedGeneration of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Load last measured.
	// +optional
	Load *ObservedLoad `json:"load,omitempty"`
	// Measured mean latencies; absent where they were not measured.
	// +optional
	Measured *Latencies `json:"measured,omitempty"`
	// Transfer of KV caches between roles; absent where it was not measured. What plans count with is the transfer of the Model's performance.
	// +optional
	Transfer *MeasuredTransfer `json:"transfer,omitempty"`
	// Current pods by accelerator.
	// +optional
	Current []jsonspec.ObservedPart `json:"current,omitempty"`
	// CostPerHour of the current pods, in cents.
	// +optional
	CostPerHour float64 `json:"costPerHour,omitempty"`
	// ReadyReplicas in all.
	// +optional
	ReadyReplicas int `json:"readyReplicas"`
	// Placement of ready pods for people, such as "H100:3 A100:2".
	// +optional
	Placement string `json:"placement,omitempty"`
	// PlacedBy is how its pods get their seats: Scheduler or Gates.
	// +optional
	PlacedBy string `json:"placedBy,omitempty"`
	// Desired is the plan.
	// +optional
	Desired *DesiredState `json:"desired,omitempty"`
	// Weights of the variants in the route of spec.routeRef, as last written, or found there and near enough.
	// +listType=map
	// +listMapKey=variant
	// +optional
	Weights []VariantWeight `json:"weights,omitempty"`
	// Explanation of the plan.
	// +optional
	Explanation *ServerExplanation `json:"explanation,omitempty"`
	// MaxPodPriority is the highest priority that its pods may have, the value of its class's PriorityClass; absent where the class names none.
	// +optional
	MaxPodPriority *int32 `json:"maxPodPriority,omitempty"`
	// Conditions of the server: Ready, which sums up the next three, Observed, Planned, Realised, Gated once a pod came without a gate that should have one, Accepted once it asked for what its class does not allow, PodsStart once one of its pods failed,
	// PodsAdmitted once a LimitRange refused one, QueueAdmits once Kueue held one back or took it back, LimitsHold once an engine ran more than its limits, ScaleInOrder once its workload was to remove other pods than those with the least work, TrafficWeights where spec.routeRef is set, CapacityAhead while its plan asks for any, Written once one could not be written to.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Server is one inference server: a workload that serves one model to one service class.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=isrv,categories=inferno
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.serviceClass`
// +kubebuilder:printcolumn:name="Req/min",type=number,JSONPath=`.status.load.arrivalRate`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Desired",type=integer,JSONPath=`.status.desired.replicas`
// +kubebuilder:printcolumn:name="Placement",type=string,JSONPath=`.status.placement`
// +kubebuilder:printcolumn:name="Cost",type=number,JSONPath=`.status.desired.costPerHour`,description="cents per hour"
// +kubebuilder:printcolumn:name="Observed",type=string,JSONPath=`.status.conditions[?(@.type=="Observed")].status`
// +kubebuilder:printcolumn:name="Planned",type=string,JSONPath=`.status.conditions[?(@.type=="Planned")].status`
// +kubebuilder:printcolumn:name="Realised",type=string,JSONPath=`.status.conditions[?(@.type=="Realised")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Admissible/min",type=number,JSONPath=`.status.desired.admissibleRate`,description="requests per minute that are served within targets, where not all are",priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Planned")].message`,priority=1
type Server struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   ServerSpec   `json:"spec"`
	Status ServerStatus `json:"status,omitempty"`
}

// ServerList is a list of servers.
// +kubebuilder:object:root=true
type ServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Server `json:"items"`
}

// FileName of a file in the directory of credentials that the optimizer was started with.
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_-][a-zA-Z0-9._-]*$`
type FileName string

// PrometheusAccess says who asks a Prometheus. Credentials are files in the directory that the optimizer was started with, read again when they change.
// +kubebuilder:validation:XValidation:rule="!has(self.bearerTokenFile) || !has(self.username)",message="give bearerTokenFile or username, not both"
// +kubebuilder:validation:XValidation:rule="has(self.username) == has(self.passwordFile)",message="username and passwordFile are given together"
// +kubebuilder:validation:XValidation:rule="has(self.certificateFile) == has(self.keyFile)",message="certificateFile and keyFile are given together"
type PrometheusAccess struct {
	// Tenant is sent in the tenant header of Mimir, Cortex and Thanos.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[ -~]*$`
	// +optional
	Tenant string `json:"tenant,omitempty"`
	// TenantHeader is that header. Absent: X-Scope-OrgID.
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9-]+$`
	// +kubebuilder:validation:XValidation:rule="!(self.lowerAscii() in ['authorization', 'host', 'cookie'])",message="tenantHeader must be none of Authorization, Host, Cookie"
	// +optional
	TenantHeader string `json:"tenantHeader,omitempty"`
	// BearerTokenFile has a bearer token.
	// +optional
	BearerTokenFile FileName `json:"bearerTokenFile,omitempty"`
	// Username for basic authentication.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Username string `json:"username,omitempty"`
	// PasswordFile has its password.
	// +optional
	PasswordFile FileName `json:"passwordFile,omitempty"`
	// CAFile has the authorities of the Prometheus' certificate. Absent: the system's.
	// +optional
	CAFile FileName `json:"caFile,omitempty"`
	// CertificateFile has the certificate that is shown.
	// +optional
	CertificateFile FileName `json:"certificateFile,omitempty"`
	// KeyFile has its key.
	// +optional
	KeyFile FileName `json:"keyFile,omitempty"`
	// ServerName that its certificate must be for, where it is not the host of the URL.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	ServerName string `json:"serverName,omitempty"`
}

// Engines whose metrics are known.
const (
	EngineVLLM        = "vLLM"
	EngineSGLang      = "SGLang"
	EngineTGI         = "TGI"
	EngineTensorRTLLM = "TensorRT-LLM"
	EngineTriton      = "Triton"
)

// MetricName in Prometheus.
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:Pattern=`^[a-zA-Z_:][a-zA-Z0-9_:]*$`
type MetricName string

// LabelName in Prometheus.
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
type LabelName string

// EngineProfile says under which names and labels the series of an engine are found, where they are not its own.
type EngineProfile struct {
	// Name of the profile.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Engine whose metrics they are.
	// +kubebuilder:validation:Enum=vLLM;SGLang;TGI;TensorRT-LLM;Triton
	Engine string `json:"engine"`
	// Prefix in the place of the engine's own (vllm:, sglang:, tgi_, trtllm_, nv_), such as kserve_vllm: or ray_vllm_.
	// +optional
	Prefix MetricName `json:"prefix,omitempty"`
	// Names of metrics by those that the engine gives them, for those that differ in more than the prefix; a histogram by its name without _bucket,
	// _sum and _count.
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-zA-Z_:][a-zA-Z0-9_:]*$'))",message="names of metrics have letters, digits, _ and :, and no digit first"
	// +optional
	Names map[string]MetricName `json:"names,omitempty"`
	// NamespaceLabel has the namespace of the pod. Absent: namespace.
	// +optional
	NamespaceLabel LabelName `json:"namespaceLabel,omitempty"`
	// PodLabel has the name of the pod. Absent: pod.
	// +optional
	PodLabel LabelName `json:"podLabel,omitempty"`
	// DistinctLabels tell series of one pod apart that are to be added up, beside those that the engine itself gives them, such as WorkerId of Ray.
	// Series that differ in other labels are copies of one.
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	DistinctLabels []LabelName `json:"distinctLabels,omitempty"`
	// Matchers are labels that the series must have.
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && !name.startsWith('__'))",message="names of labels have letters, digits and _, no digit first, and do not begin with __"
	// +optional
	Matchers map[string]jsonspec.LabelValue `json:"matchers,omitempty"`
}

// PrometheusSource says where measurements come from.
type PrometheusSource struct {
	// URL of the Prometheus API. Absent: what the optimizer was started with.
	// +kubebuilder:validation:Pattern=`^https?://.+`
	// +optional
	URL string `json:"url,omitempty"`
	// Window over which rates and means are taken. Defaults to 1m.
	// +optional
	Window *metav1.Duration `json:"window,omitempty"`
	// StaleAfter is the age at which a measurement no longer counts. Defaults to three windows.
	// +optional
	StaleAfter *metav1.Duration `json:"staleAfter,omitempty"`
	// Matchers are labels that all series must have, such as cluster: a where one Prometheus has several clusters.
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && !name.startsWith('__'))",message="names of labels have letters, digits and _, no digit first, and do not begin with __"
	// +optional
	Matchers map[string]jsonspec.LabelValue `json:"matchers,omitempty"`
	// Access says who asks. Absent: as the optimizer was started, where the URL is that one.
	// +optional
	Access PrometheusAccess `json:"access,omitempty"`
	// Engines are series of engines under other names or labels, beside those that are known. Those given come first.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Engines []EngineProfile `json:"engines,omitempty"`
	// Gateways in namespaces of their own whose counters Servers may name in spec.arrivals. Absent: a Server counts what is in its namespace.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Gateways []GatewayCounter `json:"gateways,omitempty"`
}

// OptimizerSpec drives the optimizer loop.
// +kubebuilder:validation:XValidation:rule="!has(self.capacityAhead) || self.capacityAhead != 'CapacityBuffer' || has(self.lookAhead)",message="capacityAhead needs lookAhead: what a node takes to come"
type OptimizerSpec struct {
	// Interval between cycles. Defaults to 30s.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval must be at least 1s"
	// +optional
	Interval metav1.Duration `json:"interval,omitzero"`
	// Mode of the loop: Active; DryRun, which decides and records but writes no plan; or Suspended, in which plans stay as they are.
	// +kubebuilder:default=Active
	// +kubebuilder:validation:Enum=Active;DryRun;Suspended
	// +optional
	Mode string `json:"mode,omitempty"`
	// StaleAfter is how long a plan may be followed after the last cycle that stood by it. Defaults to ten intervals.
	// +optional
	StaleAfter *metav1.Duration `json:"staleAfter,omitempty"`
	// Prometheus that measurements are read from.
	// +optional
	Prometheus PrometheusSource `json:"prometheus,omitempty"`

	// Placement says how the pods get their seats of Servers that do not say it: Scheduler or Gates. Defaults to Scheduler.
	// +kubebuilder:validation:Enum=Scheduler;Gates
	// +optional
	Placement string `json:"placement,omitempty"`

	// Elastic are node pools that can grow: what plans may count on before it is there.
	// +listType=map
	// +listMapKey=name
	// +optional
	Elastic []ElasticCapacity `json:"elastic,omitempty"`
	// ElasticFrom names what further elastic capacity is read from: Karpenter, whose NodePools buy nodes of the instance types that are known, which are
	// those of spec.karpenter and of nodes that are there. An entry of spec.elastic with the name of a NodePool takes its place. None is the default.
	// +kubebuilder:validation:Enum="";None;Karpenter
	// +optional
	ElasticFrom string `json:"elasticFrom,omitempty"`
	// CapacityAhead names the objects by which node autoscalers are told what capacity is needed ahead of time, lookAhead before a pod could be on it:
	// CapacityBuffer, of which each (Server, accelerator) has one while its plan asks for any. None is the default.
	// +kubebuilder:validation:Enum="";None;CapacityBuffer
	// +optional
	CapacityAhead string `json:"capacityAhead,omitempty"`
	// Karpenter says what Karpenter's resources leave open.
	// +optional
	Karpenter KarpenterCapacity `json:"karpenter,omitempty"`

	// Shares are what the Servers of namespaces or teams may take together, and what others leave to them.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Shares []Share `json:"shares,omitempty"`
	// Cohorts bound what several shares may take together.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Cohorts []jsonspec.Cohort `json:"cohorts,omitempty"`
	// SharesFrom names what further shares are read from: Kueue, of whose ClusterQueues with LocalQueues each is the share of the namespaces of these, bound by
	// its cohorts.
	// None is the default.
	// +kubebuilder:validation:Enum="";None;Kueue
	// +optional
	SharesFrom string `json:"sharesFrom,omitempty"`

	PlanPolicy `json:",inline"`
	Plugs      `json:",inline"`
}

// Modes of the loop.
const (
	ModeActive    = "Active"
	ModeDryRun    = "DryRun"
	ModeSuspended = "Suspended"
)

// StageTime is how long one stage of a cycle took.
type StageTime struct {
	// Name of the stage.
	Name string `json:"name"`
	// Milliseconds it took.
	Milliseconds float64 `json:"milliseconds"`
}

// CycleReport says what a cycle did.
type CycleReport struct {
	// Number of the cycle since the optimizer started to lead.
	Number int64 `json:"number"`
	// ID of the cycle in logs and in the decision log.
	ID string `json:"id"`
	// Time the cycle began.
	Time metav1.Time `json:"time"`
	// Servers that were looked at.
	Servers int `json:"servers"`
	// Held servers: their last plan stands for want of measurements.
	Held int `json:"held"`
	// Unserved servers: no allocation meets their targets.
	Unserved int `json:"unserved"`
	// Changed plans.
	Changed int `json:"changed"`
	// TotalCost of the plan in cents per hour.
	TotalCost float64 `json:"totalCost"`
	// Solver that found the plan.
	// +optional
	Solver string `json:"solver,omitempty"`
	// Bought is the elastic capacity that the plan counts on.
	// +optional
	Bought []jsonspec.Purchase `json:"bought,omitempty"`
	// TakenBack is elastic capacity that did not come by its deadline.
	// +optional
	TakenBack []jsonspec.TakenBack `json:"takenBack,omitempty"`
	// Shares are what the plan gives each share.
	// +listType=map
	// +listMapKey=name
	// +optional
	Shares []jsonspec.ShareStatus `json:"shares,omitempty"`
	// Stages and how long each took.
	// +listType=map
	// +listMapKey=name
	// +optional
	Stages []StageTime `json:"stages,omitempty"`
}

// OptimizerStatus says what the loop does.
type OptimizerStatus struct {
	// ObservedGeneration of the spec that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// LastCycle that ran.
	// +optional
	LastCycle *CycleReport `json:"lastCycle,omitempty"`
	// ReconciledAt is the value of the annotation inferno.platform.ai/reconcile-at that was last acted on.
	// +optional
	ReconciledAt string `json:"reconciledAt,omitempty"`
	// Conditions of the optimizer: Ready, PodsCounted, Written, DevicesCounted where drivers publish any, CapacityAhead with spec.capacityAhead.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Optimizer drives the optimizer loop of a cluster: how often it runs, with which implementations, and whether it only recommends.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=opt,categories=inferno
// +kubebuilder:printcolumn:name="Interval",type=string,JSONPath=`.spec.interval`
// +kubebuilder:printcolumn:name="Servers",type=integer,JSONPath=`.status.lastCycle.servers`
// +kubebuilder:printcolumn:name="Held",type=integer,JSONPath=`.status.lastCycle.held`
// +kubebuilder:printcolumn:name="Unserved",type=integer,JSONPath=`.status.lastCycle.unserved`
// +kubebuilder:printcolumn:name="Cost",type=number,JSONPath=`.status.lastCycle.totalCost`,description="cents per hour"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Last cycle",type=date,JSONPath=`.status.lastCycle.time`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Optimizer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   OptimizerSpec   `json:"spec"`
	Status OptimizerStatus `json:"status,omitempty"`
}

// OptimizerList is a list of optimizers.
// +kubebuilder:object:root=true
type OptimizerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Optimizer `json:"items"`
}
