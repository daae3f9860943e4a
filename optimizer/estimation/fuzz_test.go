package estimation_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// Whatever was measured, what is learned can be written, and is a law.
func FuzzObserve(f *testing.F) {
	f.Add(1.0, 20.0, 1000.0, 500.0, 0.015, 0.08, 2.0, 64)
	f.Add(1.0, math.NaN(), 1000.0, 500.0, 0.015, 0.08, 1e300, 0)
	f.Add(1e300, 65536.0, 1e7, 1e-300, 1e-300, 1e300, -1.0, -5)
	f.Fuzz(func(t *testing.T, seconds, running, input, output, itl, ttft, rate float64, maxBatch int) {
		for _, name := range learners {
			w := newWorld(1)
			p := newPupil(t, name, truth.performance())
			for i := range 30 {
				if i%3 == 1 {
					o := estimation.Unmeasured("s")
					o.Time, o.Running, o.InputTokens, o.OutputTokens = w.now+math.Mod(seconds, 60), running, input, output
					o.ITL, o.TTFT, o.ArrivalRate, o.Throughput, o.MaxBatch = itl, ttft, rate, rate, maxBatch
					p.sees(o)
				} else {
					p.sees(w.observe(truth, w.vary()))
				}
				if _, err := json.Marshal(p.learned); err != nil {
					t.Fatalf("%s: what is learned cannot be written: %v", name, err)
				}
				if _, err := queueing.NewLaw(p.last.Performance); err != nil {
					t.Fatalf("%s: what is learned is no law: %v", name, err)
				}
			}
		}
	})
}
