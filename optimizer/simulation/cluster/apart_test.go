package cluster

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/placement"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

// apart is a cluster whose model also runs with roles on A, and as groups of two pods of two cards each.
func apart() Config {
	c := config()
	c.Pools = []Pool{{Type: "A", Cards: 4, Nodes: 4}, {Type: "B", Cards: 4, Nodes: 1}}
	for _, way := range []Truth{
		{Role: jsonspec.RolePrefill, Variant: "fill", Count: 2}, {Role: jsonspec.RoleDecode, Count: 1}, {Variant: "group", Count: 4, Pods: 2},
	} {
		t := c.Truths[0]
		t.Role, t.Variant, t.Count, t.Pods = way.Role, way.Variant, way.Count, way.Pods
		t.Link = serving.Link{Bandwidth: 1e9, Delay: 0.01, TokenBytes: 1e5}
		c.Truths = append(c.Truths, t)
	}
	return c
}

// ways is an order of so many replicas that do both, prefill, decode, and groups.
func ways(both, prefill, decode, groups int) Order {
	return Order{Replicas: both + prefill + decode + groups, Parts: []jsonspec.AllocationPart{
		{Accelerator: "A", Replicas: both}, {Accelerator: "A", Variant: "fill", Role: jsonspec.RolePrefill, Replicas: prefill},
		{Accelerator: "A", Role: jsonspec.RoleDecode, Replicas: decode}, {Accelerator: "A", Variant: "group", Replicas: groups},
	}}
}

// A server goes from one way to another, and each workload has what is ordered of it; nothing is lost where the one that serves goes once the other does.
func TestWorkloadsOfWays(t *testing.T) {
	c := apart()
	c.Servers[0].Initial = ways(2, 0, 0, 0)
	played := run(t, c, script{60: ways(2, 1, 2, 0), 240: ways(0, 1, 2, 0), 420: ways(0, 0, 0, 1), 600: ways(0, 2, 1, 1)}, 900)
	want := []map[string]int{{"A": 2}, {"A": 2, "A/fill": 1, "A/decode": 2}, {"A/fill": 1, "A/decode": 2}, {}, {"A/group": 1}, {"A/group": 1, "A/fill": 2, "A/decode": 1}}
	if d := cmp.Diff(want, replicas(played, 1, 3, 6, 7, 9, 13)); d != "" {
		t.Error(d)
	}
	r := played.Reports()["s"]
	if r.Total.Arrivals != r.Total.Ended()+r.Queued+r.Pending || r.Total.Completions < r.Total.Arrivals-20 {
		t.Errorf("%+v with %d and %d left", r.Total, r.Queued, r.Pending)
	}
	if played.Scales()["s"].Switches != 5 {
		t.Errorf("%+v, want 5 switches: to prefill and decode, to the group, and back to the two", played.Scales()["s"])
	}
}

// The loss of a worker's node takes a whole replica, which starts again as a whole when there is room for all of it: on a node that comes, or that returns.
func TestLostNodeOfAGroup(t *testing.T) {
	c := apart()
	c.Pools[0].Cards = 2
	c.Servers[0].Initial = ways(0, 0, 0, 1)
	c.Faults = []Fault{{Type: "A", Nodes: 3, At: 100, Until: 400}}
	group, none := map[string]int{"A/group": 1}, map[string]int{}
	if d := cmp.Diff([]map[string]int{group, none, none, group}, replicas(run(t, c, script{}, 700), 0, 2, 6, 9)); d != "" {
		t.Errorf("a node that returns: %s", d)
	}
	// A node that no pod of it is on changes nothing.
	spared := c
	spared.Faults = []Fault{{Type: "A", Nodes: 1, Skip: 1, At: 100, Until: 400}}
	if d := cmp.Diff([]map[string]int{group, group, group}, replicas(run(t, spared, script{}, 400), 0, 2, 5)); d != "" {
		t.Errorf("another node: %s", d)
	}
	spared.Faults = []Fault{{Type: "A", Nodes: 1, Skip: 2, At: 100}}
	if d := cmp.Diff([]map[string]int{group, none, group}, replicas(run(t, spared, script{}, 400), 0, 2, 5)); d != "" {
		t.Errorf("the worker's node, with others to go to: %s", d)
	}
	c.Pools[0].Elastic, c.Pools[0].Delay = 1, 60
	if d := cmp.Diff([]map[string]int{group, none, group, group}, replicas(run(t, c, script{}, 700), 0, 2, 6, 9)); d != "" {
		t.Errorf("a node that comes: %s", d)
	}
}

// A replica of two pods has both in one rack: of three nodes of one rack, two of another and one of none there are two, not three.
func TestGroupsWithinADomain(t *testing.T) {
	c := apart()
	c.Pools = []Pool{
		{Type: "A", Cards: 2, Nodes: 3, Domains: map[string]string{"rack": "r1"}}, {Type: "A", Cards: 2, Nodes: 2, Domains: map[string]string{"rack": "r2"}}, {Type: "A", Cards: 2, Nodes: 1},
	}
	c.Truths[len(c.Truths)-1].Domain = "rack"
	c.Servers[0].Initial = ways(0, 0, 0, 1)
	if d := cmp.Diff([]map[string]int{{"A/group": 1}, {"A/group": 2}, {"A/group": 2}}, replicas(run(t, c, script{60: ways(0, 0, 0, 2), 240: ways(0, 0, 0, 3)}, 900), 0, 4, 13)); d != "" {
		t.Error(d)
	}
	// The first is in the rack that it fills: of three nodes there would be one left.
	if places := map[string]int{"r1": 3, "r2": 2}; !slices.Equal(placement.Domains(places, 2), []string{"r2", "r1"}) {
		t.Errorf("the racks in order are %v", placement.Domains(places, 2))
	}
	c.Truths[len(c.Truths)-1].Domain = "zone"
	c.Servers[0].Initial = ways(1, 0, 0, 0)
	if d := cmp.Diff([]map[string]int{{"A": 1}}, replicas(run(t, c, script{60: ways(1, 0, 0, 1)}, 600), 8)); d != "" {
		t.Errorf("without such a label: %s", d)
	}
}

// random orders, with a look at every view: nothing is ever half seated, on a node that is not there, or beyond the cards of one.
type random struct {
	*testing.T
	*rand.Rand
	groups, most int
}

func (*random) Interval() float64 { return 15 }
func (*random) Lag() float64      { return 7 }

func (r *random) Decide(v *View) (map[string]Order, error) {
	free, racks := map[string]int{}, map[string]string{}
	for _, n := range v.Nodes {
		free[n.Name], racks[n.Name] = n.Cards, n.Domains["rack"]
	}
	bound := 0
	for _, s := range v.Servers {
		for _, p := range append(s.Pods, s.Departed...) {
			if p.Node == "" {
				if len(p.Workers) > 0 {
					r.Fatalf("%v s: %s has workers on %v and no leader", v.Now, p.Name, p.Workers)
				}
				continue
			}
			pods := 1
			if p.Variant == "group" {
				pods, bound = 2, bound+1
			}
			if len(p.Workers) != pods-1 {
				r.Fatalf("%v s: %s of %d pods has %d workers", v.Now, p.Name, pods, len(p.Workers))
			}
			for _, n := range append(p.Workers, p.Node) {
				if pods > 1 && (racks[n] == "" || racks[n] != racks[p.Node]) {
					r.Fatalf("%v s: %s is in rack %q, its leader in %q", v.Now, n, racks[n], racks[p.Node])
				}
				if _, there := free[n]; !there {
					r.Fatalf("%v s: %s is on %s, which is not there", v.Now, p.Name, n)
				}
				if free[n] -= p.Cards / pods; free[n] < 0 {
					r.Fatalf("%v s: %s has more cards taken than it has", v.Now, n)
				}
			}
		}
	}
	r.groups, r.most = r.groups+bound, max(r.most, bound)
	if r.IntN(4) > 0 {
		return nil, nil
	}
	return map[string]Order{"s": ways(r.IntN(4), r.IntN(3), r.IntN(4), r.IntN(5))}, nil
}

func TestGroupsAreNeverHalfSeated(t *testing.T) {
	groups, most, retried := 0, 0, 0
	for seed := range uint64(100) {
		p := &random{T: t, Rand: rand.New(rand.NewPCG(seed, 9))}
		c := apart()
		c.Seed = seed
		c.Pools = append(c.Pools, c.Pools[0])
		c.Pools[0].Nodes, c.Pools[0].Elastic, c.Pools[0].Delay, c.Pools[0].Domains = 2, 2, 60, map[string]string{"rack": "r1"}
		c.Pools[2].Nodes, c.Pools[2].Domains = 2, map[string]string{"rack": "r2"}
		c.Truths[len(c.Truths)-1].Domain = "rack"
		c.Times.StartUp = float64(30 + p.IntN(120))
		for at := 60.0; at < 1500; at += 60 + 240*p.Float64() {
			c.Faults = append(c.Faults, Fault{Type: "A", Nodes: 1 + p.IntN(3), At: at, Until: at + 30 + 90*p.Float64()})
		}
		c.Servers[0].Initial = ways(1, 1, 1, 1)
		r := run(t, c, p, 1800).Reports()["s"]
		if r.Total.Arrivals != r.Total.Ended()+r.Queued+r.Pending {
			t.Fatalf("seed %d: %+v and %d and %d left", seed, r.Total, r.Queued, r.Pending)
		}
		groups, most, retried = groups+p.groups, max(most, p.most), retried+r.Total.Retried
	}
	if groups < 1000 || most < 3 || retried < 1000 {
		t.Errorf("%d groups seen, %d at most, %d requests retried: too little went on", groups, most, retried)
	}
}

// watcher keeps the last view.
type watcher struct{ last *View }

func (*watcher) Interval() float64 { return 15 }
func (*watcher) Lag() float64      { return 0 }

func (w *watcher) Decide(v *View) (map[string]Order, error) { w.last = v; return nil, nil }

// Engines tell of what their own requests did: of a prompt one token, and of its first one as of when the prompt was there; of a decode a first token after the
// transfer, and all tokens.
func TestMetricsOfRoles(t *testing.T) {
	c := apart()
	for i := range c.Truths {
		c.Truths[i].Link = serving.Link{Delay: 0.5}
	}
	c.Servers[0].Initial = ways(0, 1, 1, 0)
	w := new(watcher)
	total := run(t, c, w, 600).Reports()["s"].Total
	by := map[string]Sample{}
	for _, p := range w.last.Servers[0].Pods {
		x, known := p.Series.at(600)
		if !known || p.Accelerator != "A" || p.Cards != map[string]int{jsonspec.RolePrefill: 2, jsonspec.RoleDecode: 1}[p.Role] {
			t.Fatalf("%+v", p)
		}
		by[p.Role] = x
	}
	prefill, decode := by[jsonspec.RolePrefill].Value, by[jsonspec.RoleDecode].Value
	if n := prefill[Completions]; prefill[GenerationTokens] != n || prefill[TTFTCount] != n || prefill[ITLCount] != 0 || n < decode[Completions] || n > float64(total.Arrivals) {
		t.Errorf("prefill: %v requests with %v tokens and %v first tokens, %v intervals", n, prefill[GenerationTokens], prefill[TTFTCount], prefill[ITLCount])
	}
	if n := decode[Completions]; n < 2800 || decode[GenerationTokens] < 15*n || decode[PromptTokens] < 80*n || decode[ITLCount] < 14*n {
		t.Errorf("decode: %v requests with %v + %v tokens, %v intervals", n, decode[PromptTokens], decode[GenerationTokens], decode[ITLCount])
	}
	first := [2]float64{prefill[TTFTSum] / prefill[TTFTCount], decode[TTFTSum] / decode[TTFTCount]}
	if whole := total.TTFT.Mean; first[0] > 0.1 || first[1] < 0.5 || whole < first[0]+first[1]-0.01 || whole > first[0]+first[1]+0.01 {
		t.Errorf("mean TTFT %v and %v s at the two, %v s for clients", first[0], first[1], whole)
	}
}
