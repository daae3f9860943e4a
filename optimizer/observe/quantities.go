package observe

import (
	"math"

	"k8s.io/apimachinery/pkg/types"
)

// quantity is one number that is measured of every pod. Rates are of all its engines together.
type quantity int

const (
	completions     quantity = iota // requests per second
	admissions                      // first tokens per second
	preemptions                     // per second
	prefillTokens                   // prompt tokens of those whose first token came, per second
	running                         // mean over the window
	runningVariance                 // of their number over time, summed over engines
	runningNow
	runningThen // when the window began
	waiting
	waitingNow
	waitingThen
	dispersion     // variance of the numbers of arrivals in steps of half a window, over their mean
	engineCount    // engines in the pod, each with a batch of its own
	promptTokens   // per second, over the long window, as are the next three
	promptRequests // whose prompts these are
	generationTokens
	generationRequests
	ttftSum // seconds per second
	ttftCount
	itlSum
	itlCount
	prefixHitRate // 0 to 1
	kvUsage       // 0 to 1, mean over engines
	kvTokens      // size of the KV cache of one engine
	sampleAge     // seconds
	quantities    // how many there are
)

// distribution is a histogram that is measured of every pod.
type distribution int

const (
	ttftDistribution distribution = iota
	itlDistribution
	promptDistribution // over the long window, as is the next
	generationDistribution
	requestITLDistribution // mean time between tokens of a request, over requests
	distributions          // how many there are
)

// PodMetrics are the measurements of one pod. A NaN, and a nil histogram, was not measured.
type PodMetrics struct {
	values     [quantities]float64
	histograms [distributions]histogram
}

// Metrics are the measurements of all pods at one time.
type Metrics map[types.NamespacedName]*PodMetrics

func newPodMetrics() *PodMetrics {
	p := new(PodMetrics)
	for i := range p.values {
		p.values[i] = math.NaN()
	}
	return p
}

// value of a quantity; NaN where it is not known or infinite.
func (p *PodMetrics) value(q quantity) float64 {
	if v := p.values[q]; !math.IsInf(v, 0) {
		return v
	}
	return math.NaN()
}
