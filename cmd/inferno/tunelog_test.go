package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/loop"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// What the loop wrote into its decision log is learned from, cycle by cycle, each group of replicas on its own.
func TestTuneReadsDecisionLogs(t *testing.T) {
	n := func(v float64) *float64 { return &v }
	var out bytes.Buffer
	log := loop.NewDecisionLog(&out)
	for i := range 3 {
		at := time.Unix(1_700_000_000+60*int64(i), 0)
		group := func(accelerator string, itl float64) jsonspec.ObservedGroup {
			return jsonspec.ObservedGroup{
				Accelerator: accelerator, Replicas: 2, WindowSeconds: 60, Running: n(20 + float64(i)), InputTokens: n(1000), OutputTokens: n(200), ITL: &jsonspec.ObservedLatency{Mean: itl + float64(i)},
			}
		}
		server := jsonspec.ServerEntry{Name: "llm/chat", Model: "qwen_2_5_14b", Observation: &jsonspec.Observation{
			Time: metav1.NewTime(at), Groups: []jsonspec.ObservedGroup{group("A100", 40), group("H100", 20)},
		}}
		record := &loop.Record{ID: fmt.Sprint("cycle-", i), Snapshot: specification.Snapshot{
			Time: metav1.NewMicroTime(at), System: jsonspec.System{Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{server}}},
		}, Decision: &specification.Decision{}}
		if err := log.Write(record); err != nil {
			t.Fatal(err)
		}
	}
	models := writeFile(t, "model-data.json", modelData)
	got, err := tuneWith(t, "--model-data", models, "--observations", writeFile(t, "decisions.jsonl", out.String()), "-o", "jsonl")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d lines, want one for each of two groups in three cycles:\n%s", len(lines), got)
	}
	for i, line := range lines {
		want := []string{`"accelerator":"A100"`, "the model data do not hold qwen_2_5_14b on A100"}
		if i%2 == 1 {
			want = []string{`"accelerator":"H100"`, `"accepted":true`, fmt.Sprintf(`"itl_ms":%d`, 20+i/2), `"predicted_itl_ms":`}
		}
		for _, w := range append(want, fmt.Sprintf(`"line":%d`, i/2+1)) {
			if !strings.Contains(line, w) {
				t.Errorf("line %d does not hold %s:\n%s", i, w, line)
			}
		}
	}
	for name, text := range map[string]string{"broken": out.String() + "{\"id\": 3\n", "nothing measured": `{"id":"a","system":{}}` + "\n"} {
		if _, err := tuneWith(t, "--model-data", models, "--observations", writeFile(t, "d.jsonl", text)); err == nil || !strings.Contains(err.Error(), "d.jsonl") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
