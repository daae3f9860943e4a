package serving

import (
	"fmt"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// BenchmarkDay is one day of ten replicas behind a gateway, 69 requests/s in all.
func BenchmarkDay(b *testing.B) {
	law := simulation.Roofline{ // as of an 8B model on an H100
		WeightBytes: 16e9, ActiveParameters: 8e9, KVBytesPerToken: 131072, AttentionFLOP: 524288, Bandwidth: 3.35e12, Speed: 989e12,
		MemoryEfficiency: 0.8, ComputeEfficiency: 0.22, Overhead: 1.3e-3, SequenceOverhead: 10e-6,
	}
	cache := simulation.Cache{BlockSize: 16, Blocks: 29000}
	for b.Loop() {
		s := server(b, routing.LeastRequests, RecordOptions{Targets: record.Targets, Window: 60, Keep: 1440})
		for i := range 10 {
			e, err := simulation.New(simulation.Config{
				Limits: simulation.Limits{MaxNumSeqs: 128, MaxNumBatchedTokens: 2048}, Cache: cache, StepTime: law, NoiseCV: 0.05, Seed: uint64(i),
			})
			must(b, err)
			must(b, s.Add(0, fmt.Sprint(i), "H100", e))
		}
		source, err := trace.Constant(69, 700, 200, 1.5).Replay(trace.Options{})
		must(b, err)
		for a, _ := source.Next(); a.At < 86400; a, _ = source.Next() {
			s.Arrive(a)
		}
		s.Advance(86400)
		b.ReportMetric(float64(s.Report().Total.Completions), "requests")
	}
}
