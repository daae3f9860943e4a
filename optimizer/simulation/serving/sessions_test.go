package serving

import (
	"fmt"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// Of sessions with 20 turns, 19 find their prefix where nothing changes. When as many replicas come as there are, half of the sessions find nothing at first, and
// all is as before once each had a turn there.
func TestHitsFallWhenReplicasCome(t *testing.T) {
	const rate, turns = 0.8, 20
	balancer, err := routing.Balancers().New(routing.LeastRequests, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(balancer, RecordOptions{Targets: Targets{TTFT: 1, ITL: 1}, Window: 10, Keep: 1 << 20, Clients: Clients{Sessions: &Sessions{Live: 200, Turns: turns}}})
	if err != nil {
		t.Fatal(err)
	}
	var engines []*simulation.Engine
	grow := func(at float64, n int) {
		for range n {
			e, err := simulation.New(simulation.Config{
				Limits: simulation.Limits{MaxNumSeqs: 64, MaxNumBatchedTokens: 4096}, Cache: simulation.Cache{BlockSize: 10, Blocks: 30000, PrefixHitRate: rate},
				StepTime: simulation.Linear{Base: 0.01},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Add(at, fmt.Sprint("replica", len(engines)), "A", e); err != nil {
				t.Fatal(err)
			}
			engines = append(engines, e)
		}
	}
	sum := func() (queries, hits float64) {
		for _, e := range engines {
			queries, hits = queries+float64(e.Stats().PrefixQueries), hits+float64(e.Stats().PrefixHits)
		}
		return
	}
	now, queries, hits := 0.0, 0.0, 0.0
	play := func(requests int) float64 { // the share that was found
		for range requests {
			now += 0.1
			s.Arrive(trace.Arrival{At: now, InputTokens: 1000, OutputTokens: 10})
		}
		q, h := sum()
		share := (h - hits) / (q - queries)
		queries, hits = q, h
		return share
	}
	grow(0, 4)
	play(1000)
	steady := play(4000)
	if want := rate * (1 - 1.0/turns); math.Abs(steady/want-1) > 0.02 {
		t.Errorf("%.3f are found, want %.3f", steady, want)
	}
	grow(now, 4)
	if first := play(50); first > 0.7*steady {
		t.Errorf("%.3f are found when half of the replicas are new, before %.3f", first, steady)
	}
	play(1000)
	if again := play(4000); math.Abs(again/steady-1) > 0.02 {
		t.Errorf("%.3f are found when all have had a turn there, before %.3f", again, steady)
	}
}
