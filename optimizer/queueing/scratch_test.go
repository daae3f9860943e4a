package queueing

import (
	"fmt"
	"testing"
)

func TestScratchInternals(t *testing.T) {
	law := Roofline{Overhead: 0.1e-3, Weights: 4.8e-3, Compute: .081e-3, Attention: 3.7e-9, KV: 5.7e-8}
	req := Requests{InputTokens: 4096, OutputTokens: 256, InputTokensSD: 1365, OutputTokensSD: 128, ArrivalCV: 2}
	lim := Limits{MaxBatch: 128, MaxQueue: 65536, MaxBatchedTokens: 2048}
	r, _ := ContinuousBatching{}.Replica(law, req, lim)
	c := r.(*continuous)
	s := c.steady(1.0627)
	f := s.first()
	m := s.intervals()
	x := s.mixture(&m)
	fmt.Printf("%+v\n%+v\n%+v\n%+v\n%+v\nrunning %v seen %v dev %v mean %v step %v peak %v empty %v\n", s.prompts, s.level, f, m, x, s.running, s.seen, s.deviation, s.mean, s.step, s.peak, s.empty)
	for _, tt := range []float64{.02, .04, .06, .08, .1, .15, .18} {
		fmt.Printf("t %v:", tt)
		for i, n := range x.lengths {
			if n >= .5 {
				fmt.Printf(" [%.0f %.3f] %.4f", n, lengthBounds[i+1]-lengthBounds[i], x.stratum(tt, max(n, 1)))
			}
		}
		fmt.Println(x.beyond(tt))
	}
}
