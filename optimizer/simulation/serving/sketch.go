package serving

import "math"

// Summary describes how latencies were distributed. Without any, Count is 0 and
// the rest means nothing.
type Summary struct {
	Count         int
	Mean          float64 // s
	P50, P90, P99 float64 // s, within 0.5 %
	Max           float64 // s
}

// At is the known percentile nearest to one in (0, 100), the mean for 0; in seconds.
func (s *Summary) At(percentile float64) float64 {
	switch {
	case percentile == 0:
		return s.Mean
	case percentile <= 70:
		return s.P50
	case percentile <= 95:
		return s.P90
	}
	return s.P99
}

// A sketch counts latencies in buckets whose bounds grow by 1 %, from a
// microsecond to eleven days; what is beyond counts as the nearest. A quantile
// is the geometric middle of its bucket, hence within 0.5 %, and never outside
// of what was seen.
const (
	// sketchGrowth from the lower to the upper bound of a bucket.
	//
	// Tuned: share; derived from the error of quantiles, which is half of it; at half: within 0.25 %, with twice the buckets;
	// at twice: within 1 %, with half of them
	sketchGrowth = 0.01
	// sketchLeast is the lower bound of the first bucket, in seconds.
	//
	// Tuned: s; guard against a latency of nothing: no iteration is that short
	sketchLeast = 1e-6
	// sketchBuckets there are.
	//
	// Exact: as many as it takes from sketchLeast to 1e6 s.
	sketchBuckets = 2777
)

type sketch struct {
	buckets  [sketchBuckets]uint32
	count    int
	sum      float64
	min, max float64
}

var logGrowth = math.Log1p(sketchGrowth)

func (s *sketch) add(seconds float64) {
	if s.count == 0 {
		s.min, s.max = seconds, seconds
	}
	s.count++
	s.sum += seconds
	s.min, s.max = min(s.min, seconds), max(s.max, seconds)
	i := 0
	if seconds > sketchLeast {
		i = min(sketchBuckets-1, int(math.Log(seconds/sketchLeast)/logGrowth))
	}
	s.buckets[i]++
}

// quantile is the latency that a share q of all do not exceed (nearest rank).
func (s *sketch) quantile(q float64) float64 {
	rank := max(1, int(math.Ceil(q*float64(s.count))))
	seen := 0
	for i, n := range s.buckets {
		if seen += int(n); seen >= rank {
			middle := sketchLeast * math.Exp(logGrowth*(float64(i)+0.5))
			return max(s.min, min(s.max, middle))
		}
	}
	return s.max
}

func (s *sketch) summary() Summary {
	if s.count == 0 {
		return Summary{}
	}
	return Summary{
		Count: s.count, Mean: s.sum / float64(s.count), Max: s.max,
		P50: s.quantile(0.5), P90: s.quantile(0.9), P99: s.quantile(0.99),
	}
}
