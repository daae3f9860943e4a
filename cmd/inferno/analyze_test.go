package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runAlone runs one command and returns what it printed.
func runAlone(t *testing.T, cmd *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.Execute()
	return out.String(), err
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(t *testing.T, text string) []map[string]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, name := range rows[0] {
			m[name] = row[i]
		}
		all = append(all, m)
	}
	return all
}

func TestAnalyzeAnswersSolvedProblems(t *testing.T) {
	const data = "../../test/data/queueing/mm1k.csv"
	text, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	want := parse(t, string(text))
	out, err := runAlone(t, newAnalyzeCommand(), "--data", data)
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, out)
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d problems", len(got), len(want))
	}
	for i := range want {
		for _, column := range []string{"throughput", "response_ms", "itl_ms", "ttft_ms", "max_rate", "size_rate_ttft", "size_rate_itl"} {
			w, _ := strconv.ParseFloat(want[i][column], 64)
			g, err := strconv.ParseFloat(got[i][column], 64)
			if err != nil || math.Abs(g/w-1) > 1e-3 {
				t.Errorf("line %d: %s is %q, want %v", i+2, column, got[i][column], w)
			}
		}
		// The reference searches from one side and may miss a peak inside; ours is within 2 % of the true one.
		w, _ := strconv.ParseFloat(want[i]["optimal_rate"], 64)
		g, err := strconv.ParseFloat(got[i]["optimal_rate"], 64)
		if err != nil || g < 0.98*w {
			t.Errorf("line %d: optimal_rate is %q, want at least 98 %% of %v", i+2, got[i]["optimal_rate"], w)
		}
	}
}

// A target that is not given is none: what depends on it stays empty.
func TestAnalyzeWithOneTarget(t *testing.T) {
	const problems = `alpha_ms,beta_ms,gamma_ms,input_tokens,output_tokens,max_batch,max_queue,max_batched_tokens,request_rate,slo_ttft_ms
3.70338,0.134976,0.000214246,1095,332,6,180,8192,1.85118,484.835
3.70338,0.134976,0.000214246,1095,332,6,180,8192,1.85118,
3.70338,0.134976,0.000214246,1095,332,6,180,8192,1.85118,0.1
`
	out, err := runAlone(t, newAnalyzeCommand(), "--data", file(t, "problems.csv", problems))
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, out)
	for i, want := range []map[string]bool{
		{"size_rate_ttft": true, "size_rate_itl": false, "optimal_concurrency": true, "optimal_rate": true},
		{"size_rate_ttft": false, "optimal_concurrency": false, "optimal_rate": false},
		{"throughput": true, "size_rate_ttft": false, "optimal_concurrency": false, "optimal_rate": false}, // nothing meets 0.1 ms
	} {
		for column, there := range want {
			if (got[i][column] != "") != there {
				t.Errorf("problem %d: %s is %q", i+1, column, got[i][column])
			}
		}
	}
}

// The problem is the first of mm1k.csv, in the form of queue-analysis.
func TestAnalyzeJSON(t *testing.T) {
	const problem = `{"RPS": 1.85118, "maxBatchSize": 6, "AvgInputTokens": 1095, "AvgOutputTokens": 332, "alpha": 3.70338, "beta": 0.134976, "gamma": 0.000214246, "maxQueueSize": 180`
	const targets = `, "targetTTFT": 484.835, "targetITL": 11.7884}`
	for _, c := range []struct {
		name, text string
		args       []string
		want       map[string]float64
	}{
		{"solve", problem + `}`, nil, map[string]float64{
			"throughput": 1.85118, "avgRespTime": 6248.78, "avgWaitTime": 3477.32, "avgNumInServ": 5.13048, "avgTTFT": 3640.44, "avgITL": 7.88018, "maxRPS": 2.04666,
		}},
		{"target", problem + targets, nil, map[string]float64{"throughput": 1.38979, "RPSTargetTTFT": 1.38979, "RPSTargetITL": 2.04666, "avgTTFT": 484.835}},
		{"optimize", problem + targets, []string{"--operation", "optimize"}, map[string]float64{"concurrency": 6, "throughput": 1.38979}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := runAlone(t, newAnalyzeCommand(), append([]string{"--data", file(t, "problem.json", c.text)}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if v, ok := got[name].(float64); !ok || math.Abs(v/want-1) > 1e-3 {
					t.Errorf("%s is %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

func TestAnalyzeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"missing columns": {"alpha_ms\n1\n", "gamma_ms"},
		"not a number":    {"alpha_ms,beta_ms,gamma_ms,input_tokens,output_tokens,max_batch,max_queue,max_batched_tokens,request_rate\n1,1,1,1,x,1,1,1,1\n", `line 2: output_tokens: "x"`},
		"bad limits":      {"alpha_ms,beta_ms,gamma_ms,input_tokens,output_tokens,max_batch,max_queue,max_batched_tokens,request_rate\n1,1,1,1,1,0,-1,1,1\n", "maxQueue: -1"},
		"bad law":         {`{"alpha": 0, "maxBatchSize": 1, "avgOutputTokens": 1, "RPS": 1}`, "alpha"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := runAlone(t, newAnalyzeCommand(), "--data", file(t, "problem", c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
}
