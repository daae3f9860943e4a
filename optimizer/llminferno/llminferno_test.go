package llminferno_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/llminferno"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

const experiments = "../../test/data/experiments"

func recorded(t *testing.T, name string) []byte {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(experiments, name))
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestRecognise(t *testing.T) {
	if !llminferno.Recognise(recorded(t, "run17-armA-search-cycles.jsonl")) {
		t.Error("a recorded log is not recognised")
	}
	for _, text := range []string{"", "\n", "junk", `{"cycle": 1}`, `{"internals": []}`, `{"id": "a", "system": {}}`} {
		if llminferno.Recognise([]byte(text)) {
			t.Errorf("%q is taken for one", text)
		}
	}
}

// The first cycle of a recorded run, whose line can be read beside this.
func TestFirstCycle(t *testing.T) {
	line, _, _ := bytes.Cut(recorded(t, "run17-armA-search-cycles.jsonl"), []byte("\n"))
	c, err := llminferno.Decode(line)
	if err != nil {
		t.Fatal(err)
	}
	s := c.System()
	load := s.Servers.Spec[0].CurrentAlloc.Load
	if d := cmp.Diff(&jsonspec.Load{ArrivalRate: 221.0319, Throughput: 196.9987, AvgInTokens: 914, AvgOutTokens: 504}, load); d != "" {
		t.Error(d)
	}
	if e := s.Servers.Spec[0]; e.MaxBatchSize != 55 || e.MaxQueueSize != 550 || e.Class != "Bronze/vllm-qwen-14b" {
		t.Errorf("server %+v", e)
	}
	if target := s.ServiceClasses.Spec[0].ModelTargets[0]; target.ITL != 20 || target.TTFT != 1500 {
		t.Errorf("target %+v", target)
	}
	if got := s.Accelerators.Spec[0]; got.Name != "H100" || got.Cost != 1 || s.Capacity.Count[0].Count != 8 {
		t.Errorf("accelerator %+v, capacity %+v", got, s.Capacity)
	}
	plan := &jsonspec.Solution{TotalCost: 1, Allocations: map[string]jsonspec.Allocation{"vllm-qwen-14b": {Accelerator: "H100", NumReplicas: 1, MaxBatch: 55, Cost: 1}}}
	if d := cmp.Diff(plan, c.Plan()); d != "" {
		t.Error(d)
	}
}

// Every recorded cycle is a system that can be decided.
func TestSystemsAreSound(t *testing.T) {
	files, err := filepath.Glob(experiments + "/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal("no recorded experiments", err)
	}
	for _, f := range files {
		for n, line := range bytes.Split(recorded(t, filepath.Base(f)), []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			c, err := llminferno.Decode(line)
			if err != nil {
				t.Fatalf("%s:%d: %v", f, n+1, err)
			}
			if _, err := specification.Validate(c.System()); err != nil {
				t.Errorf("%s:%d: %v", f, n+1, err)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{"", "[]", `{"servers": 3}`, `{"ts": "yesterday"}`} {
		if c, err := llminferno.Decode([]byte(text)); err == nil {
			t.Errorf("%q: %+v", text, c)
		}
	}
}
