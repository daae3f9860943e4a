package recording_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/estimation/recording"
)

const experiments = "../../../test/data/experiments"

// given is some performance to learn from.
var given = jsonspec.Performance{Acc: "A", PerfParms: &jsonspec.PerfParms{Alpha: 16, Beta: 0.084, Gamma: 2.9e-5}}

func TestOwnFormat(t *testing.T) {
	got, err := recording.Read("o.jsonl", strings.NewReader(`
{"time": "2026-06-21T14:19:54Z", "server": "s", "model": "m", "accelerator": "A", "replicas": 2, "max_batch": 64, "arrival_rate": 4, "input_tokens": 900, "output_tokens": 500, "concurrency": 20, "ttft_ms": 80, "itl_ms": 15, "itl_p90_ms": 20, "requests": 120}
{"time": 1782051654, "model": "m", "accelerator": "A", "input_tokens": null}
`))
	if err != nil {
		t.Fatal(err)
	}
	first := estimation.Unmeasured("s")
	first.Time, first.Replicas, first.MaxBatch, first.ArrivalRate, first.InputTokens, first.OutputTokens = 1782051594, 2, 64, 2, 900, 500
	first.Running, first.TTFT, first.ITL, first.ITLP90, first.Requests = 20, 0.080, 0.015, 0.020, 120
	second := estimation.Unmeasured("")
	second.Time = 1782051654
	want := []recording.Record{
		{Line: 2, Model: "m", Accelerator: "A", Observation: first}, {Line: 3, Model: "m", Accelerator: "A", Observation: second},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Error(diff)
	}
}

// What a line of a decision log measured ran on the replicas that the line before decided; zero was not measured.
func TestDecisionLog(t *testing.T) {
	got, err := recording.Read("log", strings.NewReader(`
{"ts":"2026-06-21T14:00:00Z","servers":[{"name":"s","model":"m","rpm":240,"throughput":120,"avgInTok":900,"avgOutTok":500,"itl":15,"ttft":80,"accelerator":"A","replicas":4,"maxBatch":32,"new":"field"}],"totalCost":1}
{"ts":"2026-06-21T14:02:00Z","servers":[{"name":"s","model":"m","rpm":240,"throughput":0,"avgInTok":900,"avgOutTok":500,"itl":0,"ttft":0,"accelerator":"B","replicas":1,"maxBatch":64}]}
{"ts":"2026-06-21T14:04:00Z","servers":[{"name":"s","model":"m","rpm":240,"avgInTok":900,"avgOutTok":500,"itl":15,"ttft":80,"occPerReplica":10,"occTotal":30,"accelerator":"B","replicas":1,"maxBatch":64}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		accelerator       string
		replicas, rate    float64
		maxBatch          int
		itl, run, through float64
	}
	nan := math.NaN()
	want := []row{{"A", 4, 1, 32, 0.015, nan, 0.5}, {"A", 4, 1, 32, nan, nan, nan}, {"B", 3, 4.0 / 3, 64, 0.015, 10, nan}}
	var rows []row
	for _, r := range got {
		o := r.Observation
		rows = append(rows, row{r.Accelerator, o.Replicas, o.ArrivalRate, o.MaxBatch, o.ITL, o.Running, o.Throughput})
	}
	if diff := cmp.Diff(want, rows, cmp.AllowUnexported(row{}), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
}

func TestFaultsNameLineAndField(t *testing.T) {
	_, err := recording.Read("o.jsonl", strings.NewReader(`
{"model": "m", "accelerator": "A", "concurency": 3}
{"model": "m", "accelerator": "A", "itl_ms": "fast"}
{"replicas": -1}
[1]
{"model": "m", "accelerator": "A", "time": "yesterday"}
{"servers": [{"model": "m"}]}
{"servers": [{"name": "s", "model": "m", "rpm": "many"}]}
{"model": "m", "accelerator": "A", "max_batch": -1}
{"model": "m", "accelerator": "A", "max_batch": 2.5, "ttft_ms": [], "itl_ms": 1}
`))
	for _, want := range []string{
		"o.jsonl:2", "concurency", "o.jsonl:3", "itl_ms", "o.jsonl:4: model: is missing", "accelerator: is missing", "replicas: -1 is not allowed",
		"o.jsonl:5: not a JSON object", "o.jsonl:6", "yesterday", "o.jsonl:7: servers[0]: name and model must be given", "o.jsonl:8", "rpm", "max_batch: -1",
		"o.jsonl:3: itl_ms: string stands where a number is expected", "o.jsonl:10: ttft_ms: array stands where a number is expected",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not hold %q:\n%v", want, err)
		}
	}
	if _, err := recording.Read("o.jsonl", strings.NewReader("\n \n")); err == nil {
		t.Error("an empty file is no error")
	}
}

// What is not a number was not measured, and where nothing ran nothing was; neither spoils the lines around it.
func TestNotANumberAndNoReplicas(t *testing.T) {
	records, err := recording.Read("o.jsonl", strings.NewReader(`
{"model": "NaN \"Infinity", "accelerator": "A", "replicas": 2, "max_batch": 64.0, "itl_ms": NaN, "ttft_ms": -Infinity, "concurrency": 3}
{"model": "m", "accelerator": "A", "replicas": 0, "arrival_rate": 0, "itl_ms": 0}
`))
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	o := records[0].Observation
	if records[0].Model != `NaN "Infinity` || o.MaxBatch != 64 || o.Running != 3 || !math.IsNaN(o.ITL) || !math.IsNaN(o.TTFT) {
		t.Errorf("%+v", records[0])
	}
	if o := records[1].Observation; o.Replicas != 0 || !math.IsNaN(o.ArrivalRate) || !math.IsNaN(o.ITL) {
		t.Errorf("%+v", o)
	}
}

func TestRealRuns(t *testing.T) {
	files, err := filepath.Glob(experiments + "/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no runs in %s: %v", experiments, err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		records, err := recording.Read(filepath.Base(name), f)
		f.Close()
		if err != nil || len(records) < 15 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"time": 1, "model": "m", "accelerator": "A", "replicas": 2, "concurrency": 3, "itl_ms": 4}`)
	f.Add(`{"ts":"2026-06-21T14:00:00Z","servers":[{"name":"s","model":"m","rpm":240,"itl":15,"replicas":4,"occTotal":1e308,"occPerReplica":1e-308}]}`)
	f.Add("{}\n[]\n\"\"\n{\"servers\": null}")
	f.Fuzz(func(t *testing.T, text string) {
		records, err := recording.Read("f", strings.NewReader(text))
		if err == nil && len(records) == 0 && !strings.Contains(text, "servers") {
			t.Error("neither a record nor an error")
		}
		e, failed := estimation.Estimators().New(estimation.EstimatorEKF, nil)
		if failed != nil {
			t.Fatal(failed)
		}
		for _, r := range records {
			if _, err := e.Estimate(given, nil, []estimation.Observation{r.Observation}); err != nil {
				t.Errorf("an observation is an error instead of a judgement: %v", err)
			}
		}
	})
}
