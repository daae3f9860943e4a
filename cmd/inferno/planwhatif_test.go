package main

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
)

func TestParseWhatIf(t *testing.T) {
	type change struct {
		kind, name string
		op         byte
		amount     float64
	}
	for text, want := range map[string]change{
		"capacity.H100=+8":         {"capacity", "H100", '+', 8},
		"capacity.A100@zone.a=-16": {"capacity", "A100@zone.a", '-', 16},
		"load.ns/web=*1.5":         {"load", "ns/web", '*', 1.5},
		"load.a=b=3":               {"load", "a=b", '=', 3},
		"price.2xAIU2=1e2":         {"price", "2xAIU2", '=', 100},
		"slo-ttft.Free=0":          {"slo-ttft", "Free", '=', 0},
	} {
		w, err := parseWhatIf(text)
		if got := (change{w.kind, w.name, w.op, w.amount}); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "has no =", "capacity": "has no =", "=": "names nothing", "capacity=3": "names nothing", "load.=3": "names nothing",
		"loads.x=3": "must be one of capacity, load, price, slo-ttft, slo-itl", "load.x=": "is not a change", "load.x=+": "is not a change",
		"load.x=+-3": "is not a change", "load.x=inf": "is not a change", "load.x=NaN": "is not a change", "load.x=0x1p3": "is not a change",
		"load.x=1_0": "is not a change", "load.x=1e999": "is not a change", "capacity.x=+1.5": "must be a whole number",
	} {
		if _, err := parseWhatIf(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v does not say %q", text, err, want)
		}
	}
}

// Whatever is given is refused or gives an amount that is a number, and never changes the system that was asked about, nor makes one that has
// numbers out of range.
func FuzzWhatIf(f *testing.F) {
	for _, text := range []string{"capacity.A=+8", "load.s=*1.5", "price.a=-3", "slo-ttft.c=7", "capacity.N=-3", "capacity.N=9e6", "slo-itl.c=*0", "capacity.A=*1e300", "=", "load.=", "a.b=c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &v1alpha1.System{}
		s.Accelerators.Spec = []v1alpha1.AcceleratorEntry{{Name: "a", AcceleratorSpec: v1alpha1.AcceleratorSpec{AcceleratorProperties: v1alpha1.AcceleratorProperties{Type: "A", Cost: 5}}}}
		s.ServiceClasses.Spec = []v1alpha1.ServiceClassEntry{{Name: "c", ServiceClassSpec: v1alpha1.ServiceClassSpec{ModelTargets: []v1alpha1.ModelTarget{{Model: "m", ITL: 3}}}}}
		s.Servers.Spec = []v1alpha1.ServerEntry{{Name: "s", CurrentAlloc: &v1alpha1.Allocation{Load: &v1alpha1.Load{ArrivalRate: 6}}}}
		s.Accelerators.Spec = append(s.Accelerators.Spec, v1alpha1.AcceleratorEntry{Name: "N"})
		s.Capacity.Count = []v1alpha1.AcceleratorCount{{Type: "A", Count: 4}}
		s.Capacity.Nodes = []v1alpha1.NodeCapacity{{Name: "x", Type: "N", Free: 8}, {Name: "y", Type: "N"}}
		before := s.DeepCopy()
		changed, said, err := ask(s, []string{text})
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatal(diff)
		}
		if err != nil {
			return
		}
		target := changed.ServiceClasses.Spec[0].ModelTargets[0]
		for _, x := range []float64{changed.Accelerators.Spec[0].Cost, target.ITL, target.TTFT, changed.Servers.Spec[0].CurrentAlloc.Load.ArrivalRate, float64(changed.Capacity.Count[0].Count),
			float64(changed.Capacity.Nodes[0].Free), float64(changed.Capacity.Nodes[1].Free)} {
			if !(x >= 0) || math.IsInf(x, 0) {
				t.Errorf("%q makes %v", text, x)
			}
		}
		if len(said) != 1 || said[0] == "" {
			t.Errorf("%q: said %q", text, said)
		}
	})
}

func TestPlanWhatIf(t *testing.T) {
	args := []string{"plan", "--system", scarce(t), "--what-if", "capacity.G2=+200", "--what-if", "load.Premium-granite_13b=*3", "--what-if", "price.G2=*2"}
	stdout, stderr, status := execute(t, append(args, "-o", "json")...)
	if status != 0 {
		t.Fatal(stderr)
	}
	var plan, alone v1alpha1.Solution
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	d := plan.WhatIf
	if d == nil || !slices.Equal(d.Changes, []string{"capacity.G2: 40 → 240", "load.Premium-granite_13b: 60 → 180", "price.G2: 23 → 46"}) {
		t.Fatalf("difference %+v", d)
	}
	if !slices.Contains(d.Served, "Premium-llama_70b") || slices.Contains(d.Lost, "Premium-granite_13b") || d.CostChange != d.TotalCost-plan.TotalCost || d.CostChange <= 0 {
		t.Errorf("served %v, lost %v, cost %v (%+v)", d.Served, d.Lost, d.TotalCost, d.CostChange)
	}
	at := slices.IndexFunc(d.Changed, func(c v1alpha1.AllocationChange) bool { return c.Server == "Premium-granite_13b" })
	if at < 0 || d.Changed[at].Before == nil || d.Changed[at].After.NumReplicas <= d.Changed[at].Before.NumReplicas {
		t.Errorf("three times the load changes nothing: %+v", d.Changed)
	}
	// The plan itself is that of the system as it is.
	stdout, _, _ = execute(t, "plan", "--system", scarce(t), "-o", "json")
	if err := json.Unmarshal([]byte(stdout), &alone); err != nil {
		t.Fatal(err)
	}
	plan.WhatIf, plan.Solver.Seconds, alone.Solver.Seconds = nil, 0, 0
	if diff := cmp.Diff(alone, plan); diff != "" {
		t.Error(diff)
	}
	table, _, status := execute(t, args...)
	for _, want := range []string{"what if capacity.G2: 40 → 240;", " more served, ", "BEFORE"} {
		if status != 0 || !strings.Contains(table, want) {
			t.Errorf("status %d, the table does not say %q:\n%s", status, want, table)
		}
	}
}

func TestPlanWhatIfNothingChanges(t *testing.T) {
	table, _, status := execute(t, "plan", "--system", systems+"small", "--what-if", "slo-itl.Free=*1", "--what-if", "capacity.L4=+0")
	if status != 0 || !strings.Contains(table, "(+0.00); servers: 0 more served, 0 lost; 0 allocations change") {
		t.Errorf("status %d:\n%s", status, table)
	}
}

func TestPlanWhatIfSaysEveryFault(t *testing.T) {
	faults := map[string]string{
		"capacity.G3=+1":                    `accelerator type "G3" does not exist, known are A100, AIU2, G2, L4`,
		"capacity.G2=-4000":                 "would be -3488, must be a finite number of at least 0",
		"capacity.G2=1e12":                  "must be at most",
		"load.nobody=1":                     `server "nobody" does not exist, known are Bronze-granite_13b,`,
		"price.Z=1":                         `accelerator "Z" does not exist, known are 2xAIU2,`,
		"price.L4=-7":                       "would be -1",
		"slo-itl.Gold=1":                    `service class "Gold" does not exist, known are Bronze, Free, Premium`,
		"slo-ttft.Free=*0":                  "which is no target",
		"slo-tps.Free=1":                    `"slo-tps" is not a kind`,
		"load.Premium-granite_13b=tomorrow": `"tomorrow" is not a change`,
	}
	args := []string{"plan", "--system", systems + "small"}
	for text := range faults {
		args = append(args, "--what-if", text)
	}
	_, stderr, status := execute(t, args...)
	if status != exitBadInput {
		t.Errorf("status %d", status)
	}
	for text, want := range faults {
		if !strings.Contains(stderr, `--what-if "`+text+`": `) || !strings.Contains(stderr, want) {
			t.Errorf("%s: %q is not said in\n%s", text, want, stderr)
		}
	}
}

// Of a type with nodes whole nodes are added, and cards taken from the last.
func TestWhatIfNodes(t *testing.T) {
	s := &v1alpha1.System{}
	s.Accelerators.Spec = []v1alpha1.AcceleratorEntry{{Name: "A"}, {Name: "B"}}
	s.Capacity.Nodes = []v1alpha1.NodeCapacity{{Name: "y", Type: "A", Free: 4}, {Name: "x", Type: "A", Free: 8}, {Name: "what-if-A-0", Type: "B", Free: 1}}
	for text, want := range map[string][]v1alpha1.NodeCapacity{
		"capacity.A=+12":  append(slices.Clone(s.Capacity.Nodes), v1alpha1.NodeCapacity{Name: "what-if-A-1", Type: "A", Free: 8}, v1alpha1.NodeCapacity{Name: "what-if-A-2", Type: "A", Free: 4}),
		"capacity.A=-5":   {{Name: "y", Type: "A"}, {Name: "x", Type: "A", Free: 7}, s.Capacity.Nodes[2]},
		"capacity.A=*0.5": {{Name: "y", Type: "A"}, {Name: "x", Type: "A", Free: 6}, s.Capacity.Nodes[2]},
		"capacity.A=12":   s.Capacity.Nodes,
	} {
		changed, _, err := ask(s, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, changed.Capacity.Nodes); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestWhatIfTooManyNodes(t *testing.T) {
	s := &v1alpha1.System{}
	s.Accelerators.Spec = []v1alpha1.AcceleratorEntry{{Name: "A"}}
	s.Capacity.Nodes = []v1alpha1.NodeCapacity{{Name: "x", Type: "A", Free: 1}}
	if _, _, err := ask(s, []string{"capacity.A=+1000000"}); err == nil || !strings.Contains(err.Error(), "more than 100000 nodes") {
		t.Errorf("error %v", err)
	}
}
