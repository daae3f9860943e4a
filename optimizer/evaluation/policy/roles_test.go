package policy

import (
	"slices"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/cluster"
)

func fleetOf(t *testing.T, name string, duration float64) *Fleet {
	t.Helper()
	s, err := scenario.Open("../../../test/data/scenarios/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	s.Duration = duration
	f, err := NewFleet(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What roles need by hand, with laws that are straight lines: a prompt of 1000 tokens takes 10 + 100 ms, n requests that decode 10 + n ms for an iteration.
func TestNeedsOfRoles(t *testing.T) {
	f := fleetOf(t, "long-prompts", 1200)
	for i := range f.Config.Truths {
		truth := &f.Config.Truths[i]
		if truth.StepTime = (simulation.Linear{Base: 0.01, PerToken: 1e-4}); truth.Role == jsonspec.RoleDecode {
			truth.StepTime = simulation.Linear{Base: 0.01, PerToken: 1e-3}
			truth.Cache = simulation.Cache{BlockSize: 10, Blocks: 1200} // 12 requests of 1000 tokens
		}
	}
	p, err := f.pairOf("llama")
	if err != nil {
		t.Fatal(err)
	}
	if p.limits.MaxNumBatchedTokens = 1999; p.prefill != "H100/prefill" || p.decode != "H100/decode" {
		t.Fatalf("roles on %s and %s", p.prefill, p.decode)
	}
	for _, c := range []struct {
		rate, itl float64
		want      counts
	}{
		{1, 0.02, counts{1, 1}},    // 1 prompt of 110 ms; 10 requests make 500 tokens a second
		{10, 0.02, counts{2, 4}},   // 1.1 s of prompts each second; 2000 tokens
		{10, 0.0135, counts{2, 9}}, // 3 requests make 231 tokens a second
		{10, 0.5, counts{2, 4}},    // 12 requests that the cache holds make 545
	} {
		if got := p.needs(Demand{Rate: c.rate, InputTokens: 1000 - 100, OutputTokens: 200}, c.itl); got.decode != c.want.decode {
			t.Errorf("%v requests/s within %v s: %+v, want %+v", c.rate, c.itl, got, c.want)
		}
		if got := p.needs(Demand{Rate: c.rate, InputTokens: 1000, OutputTokens: 200}, c.itl); got.prefill != c.want.prefill {
			t.Errorf("%v requests/s: %+v, want %+v", c.rate, got, c.want)
		}
	}
	p.limits.MaxNumBatchedTokens = 250 // four parts of 10 + 25 ms each
	if got := p.promptSeconds(1, 1000); got < 0.14-1e-9 || got > 0.14+1e-9 {
		t.Errorf("a prompt in parts takes %v s, want 0.14", got)
	}
}

// Policies of roles are for scenarios where all servers have them.
func TestPoliciesForAScenario(t *testing.T) {
	names := func(scenario string) (all []string) {
		for _, e := range For(fleetOf(t, scenario, 600).Scenario) {
			all = append(all, e.Name)
		}
		return all
	}
	without, with := names("short"), names("long-prompts")
	for _, name := range append(slices.Clone(apart), NameInfernoTogether) {
		if slices.Contains(without, name) || !slices.Contains(with, name) {
			t.Errorf("%s: %v without roles, %v with", name, slices.Contains(without, name), slices.Contains(with, name))
		}
	}
	if len(with) != len(Entries()) {
		t.Errorf("%v of a scenario with roles", with)
	}
	e, err := Find(NameDynamo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.New(fleetOf(t, "short", 600), nil); err == nil {
		t.Error("roles that are not there are planned with")
	}
}

// Each policy of roles serves from the start, with what it orders, and no request is lost.
func TestPoliciesOfRoles(t *testing.T) {
	f := fleetOf(t, "roles-shapes", 1500)
	for _, name := range apart {
		e, err := Find(name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.New(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		config := *f.Config
		config.Servers = slices.Clone(config.Servers)
		config.Servers[0].Initial = p.(interface {
			Initial() map[string]cluster.Order
		}).Initial()["llama"]
		c, err := cluster.New(config, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(f.Scenario.Duration); err != nil {
			t.Fatal(err)
		}
		r := c.Reports()["llama"]
		if r.Total.Arrivals != r.Total.Ended()+r.Queued+r.Pending || r.Total.Completions < r.Total.Arrivals/2 {
			t.Errorf("%s: %+v with %d and %d left", name, r.Total, r.Queued, r.Pending)
		}
		for _, w := range r.Windows {
			if w.Replicas["H100/prefill"] == 0 || w.Replicas["H100/decode"] == 0 || len(w.Replicas) != 2 {
				t.Errorf("%s: replicas %v at %v s", name, w.Replicas, w.Start)
				break
			}
		}
	}
}

// A schedule of roles has what their share of the load to come needs, never more than there is room for, and there is none where no server has roles.
func TestScheduleOfRoles(t *testing.T) {
	f := fleetOf(t, "long-prompts", 5400)
	load, err := f.Foresee(60)
	if err != nil {
		t.Fatal(err)
	}
	p := f.server("llama")
	before := counts{}
	for _, share := range []float64{1.2, 0.8, 0.4, 0.05} {
		s := f.NewScheduleApart(load, share)
		plan := s.plan["llama"]
		prefill, decode := slices.Max(plan["H100/prefill"]), slices.Max(plan["H100/decode"])
		if prefill < before.prefill || decode < before.decode || len(plan) != 2 {
			t.Errorf("share %v: %d and %d replicas of %v, before %+v", share, prefill, decode, plan, before)
		}
		for k := range plan["H100/prefill"] {
			if n := plan["H100/prefill"][k] + plan["H100/decode"][k]; n > 32 { // of four cards on sixteen nodes of eight
				t.Errorf("%d replicas in slot %d", n, k)
			}
		}
		if first := s.Initial()[p.Name]; len(first.Parts) != 2 || first.Parts[0].Role != jsonspec.RoleDecode || first.Parts[0].Replicas < 1 {
			t.Errorf("begins with %+v", first)
		}
		before = counts{prefill, decode}
	}
	if f = fleetOf(t, "short", 600); f.NewScheduleApart(load, 1) != nil {
		t.Error("there is a schedule of roles without any")
	}
}

// inRacks looks at what a policy sees: the pods of each group are in one rack, and how many groups there are at most.
type inRacks struct {
	*testing.T
	cluster.Policy
	most int
}

func (r *inRacks) Decide(v *cluster.View) (map[string]cluster.Order, error) {
	racks, groups := map[string]string{}, 0
	for _, n := range v.Nodes {
		racks[n.Name] = n.Domains["rack"]
	}
	for _, s := range v.Servers {
		for _, p := range append(s.Pods, s.Departed...) {
			for _, worker := range p.Workers {
				if groups++; racks[p.Node] == "" || racks[worker] != racks[p.Node] {
					r.Errorf("%v s: %s has its leader in rack %q, a worker in %q", v.Now, p.Name, racks[p.Node], racks[worker])
				}
			}
		}
	}
	r.most = max(r.most, groups)
	return r.Policy.Decide(v)
}

// A model whose replicas are two nodes of one rack is planned for by racks: it gets its second replica when its load rises, each whole in a rack. Where one node of either
// rack is no more, there is room for it no longer, and no plan asks for it.
func TestPlansByRacks(t *testing.T) {
	for nodes, want := range map[int]int{3: 2, 2: 1} {
		f := fleetOf(t, "racks", 4500)
		for i := range f.Config.Pools {
			f.Config.Pools[i].Nodes = nodes
		}
		e, err := Find("inferno")
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.New(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := &inRacks{T: t, Policy: p}
		c, err := cluster.New(*f.Config, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Run(f.Scenario.Duration); err != nil {
			t.Fatal(err)
		}
		if r.most != want {
			t.Errorf("of racks of %d nodes at most %d groups were seated, want %d", nodes, r.most, want)
		}
	}
}
