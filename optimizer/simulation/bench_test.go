package simulation

import (
	"math"
	"testing"
)

// BenchmarkDay is one day of ten replicas with 69 requests/s in all.
func BenchmarkDay(b *testing.B) {
	var iterations, completed int64
	for b.Loop() {
		for replica := range uint64(10) {
			config := Config{
				Limits: Limits{MaxNumSeqs: 128, MaxNumBatchedTokens: 2048}, Cache: Cache{BlockSize: 16, Blocks: 24_000},
				StepTime: testRoofline(), NoiseCV: 0.05, Seed: replica,
			}
			engine, err := New(config)
			if err != nil {
				b.Fatal(err)
			}
			buffer := make([]Completion, 0, 64)
			for _, r := range requests(replica, 86400*69/10, 6.9, 700, 200) {
				buffer = engine.Advance(r.ArrivedAt, buffer[:0])
				if err := engine.Submit(r.ArrivedAt, r); err != nil {
					b.Fatal(err)
				}
			}
			engine.Advance(math.Inf(1), buffer[:0])
			iterations += engine.Stats().Iterations
			completed += engine.Stats().Completed
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(iterations), "ns/iteration")
	b.ReportMetric(float64(completed)/float64(b.N), "requests")
}
