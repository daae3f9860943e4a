package readings_test

import (
	"math"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/readings"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

// still changes nothing, and notes the load that is measured, in requests per second, with and without what was not served.
type still struct {
	source                     *readings.Source
	at, measured, served, lost []float64
}

func (*still) Interval() float64 { return 60 }
func (*still) Lag() float64      { return 0 }

func (s *still) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	r := s.source.Read(v)
	s.at = append(s.at, v.Now)
	s.measured = append(s.measured, arrivals(r))
	s.lost = append(s.lost, givenUp(r))
	for _, m := range r.Metrics {
		m.Set(observe.Answered, math.NaN())
	}
	s.served = append(s.served, arrivals(r))
	return nil, nil
}

// givenUp requests per second; 0 where none is told of.
func givenUp(r *observe.Readings) float64 {
	if o := observe.Observe(r).Snapshot.System.Servers.Spec[0].Observation; o != nil && o.GivenUp != nil {
		return jsonspec.PerSecond(*o.GivenUp)
	}
	return 0
}

func arrivals(r *observe.Readings) float64 {
	for _, st := range observe.Observe(r).Statuses {
		if st.Load != nil {
			return jsonspec.PerSecond(st.Load.ArrivalRate)
		}
	}
	return math.NaN()
}

// Of 130 % of what two replicas can serve, 30 % of whose clients give up after 10 s and mostly try again, what is measured is within 5 % of what was sent,
// in every ten minutes, where completions and what waits fall short of it by more than that.
func TestLoadOfClientsWhoGiveUp(t *testing.T) {
	// A batch of 16, and 100 tokens of 20 ms each: 8 requests per second and replica.
	const capacity, replicas, span, window = 8.0, 2, 600.0, 60.0
	system := &jsonspec.System{}
	system.Accelerators.Spec = []jsonspec.AcceleratorEntry{{Name: "A", AcceleratorSpec: jsonspec.AcceleratorSpec{AcceleratorProperties: jsonspec.AcceleratorProperties{Type: "A", Cost: 100}}}}
	system.Servers.Spec = []jsonspec.ServerEntry{{Name: "s", Class: "c", Model: "m"}}
	pools := []cluster.Pool{{Type: "A", Cards: replicas, Nodes: 1}}
	source, err := readings.New(system, pools, window)
	if err != nil {
		t.Fatal(err)
	}
	policy := &still{source: source}
	c, err := cluster.New(cluster.Config{
		Accelerators: []cluster.Accelerator{{Name: "A", Type: "A", Cards: 1, Price: 100}}, Pools: pools,
		Truths: []cluster.Truth{{Model: "m", Accelerator: "A", Count: 1, StepTime: simulation.Linear{Base: 0.02}, Cache: simulation.Cache{BlockSize: 16, Blocks: 10_000}}},
		Servers: []cluster.Server{{
			Name: "s", Model: "m", Targets: serving.Targets{TTFT: 1, ITL: 0.05}, Balancer: routing.LeastRequests, Limits: simulation.Limits{MaxNumSeqs: 16, MaxNumBatchedTokens: 2048},
			Traffic: []cluster.Traffic{{Trace: trace.Constant(1.3*capacity*replicas, 100, 100, 1), Until: 3600}},
			Clients: serving.Clients{Impatient: 0.3, Patience: 10, Retries: 3, Backoff: 5},
			Initial: cluster.Order{Replicas: replicas, Parts: []jsonspec.AllocationPart{{Accelerator: "A", Replicas: replicas}}},
		}},
		Times: cluster.Times{Scrape: 15, Sync: 15, StartUp: 60, Drain: 30, Window: window}, Seed: 5,
	}, policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(3601); err != nil {
		t.Fatal(err)
	}
	report := c.Reports()["s"]
	if r := report.Total; r.Abandoned < 1000 || r.Resent < 1000 || r.Lost < 100 {
		t.Fatalf("given up %d times, sent again %d times, %d for good", r.Abandoned, r.Resent, r.Lost)
	}
	lost := 0.0
	for _, rate := range policy.lost {
		lost += rate * window
	}
	if total := float64(report.Total.Abandoned); math.Abs(lost/total-1) > 0.05 {
		t.Errorf("%.0f requests were given up, measured %.0f", total, lost)
	}
	worst, short := 0.0, 0.0
	for from := span; from < 3600; from += span {
		sent, measured, served := 0.0, 0.0, 0.0
		for _, w := range report.Windows {
			if w.Start >= from && w.Start < from+span {
				sent += float64(w.Sent()) / span
			}
		}
		for i, at := range policy.at { // each is of the minute before it
			if at > from && at <= from+span {
				measured += policy.measured[i] * window / span
				served += policy.served[i] * window / span
			}
		}
		worst, short = max(worst, math.Abs(measured/sent-1)), max(short, 1-served/sent)
		t.Logf("from %.0f s: sent %.2f, measured %.2f, without what was not served %.2f requests per second", from, sent, measured, served)
	}
	if worst > 0.05 || short < 0.1 {
		t.Errorf("measured off by %.1f %% at most, want 5; without what was not served %.1f %% short, want more than 10", 100*worst, 100*short)
	}
}
