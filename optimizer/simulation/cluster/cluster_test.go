package cluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
	"github.com/llm-inferno/inferno/optimizer/simulation/trace"
)

var limits = simulation.Limits{MaxNumSeqs: 16, MaxNumBatchedTokens: 512}

func config() Config {
	truth := Truth{Model: "m", Count: 1, StepTime: simulation.Linear{Base: 0.01, PerToken: 1e-5}, Cache: simulation.Cache{BlockSize: 16, Blocks: 1000}}
	a, b := truth, truth
	a.Accelerator, b.Accelerator = "A", "B"
	return Config{
		Accelerators: []Accelerator{{Name: "A", Type: "A", Cards: 1, Price: 100}, {Name: "B", Type: "B", Cards: 2, Price: 60}},
		Pools:        []Pool{{Type: "A", Cards: 2, Nodes: 2, Elastic: 1, Delay: 90}, {Type: "B", Cards: 4, Nodes: 1}},
		Truths:       []Truth{a, b},
		Servers: []Server{{
			Name: "s", Model: "m", Targets: serving.Targets{TTFT: 1, ITL: 0.05}, Balancer: routing.LeastRequests,
			Traffic: []Traffic{{Trace: trace.Constant(5, 100, 20, 1)}}, Limits: limits, Initial: order(1, 0),
		}},
		Times: DefaultTimes(),
	}
}

func order(a, b int) Order {
	return Order{Replicas: a + b, Parts: []jsonspec.AllocationPart{{Accelerator: "A", Replicas: a}, {Accelerator: "B", Replicas: b}}}
}

// script orders at times.
type script map[float64]Order

func (script) Interval() float64 { return 15 }
func (script) Lag() float64      { return 0 }

func (s script) Decide(v *View) (map[string]Order, error) {
	if o, due := s[v.Now]; due {
		return map[string]Order{"s": o}, nil
	}
	return nil, nil
}

func run(t *testing.T, c Config, p Policy, until float64) *Cluster {
	t.Helper()
	cluster, err := New(c, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Run(until); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// replicas by accelerator that serve in each of the given windows of a minute.
func replicas(c *Cluster, windows ...int) []map[string]int {
	var got []map[string]int
	for _, i := range windows {
		got = append(got, c.Reports()["s"].Windows[i].Replicas)
	}
	return got
}

func TestPodsTakeTimeToStart(t *testing.T) {
	c := run(t, config(), script{60: order(3, 0)}, 300)
	// Ordered at 60 s, ready 120 s later: in the window that ends at 240 s, but not at 180 s.
	if d := cmp.Diff([]map[string]int{{"A": 1}, {"A": 3}}, replicas(c, 1, 3)); d != "" {
		t.Error(d)
	}
	// Pods hold their accelerator from their binding on: one for 300 s, two for 240 s.
	if got, want := c.Usage().Hours["A"], (300+2*240)/3600.0; got < want-0.01 || got > want+0.01 {
		t.Errorf("%v hours of A, want %v", got, want)
	}
}

func TestAnElasticNodeComesLater(t *testing.T) {
	c := run(t, config(), script{60: order(6, 0)}, 480)
	// Four cards are there; two more come 90 s after they are missed, and pods start in 120 s.
	if d := cmp.Diff([]map[string]int{{"A": 4}, {"A": 6}}, replicas(c, 3, 5)); d != "" {
		t.Error(d)
	}
}

func TestQuotasDecideTheAccelerator(t *testing.T) {
	c := run(t, config(), script{60: order(1, 2), 240: order(0, 2)}, 480)
	if d := cmp.Diff([]map[string]int{{"A": 1, "B": 2}, {"B": 2}}, replicas(c, 3, 6)); d != "" {
		t.Error(d)
	}
}

func TestNodesFail(t *testing.T) {
	c := config()
	c.Faults = []Fault{{Type: "A", Nodes: 1, At: 400, Until: 600}}
	c.Pools[0].Elastic = 0
	got := run(t, c, script{60: order(4, 0)}, 900)
	if d := cmp.Diff([]map[string]int{{"A": 4}, {"A": 2}, {"A": 4}}, replicas(got, 5, 7, 13)); d != "" {
		t.Error(d)
	}
}

func TestPodsDrain(t *testing.T) {
	c := run(t, config(), script{60: order(3, 0), 300: order(1, 0)}, 600)
	if r := c.Reports()["s"]; r.Total.Retried != 0 {
		t.Errorf("%d requests started over although 30 s suffice to drain", r.Total.Retried)
	}
	if s := c.Scales()["s"]; s.Out != 1 || s.In != 1 || s.Reversals != 1 {
		t.Errorf("%+v, want one change out, one in, one reversal", s)
	}
}

func TestRunsAreEqual(t *testing.T) {
	a, b := run(t, config(), script{60: order(2, 1)}, 400), run(t, config(), script{60: order(2, 1)}, 400)
	if d := cmp.Diff(a.Reports(), b.Reports()); d != "" {
		t.Error(d)
	}
}

func TestEveryFaultIsNamed(t *testing.T) {
	c := config()
	c.Times.Scrape, c.Times.StartUp = 0, -1
	c.Faults = []Fault{{Type: "A", At: -5}}
	_, err := New(c, script{})
	for _, want := range []string{"times.scrape", "times.startUp", "faults[0]", "faults[0].nodes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	c = config()
	c.Servers[0].Initial = order(40, 0)
	if _, err := New(c, script{}); err == nil {
		t.Error("40 initial replicas in 4 cards")
	}
}

// A gateway that obeys lets through what an order admits, counts all that comes, and what it refuses is not served. One that does not obey lets all through.
func TestAGatewayObeysAdmission(t *testing.T) {
	play := func(obeys bool) (served, shed int, came float64) {
		c := config()
		c.Gateway = Gateway{Counts: true, ObeysAdmission: obeys}
		rate := 2.0
		bounded := order(1, 0)
		bounded.Admissible = &rate
		r := run(t, c, script{300: bounded, 900: order(1, 0)}, 1500)
		counted, _ := r.view().Servers[0].Came.Rate(GatewayRequests, 900, 300)
		total := r.Reports()["s"].Total
		if total.Arrivals != total.Completions+total.Shed+r.Reports()["s"].Pending {
			t.Errorf("%d came, %d were completed and %d refused", total.Arrivals, total.Completions, total.Shed)
		}
		if share, _ := total.Attainment(); share > float64(total.Completions)/float64(total.Ended()) {
			t.Errorf("what was refused counts as served: %v", share)
		}
		return total.Completions, total.Shed, counted
	}
	served, shed, came := play(true)
	// 5 requests/s for 25 minutes, of which 2 are let through for ten.
	if shed < 1600 || shed > 2000 || came < 4.5 || came > 5.5 {
		t.Errorf("%d were refused of %v requests/s", shed, came)
	}
	if all, none, counted := play(false); none != 0 || all < served+1500 || counted != came {
		t.Errorf("one that does not obey: %d served, %d refused, %v requests/s", all, none, counted)
	}
}
