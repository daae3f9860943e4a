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

// rolesOf a server with random laws, targets and load.
func rolesOf(r *rand.Rand) (*roles, *Server) {
	part := func(acc string, cards int, demand float64) *Sized {
		law := jsonspec.Performance{Acc: acc, AccCount: cards, PerfParms: &jsonspec.PerfParms{Alpha: 5 + 20*r.Float64(), Beta: .02 + .08*r.Float64(), Gamma: 3e-5 * r.Float64()}}
		l, err := queueing.NewLaw(law)
		if err != nil {
			panic(err)
		}
		return &Sized{
			Pair:   &Pair{Accelerator: &fleet.Accelerator{Name: acc, Cost: 1 + float64(r.IntN(4)), Cards: 1}, Performance: law, Law: l},
			Limits: queueing.Limits{MaxBatch: 128, MaxBatchedTokens: 8192}, demand: demand,
		}
	}
	rate := 10 * r.Float64()
	s := &Server{
		Server: &fleet.Server{}, Targets: Targets{TTFT: .3 + 2*r.Float64(), ITL: .015 + .04*r.Float64(), Percentile: []float64{0, 90}[r.IntN(2)]},
		Demand: demand.Demand{Rate: rate, InputTokens: 500 + 6000*r.Float64(), OutputTokens: 50 + 500*r.Float64(), InputTokensSD: math.NaN(), OutputTokensSD: math.NaN()},
	}
	x := &roles{prefill: part("P", 1+r.IntN(4), rate), decode: part("D", 1+r.IntN(4), rate), requests: s.Demand.Requests(1)}
	x.under(x.prefill.Law, x.decode.Law, []string{"", jsonspec.RoutingRoundRobin, jsonspec.RoutingLeastRequest}[r.IntN(3)])
	return x, s
}

// What is found is the cheapest of all numbers of replicas up to some that meet the targets, and meets them; where nothing is found, none do.
func TestFewestReplicasOfRoles(t *testing.T) {
	found := 0
	for seed := range uint64(200) {
		x, s := rolesOf(rand.New(rand.NewPCG(seed, 3)))
		cost := func(p, d int) float64 { return float64(p)*x.prefill.Cost() + float64(d)*x.decode.Cost() }
		n, _, err := x.search(s, 1)
		alone, other := FewestOfRoles(x.split, x.requests, s.Targets, s.Demand.Rate, [2]float64{x.prefill.Cost(), x.decode.Cost()})
		if (err == nil) != (other == nil) || err == nil && (alone[0] != n[0] || alone[1] != n[1]) {
			t.Errorf("seed %d: %v, %v without a server, %v, %v with one", seed, alone, other, n, err)
		}
		const most = 14
		best := math.Inf(1)
		for p := 1; p <= most; p++ {
			for d := 1; d <= most; d++ {
				replica, err := x.with(p, d)
				if err != nil {
					t.Fatal(err)
				}
				if replica.MaxRate() < s.Demand.Rate {
					continue
				}
				q := newSearch(replica, s.Targets)
				if q.over(s.Demand.Rate) <= 0 {
					best = min(best, cost(p, d))
				}
			}
		}
		switch {
		case err != nil && !math.IsInf(best, 1):
			t.Errorf("seed %d: %v, but it can be met for %v", seed, err, best)
		case err == nil && n[0] <= most && n[1] <= most && cost(n[0], n[1]) > best+1e-9:
			t.Errorf("seed %d: %v cost %v, the best %v", seed, n, cost(n[0], n[1]), best)
		case err == nil && n[0] <= most && n[1] <= most && cost(n[0], n[1]) < best-1e-9:
			t.Errorf("seed %d: %v miss the targets", seed, n)
		case err == nil:
			found++
		}
	}
	if found < 50 {
		t.Errorf("%d of 200 can be served: the test says little", found)
	}
}

// A plan that is resized gives back roles in their ratio, and keeps what it has where more are held.
func TestResizeRoles(t *testing.T) {
	x, _ := rolesOf(rand.New(rand.NewPCG(1, 3)))
	c := x.candidate(4, 2, 1)
	for _, tt := range []struct {
		replicas, inForceP, inForceD int
		wantP, wantD                 int
	}{
		{6, 0, 0, 4, 2}, {5, 0, 0, 3, 2}, {3, 0, 0, 2, 1}, {1, 9, 9, 0, 0},
		{8, 4, 6, 4, 4}, {8, 6, 2, 6, 2}, {9, 4, 3, 6, 3}, {12, 0, 0, 8, 4},
	} {
		got := c.Resize(tt.replicas, map[string]int{"P": tt.inForceP, "D": tt.inForceD}, "")
		if got[0].Replicas != tt.wantP || got[1].Replicas != tt.wantD {
			t.Errorf("%d replicas with %d + %d in force: %d + %d, want %d + %d", tt.replicas, tt.inForceP, tt.inForceD, got[0].Replicas, got[1].Replicas, tt.wantP, tt.wantD)
		}
	}
	if c.Replicas() != 6 || c.Needed(2, 0, 0) != 12 || c.Needed(2, 0, 10) != 10 {
		t.Errorf("%d replicas, %d for twice the load", c.Replicas(), c.Needed(2, 0, 0))
	}
}

// Of roles that could not be sized nothing is predicted.
func TestRolesThatWereNotSized(t *testing.T) {
	x, s := rolesOf(rand.New(rand.NewPCG(1, 3)))
	x.split = queueing.Split{}
	c := x.candidate(1, 1, 1)
	if ttft, itl := c.Latencies(c.Parts); !ttft.IsZero() || !itl.IsZero() {
		t.Errorf("predicted %v, %v", ttft, itl)
	}
	if within, all := new(Stage).Served(s, c.Parts); !within.IsZero() || !all.IsZero() {
		t.Errorf("serve %v, %v", within, all)
	}
}

// Replicas for more load are those that are needed for it, not each role's rounded up: never fewer for more, and for the same load those that it has.
func TestRolesGrowAsTheirLoadDoes(t *testing.T) {
	fewer := 0
	for seed := range uint64(200) {
		x, s := rolesOf(rand.New(rand.NewPCG(seed, 5)))
		x.server = s
		n, _, err := x.search(s, 1)
		if err != nil {
			continue
		}
		c := x.candidate(n[0], n[1], s.Demand.Rate)
		last := 0.0
		for _, factor := range []float64{1, 1.1, 1.5, 2} {
			grown := c.Grown(factor, 0)
			if factor == 1 && (grown[0] != n[0] || grown[1] != n[1]) {
				t.Errorf("seed %d: %v for the load of %v", seed, grown, n)
			}
			cost := float64(grown[0])*x.prefill.Cost() + float64(grown[1])*x.decode.Cost()
			if cost < last {
				t.Errorf("seed %d: %v for %g times the load of %v cost less than for less", seed, grown, factor, n)
			}
			if rounded := scaled(n, factor); grown[0]+grown[1] < rounded[0]+rounded[1] {
				fewer++
			}
			last = cost
		}
	}
	if fewer < 20 {
		t.Errorf("fewer than rounded up in %d cases: the test says little", fewer)
	}
}

// A trim of roles is of both together, and takes off what they sustain.
func TestTrimOfRoles(t *testing.T) {
	x, s := rolesOf(rand.New(rand.NewPCG(1, 3)))
	n, _, err := x.search(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	within, full := x.served(s, n[0], n[1])
	x.prefill.Trim, x.decode.Trim = math.Log(0.5), math.Log(0.5)
	half, _ := x.served(s, n[0], n[1])
	if got, want := half.Or(0), within.Or(0)/2; math.Abs(got-want) > 0.05*want && got < full.Or(0)/2*(1-1e-9) {
		t.Errorf("half as fast they serve %v, want %v", got, want)
	}
	more, _, err := x.search(s, 1)
	twice, _, doubled := x.search(s, 2)
	if err != nil || doubled != nil || more[0]+more[1] < n[0]+n[1] || more[0]+more[1] > twice[0]+twice[1] {
		t.Errorf("half as fast %v of them are needed, after %v; for twice the load then %v; %v, %v", more, n, twice, err, doubled)
	}

	x.prefill.Performance.Role, x.decode.Performance.Role = jsonspec.RolePrefill, jsonspec.RoleDecode
	apart := served(0.9, func(s *Server) {
		s.Pairs = []*Pair{x.prefill.Pair, x.decode.Pair}
		s.Plan.Parts = []fleet.Part{{Accelerator: "P", Replicas: 1}, {Accelerator: "D", Replicas: 2}}
		s.Seen.Pods = []fleet.Pods{{Accelerator: "P", Ready: 1}, {Accelerator: "D", Ready: 2}}
	})
	if got := trim(nil, apart); !(got["P+D"] < 0) || len(got) != 1 {
		t.Errorf("misses of roles give the trims %v", got)
	}
	apart.Seen.Pods[1].Ready = 1
	if got := trim(nil, apart); got != nil {
		t.Errorf("while a decode is missing the trims are %v", got)
	}
}
