package observe

import (
	"math"

	"k8s.io/apimachinery/pkg/types"
)

// Quantity is one number that is measured of every pod. Rates are of all its engines together.
type Quantity int

const (
	Completions     Quantity = iota // requests per second
	Answered                        // HTTP requests that were answered, refused or given up, per second
	Received                        // requests that came, per second
	Refused                         // requests that were refused or given up, and are not among the completions, per second
	Admissions                      // first tokens per second
	Preemptions                     // per second
	PrefillTokens                   // prompt tokens of those whose first token came, per second
	Running                         // mean over the window
	RunningVariance                 // of their number over time, summed over engines
	RunningNow
	RunningThen // when the window began
	Waiting
	WaitingNow
	WaitingThen
	EngineCount    // engines in the pod, each with a batch of its own
	PromptTokens   // per second, over the long window, as are the next three
	PromptRequests // whose prompts these are
	GenerationTokens
	GenerationRequests
	TTFTSum // seconds per second
	TTFTCount
	ITLSum
	ITLCount
	TransferSum // of caches between roles: seconds per second, over the ranks of all replicas
	Transfers   // of ranks, per second
	TransferBytes
	PrefixHitRate // 0 to 1
	KVUsage       // 0 to 1, mean over engines
	KVTokens      // size of the KV cache of one engine
	SampleAge     // seconds
	quantities    // how many there are
)

// Distribution is a histogram that is measured of every pod.
type Distribution int

const (
	TTFTDistribution Distribution = iota
	ITLDistribution
	PromptDistribution // over the long window, as is the next
	GenerationDistribution
	RequestITLDistribution // mean time between tokens of a request, over requests
	distributions          // how many there are
)

// PodMetrics are the measurements of one pod. A NaN, and a nil histogram, was not measured.
type PodMetrics struct {
	values     [quantities]float64
	histograms [distributions]bucketList
	// arrived are the numbers of requests that have arrived since it began, at the ends of half windows, counted from the last one, which is 0, backwards;
	// those that it was not seen at are missing.
	arrived map[int]float64
}

// Metrics are the measurements of all pods at one time.
type Metrics map[types.NamespacedName]*PodMetrics

// NewPodMetrics of which nothing was measured yet.
func NewPodMetrics() *PodMetrics {
	p := new(PodMetrics)
	for i := range p.values {
		p.values[i] = math.NaN()
	}
	return p
}

// Set a quantity.
func (p *PodMetrics) Set(q Quantity, v float64) { p.values[q] = v }

// SetArrived is the number of requests that had arrived at the end of a half window: 0 is the last that ended, -1 the one before.
func (p *PodMetrics) SetArrived(step int, n float64) {
	if p.arrived == nil {
		p.arrived = map[int]float64{}
	}
	p.arrived[step] = n
}

// SetBucket of a histogram: how much lies at or below an upper bound, +Inf for all, per second.
func (p *PodMetrics) SetBucket(d Distribution, bound, rate float64) {
	p.histograms[d].set(bound, rate)
}

// value of a quantity; NaN where it is not known or infinite.
func (p *PodMetrics) value(q Quantity) float64 {
	if v := p.values[q]; !math.IsInf(v, 0) {
		return v
	}
	return math.NaN()
}
