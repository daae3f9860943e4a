package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

func TestPlanExplain(t *testing.T) {
	const served, unserved = "Premium-granite_13b", "Free-llama_70b"
	args := []string{"plan", "--system", scarce(t), "--explain", unserved, "--explain", served}
	stdout, stderr, status := execute(t, append(args, "-o", "json")...)
	if status != 0 {
		t.Fatal(stderr)
	}
	var plan jsonspec.Solution
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Explanations) != 2 || plan.Explanations[0].Server != unserved || len(plan.Explanations[1].Candidates) != 6 {
		t.Errorf("explanations %+v", plan.Explanations)
	}
	table, _, status := execute(t, args...)
	for _, want := range []string{"CANDIDATE", "G2 more would serve it with", "cannot be met, the best possible is", "* "} {
		if status != 0 || !strings.Contains(table+strings.Join(strings.Fields(table), " "), want) {
			t.Errorf("status %d, the table does not say %q:\n%s", status, want, table)
		}
	}
}

func TestPlanExplainUnknownServers(t *testing.T) {
	_, stderr, status := execute(t, "plan", "--system", systems+"small", "--explain", "nobody", "--explain", "noone")
	for _, want := range []string{`--explain: server "nobody" does not exist, known are Bronze-granite_13b,`, `"noone"`} {
		if status != exitBadInput || !strings.Contains(stderr, want) {
			t.Errorf("status %d: %q does not say %q", status, stderr, want)
		}
	}
}
