package serving

import (
	"fmt"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// lawful is a queueing law as the truth of an engine.
type lawful struct{ queueing.Law }

func (l lawful) Validate() error { return nil }

func (l lawful) Seconds(b simulation.Batch) float64 {
	return l.IterationTime(queueing.Batch{
		Decodes: float64(b.Decodes), DecodeContext: float64(b.DecodeContext), Prefills: float64(b.Prefills), PrefillTokens: float64(b.PrefillTokens), PrefillPairs: b.PrefillPairs,
	})
}

// Where engines keep to the law, what is predicted of roles is what the simulation does.
func TestSplitPredictsTheSimulation(t *testing.T) {
	law := queueing.Roofline{Overhead: 5e-3, Weights: 6.6e-3, Compute: 3.5e-5, Attention: 6.6e-10, KV: 3.1e-8, Sequence: 2e-5, Prefill: 1e-3, KVTokens: 632_928}
	const in, out, bytes = 4000, 200, 327680
	for _, c := range []struct {
		prefill, decode int
		share           float64 // of the highest rate
	}{{1, 1, 0.3}, {1, 1, 0.6}, {2, 1, 0.5}, {2, 1, 0.75}, {4, 1, 0.6}, {4, 2, 0.8}, {6, 1, 0.7}} {
		limits := queueing.Limits{MaxBatch: 256, MaxQueue: 1 << 16, MaxBatchedTokens: 8192, KVTokens: 632_928}
		q := queueing.Split{
			Prefill: queueing.Workers{Law: law, Count: c.prefill, Limits: limits}, Decode: queueing.Workers{Law: law, Count: c.decode, Limits: limits},
			Routing: queueing.QueueAware, Link: queueing.Link{Bandwidth: 50e9, Delay: 5e-3}, TokenBytes: bytes,
		}
		requests := queueing.Requests{InputTokens: in, OutputTokens: out, InputTokensSD: in * 0.5, OutputTokensSD: out * 0.5, ArrivalCV: 1}
		replica, err := q.Replica(requests)
		must(t, err)
		rate := c.share * replica.MaxRate()
		want, err := replica.Open(rate)
		must(t, err)
		s := apart(t, routing.LeastRequests, RecordOptions{Targets: record.Targets, Window: 60, Keep: 1})
		for i := range c.prefill + c.decode {
			role, name := Prefill, "p"
			if i >= c.prefill {
				role, name = Decode, "d"
			}
			e, err := simulation.New(simulation.Config{
				Limits: simulation.Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: 8192}, Cache: simulation.Cache{BlockSize: 16, Blocks: 632_928 / 16}, StepTime: lawful{law}, KeepsCaches: role == Prefill,
			})
			must(t, err)
			must(t, s.AddApart(0, fmt.Sprint(name, i), name, role, Link{Bandwidth: 50e9, Delay: 5e-3, TokenBytes: bytes}, e))
		}
		source, err := trace.Constant(rate, in, out, 1).Replay(trace.Options{Seed: 5, TokenCV: 0.5})
		must(t, err)
		var at float64
		for range 40_000 {
			a, _ := source.Next()
			s.Arrive(a)
			at = a.At
		}
		s.Advance(at + 100)
		got := s.Report().Total
		t.Logf("%d prefill, %d decode at %.0f %% of %.2f/s: TTFT %.4f s, predicted %.4f (%+.1f %%); ITL %.5f s, predicted %.5f (%+.1f %%)", c.prefill, c.decode, 100*c.share, replica.MaxRate(),
			got.TTFT.Mean, want.TTFT.Mean, 100*(want.TTFT.Mean/got.TTFT.Mean-1), got.ITL.Mean, want.ITL.Mean, 100*(want.ITL.Mean/got.ITL.Mean-1))
		if math.Abs(want.ITL.Mean/got.ITL.Mean-1) > 0.03 || math.Abs(want.TTFT.Mean/got.TTFT.Mean-1) > 0.13 {
			t.Errorf("%d prefill, %d decode at %v: TTFT %v s, predicted %v; ITL %v s, predicted %v", c.prefill, c.decode, c.share, got.TTFT.Mean, want.TTFT.Mean, got.ITL.Mean, want.ITL.Mean)
		}
	}
}
