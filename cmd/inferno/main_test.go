package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
)

const systems = "../../test/data/systems/"

// execute runs a command line and returns what it printed and its exit status.
func execute(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	root := newRootCommand()
	root.SetOut(&out)
	root.SetErr(&errOut)
	status = run(t.Context(), root, args)
	return out.String(), errOut.String(), status
}

// What docs/variants.md shows is what the command prints, and the parts name variant and role.
func TestPlanRoles(t *testing.T) {
	stdout, stderr, status := execute(t, "plan", "--system", systems+"roles/system.yaml")
	if status != 0 {
		t.Fatal(stderr)
	}
	page, err := os.ReadFile("../../docs/variants.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.SplitN(stdout, "\n", 4)[:3] {
		if !strings.Contains(string(page), strings.TrimSpace(line)) {
			t.Errorf("docs/variants.md does not show %q", line)
		}
	}
	stdout, _, _ = execute(t, "plan", "--system", systems+"roles/system.yaml", "-o", "json")
	var plan jsonspec.Solution
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	parts := plan.Allocations["chat"].Parts
	if len(parts) != 2 || parts[0].Role != jsonspec.RolePrefill || parts[1].Role != jsonspec.RoleDecode || parts[0].Variant != "prefill" || parts[0].Accelerator != "B200" {
		t.Errorf("parts %+v", parts)
	}
}

func TestPlanJSON(t *testing.T) {
	candidates := filepath.Join(t.TempDir(), "candidates.json")
	stdout, stderr, status := execute(t, "plan", "--system", systems+"small", "-o", "json", "--candidates", candidates)
	if status != 0 {
		t.Fatal(stderr)
	}
	var plan map[string]json.RawMessage
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"allocations", "totalCost", "unserved", "solver"} {
		if plan[key] == nil || string(plan[key]) == "null" {
			t.Errorf("%s is missing", key)
		}
	}
	var list []map[string]any
	data, err := os.ReadFile(candidates)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	// 15 servers on 6 accelerators each.
	if len(list) != 90 {
		t.Errorf("%d candidates", len(list))
	}
	for _, key := range []string{"server", "accelerator", "type", "priority", "numReplicas", "units", "maxBatch", "cost", "value", "itl", "ttft", "feasible"} {
		if _, ok := list[0][key]; !ok {
			t.Errorf("candidates do not tell %s", key)
		}
	}
	for _, c := range list {
		if c["feasible"] == false && c["reason"] == nil {
			t.Errorf("%v is infeasible without a reason", c)
		}
	}
}

func TestPlanTableAndYAML(t *testing.T) {
	table, _, status := execute(t, "plan", "--system", systems+"small")
	lines := strings.Split(table, "\n")
	if status != 0 || !strings.HasPrefix(lines[0], "SERVER") || !strings.HasPrefix(lines[1], "Premium-granite_13b") || !strings.Contains(table, "total cost") {
		t.Errorf("status %d:\n%s", status, table)
	}
	yaml, _, status := execute(t, "plan", "--system", systems+"small", "-o", "yaml", "--solver", "greedy")
	if status != 0 || !strings.Contains(yaml, "allocations:") || !strings.Contains(yaml, "name: greedy") {
		t.Errorf("status %d:\n%.300s", status, yaml)
	}
}

// scarce writes the small system with hardly any capacity and without best effort.
func scarce(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(systems+"small")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"capacity-data.json":  `{"count": [{"type": "G2", "count": 40}]}`,
		"optimizer-data.json": `{"optimizer": {"saturationPolicy": "None"}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The table names every server that is not served, with what it lacks.
func TestPlanSaysWhoIsNotServed(t *testing.T) {
	stdout, _, _ := execute(t, "plan", "--system", scarce(t), "-o", "json")
	var plan jsonspec.Solution
	if err := json.Unmarshal([]byte(stdout), &plan); err != nil {
		t.Fatal(err)
	}
	table, _, status := execute(t, "plan", "--system", scarce(t))
	if status != 0 || len(plan.Unserved) == 0 {
		t.Fatalf("status %d, %d unserved", status, len(plan.Unserved))
	}
	for _, u := range plan.Unserved {
		if u.Reason == "" || !strings.Contains(table, u.Server+": "+u.Reason) {
			t.Errorf("%s (%s) is not in the table", u.Server, u.Reason)
		}
	}
}

// Bad input ends with status 2 and names every fault.
func TestBadInput(t *testing.T) {
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(systems+"small")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(broken, "capacity-data.json"), []byte(`{"count":[{"type":"L4","count":-1},{"type":"L4","count":2}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"plan"}, []string{"--system: is missing"}},
		{[]string{"plan", "--output", "xml", "--solver", "oracle", "--queue-model", "tea-leaves"}, []string{
			"--system: is missing", `--output: "xml" is not allowed, must be one of table, json, yaml`, `--solver: "oracle" is not allowed, must be one of auto,`, `--queue-model: "tea-leaves"`,
		}},
		{[]string{"plan", "--system", "no/such/place"}, []string{`--system: "no/such/place": no such file`}},
		{[]string{"forecast", "--data", "x", "--horizon", "600,soon"}, []string{`--horizon: "600,soon" is not allowed, must be numbers separated by commas`}},
		{[]string{"up", "--pod-startup", "soon"}, []string{`--pod-startup: "soon" is not allowed, must be a duration such as 90s or 2m`}},
		{[]string{"plan", "--system", broken}, []string{"capacity.count[0].count: -1 is not allowed", `"L4" is given twice`}},
		{[]string{"plan", "--sistem", "x"}, []string{"unknown flag: --sistem"}},
		{[]string{"plan", "extra"}, []string{`unknown command "extra"`}},
		{[]string{"dance"}, []string{`unknown command "dance"`}},
		{[]string{"up", "--nodes", "h100=0x8,abacus=1x1,h100=1x2", "--pod-startup", "-1s"}, []string{`"h100=0x8" is not allowed`, `"abacus=1x1" is not allowed`, "--pod-startup: -1s"}},
	} {
		_, stderr, status := execute(t, c.args...)
		if status != exitBadInput {
			t.Errorf("%v: status %d, want %d", c.args, status, exitBadInput)
		}
		for _, want := range c.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%v: %q does not say %q", c.args, stderr, want)
			}
		}
	}
}

func TestWarningsDoNotStop(t *testing.T) {
	dir := scarce(t)
	if err := os.WriteFile(filepath.Join(dir, "capacity-data.json"), []byte(`{"count":[{"type":"H1OO","count":4}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, status := execute(t, "plan", "--system", dir)
	if status != 0 || !strings.Contains(stderr, `warning: capacity.count[0].type: "H1OO" is the type of no accelerator`) {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestExitStatusOfOtherFailures(t *testing.T) {
	root := newRootCommand()
	root.RunE = nil
	if err := (badInput{errors.New("x")}); !errors.As(error(err), &badInput{}) {
		t.Error("bad input is not recognised")
	}
	if _, _, status := execute(t, "plan", "--system", systems+"small", "--candidates", "no/such/place/c.json"); status != exitFailure {
		t.Errorf("status %d, want %d", status, exitFailure)
	}
}
