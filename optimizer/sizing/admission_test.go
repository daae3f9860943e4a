package sizing

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// admitting is a server of random load, targets, routing and bursts, and the pair that it runs on.
func admitting(r *rand.Rand) *Server {
	between := func(low, high float64) float64 { return low * math.Exp(r.Float64()*math.Log(high/low)) }
	nan := math.NaN()
	d := demand.Demand{
		Rate: between(1, 60), InputTokens: between(100, 3000), OutputTokens: between(30, 600), InputTokensSD: nan, OutputTokensSD: nan,
		Bursts: []float64{0, 1, 2, 4}[r.IntN(4)], Turns: r.IntN(2) == 0,
	}
	speed := between(0.5, 3)
	law := queueing.Roofline{Overhead: 2e-3, Weights: 8e-3 / speed, Compute: 4e-5 / speed, KV: 5e-8 / speed, Attention: 1e-9 / speed, Sequence: 1e-5}
	pair := &Pair{Accelerator: &fleet.Accelerator{Name: "A", Type: "A", Cards: 1, Cost: 100}, Law: law}
	return &Server{
		Server: &fleet.Server{Name: "s", ServerPolicy: jsonspec.ServerPolicy{MaxBatchSize: 64, MaxQueueSize: 512}}, Pairs: []*Pair{pair},
		Targets: Targets{TTFT: between(0.5, 4), ITL: between(0.015, 0.1), Percentile: []float64{0, 90, 99}[r.IntN(3)]}, Demand: d,
	}
}

// What replicas serve within the targets grows with them, is all of the load where they suffice, and is served within the targets: each gets its share, as
// irregular as it is among so many, and the model says that it meets them.
func TestServedWithinTargets(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	st := &Stage{Model: queueing.ContinuousBatching{}}
	seen, short := 0, 0
	for range 120 {
		s := admitting(r)
		z, _, err := st.Size(s, Memory{Trims: map[string]float64{"A": 0.2*r.Float64() - 0.15}}, 0)
		if err != nil {
			continue
		}
		c := z.Feasible[0]
		one, need, last := c.Parts[0], c.Replicas(), 0.0
		for n := 1; n <= min(need, 12); n++ {
			one.Replicas = n
			within, atAll := st.Served(s, []Part{one})
			rate, known := within.Get()
			if !known {
				continue
			}
			seen++
			if rate < last*(1-1e-6) || rate > atAll.Or(0) {
				t.Errorf("%d replicas serve %v, one fewer %v, at all %v", n, rate, last, atAll)
			}
			last = rate
			if n < need && rate < s.Demand.Rate {
				short++
			}
			if n == need && rate < s.Demand.Rate*(1-1e-6) {
				t.Errorf("%d replicas are enough for %v, and serve %v", n, s.Demand.Rate, rate)
			}
			d := s.Demand
			if one.even {
				d.Bursts = 0
			}
			replica, err := st.Model.Replica(one.Law, d.Requests(n), one.Limits)
			if err != nil {
				t.Fatal(err)
			}
			p, err := replica.Open(min(rate/float64(n)/math.Exp(one.Trim), 0.9999*replica.MaxRate()))
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range s.Targets.latencies(&p) {
				if l.predicted > l.target*1.01 {
					t.Errorf("%d replicas at %v: %s is %v, target %v", n, rate, l.name, l.predicted, l.target)
				}
			}
		}
	}
	if seen < 100 || short < 50 {
		t.Errorf("only %d numbers of replicas, %d of them short", seen, short)
	}
}

// What waits is served first, with round robin a slow replica bounds all, and what is not known of one part is not known of all.
func TestServedBesideWhatWaits(t *testing.T) {
	st := &Stage{Model: queueing.ContinuousBatching{}}
	s := admitting(rand.New(rand.NewPCG(1, 1)))
	s.Demand.Bursts, s.Demand.Turns, s.Demand.Rate, s.Targets = 0, false, 20, Targets{TTFT: 2, ITL: 0.08}
	slow := *s.Pairs[0]
	slow.Accelerator = &fleet.Accelerator{Name: "B", Type: "B", Cards: 1, Cost: 50}
	law := slow.Law.(queueing.Roofline)
	law.Weights, law.Compute = 2*law.Weights, 2*law.Compute
	slow.Law = law
	s.Pairs = append(s.Pairs, &slow)
	z, _, err := st.Size(s, Memory{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := z.Candidates[0].Parts[0], z.Candidates[1].Parts[0]
	a.Replicas, b.Replicas = 2, 3
	served := func() float64 {
		within, _ := st.Served(s, []Part{a, b})
		return within.OrNaN()
	}
	if got, want := served(), 2*a.Rate+3*b.Rate; math.Abs(got-want) > 1e-6*want {
		t.Errorf("%v, want %v", got, want)
	}
	s.Routing = jsonspec.RoutingRoundRobin
	if got, want := served(), 5*b.Rate; math.Abs(got-want) > 1e-6*want {
		t.Errorf("with round robin %v, want %v", got, want)
	}
	s.Demand.Drain = 1e6
	if got := served(); got != 0 {
		t.Errorf("beside a million a second that wait %v", got)
	}
	s.Demand.Drain, b.Rate = 0, 0
	b.Sized = &Sized{Pair: &slow}
	if got := served(); !math.IsNaN(got) {
		t.Errorf("with a pair of which nothing is known %v", got)
	}
	if within, _ := st.Served(s, nil); within.OrNaN() != 0 {
		t.Errorf("nobody serves %v", within)
	}
}
