package analysis_test

import (
	"bytes"
	"encoding/csv"
	"math"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/analysis"
	"github.com/llm-inferno/inferno/optimizer/queueing"
)

// question is the first problem of test/data/queueing/mm1k.csv, which llm-inferno's queue-analysis solved.
func question() *analysis.Question {
	return &analysis.Question{
		RPS: 1.85118, MaxBatchSize: 6, AvgInputTokens: 1095, AvgOutputTokens: 332, Alpha: 3.70338, Beta: 0.134976, Gamma: 0.000214246, MaxQueueSize: 180,
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got/want-1) <= 1e-3) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestSolve(t *testing.T) {
	a, err := question().Answer(queueing.StateDependent{}, "")
	if err != nil {
		t.Fatal(err)
	}
	near(t, "throughput", a.Throughput, 1.85118)
	near(t, "response", a.AvgRespTime, 6248.78)
	near(t, "wait", a.AvgWaitTime, 3477.32)
	near(t, "TTFT", a.AvgTTFT, 3640.44)
	near(t, "max rate", a.MaxRPS, 2.04666)
	if a.RPSTargetTTFT != nil || a.Feasible != nil {
		t.Errorf("nobody asked for targets: %+v", a)
	}
}

func TestTarget(t *testing.T) {
	q := question()
	q.TargetTTFT, q.TargetITL = 484.835, 11.7884
	a, err := q.Answer(queueing.StateDependent{}, "")
	if err != nil {
		t.Fatal(err)
	}
	near(t, "rate", a.Throughput, 1.38979)
	near(t, "rate by TTFT", *a.RPSTargetTTFT, 1.38979)
	near(t, "rate by ITL", *a.RPSTargetITL, 2.04666)
	near(t, "TTFT", a.AvgTTFT, 484.835)
}

func TestOptimize(t *testing.T) {
	q := question()
	q.TargetTTFT, q.TargetITL = 484.835, 11.7884
	a, err := q.Answer(queueing.StateDependent{}, analysis.OperationOptimize)
	if err != nil || !*a.Feasible || a.Concurrency != 6 {
		t.Fatalf("%+v, %v", a, err)
	}
	q.TargetTTFT = 0.1 // less than any prefill takes
	a, err = q.Answer(queueing.StateDependent{}, analysis.OperationOptimize)
	if err != nil || *a.Feasible || a.Reason == "" || a.Throughput != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := q.Answer(queueing.StateDependent{}, analysis.OperationTarget); err == nil {
		t.Error("a target that nothing meets has a rate")
	}
}

func TestAnswerSaysEveryFault(t *testing.T) {
	q := question()
	q.Alpha, q.Beta, q.Gamma = 0, -1, math.NaN()
	_, err := q.Answer(queueing.StateDependent{}, "")
	for _, want := range []string{"alpha: 0 ms", "beta: -1 ms", "gamma: NaN ms"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if _, err := question().Answer(queueing.StateDependent{}, "guess"); err == nil || !strings.Contains(err.Error(), "must be solve, target or optimize") {
		t.Errorf("error %v", err)
	}
}

const header = "alpha_ms,beta_ms,gamma_ms,input_tokens,output_tokens,max_batch,max_queue,max_batched_tokens,request_rate"

// Columns that are computed are written anew, others are kept, and what nobody asked for is left out.
func TestCSV(t *testing.T) {
	const rows = "note," + header + ",throughput\nfirst,3.70338,0.134976,0.000214246,1095,332,6,180,8192,1.85118,7\n"
	var out bytes.Buffer
	if err := analysis.CSV(&out, queueing.StateDependent{}, strings.NewReader(rows)); err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v", got, err)
	}
	want := "note," + header + ",throughput,response_ms,wait_ms,in_service,prefill_ms,itl_ms,ttft_ms,max_rate"
	if title := strings.Join(got[0], ","); title != want {
		t.Errorf("columns %s, want %s", title, want)
	}
	if got[1][0] != "first" || got[1][10] != "1.85118" {
		t.Errorf("row %v", got[1])
	}
}

// One bad row does not hide the answers to the others, nor their faults.
func TestCSVSaysEveryFault(t *testing.T) {
	const rows = header + "\n3.7,0.13,0.0002,1095,332,6,180,8192,1.8\nx,1,1,1,y,1,1,1,1\n1,1,1,1,1,0,-1,1,1\n"
	var out bytes.Buffer
	err := analysis.CSV(&out, queueing.StateDependent{}, strings.NewReader(rows))
	for _, want := range []string{`line 3: alpha_ms: "x"`, `output_tokens: "y"`, "line 4: ", "maxQueue: -1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want the header and one answer:\n%s", n, out.String())
	}
	if err := analysis.CSV(&out, queueing.StateDependent{}, strings.NewReader("alpha_ms,request_rate\n")); err == nil || !strings.Contains(err.Error(), "beta_ms, gamma_ms") {
		t.Errorf("error %v", err)
	}
}
