package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

func TestPlanWhatIf(t *testing.T) {
	args := []string{"plan", "--system", scarce(t), "--what-if", "capacity.G2=+200", "--what-if", "load.Premium-granite_13b=*3", "--what-if", "price.G2=*2"}
	stdout, stderr, status := execute(t, append(args, "-o", "json")...)
	if status != 0 {
		t.Fatal(stderr)
	}
	var plan, alone jsonspec.Solution
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
	at := slices.IndexFunc(d.Changed, func(c jsonspec.AllocationChange) bool { return c.Server == "Premium-granite_13b" })
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

// What if is asked of roles as of all else: more load needs more of both, and without their cards they move together.
func TestPlanWhatIfOfRoles(t *testing.T) {
	roles := func(changes ...string) map[string]int {
		args := []string{"plan", "--system", systems + "roles/system.yaml", "-o", "json"}
		for _, c := range changes {
			args = append(args, "--what-if", c)
		}
		stdout, stderr, status := execute(t, args...)
		if status != 0 {
			t.Fatal(stderr)
		}
		var plan jsonspec.Solution
		if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(plan.WhatIf.Changed, func(c jsonspec.AllocationChange) bool { return c.Server == "chat" })
		if at < 0 {
			t.Fatalf("%v change nothing of chat: %+v", changes, plan.WhatIf)
		}
		n := map[string]int{}
		for _, p := range plan.WhatIf.Changed[at].After.Parts {
			n[p.Accelerator+"/"+p.Role] += p.Replicas
		}
		return n
	}
	if diff := cmp.Diff(map[string]int{"B200/prefill": 9, "B200/decode": 3}, roles("load.chat=*2")); diff != "" {
		t.Errorf("twice the load (-want +got)\n%s", diff)
	}
	few := roles("capacity.B200=8", "slo-ttft.premium=*1")
	if few["H200/prefill"] == 0 || few["H200/decode"] == 0 || few["B200/prefill"] > 0 && few["B200/decode"] == 0 {
		t.Errorf("with 8 B200 chat has %v", few)
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
