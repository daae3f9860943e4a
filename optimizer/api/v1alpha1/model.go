package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ModelSpec says what a model is and how fast it runs.
// +kubebuilder:validation:XValidation:rule="!has(self.performance) || self.performance.exists(p, has(p.role) && p.role == 'prefill') == self.performance.exists(p, has(p.role) && p.role == 'decode')",message="entries with the role prefill serve nobody without one with the role decode, and the other way round"
type ModelSpec struct {
	// ServedName is the model's name in the engine's metrics (label model_name). Defaults to the name of the model.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	ServedName string `json:"servedName,omitempty"`
	// Architecture of the model, for priors from physics. Absent: what the built-in catalogue knows of the served name, or what its name says.
	// +optional
	Architecture *Architecture `json:"architecture,omitempty"`
	// TrustedNamespaces are those whose pods teach the model to all. What the pods of another namespace show is learned for its own Servers, and for those
	// of others where two namespaces show the same.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +optional
	TrustedNamespaces []string `json:"trustedNamespaces,omitempty"`
	// Performance of the model, one entry for each accelerator it may run on, and each variant and role on it. Without any it may run on every accelerator
	// that holds it, as fast as physics says of its architecture, until that is learned.
	// +listType=map
	// +listMapKey=accelerator
	// +listMapKey=variant
	// +listMapKey=role
	// +kubebuilder:validation:MaxItems=128
	// +optional
	Performance []Performance `json:"performance,omitempty"`
}

// Performance says how fast a model runs on one accelerator: measured, fitted, or left out, which is then the prior from physics.
// +kubebuilder:validation:XValidation:rule="has(self.role) && self.role.size() > 0 || !has(self.ranks) && !has(self.transfer)",message="ranks and transfer are of entries with a role"
// +kubebuilder:validation:XValidation:rule="has(self.role) && self.role == 'decode' || !has(self.tokensPerIteration)",message="tokensPerIteration is of entries with the role decode"
// +kubebuilder:validation:XValidation:rule="!has(self.podsPerReplica) || !has(self.acceleratorsPerReplica) || self.acceleratorsPerReplica % self.podsPerReplica == 0",message="podsPerReplica must divide acceleratorsPerReplica"
// +kubebuilder:validation:XValidation:rule="!has(self.topologyKey) || has(self.podsPerReplica) && self.podsPerReplica > 1",message="topologyKey is of entries whose podsPerReplica is above 1"
// +kubebuilder:validation:XValidation:rule="[has(self.work), has(self.linear), has(self.law)].filter(given, given).size() <= 1",message="work, linear and law are different laws; give one"
type Performance struct {
	// Accelerator by the name of an Accelerator.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Accelerator string `json:"accelerator"`
	// Variant names this way to run the model on the accelerator where there are several, such as tp4-fp8. Pods run it whose Server
	// says so of their variant (modelVariant). Absent: the role.
	// +kubebuilder:default=""
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$`
	// +optional
	Variant string `json:"variant,omitempty"`
	// Role of replicas, prefill or decode, of a model whose prompts and decodes may run on replicas of their own; absent: both.
	// +kubebuilder:default=""
	// +kubebuilder:validation:Enum="";prefill;decode
	// +optional
	Role string `json:"role,omitempty"`
	// AcceleratorsPerReplica that one replica takes.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	AcceleratorsPerReplica int `json:"acceleratorsPerReplica,omitempty"`
	// PodsPerReplica that have its accelerators between them, each on one node, such as the size of a LeaderWorkerSet. They come and go together.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	PodsPerReplica int `json:"podsPerReplica,omitempty"`
	// TopologyKey of a node label, such as nvidia.com/gpu.clique for an NVLink domain, or that of a rack: the pods of a replica are on nodes with one and the
	// same value of it, and a node without it is in no domain. Absent: on any nodes.
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`
	// +optional
	TopologyKey string `json:"topologyKey,omitempty"`
	// Ranks of a replica with a role that each take requests of their own (attention data parallelism). Absent: 1.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	// +optional
	Ranks int `json:"ranks,omitempty"`
	// TokensPerIteration that a decode of a replica with the role decode accepts on average where it speculates. Absent: 1.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.0",message="tokensPerIteration must be at least 1"
	// +optional
	TokensPerIteration *Decimal `json:"tokensPerIteration,omitempty"`
	// Transfer of KV caches to or from a replica with a role. Absent: it takes no time.
	// +optional
	Transfer *Transfer `json:"transfer,omitempty"`
	// MaxBatchSize is the largest batch the accelerator's memory holds at atTokens generated tokens per request.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	// +optional
	MaxBatchSize int `json:"maxBatchSize,omitempty"`
	// AtTokens is the number of tokens per request for which maxBatchSize holds.
	// +kubebuilder:validation:Minimum=0
	// +optional
	AtTokens int `json:"atTokens,omitempty"`
	// KVTokens is the number of tokens that the KV cache of a replica holds. Absent: memory does not limit, maxBatchSize alone does.
	// +kubebuilder:validation:Minimum=0
	// +optional
	KVTokens int `json:"kvTokens,omitempty"`
	// Work has the parameters of the law "work", of llm-inferno.
	// +optional
	Work *WorkLaw `json:"work,omitempty"`
	// Linear has the parameters of the older law "linear", of llm-inferno.
	// +optional
	Linear *LinearLaw `json:"linear,omitempty"`
	// Law has the parameters of any registered law.
	// +optional
	Law *Law `json:"law,omitempty"`
	// Match says which measurements the entry was fitted on, by column (engine, precision, tensor_parallel, …).
	// +kubebuilder:validation:MaxProperties=32
	// +optional
	Match map[string]string `json:"match,omitempty"`
}

// Transfer is what the KV cache of a prompt goes over between replicas of two roles: the narrower bandwidth of both counts, and the longer delay.
type Transfer struct {
	// Bandwidth of a replica in bytes per second, such as 50G.
	Bandwidth resource.Quantity `json:"bandwidth"`
	// Delay of a transfer whatever its size. Absent: none.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="delay must be at least 0s"
	// +optional
	Delay *metav1.Duration `json:"delay,omitempty"`
	// BytesPerToken of the KV cache.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="bytesPerToken must be at least 0"
	BytesPerToken Decimal `json:"bytesPerToken"`
}

// WorkLaw is the service-time law "work": an iteration of the engine takes alpha + beta · computed tokens + gamma · KV tokens read.
type WorkLaw struct {
	// Alpha is the time of an iteration whatever its batch, in ms.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="alpha must be at least 0"
	Alpha Decimal `json:"alpha"`
	// Beta is the compute time in ms per token.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="beta must be at least 0"
	Beta Decimal `json:"beta"`
	// Gamma is the memory access time in ms per KV token read.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="gamma must be at least 0"
	Gamma Decimal `json:"gamma"`
}

// LinearLaw is the older service-time law "linear".
type LinearLaw struct {
	// Decode iterations of n requests take alpha + beta · n.
	Decode DecodeLaw `json:"decode"`
	// Prefill of n requests of so many prompt tokens takes gamma + delta · tokens · n.
	Prefill PrefillLaw `json:"prefill"`
}

// DecodeLaw is how long a decode iteration takes.
type DecodeLaw struct {
	// Alpha is the time whatever the batch, in ms.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="alpha must be at least 0"
	Alpha Decimal `json:"alpha"`
	// Beta is the time in ms per request of the batch.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="beta must be at least 0"
	Beta Decimal `json:"beta"`
}

// PrefillLaw is how long a prefill takes.
type PrefillLaw struct {
	// Gamma is the time whatever the prompts, in ms.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="gamma must be at least 0"
	Gamma Decimal `json:"gamma"`
	// Delta is the time in ms per prompt token.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0",message="delta must be at least 0"
	Delta Decimal `json:"delta"`
}

// Law has the parameters of a service-time law by name.
type Law struct {
	// Name of the law, as registered.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Version of the law's parametrisation; parameters of another version are refused, never misread.
	// +optional
	Version int `json:"version,omitempty"`
	// Parameters by name, in the units the law documents.
	// +kubebuilder:validation:MaxProperties=64
	// +optional
	Parameters map[string]Decimal `json:"parameters,omitempty"`
	// Order lists the parameters in the order of the covariance's rows.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Order []string `json:"order,omitempty"`
	// Covariance of the logarithms of the parameters, row by row, in the given order.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Covariance [][]Decimal `json:"covariance,omitempty"`
}

// Architecture are the numbers of a model that decide what an iteration reads and computes: those of Hugging Face's config.json, in camel case.
type Architecture struct {
	// Architectures are the implementing classes, for people.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Architectures []string `json:"architectures,omitempty"`
	// +kubebuilder:validation:Minimum=1
	NumHiddenLayers int `json:"numHiddenLayers"`
	// +kubebuilder:validation:Minimum=1
	HiddenSize int `json:"hiddenSize"`
	// IntermediateSize of the dense feed-forward layers.
	// +optional
	IntermediateSize int `json:"intermediateSize,omitempty"`
	// +kubebuilder:validation:Minimum=1
	NumAttentionHeads int `json:"numAttentionHeads"`
	// NumKeyValueHeads defaults to numAttentionHeads.
	// +optional
	NumKeyValueHeads int `json:"numKeyValueHeads,omitempty"`
	// HeadDim defaults to hiddenSize / numAttentionHeads.
	// +optional
	HeadDim int `json:"headDim,omitempty"`
	// +optional
	VocabSize int `json:"vocabSize,omitempty"`
	// +optional
	TieWordEmbeddings bool `json:"tieWordEmbeddings,omitempty"`

	// NumExperts is the number of routed experts of a layer: num_experts, num_local_experts or n_routed_experts of config.json.
	// +optional
	NumExperts int `json:"numExperts,omitempty"`
	// NumExpertsPerToken is the number of routed experts that serve one token.
	// +optional
	NumExpertsPerToken int `json:"numExpertsPerToken,omitempty"`
	// NumSharedExperts serve every token.
	// +optional
	NumSharedExperts int `json:"numSharedExperts,omitempty"`
	// MoEIntermediateSize of one expert; defaults to intermediateSize.
	// +optional
	MoEIntermediateSize int `json:"moeIntermediateSize,omitempty"`
	// FirstKDenseReplace is the number of leading layers that are dense.
	// +optional
	FirstKDenseReplace int `json:"firstKDenseReplace,omitempty"`

	// KVLoRARank is the rank of the latent of multi-head latent attention, 0 without.
	// +optional
	KVLoRARank int `json:"kvLoraRank,omitempty"`
	// +optional
	QLoRARank int `json:"qLoraRank,omitempty"`
	// +optional
	QKRoPEHeadDim int `json:"qkRopeHeadDim,omitempty"`
	// +optional
	QKNoPEHeadDim int `json:"qkNopeHeadDim,omitempty"`
	// +optional
	VHeadDim int `json:"vHeadDim,omitempty"`
}
