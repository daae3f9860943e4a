package cluster

import (
	"github.com/llm-inferno/inferno/optimizer/simulation"
)

// Quantity is something that a scrape of a pod reads.
type Quantity int

// What is scraped, by its name in vLLM.
const (
	Completions       Quantity = iota // request_success_total
	TTFTSum                           // time_to_first_token_seconds_sum
	TTFTCount                         // time_to_first_token_seconds_count
	ITLSum                            // inter_token_latency_seconds_sum
	ITLCount                          // inter_token_latency_seconds_count
	PromptTokens                      // request_prompt_tokens_sum
	GenerationTokens                  // request_generation_tokens_sum
	Running                           // num_requests_running
	Waiting                           // num_requests_waiting
	KVUsage                           // kv_cache_usage_perc
	TTFTMet                           // requests whose first token met the target: a bucket of the histogram
	ITLMet                            // requests whose mean token time met the target, likewise
	AdmittedTokens                    // prompt_tokens_total
	KVTokens                          // the size of the cache, from cache_config_info
	PromptSquares                     // squares of prompt tokens, which the histogram tells
	GenerationSquares                 // likewise
	quantityCount
)

// Sample is one scrape of a pod.
type Sample struct {
	At    float64
	Value [quantityCount]float64
}

// counters of a pod, as its metrics page would show them.
type counters struct {
	value    [quantityCount]float64
	ttft     float64 // targets
	perToken float64
	cache    float64 // tokens
}

func (c *counters) hooks() simulation.Hooks {
	return simulation.Hooks{
		FirstToken: func(_, seconds float64, r simulation.Request) {
			c.value[AdmittedTokens] += float64(r.InputTokens)
			c.value[TTFTSum] += seconds
			c.value[TTFTCount]++
			if seconds <= c.ttft {
				c.value[TTFTMet]++
			}
		},
		TokenInterval: func(_, seconds float64, count int) {
			c.value[ITLSum] += seconds * float64(count)
			c.value[ITLCount] += float64(count)
		},
		Completed: func(done simulation.Completion) {
			c.value[Completions]++
			c.value[PromptTokens] += float64(done.InputTokens)
			c.value[GenerationTokens] += float64(done.OutputTokens)
			c.value[PromptSquares] += float64(done.InputTokens) * float64(done.InputTokens)
			c.value[GenerationSquares] += float64(done.OutputTokens) * float64(done.OutputTokens)
			if mean, many := done.ITL(); !many || mean <= c.perToken {
				c.value[ITLMet]++
			}
		},
	}
}

// scrape reads an engine.
func (c *counters) scrape(at float64, e *simulation.Engine) Sample {
	stats := e.Stats()
	s := Sample{At: at, Value: c.value}
	s.Value[Running], s.Value[Waiting], s.Value[KVUsage] = float64(stats.Running), float64(stats.Waiting), stats.CacheUsage()
	s.Value[KVTokens] = c.cache
	return s
}

// Series are the scrapes of a pod, oldest first.
type Series []Sample

// within are the samples in (from, to].
func (s Series) within(from, to float64) Series {
	i, j := 0, len(s)
	for i < j && s[i].At <= from {
		i++
	}
	for j > i && s[j-1].At > to {
		j--
	}
	return s[i:j]
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

// Dispersion is the variance of the numbers of arrivals in steps of half a window over the last long window, over their mean, as package observe
// asks for it; false where there are too few.
func (s Series) Dispersion(now, window, long float64) (float64, bool) {
	if len(s.within(now-window, now))%2 != 0 {
		return 0, false
	}
	arrived := func(at float64) (float64, bool) {
		in := s.within(at-lookBack, at)
		if len(in) == 0 {
			return 0, false
		}
		v := &in[len(in)-1].Value
		return v[Completions] + v[Running] + v[Waiting], true
	}
	squares, sum, n, m := 0.0, 0.0, 0.0, 0.0
	for at := now; at > now-long; at -= window / 2 {
		a, known := arrived(at)
		b, known2 := arrived(at - window/2)
		if !known || !known2 {
			break
		}
		sum, m = sum+a-b, m+1
		if c, known := arrived(at - window); known {
			squares, n = squares+(a-2*b+c)*(a-2*b+c), n+1
		}
	}
	if n == 0 || sum <= 0 {
		return 0, false
	}
	return squares / n / (2 * sum / m), true
}

// lookBack is how old a sample may be to count as the present one: Prometheus' default.
const lookBack = 300

// At is the latest value at a time; false where there is none.
func (s Series) At(q Quantity, now float64) (float64, bool) {
	in := s.within(now-lookBack, now)
	if len(in) == 0 {
		return 0, false
	}
	return in[len(in)-1].Value[q], true
}
