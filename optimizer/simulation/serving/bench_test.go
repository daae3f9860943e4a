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
	law, cache, err := simulation.FromPhysics(
		simulation.Transformer{Parameters: 8.03e9, BytesPerParameter: 2, Layers: 32, Heads: 32, KVHeads: 8, HeadSize: 128},
		simulation.Hardware{Accelerators: 1, Memory: 85.9e9, Bandwidth: 3.35e12, Speed: 989e12})
	must(b, err)
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
