package scenario_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/evaluation/scenario"
	"github.com/llm-inferno/inferno/optimizer/simulation"
	"github.com/llm-inferno/inferno/optimizer/simulation/routing"
	"github.com/llm-inferno/inferno/optimizer/simulation/serving"
)

const small = `
name: small
duration: 600
warmUp: 60
exclude: [{from: 100, until: 130}]
pools: [{type: A100, cards: 4, nodes: 2, elastic: 1, delay: 90}]
system:
  acceleratorData: {accelerators: [{name: A100, cost: 200}, {name: 2xA100, type: A100, multiplicity: 2, cost: 400}]}
  modelData: {models: [{name: m, acc: A100, accCount: 2, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}}]}
  serviceClassData: {serviceClasses: [{name: c, priority: 3, modelTargets: [{model: m, slo-itl: 25, slo-ttft: 1000, slo-percentile: 99}]}]}
  serverData: {servers: [{name: s, model: m, class: c, maxBatchSize: 64, routing: RoundRobin}]}
  optimizerData: {optimizer: {saturationPolicy: None}}
  capacityData: {count: []}
truths:
- {model: m, accelerator: A100, cache: {blockSize: 16, blocks: 30000}, stepTime: {name: linear, options: {base: 0.009, perToken: 0.00003}}}
load: [{server: s, ramp: true, steps: [{at: 0, rate: 10, inputTokens: 100, outputTokens: 50}, {at: 100, rate: 30, inputTokens: 300, outputTokens: 50, cv: 2}]}]
faults: [{type: A100, nodes: 1, at: 300}]
`

func decode(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Decode([]byte(text), "small.yaml", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What is not said has a default, and what is asked of a server is in the units of the core.
func TestDecode(t *testing.T) {
	s := decode(t, small)
	if s.Loop.Interval != 30 || s.Loop.Window != 60 || s.Defaults != (simulation.Limits{MaxNumSeqs: 256, MaxNumBatchedTokens: 8192}) {
		t.Errorf("loop %+v, defaults %+v", s.Loop, s.Defaults)
	}
	if got := s.Targets("s"); got != (serving.Targets{TTFT: 1, ITL: 0.025}) {
		t.Errorf("targets %+v", got)
	}
	if got := s.Limits("s"); got != (simulation.Limits{MaxNumSeqs: 64, MaxNumBatchedTokens: 8192}) {
		t.Errorf("limits %+v", got)
	}
	if s.Priority("s") != 3 || s.Class("s") != "c" || s.Percentile("s") != 99 || !slices.Equal(s.Accelerators("s"), []string{"A100"}) {
		t.Errorf("priority %d, class %s, percentile %v, accelerators %v", s.Priority("s"), s.Class("s"), s.Percentile("s"), s.Accelerators("s"))
	}
}

func TestScores(t *testing.T) {
	s := decode(t, small)
	for at, want := range map[float64]bool{0: false, 59.9: false, 60: true, 99: true, 100: false, 129: false, 130: true, 600: true} {
		if s.Scores(at) != want {
			t.Errorf("what arrives at %v s: in the score %v, want %v", at, !want, want)
		}
	}
}

// The cluster has the scenario's cards, truths and load: a ramp is a stairway whose mean is the ramp, and ends as the last step says.
func TestCluster(t *testing.T) {
	c, err := decode(t, small).Cluster()
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Accelerators[1]; a.Name != "2xA100" || a.Type != "A100" || a.Cards != 2 || a.Price != 400 {
		t.Errorf("accelerator %+v", a)
	}
	if p := c.Pools[0]; p.Cards != 4 || p.Nodes != 2 || p.Elastic != 1 || p.Delay != 90 {
		t.Errorf("pool %+v", p)
	}
	if truth := c.Truths[0]; truth.Count != 2 || truth.StepTime == nil {
		t.Errorf("truth %+v", truth)
	}
	if c.Servers[0].Balancer != routing.RoundRobin || len(c.Servers[0].Traffic) != 1 {
		t.Fatalf("server %+v", c.Servers[0])
	}
	windows := c.Servers[0].Traffic[0].Trace.Windows
	area, last := 0.0, windows[len(windows)-1]
	for _, w := range windows[:len(windows)-1] {
		area += w.Rate * (w.End - w.Start)
	}
	if math.Abs(area-20*100) > 1e-9 {
		t.Errorf("%v requests arrive on the ramp, want 2000", area)
	}
	if last.Start != 100 || !math.IsInf(last.End, 1) || last.Rate != 30 || last.InputMean != 300 || last.CV != 2 || windows[0].CV != 1 {
		t.Errorf("the end of the load is %+v, its begin %+v", last, windows[0])
	}
}

// Files of traces are relative to the scenario.
func TestTracesAreBesideTheScenario(t *testing.T) {
	folder := t.TempDir()
	text := strings.Replace(small, "ramp: true, steps: [{at: 0, rate: 10, inputTokens: 100, outputTokens: 50}, {at: 100, rate: 30, inputTokens: 300, outputTokens: 50, cv: 2}]", "file: no.csv", 1)
	if err := os.WriteFile(filepath.Join(folder, "s.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Open(filepath.Join(folder, "s.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cluster(); err == nil || !strings.Contains(err.Error(), "load[0]") || !strings.Contains(err.Error(), filepath.Join(folder, "no.csv")) {
		t.Errorf("error %v", err)
	}
}

func TestDecodeSaysEveryFault(t *testing.T) {
	text := small
	wants := []string{}
	for _, c := range [][3]string{
		{"duration: 600", "duration: 0", "duration: 0 s, want above 0"},
		{"from: 100, until: 130", "from: 100, until: 100", "exclude[0]: from 100 until 100"},
		{"pools: [{type: A100, cards: 4", "loop: {interval: 31, window: 1}\npools: [{type: A100, cards: 0", "pools[0]: 0 cards"},
		{"", "", "loop.interval: 31 s"},
		{"", "", "loop.window: 1 s"},
		{"model: m, accelerator: A100, cache", "model: m, accelerator: 2xA100, cache", `truths[0]: the system has no performance data of model "m" on accelerator "2xA100"`},
		{"{at: 100, rate: 30", "{at: 0, rate: -1", "load[0].steps[1]"},
		{"faults: [{type: A100", "initial: {s: 0}\npinned: {s: L4}\nfaults: [{type: TPU", `faults[0].type: "TPU"`},
		{"", "", "initial.s: 0"},
		{"", "", `pinned.s: "L4"`},
	} {
		if c[0] != "" && !strings.Contains(text, c[0]) {
			t.Fatalf("%q is not in the scenario", c[0])
		}
		text = strings.Replace(text, c[0], c[1], 1)
		wants = append(wants, c[2])
	}
	_, err := scenario.Decode([]byte(text), "small.yaml", "")
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
	if _, err := scenario.Decode([]byte(small+"colour: red\n"), "small.yaml", ""); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("an unknown field: error %v", err)
	}
}

// Built-in scenarios need nothing but the program, and come before files of the same name.
func TestBuiltIn(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range scenario.BuiltIn() {
		s, err := scenario.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name != name {
			t.Errorf("%s is called %s", name, s.Name)
		}
		if _, err := s.Cluster(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d := cmp.Diff([]string{"impatient", "ramp", "rush-hour"}, scenario.BuiltIn()); d != "" {
		t.Error(d)
	}
	if _, err := scenario.Open("no-such"); err == nil {
		t.Error("a scenario that is neither built in nor a file was opened")
	}
}

// Whatever is decoded is refused with a reason or can be asked about: no scenario makes the reader fail.
func FuzzDecode(f *testing.F) {
	f.Add(small)
	f.Add(strings.Replace(small, "duration: 600", "duration: .nan", 1))
	f.Add("name: x\nsystem: {}\n")
	f.Add("load: [{server: s, steps: [{at: 1e308}]}]")
	f.Add("times: {scrape: -1, sync: 0}")
	for _, name := range scenario.BuiltIn() {
		text, err := os.ReadFile(filepath.Join("builtin", name+".yaml"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := scenario.Decode([]byte(text), "fuzz.yaml", t.TempDir())
		if err != nil {
			return
		}
		if !(s.Duration > 0 && s.WarmUp < s.Duration && s.Loop.Interval > 0 && s.Loop.Window >= 2*s.Times.Scrape) {
			t.Errorf("duration %v, warm-up %v, interval %v, window %v were accepted", s.Duration, s.WarmUp, s.Loop.Interval, s.Loop.Window)
		}
		for _, e := range s.System.Servers.Spec {
			if targets := s.Targets(e.Name); len(s.Accelerators(e.Name)) == 0 || !(targets.TTFT > 0 && targets.ITL > 0) {
				t.Errorf("server %q was accepted with accelerators %v and targets %+v", e.Name, s.Accelerators(e.Name), targets)
			}
			if l := s.Limits(e.Name); l.MaxNumSeqs > l.MaxNumBatchedTokens {
				t.Errorf("limits %+v", l)
			}
			s.Priority(e.Name)
			s.Class(e.Name)
			s.Percentile(e.Name)
		}
		s.Scores(s.WarmUp)
	})
}

// ways is the small scenario with a model that also runs as groups of two pods, and with roles.
func ways() string {
	text := strings.Replace(small, "{name: m, acc: A100, accCount: 2, perf", `{name: m, acc: A100, variant: group, accCount: 8, podsPerReplica: 2, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}},
    {name: m, acc: A100, role: prefill, variant: fill, accCount: 2, transfer: {bandwidth: 2, delay: 3, bytesPerToken: 70000}, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}},
    {name: m, acc: A100, role: decode, accCount: 2, perfParms: {alpha: 9, beta: 0.03, gamma: 0.00005}}, {name: m, acc: A100, accCount: 2, perf`, 1)
	var truths strings.Builder
	for _, variant := range []string{"group", "fill", "decode"} {
		truths.WriteString("- {model: m, accelerator: A100, variant: " + variant + ", cache: {blockSize: 16, blocks: 30000}, stepTime: {name: linear, options: {base: 0.009, perToken: 0.00003}}}\n")
	}
	return strings.Replace(text, "load: [", truths.String()+"load: [", 1)
}

// Ways to run a model have truths of their own, and what replicas are made of is that of the performance data.
func TestWays(t *testing.T) {
	s := decode(t, ways())
	c, err := s.Cluster()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, truth := range c.Truths {
		got = append(got, fmt.Sprintf("%s %s %d in %d: %v", truth.On(), truth.Role, truth.Count, truth.Pods, truth.Link))
	}
	want := []string{"A100  2 in 1: {0 0 0}", "A100/group  8 in 2: {0 0 0}", "A100/fill prefill 2 in 1: {2e+09 0.003 70000}", "A100/decode decode 2 in 1: {0 0 0}"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if a := s.Accelerators("s"); !slices.Equal(a, []string{"A100", "A100/group"}) || !s.HasRoles("s") || !slices.Equal(s.With("s", "prefill"), []string{"A100/fill"}) {
		t.Errorf("replicas that do both on %v, roles %v, prefill on %v", a, s.HasRoles("s"), s.With("s", "prefill"))
	}
	text := ways()
	var wants []string
	for _, c := range [][3]string{
		{"variant: group, cache", "variant: grup, cache", `truths[1]: the system has no performance data of model "m" on accelerator "A100/grup"`},
		{"", "", `truths: there is none of model "m" on accelerator "A100/group" (system.modelData.models[0])`},
		{"variant: decode, cache", "variant: fill, cache", `truths[3]: there is one of model "m" on accelerator "A100/fill" already`},
		{"role: decode, ", "role: decode, ranks: 4, tokensPerIteration: 2, ", "system.modelData.models[2]: 4 ranks and 2 tokens per iteration"},
		{"faults: [", "pinned: {s: A100/fill, x: A100}\nfaults: [", `pinned.s: "A100/fill"`},
		{"", "", "pinned.x: no such server"},
	} {
		if c[0] != "" && !strings.Contains(text, c[0]) {
			t.Fatalf("%q is not in the scenario", c[0])
		}
		text, wants = strings.Replace(text, c[0], c[1], 1), append(wants, c[2])
	}
	_, err = scenario.Decode([]byte(text), "small.yaml", "")
	for _, want := range wants {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
}
