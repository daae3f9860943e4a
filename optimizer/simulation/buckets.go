package simulation

// Upper bounds of the buckets of vLLM's histograms, vllm/v1/metrics/loggers.py. Token counts go by 1-2-5 up to the longest context, here that of
// Llama 3.1.
var (
	TTFTBuckets     = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560}
	IntervalBuckets = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}
	TokenBuckets    = oneTwoFive(131072)
)

func oneTwoFive(most float64) []float64 {
	var buckets []float64
	for scale := 1.0; ; scale *= 10 {
		for _, mantissa := range []float64{1, 2, 5} {
			if mantissa*scale > most {
				return buckets
			}
			buckets = append(buckets, mantissa*scale)
		}
	}
}
