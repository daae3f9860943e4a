package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Plugs choose the implementation of every stage; an absent one is the default. Each choice has one member: the implementation, with its options.
type Plugs struct {
	// QueueModel predicts TTFT and ITL of one replica. Absent: mm1kStateDependent.
	// +optional
	QueueModel *QueueModel `json:"queueModel,omitempty"`
	// Estimator learns the service-time law. Absent: ekf.
	// +optional
	Estimator *Estimator `json:"estimator,omitempty"`
	// Forecaster predicts arrival rates. Absent: none.
	// +optional
	Forecaster *Forecaster `json:"forecaster,omitempty"`
	// Solver chooses among the ways to serve all servers. Absent: auto.
	// +optional
	Solver *Solver `json:"solver,omitempty"`
	// Stability keeps plans from flapping. Absent: damped.
	// +optional
	Stability *Stability `json:"stability,omitempty"`
}

// NoOptions is of implementations that have none: {}.
type NoOptions struct{}

// QueueModel is one of its members.
// +kubebuilder:validation:ExactlyOneOf=continuousBatching;fluidBound;mm1kStateDependent
type QueueModel struct {
	// ContinuousBatching is of an engine that decodes all running requests in each iteration and fills the token budget with prompts.
	// +optional
	ContinuousBatching *NoOptions `json:"continuousBatching,omitempty"`
	// FluidBound is for screening: requests as a fluid, so that nobody waits.
	// +optional
	FluidBound *NoOptions `json:"fluidBound,omitempty"`
	// MM1KStateDependent is llm-inferno's: a queue of finite room whose speed depends on how many are in it.
	// +optional
	MM1KStateDependent *NoOptions `json:"mm1kStateDependent,omitempty"`
}

// Estimator is one of its members.
// +kubebuilder:validation:ExactlyOneOf=ekf;fixed;slidingWindow
type Estimator struct {
	// EKF is an extended Kalman filter over the logarithms of the parameters.
	// +optional
	EKF *EstimatorOptions `json:"ekf,omitempty"`
	// Fixed trusts what was given and learns nothing.
	// +optional
	Fixed *NoOptions `json:"fixed,omitempty"`
	// SlidingWindow fits the last observations anew each time.
	// +optional
	SlidingWindow *SlidingWindowOptions `json:"slidingWindow,omitempty"`
}

// EstimatorOptions are those of estimators that learn. Spreads and noises are standard deviations of logarithms: 0.03 is 3 %.
type EstimatorOptions struct {
	// Spread of each parameter around what was given, where the data do not say how sure they are. Defaults to 0.5.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.001 && double(self) <= 10.0",message="spread must be from 0.001 to 10"
	// +optional
	Spread *Decimal `json:"spread,omitempty"`
	// Level is the spread of all parameters together. Defaults to 0.5.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 10.0",message="level must be from 0 to 10"
	// +optional
	Level *Decimal `json:"level,omitempty"`
	// ITLNoise is what measured ITL scatters by beyond its sample count, and what the law's form misses. Defaults to 0.03.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0001 && double(self) <= 1.0",message="itlNoise must be from 0.0001 to 1"
	// +optional
	ITLNoise *Decimal `json:"itlNoise,omitempty"`
	// TTFTNoise is the same of TTFT. Defaults to 0.15.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0001 && double(self) <= 1.0",message="ttftNoise must be from 0.0001 to 1"
	// +optional
	TTFTNoise *Decimal `json:"ttftNoise,omitempty"`
	// RunningNoise is what the measured number of running requests differs from the one that latencies were measured of. Defaults to 0.03.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="runningNoise must be from 0 to 1"
	// +optional
	RunningNoise *Decimal `json:"runningNoise,omitempty"`
	// TokensNoise is the same of tokens per request. Defaults to 0.12.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="tokensNoise must be from 0 to 1"
	// +optional
	TokensNoise *Decimal `json:"tokensNoise,omitempty"`
	// Memory is the time constant with which what is no longer observed goes back to what was given. Defaults to 720h.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('1000000h')",message="memory must be from 1h to 1000000h"
	// +optional
	Memory *metav1.Duration `json:"memory,omitempty"`
	// Gate is the surprise, in expected standard deviations, beyond which a measurement is not learned from. Defaults to 4.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 1.0 && double(self) <= 100.0",message="gate must be from 1 to 100"
	// +optional
	Gate *Decimal `json:"gate,omitempty"`
	// Believe is the number of surprising observations in a row, all in one direction, that are taken for a change. Defaults to 3.
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Believe *int32 `json:"believe,omitempty"`
}

// SlidingWindowOptions are those of the sliding window.
type SlidingWindowOptions struct {
	EstimatorOptions `json:",inline"`
	// Keep is the number of observations that are fitted. Defaults to 48.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	// +optional
	Keep *int32 `json:"keep,omitempty"`
}

// Forecaster is one of its members.
// +kubebuilder:validation:ExactlyOneOf=adaptive;holt;holtWinters;none
type Forecaster struct {
	// Adaptive mixes persistence and a regression on the past days and the week before, by how well each forecast lately.
	// +optional
	Adaptive *ForecasterOptions `json:"adaptive,omitempty"`
	// Holt smooths level and a damped trend of the logarithm of the rate.
	// +optional
	Holt *HoltOptions `json:"holt,omitempty"`
	// HoltWinters adds the seasons of the day and of the week.
	// +optional
	HoltWinters *HoltOptions `json:"holtWinters,omitempty"`
	// None predicts that the rate stays as it is.
	// +optional
	None *ForecasterOptions `json:"none,omitempty"`
}

// ForecasterOptions are those of all forecasters.
type ForecasterOptions struct {
	// Window that rates are averaged over, a divisor of a day. Horizons are whole windows. Defaults to 10m.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h') && 86400000 % duration(self).getMilliseconds() == 0",message="window must be from 10s to 1h and a divisor of a day"
	// +optional
	Window *metav1.Duration `json:"window,omitempty"`
}

// HoltOptions are those of exponential smoothing, per window.
type HoltOptions struct {
	ForecasterOptions `json:",inline"`
	// Level is what a new window weighs in the level. Defaults to 0.6.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="level must be from 0 to 1"
	// +optional
	Level *Decimal `json:"level,omitempty"`
	// Trend is what a new step weighs in the trend. Defaults to 0.05.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="trend must be from 0 to 1"
	// +optional
	Trend *Decimal `json:"trend,omitempty"`
	// Damping is what remains of the trend from one window to the next. Defaults to 0.95.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="damping must be from 0 to 1"
	// +optional
	Damping *Decimal `json:"damping,omitempty"`
}

// Solver is one of its members.
// +kubebuilder:validation:ExactlyOneOf=auto;exact;greedy;milp;separable
type Solver struct {
	// Auto is separable where capacity is more than enough, and exact else.
	// +optional
	Auto *ExactOptions `json:"auto,omitempty"`
	// Exact finds the optimum, or a plan with a proven gap.
	// +optional
	Exact *ExactOptions `json:"exact,omitempty"`
	// Greedy serves servers one after the other, and proves nothing.
	// +optional
	Greedy *GreedyOptions `json:"greedy,omitempty"`
	// MILP solves the problem with lp_solve, where the program was built with it.
	// +optional
	MILP *MILPOptions `json:"milp,omitempty"`
	// Separable gives every server its cheapest: the optimum while capacity does not bind.
	// +optional
	Separable *NoOptions `json:"separable,omitempty"`
}

// ExactOptions bound a search for the optimum.
type ExactOptions struct {
	// Gap to the optimum, relative, at which a fleet of more than exactServers servers is solved well enough. Defaults to 0.0005.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="gap must be from 0 to 1"
	// +optional
	Gap *Decimal `json:"gap,omitempty"`
	// ExactServers is the largest number of servers for which the optimum is proven whatever it takes, within the work. Defaults to 200.
	// +kubebuilder:validation:Minimum=0
	// +optional
	ExactServers *int32 `json:"exactServers,omitempty"`
	// Work bounds the search, in milliseconds of the reference machine. It is counted, not timed: the same problem ends at the same plan on every machine.
	// Defaults to 500.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	// +optional
	Work *int32 `json:"work,omitempty"`
}

// GreedyOptions are those of greedy.
type GreedyOptions struct {
	// Rounds of local improvement at most: in each, every server may have one other make way. Defaults to 2.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Rounds *int32 `json:"rounds,omitempty"`
}

// MILPOptions are those of milp.
type MILPOptions struct {
	// Timeout of each pass, in whole seconds: there is a pass for each priority that falls short, and one for the cost. Defaults to 20s.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h') && duration(self).getMilliseconds() % 1000 == 0",message="timeout must be from 1s to 1h, in whole seconds"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Stability is one of its members.
// +kubebuilder:validation:ExactlyOneOf=damped;none
type Stability struct {
	// Damped scales out at once, scales in when what is saved outlives what may be regretted, and changes the accelerator only for a minimal gain.
	// +optional
	Damped *DampedOptions `json:"damped,omitempty"`
	// None leaves plans as they are.
	// +optional
	None *NoOptions `json:"none,omitempty"`
}

// DampedOptions are those of damped.
type DampedOptions struct {
	// ScaleInHoldDown is how long a need is remembered at least. Defaults to 5m.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="scaleInHoldDown must be from 0s to 24h"
	// +optional
	ScaleInHoldDown *metav1.Duration `json:"scaleInHoldDown,omitempty"`
	// Regret is what is lost while a replica is missed, in prices of that replica: it decides how long one is held that may be needed again. Defaults to 2.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1000.0",message="regret must be from 0 to 1000"
	// +optional
	Regret *Decimal `json:"regret,omitempty"`
	// ScaleInMargin is the share by which the load may rise after scaling in without scaling out again. Defaults to 0.1.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 10.0",message="scaleInMargin must be from 0 to 10"
	// +optional
	ScaleInMargin *Decimal `json:"scaleInMargin,omitempty"`
	// MaxScaleIn is the largest share of the replicas that goes in one cycle, one may always; 0 is no bound. Defaults to 0.5.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="maxScaleIn must be from 0 to 1"
	// +optional
	MaxScaleIn *Decimal `json:"maxScaleIn,omitempty"`
	// MaxScaleOut is the largest multiple of the replicas that one cycle plans, four more may always be; 0 is no bound. Defaults to 4.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1000.0",message="maxScaleOut must be from 0 to 1000"
	// +optional
	MaxScaleOut *Decimal `json:"maxScaleOut,omitempty"`
	// MinimalGain is the share of the present cost that another accelerator must save before it is taken. Defaults to 0.1.
	// +kubebuilder:validation:XValidation:rule="double(self) >= 0.0 && double(self) <= 1.0",message="minimalGain must be from 0 to 1"
	// +optional
	MinimalGain *Decimal `json:"minimalGain,omitempty"`
}
