package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/evaluation/contest"
	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/solver"
	"github.com/llm-inferno/inferno/optimizer/solver/conformance"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const scenarios = "../../test/data/scenarios/"

func TestSimulate(t *testing.T) {
	folder := t.TempDir()
	args := []string{"simulate", "--scenario", scenarios + "short.yaml", "--policy", "inferno,hpa-concurrency,llm-inferno", "-o", "json", "--report", folder}
	stdout, stderr, status := execute(t, args...)
	if status != 0 {
		t.Fatal(stderr)
	}
	for _, name := range []string{"inferno", "hpa-concurrency", "llm-inferno"} {
		if !strings.Contains(stderr, "played "+name) {
			t.Errorf("nothing is said while %s is played:\n%s", name, stderr)
		}
	}
	var outcomes []contest.Outcome
	if err := json.Unmarshal([]byte(stdout), &outcomes); err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != 3 || outcomes[0].Policy != "inferno" {
		t.Fatalf("%d outcomes, first %+v", len(outcomes), outcomes[0])
	}
	for _, o := range outcomes {
		if o.Requests < 10000 || !(o.Served > 0 && o.Served <= 1) || !(o.CostPerHour > 0) || len(o.Hours) == 0 || len(o.Classes) != 2 || o.Follow == nil {
			t.Errorf("%s: %+v", o.Policy, o)
		}
	}
	if o := outcomes[0]; o.Served < 0.95 {
		t.Errorf("inferno serves %.3f of the requests", o.Served)
	}
	for _, file := range []string{"short-cost.svg", "short-series.svg", "short-inferno.csv"} {
		if info, err := os.Stat(filepath.Join(folder, file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	picture := filepath.Join(t.TempDir(), "short.svg")
	table, _, _ := execute(t, "simulate", "--scenario", scenarios+"short.yaml", "--policy", "inferno,hpa-concurrency", "--plot", picture)
	if drawn, err := os.ReadFile(picture); err != nil || !strings.Contains(string(drawn), "hpa-concurrency") {
		t.Errorf("the picture does not name the policies: %v", err)
	}
	for _, want := range []string{"WINDOWS", "TTFT ms P50", "ITL ms P50", "chat-premium", "chat-bulk"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
	narrow(t, table)
	again, _, _ := execute(t, args...)
	if d := cmp.Diff(stdout, again); d != "" {
		t.Errorf("a second run differs:\n%s", d)
	}
}

func TestSimulateRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	data, err := os.ReadFile(scenarios + "short.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("duration: 1200", "duration: -1", "server: chat-bulk", "server: nobody", "type: L40S, nodes: 1", "type: TPU, nodes: 1",
		"class: premium", "class: gold").Replace(string(data))
	if err := os.WriteFile(bad, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, status := execute(t, "simulate", "--scenario", bad)
	for _, want := range []string{"duration: -1", `load[1].server: "nobody"`, `server "chat-bulk" has none`, `faults[0].type: "TPU"`, `class "gold" of server "chat-premium" does not exist`} {
		if status != exitBadInput || !strings.Contains(stderr, want) {
			t.Errorf("status %d, %q does not say %q", status, stderr, want)
		}
	}
	_, stderr, status = execute(t, "simulate", "--policy", "magic", "-o", "xml")
	for _, want := range []string{"--scenario", `unknown name "magic"`, `--output: "xml"`} {
		if status != exitBadInput || !strings.Contains(stderr, want) {
			t.Errorf("status %d, %q does not say %q", status, stderr, want)
		}
	}
}

const alone = `
name: alone
duration: 600
pools: [{type: H100, cards: 8, nodes: 1}]
times: {startUp: 30}
system:
  acceleratorData: {accelerators: [{name: H100, cost: 400}]}
  modelData: {models: [{name: m, acc: H100, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}}]}
  serviceClassData: {serviceClasses: [{name: c, priority: 1, modelTargets: [{model: m, slo-itl: 25, slo-ttft: 1000, slo-percentile: 99}]}]}
  serverData: {servers: [{name: s, model: m, class: c, maxQueueSize: 1000}]}
  optimizerData: {optimizer: {saturationPolicy: PriorityExhaustive}}
  capacityData: {count: []}
truths:
- {model: m, accelerator: H100, cache: {blockSize: 16, blocks: 30000}, stepTime: {name: linear, options: {base: 0.009, perToken: 0.00003, perContext: 0.00000005}}}
load: [{server: s, steps: [{at: 0, rate: 8, inputTokens: 300, outputTokens: 60}, {at: 200, rate: 20, inputTokens: 300, outputTokens: 60}]}]
`

func TestTunedAndComparedInHindsight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alone.yaml")
	if err := os.WriteFile(file, []byte(alone), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, status := execute(t, "simulate", "--scenario", file, "--policy", "static-peak,wva-capacity", "-o", "json", "--tune", "--oracle")
	if status != 0 {
		t.Fatal(stderr)
	}
	var outcomes []contest.Outcome
	if err := json.Unmarshal([]byte(stdout), &outcomes); err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != 4 || !strings.HasPrefix(outcomes[2].Settings, "tuned: factor=") {
		t.Fatalf("%d outcomes, want two with defaults and two tuned: %s", len(outcomes), stdout)
	}
	for _, o := range outcomes {
		if o.ToOracle == nil || *o.ToOracle < 1 {
			t.Errorf("%s: ÷ oracle %v, want at least 1", o.Policy, o.ToOracle)
		}
	}
}

// Every scenario that is carried can be played: files exist, names match, priors and truths are in range.
func TestScenariosAreSound(t *testing.T) {
	files, err := filepath.Glob(scenarios + "*.yaml")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, f := range append(files, scenario.BuiltIn()...) {
		if err := loadable(f); err != nil {
			t.Error(err)
		}
	}
}

func TestReplay(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log.jsonl")
	if _, stderr, status := execute(t, "simulate", "--scenario", scenarios+"short.yaml", "--log", log); status != 0 {
		t.Fatal(stderr)
	}
	stdout, stderr, status := execute(t, "replay", log)
	if status != 0 || stdout != "0 of 40 cycles are decided differently\n" {
		t.Errorf("status %d, %q, %s", status, stdout, stderr)
	}
	stdout, stderr, status = execute(t, "replay", log, "--what-if", "price.L40S=*10")
	if status != 0 || strings.HasPrefix(stdout, "0 of") || !strings.Contains(stdout, "H100") {
		t.Errorf("ten times the price of one type changes nothing: status %d, %q, %s", status, stdout, stderr)
	}
	stdout, _, _ = execute(t, "replay", log, "--solver", "greedy", "-o", "json")
	if n := strings.Count(stdout, "\n"); n != 40 {
		t.Errorf("%d lines of JSON for 40 cycles", n)
	}
}

// A cycle whose solver was ended by a deadline is decided the same again, though with more time it would have been decided otherwise.
func TestReplayUnderADeadline(t *testing.T) {
	system, err := specification.Load("../../test/data/systems/large")
	if err != nil {
		t.Fatal(err)
	}
	for i := range system.Capacity.Count {
		system.Capacity.Count[i].Count /= 2
	}
	record := loop.Record{ID: "hurried", Snapshot: specification.Snapshot{System: *system}}
	stages, err := control.NewStages(&system.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := stages.Decide(&conformance.Countdown{Context: t.Context(), Questions: 10}, record.Core(), record.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	record.Decision = specification.Report(system, &d.Decision)
	for reason, differ := range map[string]int{record.Plan.Solver.Ended: 0, string(solver.EndedWork): 1} {
		record.Plan.Solver.Ended = reason
		var line bytes.Buffer
		if err := loop.NewDecisionLog(&line).Write(&record); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(t.TempDir(), "log.jsonl")
		if err := os.WriteFile(log, line.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if stdout, stderr, _ := execute(t, "replay", log); !strings.HasSuffix(stdout, fmt.Sprintf("%d of 1 cycles are decided differently\n", differ)) {
			t.Errorf("ended by %q: %s%s", reason, stdout, stderr)
		}
	}
}

// What llm-inferno's control loop decided on real pods the core decides again, with the stages that loop had.
func TestReplayOfTheReference(t *testing.T) {
	files, err := filepath.Glob("../../test/data/experiments/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no recorded experiments", err)
	}
	for _, f := range files {
		stdout, stderr, status := execute(t, "replay", f)
		if status != 0 || !strings.HasPrefix(stdout, "0 of ") {
			t.Errorf("%s: status %d, %s%s", f, status, stdout, stderr)
		}
	}
	stdout, _, status := execute(t, "replay", files[0], "--what-if", "load.vllm-qwen-14b=*3")
	if status != 0 || strings.HasPrefix(stdout, "0 of ") {
		t.Errorf("three times the load changes nothing: status %d, %q", status, stdout)
	}
}

func TestReplayRefuses(t *testing.T) {
	empty, junk := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "junk")
	for file, text := range map[string]string{empty: "\n", junk: "{\"id\": 3}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"replay"}, {"replay", "/no/such/file"}, {"replay", empty}, {"replay", junk}, {"replay", junk, "-o", "xml"}} {
		if _, _, status := execute(t, args...); status != exitBadInput {
			t.Errorf("%v: status %d", args, status)
		}
	}
}

func loadable(file string) error {
	s, err := scenario.Open(file)
	if err != nil {
		return err
	}
	_, err = s.Cluster()
	return err
}
