package cluster

import (
	"math"
	"slices"
	"sort"

	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Quantity is something that a scrape of a pod reads. Beyond those that have a name are the buckets of the histograms.
type Quantity int

// What is scraped, by its name in vLLM.
const (
	Completions      Quantity = iota // request_success_total
	Answered                         // http_requests_total: completed and given up
	TTFTSum                          // time_to_first_token_seconds_sum
	TTFTCount                        // time_to_first_token_seconds_count
	ITLSum                           // inter_token_latency_seconds_sum
	ITLCount                         // inter_token_latency_seconds_count
	PromptTokens                     // request_prompt_tokens_sum
	GenerationTokens                 // request_generation_tokens_sum
	PrefillTokens                    // prompt_tokens_total
	Preemptions                      // num_preemptions_total
	PrefixQueries                    // prefix_cache_queries_total
	PrefixHits                       // prefix_cache_hits_total
	Running                          // num_requests_running
	Waiting                          // num_requests_waiting
	KVUsage                          // kv_cache_usage_perc
	KVTokens                         // the size of the cache, from cache_config_info
	quantityCount
)

// GatewayRequests is what a scrape of the gateway reads, and all of it.
//
// Exact: the first of one value.
const GatewayRequests Quantity = 0

// Histogram of a pod.
type Histogram int

// The histograms, by their names in vLLM.
const (
	TTFT        Histogram = iota // time_to_first_token_seconds
	ITL                          // inter_token_latency_seconds
	RequestITL                   // request_time_per_output_token_seconds
	Prompts                      // request_prompt_tokens
	Generations                  // request_generation_tokens
	histogramCount
)

// bounds of the buckets of a histogram, without the last, unbounded one.
func (h Histogram) bounds() []float64 {
	return [histogramCount][]float64{simulation.TTFTBuckets, simulation.IntervalBuckets, simulation.IntervalBuckets, simulation.TokenBuckets, simulation.TokenBuckets}[h]
}

// Buckets of a histogram as quantities, by ascending upper bound, the last +Inf.
func (h Histogram) Buckets() (bounds []float64, quantities []Quantity) {
	bounds = append(slices.Clone(h.bounds()), math.Inf(1))
	for i := range bounds {
		quantities = append(quantities, firstBucket[h]+Quantity(i))
	}
	return bounds, quantities
}

// firstBucket of each histogram, and how many values a scrape has.
var firstBucket, valueCount = func() (first [histogramCount]Quantity, n Quantity) {
	n = quantityCount
	for h := range histogramCount {
		first[h] = n
		n += Quantity(len(h.bounds()) + 1)
	}
	return first, n
}()

// Sample is one scrape of a pod. One without values is Prometheus' mark that the series has ended.
type Sample struct {
	At    float64
	Value []float64
}

// counters of a pod, as its metrics page would show them, but that buckets are counted each for itself.
type counters struct {
	value []float64
	cache float64 // tokens
}

func newCounters(cache simulation.Cache) *counters {
	return &counters{value: make([]float64, valueCount), cache: float64(cache.Blocks * cache.BlockSize)}
}

// observe so many times a value in a histogram.
func (c *counters) observe(h Histogram, v, times float64) {
	i, _ := slices.BinarySearch(h.bounds(), v) // the first bound that is not below
	c.value[firstBucket[h]+Quantity(i)] += times
}

func (c *counters) hooks() simulation.Hooks {
	return simulation.Hooks{
		FirstToken: func(_, seconds float64, _ simulation.Request) {
			c.value[TTFTSum] += seconds
			c.value[TTFTCount]++
			c.observe(TTFT, seconds, 1)
		},
		TokenInterval: func(_, seconds float64, count int) {
			c.value[ITLSum] += seconds * float64(count)
			c.value[ITLCount] += float64(count)
			c.observe(ITL, seconds, float64(count))
		},
		Completed: func(done simulation.Completion) {
			c.value[Completions]++
			c.value[Answered]++
			c.value[PromptTokens] += float64(done.InputTokens)
			c.value[GenerationTokens] += float64(done.OutputTokens)
			c.observe(Prompts, float64(done.InputTokens), 1)
			c.observe(Generations, float64(done.OutputTokens), 1)
			mean, _ := done.ITL() // vLLM observes 0 for a request of one token
			c.observe(RequestITL, mean, 1)
		},
		Abandoned: func(simulation.Request) { c.value[Answered]++ },
	}
}

// scrape reads an engine.
func (c *counters) scrape(at float64, e *simulation.Engine) Sample {
	stats := e.Stats()
	s := Sample{At: at, Value: slices.Clone(c.value)}
	for q, v := range map[Quantity]float64{
		Running: float64(stats.Running), Waiting: float64(stats.Waiting), KVUsage: stats.CacheUsage(), KVTokens: c.cache, Preemptions: float64(stats.Preemptions),
		PrefillTokens: float64(stats.PromptTokens), PrefixQueries: float64(stats.PrefixQueries), PrefixHits: float64(stats.PrefixHits),
	} {
		s.Value[q] = v
	}
	for h := range histogramCount {
		first := firstBucket[h]
		for i := range Quantity(len(h.bounds())) {
			s.Value[first+i+1] += s.Value[first+i]
		}
	}
	return s
}

// Series are the scrapes of a pod, oldest first.
type Series []Sample

// upTo is the number of samples up to a time.
func (s Series) upTo(at float64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].At > at })
}

// within are the samples in (from, to], without the mark of an end.
func (s Series) within(from, to float64) Series {
	i, j := s.upTo(from), s.upTo(to)
	if j > i && s[j-1].Value == nil {
		j--
	}
	return s[i:max(i, j)]
}

// Rate is what Prometheus' rate() answers at a time for a window: the increase between the first and the last sample in it, extrapolated to
// its ends, per second; false with fewer than two samples. Source: promql/functions.go of github.com/prometheus/prometheus.
func (s Series) Rate(q Quantity, now, window float64) (float64, bool) {
	in := s.within(now-window, now)
	if len(in) < 2 {
		return 0, false
	}
	first, last := in[0], in[len(in)-1]
	increase := last.Value[q] - first.Value[q]
	span := last.At - first.At
	step := span / float64(len(in)-1)
	before, after := first.At-(now-window), now-last.At
	// A series that begins or ends within the window is extended by half a step only, and never to below zero.
	if before >= 1.1*step {
		before = step / 2
	}
	if increase > 0 {
		before = min(before, span*first.Value[q]/increase)
	}
	if after >= 1.1*step {
		after = step / 2
	}
	return increase * (span + before + after) / span / window, true
}

// Mean is what avg_over_time() answers; false without a sample.
func (s Series) Mean(q Quantity, now, window float64) (float64, bool) {
	in := s.within(now-window, now)
	sum := 0.0
	for _, x := range in {
		sum += x.Value[q]
	}
	return sum / float64(len(in)), len(in) > 0
}

// Variance is what stdvar_over_time() answers; false without a sample.
func (s Series) Variance(q Quantity, now, window float64) (float64, bool) {
	in := s.within(now-window, now)
	mean, ok := s.Mean(q, now, window)
	sum := 0.0
	for _, x := range in {
		sum += (x.Value[q] - mean) * (x.Value[q] - mean)
	}
	return sum / float64(len(in)), ok
}

// Arrived calls f with the number of requests that had arrived at the ends of half windows, multiples of them, within the last span, as package observe
// asks for it in a subquery; step 0 is the last that ended. It leaves out those before which scrapes do not fall into halves evenly.
func (s Series) Arrived(now, window, span float64, f func(step int, n float64)) {
	half := window / 2
	last := math.Floor(now / half)
	for step := math.Floor((now-span)/half) + 1; step <= last; step++ {
		at := step * half
		x, known := s.at(at)
		if n := len(s.within(at-window, at)); !known || n == 0 || n%2 != 0 {
			continue
		}
		f(int(step-last), x.Value[Completions]+x.Value[Running]+x.Value[Waiting])
	}
}

// lookBack is how old a sample may be to count as the present one, in seconds.
//
// Exact: Prometheus' own, where nobody sets another.
const lookBack = 300

// at is the latest sample at a time; false where there is none, or the series has ended.
func (s Series) at(now float64) (Sample, bool) {
	i := s.upTo(now)
	if i == 0 || s[i-1].At <= now-lookBack || s[i-1].Value == nil {
		return Sample{}, false
	}
	return s[i-1], true
}

// At is the latest value at a time; false where there is none.
func (s Series) At(q Quantity, now float64) (float64, bool) {
	x, known := s.at(now)
	if !known {
		return 0, false
	}
	return x.Value[q], true
}

// Age of the latest sample, s; false where there is none.
func (s Series) Age(now float64) (float64, bool) {
	x, known := s.at(now)
	return now - x.At, known
}
