package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

// Estimate is what was learned of a model on an accelerator from the pods of one namespace. The optimizer writes it, and takes it up after a restart. It goes
// with its Model. Delete it to have the pair learned anew.
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=est,categories=inferno
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.model`
// +kubebuilder:printcolumn:name="Accelerator",type=string,JSONPath=`.learned.acc`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.learned.namespace`
// +kubebuilder:printcolumn:name="Observations",type=integer,JSONPath=`.learned.observations`
// +kubebuilder:printcolumn:name="ITL error",type=number,JSONPath=`.learned.itlError`,description="recent mean error one step ahead, as a share"
// +kubebuilder:printcolumn:name="TTFT error",type=number,JSONPath=`.learned.ttftError`,description="recent mean error one step ahead, as a share"
// +kubebuilder:printcolumn:name="Unreliable",type=boolean,JSONPath=`.learned.unreliable`
// +kubebuilder:printcolumn:name="Updated",type=date,JSONPath=`.learned.updatedAt`
type Estimate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Model by the name of a Model.
	// +kubebuilder:validation:MinLength=1
	Model string `json:"model"`
	// Learned is the memory of the estimator.
	Learned PairMemory `json:"learned"`
}

// EstimateList is a list of estimates.
// +kubebuilder:object:root=true
type EstimateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Estimate `json:"items"`
}

// OperatingRange says under which values of one quantity a pair was learned.
type OperatingRange struct {
	// Name of the quantity: running, inputTokens or outputTokens.
	Name string `json:"name"`
	// Low and High are the smallest and largest value learned from.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// LogMean and LogVariance are the recent mean and variance of the logarithm.
	LogMean     float64 `json:"logMean"`
	LogVariance float64 `json:"logVariance"`
}

// Suspicion is a run of surprising observations that all point the same way: outliers, or a change not yet believed.
type Suspicion struct {
	// Name of the latency: itl or ttft.
	Name string `json:"name"`
	// Count of observations in the run; those too far off to be learned from count twice.
	Count int `json:"count"`
	// LogRatio is the mean logarithm of measured over predicted.
	LogRatio float64 `json:"logRatio"`
}

// SourceMemory is what was last seen of one server or replica, by which repeats and moving load are recognised. Zero is not measured.
type SourceMemory struct {
	// Name of the source.
	Name string `json:"name"`
	// Seconds since the Unix epoch of the last observation.
	Seconds float64 `json:"seconds"`
	// Running requests per replica.
	// +optional
	Running float64 `json:"running,omitempty"`
	// ArrivalRate per replica in requests per second.
	// +optional
	ArrivalRate float64 `json:"arrivalRate,omitempty"`
	// Replicas that were measured.
	// +optional
	Replicas float64 `json:"replicas,omitempty"`
	// ITL and TTFT in seconds.
	// +optional
	ITL float64 `json:"itl,omitempty"`
	// +optional
	TTFT float64 `json:"ttft,omitempty"`
}

// KeptObservation is one observation that an estimator keeps. Zero is not measured.
type KeptObservation struct {
	// Seconds since the Unix epoch.
	Seconds float64 `json:"seconds"`
	// Running requests per replica, mean and standard deviation over time.
	// +optional
	Running float64 `json:"running,omitempty"`
	// +optional
	RunningSD float64 `json:"runningSD,omitempty"`
	// ArrivalRate per replica in requests per second, where running requests were not measured.
	// +optional
	ArrivalRate float64 `json:"arrivalRate,omitempty"`
	// InputTokens and OutputTokens per request, and the share of input found in the prefix cache.
	InputTokens  float64 `json:"inputTokens"`
	OutputTokens float64 `json:"outputTokens"`
	// +optional
	PrefixHitRate float64 `json:"prefixHitRate,omitempty"`
	// MaxBatch and MaxBatchedTokens of the engine.
	// +optional
	MaxBatch float64 `json:"maxBatch,omitempty"`
	// +optional
	MaxBatchedTokens float64 `json:"maxBatchedTokens,omitempty"`
	// Prefills that fell on an iteration, 0 where that follows from the batch.
	// +optional
	Prefills float64 `json:"prefills,omitempty"`
	// PromptsOnly says that the replicas computed prompts for others, and InputTokensSD is the standard deviation of their tokens.
	// +optional
	PromptsOnly bool `json:"promptsOnly,omitempty"`
	// +optional
	InputTokensSD float64 `json:"inputTokensSD,omitempty"`
	// BatchVariance is the variance of the logarithm of the number that run.
	// +optional
	BatchVariance float64 `json:"batchVariance,omitempty"`
	// ITL and TTFT in seconds, with the variances of their logarithms, the batch apart.
	// +optional
	ITL float64 `json:"itl,omitempty"`
	// +optional
	ITLVariance float64 `json:"itlVariance,omitempty"`
	// +optional
	TTFT float64 `json:"ttft,omitempty"`
	// +optional
	TTFTVariance float64 `json:"ttftVariance,omitempty"`
}

// PairMemory is what the pods of one namespace taught of a model on one accelerator: all that an estimator remembers of it.
type PairMemory struct {
	// Acc names the accelerator.
	Acc string `json:"acc"`
	// Namespace of the pods that taught it; empty where there are no namespaces.
	// +kubebuilder:default=""
	// +optional
	Namespace string `json:"namespace"`
	// Estimator that learned it, and the version of its memory: what another estimator or version remembers is not taken up.
	// +optional
	Estimator string `json:"estimator,omitempty"`
	// +optional
	Version int `json:"version,omitempty"`
	// Basis is a digest of the performance that learning began from; when it is given anew, learning begins anew.
	// +optional
	Basis string `json:"basis,omitempty"`
	// Law with its learned parameters. The parameter calibration.ttft, which is no law's, is the factor by which the law misses TTFT.
	// +optional
	Law *jsonspec.LawParms `json:"law,omitempty"`
	// Observations that entered the estimate.
	// +optional
	Observations int64 `json:"observations,omitempty"`
	// Rejected observations.
	// +optional
	Rejected int64 `json:"rejected,omitempty"`
	// LastRejection says why an observation was last rejected.
	// +optional
	LastRejection string `json:"lastRejection,omitempty"`
	// LearnedSince is the time of the first observation that entered.
	// +optional
	LearnedSince *metav1.Time `json:"learnedSince,omitempty"`
	// UpdatedAt is the time of the last observation that entered.
	// +optional
	UpdatedAt *metav1.Time `json:"updatedAt,omitempty"`
	// ITLError and TTFTError are recent mean errors of one-step-ahead predictions, as shares of what was measured.
	// +optional
	ITLError float64 `json:"itlError,omitempty"`
	// +optional
	TTFTError float64 `json:"ttftError,omitempty"`
	// KVTokens is the size of the KV cache of an engine as last seen, in tokens; plans use it where the performance data say none.
	// +optional
	KVTokens int `json:"kvTokens,omitempty"`
	// StartUp is how long pods take from their creation until they are ready.
	// +optional
	StartUp *StartUpMemory `json:"startUp,omitempty"`
	// Misses grows with each prediction of ITL that was off by more than 30 %, up to 6, and falls with each that was not.
	// +optional
	Misses int `json:"misses,omitempty"`
	// Unreliable from 3 misses on until there is none: plans then keep to a floor by saturation, since predictions do not hold.
	// +optional
	Unreliable bool `json:"unreliable,omitempty"`
	// Notice says why what was remembered before was not taken up; kept for as long as what was learned since.
	// +optional
	Notice string `json:"notice,omitempty"`
	// Suspicions of a change that is not yet believed.
	// +listType=map
	// +listMapKey=name
	// +optional
	Suspicions []Suspicion `json:"suspicions,omitempty"`
	// Ranges of operation that were learned from.
	// +listType=map
	// +listMapKey=name
	// +optional
	Ranges []OperatingRange `json:"ranges,omitempty"`
	// Sources last seen.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Sources []SourceMemory `json:"sources,omitempty"`
	// Kept observations, oldest first, of estimators that keep any.
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Kept []KeptObservation `json:"kept,omitempty"`
}

// StartUpMemory is how long pods took to start.
type StartUpMemory struct {
	// Seconds is the mean of the last starts.
	Seconds float64 `json:"seconds"`
	// Count of the starts that are in it, up to 16.
	Count int `json:"count"`
	// ReadyAt is the time at which the last of them was ready: later ones are new.
	ReadyAt metav1.Time `json:"readyAt"`
}

// Key names the entry among those of its model: the accelerator, and before it the namespace where there is one.
func (p *PairMemory) Key() string { return PairKey(p.Namespace, p.Acc) }

// PairKey is the key of what a namespace taught of an accelerator.
func PairKey(namespace, accelerator string) string {
	if namespace == "" {
		return accelerator
	}
	return namespace + "/" + accelerator
}
