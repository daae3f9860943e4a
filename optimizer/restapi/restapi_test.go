package restapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/analysis"
	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/queueing"
	"github.com/llm-inferno/inferno/optimizer/restapi"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// ask a handler; GET where there is no body.
func ask(t testing.TB, h http.Handler, path, body string) (int, string) {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// asked is ask for what must succeed, and be JSON.
func asked[T any](t testing.TB, h http.Handler, path, body string) T {
	t.Helper()
	status, answer := ask(t, h, path, body)
	var v T
	if err := json.Unmarshal([]byte(answer), &v); status != http.StatusOK || err != nil {
		t.Fatalf("%s: status %d, %v: %s", path, status, err, answer)
	}
	return v
}

func direct(t *testing.T, s *jsonspec.System) jsonspec.Solution {
	t.Helper()
	stages, err := control.NewStages(&s.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	d, err := stages.Decide(t.Context(), (&specification.Snapshot{System: *s}).Core(), control.State{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return specification.Solution(s, &d.Plan)
}

func small(t *testing.T) (*jsonspec.System, string) {
	t.Helper()
	s, err := specification.Load("../../test/data/systems/small")
	if err != nil {
		t.Fatal(err)
	}
	text, err := specification.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, string(text)
}

// The answer is what the core says, is kept, and can be planned for again.
func TestOptimizeOne(t *testing.T) {
	s, text := small(t)
	h := restapi.Optimizer()
	got, want := asked[jsonspec.Solution](t, h, "/optimizeOne", text), direct(t, s)
	if diff := cmp.Diff(want.Allocations, got.Allocations); diff != "" {
		t.Error(diff)
	}
	if len(got.Allocations) == 0 {
		t.Fatal("nothing is served")
	}
	kept := asked[jsonspec.ServerData](t, h, "/getServers", "")
	for _, e := range kept.Spec {
		a, served := got.Allocations[e.Name]
		if served != (e.DesiredAlloc != nil) || (served && !cmp.Equal(a, *e.DesiredAlloc)) {
			t.Errorf("%s: desired %+v, planned %+v", e.Name, e.DesiredAlloc, a)
		}
	}
	options, err := json.Marshal(s.Optimizer.Spec)
	if err != nil {
		t.Fatal(err)
	}
	if again := asked[jsonspec.Solution](t, h, "/optimize", string(options)); again.TotalCost != got.TotalCost {
		t.Errorf("cost %v, then %v for the same system", got.TotalCost, again.TotalCost)
	}
	asked[string](t, h, "/applyAllocation", "")
	for _, e := range asked[jsonspec.ServerData](t, h, "/getServers", "").Spec {
		if e.DesiredAlloc != nil && e.CurrentAlloc.Accelerator != e.DesiredAlloc.Accelerator {
			t.Errorf("%s: current %+v, desired %+v", e.Name, e.CurrentAlloc, e.DesiredAlloc)
		}
	}
}

// written is what llm-inferno's control loop sends: Go writes fields that nothing filled in as zero or null, and the loop's version of the types has
// avgConcurrency. The data are inferno-data/blis of llm-inferno/control-loop (Apache-2.0), whose H100 has no parameters for granite_8b yet.
const written = `{"system": {
 "acceleratorData": {"accelerators": [{"name": "A100", "type": "A100", "multiplicity": 1, "memSize": 0, "memBW": 0,
  "power": {"idle": 0, "full": 0, "midPower": 0, "midUtil": 0}, "cost": 40}, {"name": "H100", "type": "H100", "multiplicity": 1, "cost": 75}]},
 "modelData": {"models": [
  {"name": "granite_8b", "acc": "H100", "accCount": 1, "maxBatchSize": 128, "atTokens": 0, "perfParms": {"alpha": 0, "beta": 0, "gamma": 0}},
  {"name": "qwen_2_5_14b", "acc": "H100", "accCount": 1, "maxBatchSize": 128, "atTokens": 0, "perfParms": {"alpha": 10.645377, "beta": 0.041760195, "gamma": 0.00005770509}}]},
 "serviceClassData": {"serviceClasses": [{"name": "Bronze", "priority": 2, "modelTargets": [
  {"model": "granite_8b", "slo-itl": 20, "slo-ttft": 1000, "slo-tps": 0}, {"model": "qwen_2_5_14b", "slo-itl": 20, "slo-ttft": 1500, "slo-tps": 0}]}]},
 "serverData": {"servers": [
  {"name": "qwen", "class": "Bronze", "model": "qwen_2_5_14b", "keepAccelerator": true, "minNumReplicas": 1, "maxBatchSize": 0, "maxQueueSize": 0,
   "currentAlloc": {"accelerator": "H100", "numReplicas": 1, "maxBatch": 64, "cost": 75, "itlAverage": 15.2, "ttftAverage": 60.1, "avgConcurrency": 9.5,
    "load": {"arrivalRate": 250, "throughput": 249.5, "avgInTokens": 1024, "avgOutTokens": 256}},
   "desiredAlloc": {"accelerator": "", "numReplicas": 0, "maxBatch": 0, "cost": 0, "itlAverage": 0, "ttftAverage": 0, "avgConcurrency": 0,
    "load": {"arrivalRate": 0, "throughput": 0, "avgInTokens": 0, "avgOutTokens": 0}}},
  {"name": "granite", "class": "Bronze", "model": "granite_8b", "keepAccelerator": false, "minNumReplicas": 1, "maxBatchSize": 0, "maxQueueSize": 0,
   "currentAlloc": {"accelerator": "H100", "numReplicas": 1, "maxBatch": 64, "cost": 75, "itlAverage": 0, "ttftAverage": 0, "avgConcurrency": 0,
    "load": {"arrivalRate": 60, "throughput": 60, "avgInTokens": 512, "avgOutTokens": 128}},
   "desiredAlloc": {"accelerator": "", "numReplicas": 0, "maxBatch": 0, "cost": 0, "itlAverage": 0, "ttftAverage": 0, "avgConcurrency": 0,
    "load": {"arrivalRate": 0, "throughput": 0, "avgInTokens": 0, "avgOutTokens": 0}}}]},
 "optimizerData": {"optimizer": {"unlimited": false, "heterogeneous": false, "milpSolver": false, "useCplex": false, "delayedBestEffort": false,
  "saturationPolicy": "PriorityExhaustive"}},
 "capacityData": {"count": [{"type": "A100", "count": 8}, {"type": "H100", "count": 8}]}}}`

// The control loop's own request is answered in a form that its types read: whole numbers where they have int, and the load that it gave. A model whose
// parameters are all zero, which it sends before its tuner learned any, is planned from physics.
func TestControlLoopsRequest(t *testing.T) {
	got := asked[struct {
		Allocations map[string]struct {
			Accelerator string  `json:"accelerator"`
			NumReplicas int     `json:"numReplicas"`
			MaxBatch    int     `json:"maxBatch"`
			Cost        float32 `json:"cost"`
			Load        struct {
				ArrivalRate  float32 `json:"arrivalRate"`
				AvgInTokens  int     `json:"avgInTokens"`
				AvgOutTokens int     `json:"avgOutTokens"`
			} `json:"load"`
		} `json:"allocations"`
	}](t, restapi.Optimizer(), "/optimizeOne", written).Allocations
	for name, rate := range map[string]float32{"qwen": 250, "granite": 60} {
		a := got[name]
		if a.Accelerator != "H100" || a.NumReplicas < 1 || a.MaxBatch < 1 || !(a.Cost > 0) || a.Load.ArrivalRate != rate || a.Load.AvgInTokens == 0 {
			t.Errorf("%s gets %+v", name, a)
		}
	}
}

// problem is examples/problem-data.json of llm-inferno/queue-analysis (Apache-2.0).
const problem = `{"RPS": 3.0, "maxBatchSize": 48, "AvgInputTokens": 128, "AvgOutputTokens": 512, "alpha": 12, "beta": 0.05, "gamma": 0.0005,
 "maxQueueSize": 128, "targetTTFT": 60.0, "targetITL": 20.0}`

func TestQueueAnalysis(t *testing.T) {
	m := queueing.StateDependent{}
	h := restapi.QueueAnalysis(m)
	var q analysis.Question
	if err := json.Unmarshal([]byte(problem), &q); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []string{analysis.OperationSolve, analysis.OperationTarget, analysis.OperationOptimize} {
		want, err := q.Answer(m, operation)
		if err != nil {
			t.Fatal(err)
		}
		got := asked[analysis.Answer](t, h, "/"+operation, problem)
		if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%s: %s", operation, diff)
		}
		theirs := map[string][3]float64{ // throughput, TTFT, ITL as its package analyzer computes them at commit cfadd1c; those of its README are older
			analysis.OperationSolve: {3, 67.615, 20.119}, analysis.OperationTarget: {2.949, 60.001, 19.905},
		}
		for i, ours := range [3]float64{got.Throughput, got.AvgTTFT, got.AvgITL} {
			if w, known := theirs[operation]; known && !(math.Abs(ours/w[i]-1) < 1e-3) {
				t.Errorf("%s: %v, llm-inferno has %v", operation, ours, w[i])
			}
		}
	}
}

// clock moves on by a second whenever it is looked at.
func clock() func() time.Time {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	return func() time.Time { now = now.Add(time.Second); return now }
}

func tuner(t testing.TB) http.Handler {
	t.Helper()
	h, err := restapi.Tuner(restapi.TunerOptions{WarmUp: 3, Now: clock()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// truth is the law of the replicas that the tuner sees, three times slower than what it begins with.
var truth = jsonspec.PerfParms{Alpha: 15, Beta: 0.15, Gamma: 0.00015}

// point of operation at a rate per second, as the control loop's collector writes it.
func point(t testing.TB, rate, input, output float64) string {
	t.Helper()
	q := analysis.Question{RPS: rate, MaxBatchSize: 128, AvgInputTokens: input, AvgOutputTokens: output, Alpha: truth.Alpha, Beta: truth.Beta, Gamma: truth.Gamma, MaxQueueSize: 128}
	a, err := q.Answer(queueing.StateDependent{}, analysis.OperationSolve)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"name": "s/pod", "class": "Bronze", "model": "m/x", "maxQueueSize": 128, "currentAlloc": {"accelerator": "H100", "numReplicas": 1, "maxBatch": 128,
		"itlAverage": %g, "ttftAverage": %g, "avgConcurrency": %g, "load": {"arrivalRate": %g, "throughput": %g, "avgInTokens": %g, "avgOutTokens": %g}}}`,
		a.AvgITL, a.AvgTTFT, a.AvgNumInServ, rate*60, a.Throughput*60, input, output)
}

// The tuner learns what latencies are, is warm after as many requests as it should be, and says the same by every endpoint.
func TestTunerLearns(t *testing.T) {
	h := tuner(t)
	type warm struct{ WarmingUp bool }
	if asked[warm](t, h, "/warmup", "").WarmingUp {
		t.Error("warming up before any pair was seen")
	}
	var d jsonspec.ModelData
	for i, rate := range []float64{0.5, 1, 2, 1.5, 0.7, 2.5} {
		d = asked[jsonspec.ModelData](t, h, "/tune", "["+point(t, rate, 800+200*float64(i%3), 200)+"]")
		if got := asked[warm](t, h, "/warmup", "").WarmingUp; got != (i < 2) {
			t.Errorf("after %d requests warming up is %v", i+1, got)
		}
	}
	if len(d.Spec) != 1 || d.Spec[0].Name != "m/x" || d.Spec[0].Acc != "H100" || d.Spec[0].MaxBatchSize != 128 {
		t.Fatalf("%+v", d)
	}
	learned := *d.Spec[0].PerfParms
	itl := func(p jsonspec.PerfParms) float64 { return p.Alpha + 20*(p.Beta*5+p.Gamma*1000) } // about that of a batch of 20
	if r := itl(learned) / itl(truth); !(r > 0.9 && r < 1.1) {
		t.Errorf("learned %+v of %+v", learned, truth)
	}
	got := asked[struct {
		jsonspec.PerfParms
		UpdateCount int
	}](t, h, "/getparams?model=m/x&accelerator=H100", "")
	if got.PerfParms != learned || got.UpdateCount != 6 {
		t.Errorf("parameters %+v, tuned %+v", got, learned)
	}
	merged := asked[jsonspec.ModelData](t, h, "/merge", `{"models": [
		{"name": "m/x", "acc": "H100", "accCount": 2, "maxBatchSize": 64, "atTokens": 512, "perfParms": {"alpha": 1, "beta": 1, "gamma": 1}},
		{"name": "other", "acc": "H100", "perfParms": {"alpha": 1, "beta": 1, "gamma": 1}}]}`)
	want := []jsonspec.PerformanceEntry{
		{Name: "m/x", Performance: jsonspec.Performance{Acc: "H100", AccCount: 2, MaxBatchSize: 64, AtTokens: 512, PerfParms: &learned}},
		{Name: "other", Performance: jsonspec.Performance{Acc: "H100", PerfParms: &jsonspec.PerfParms{Alpha: 1, Beta: 1, Gamma: 1}}},
	}
	if diff := cmp.Diff(want, merged.Spec); diff != "" {
		t.Error(diff)
	}
	if added := asked[jsonspec.ModelData](t, h, "/merge", `{"models": null}`); len(added.Spec) != 1 || *added.Spec[0].PerfParms != learned {
		t.Errorf("added %+v", added)
	}
}

// A sweep is learned from at once: its pair is warm, calibrated, and asks for none again.
func TestTunerCalibrates(t *testing.T) {
	h := tuner(t)
	var points []string
	for _, at := range [][3]float64{{0.5, 800, 200}, {1, 800, 200}, {1.5, 800, 200}, {2, 800, 200}, {0.5, 1600, 100}, {0.5, 400, 400}} {
		points = append(points, point(t, at[0], at[1], at[2]))
	}
	d := asked[jsonspec.ModelData](t, h, "/calibrate", "["+strings.Join(points, ",")+"]")
	if len(d.Spec) != 1 || !(math.Abs(d.Spec[0].PerfParms.Alpha/truth.Alpha-1) < 0.2) {
		t.Errorf("calibrated %+v", d.Spec)
	}
	all := asked[struct {
		Statuses []struct {
			Model, Accelerator                         string
			StorePresent, Calibrated, NeedsCalibration bool
			ObsCount                                   int
			ConditionNumber                            float64
		}
	}](t, h, "/calibration-status", "").Statuses
	if len(all) != 1 || !all[0].Calibrated || !all[0].StorePresent || all[0].NeedsCalibration || all[0].ObsCount != 6 || !(all[0].ConditionNumber >= 1) {
		t.Errorf("%+v", all)
	}
	if status, answer := ask(t, h, "/calibrate", "["+points[0]+"]"); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "2 are needed") {
		t.Errorf("one point: %d %s", status, answer)
	}
}

// Requests that are refused: with the status of llm-inferno, and all faults at once.
func TestRefused(t *testing.T) {
	q := restapi.QueueAnalysis(queueing.StateDependent{})
	for _, test := range []struct {
		h          http.Handler
		path, body string
		status     int
		want       []string
	}{
		{restapi.Optimizer(), "/optimizeOne", "x", 400, []string{"body: must be JSON that begins with {"}},
		{restapi.Optimizer(), "/optimizeOne", "{", 400, []string{"not valid JSON"}},
		{restapi.Optimizer(), "/optimizeOne", "[]", 400, []string{"begins with {"}},
		{restapi.Optimizer(), "/optimizeOne", `{"system": {"acceleratorData": {"accelerators": [{"name": "A", "cost": -1}, {"name": "A", "cost": 1}]}, "serverData": {"servers": [{"name": "s"}]}}}`,
			400, []string{"accelerators[A].cost: -1", "given twice", "servers[s].class: is missing", "servers[s].model: is missing"}},
		{restapi.Optimizer(), "/optimizeOne", `{"system": {"optimizerData": {"optimizer": {"saturationPolicy": "x", "useCplex": true}}}}`, 400, []string{`"x" is not allowed`, "seCplex"}},
		{restapi.Optimizer(), "/optimizeOne", `{"system": {"capacityData": {"count": [{"type": "A", "count": "many"}]}}}`, 400, []string{"count[0].count", "whole number"}},
		{restapi.Optimizer(), "/optimizeOne", "{" + strings.Repeat(" ", 17<<20), 413, []string{"more than"}},
		{restapi.Optimizer(), "/addServer", `{"name": "s", "minNumReplicas": -1}`, 400, []string{"class: is missing", "minNumReplicas: -1"}},
		{restapi.Optimizer(), "/addServiceClass/c/0", "", 400, []string{"priority: 0"}},
		{restapi.Optimizer(), "/addServiceClass/c/high", "", 400, []string{`priority: "high"`}},
		{restapi.Optimizer(), "/getServer/none", "", 404, []string{"server none not found"}},
		{restapi.Optimizer(), "/removeModel/none", "", 404, []string{"model none not found"}},
		{restapi.Optimizer(), "/addModelAcceleratorPerf", `{"name": "none", "acc": "A", "perfParms": {"alpha": 1, "beta": 1, "gamma": 1}}`, 404, []string{"model none not found"}},
		{q, "/solve", `{"maxBatchSize": 1.5, "alpha": "x"}`, 400, []string{"maxBatchSize", "alpha"}},
		{q, "/solve", `{"RPS": 1, "maxBatchSize": 8, "avgInputTokens": 1, "avgOutputTokens": 1, "beta": -1}`, 400, []string{"alpha: 0 ms", "beta: -1 ms"}},
		{q, "/target", strings.Replace(problem, "60.0", "0.001", 1), 400, nil},
		{tuner(t), "/tune", "{}", 400, []string{"begins with ["}},
		{tuner(t), "/tune", "[]", 400, []string{"is empty"}},
		{tuner(t), "/tune", `[{"name": "s"}, {"name": "t", "model": 3}]`, 400, []string{"replicas[1].model"}},
		{tuner(t), "/tune", `[{"name": "s"}]`, 400, []string{"replicas[0].model: is missing", "replicas[0].currentAlloc.accelerator: is missing"}},
		{tuner(t), "/tune", `[], "replicas": []`, 400, []string{"given twice"}},
		{tuner(t), "/tune", `[{"model": "m", "currentAlloc": {"accelerator": "A"}}]`, 422, []string{"no replicas with traffic"}},
		{tuner(t), "/tune", `[{"model": "m", "currentAlloc": {"accelerator": "A", "itlAverage": -1, "load": {"arrivalRate": 1, "avgInTokens": 1, "avgOutTokens": 0}}}]`, 422,
			[]string{"m on A", "outputTokens: 0", "itl: -0.001"}},
		{tuner(t), "/getparams", "", 400, []string{"model: is missing", "accelerator: is missing"}},
		{tuner(t), "/getparams?model=m&accelerator=A", "", 404, []string{"no parameters found"}},
	} {
		status, answer := ask(t, test.h, test.path, test.body)
		if status != test.status {
			t.Errorf("%s %.80s: status %d, want %d: %s", test.path, test.body, status, test.status, answer)
		}
		var p struct {
			Message, Error string
			Faults         []string
		}
		if err := json.Unmarshal([]byte(answer), &p); err != nil || p.Message == "" || p.Error == "" || len(p.Faults) == 0 {
			t.Errorf("%s %.80s: %v in %s", test.path, test.body, err, answer)
		}
		for _, want := range test.want {
			if !strings.Contains(p.Message, want) {
				t.Errorf("%s %.80s: nothing about %q in %s", test.path, test.body, want, answer)
			}
		}
	}
}

// What is put is there, what is removed is not, and both are said.
func TestResources(t *testing.T) {
	h := restapi.Optimizer()
	has := func(path, body, want string) {
		t.Helper()
		if status, answer := ask(t, h, path, body); status != http.StatusOK || !strings.Contains(strings.Join(strings.Fields(answer), ""), want) {
			t.Errorf("%s: status %d, want %s in %s", path, status, want, answer)
		}
	}
	gone := func(path string) {
		t.Helper()
		if status, answer := ask(t, h, path, ""); status != http.StatusNotFound {
			t.Errorf("%s: status %d: %s", path, status, answer)
		}
	}
	has("/getAccelerators", "", "[]")
	has("/setAccelerators", `{"accelerators": [{"name": "A", "cost": 1}, {"name": "B", "cost": 2}]}`, `"name":"B"`)
	has("/addAccelerator", `{"name": "A", "cost": 3}`, `"cost":3`)
	has("/getAccelerator/A", "", `"cost":3`)
	has("/removeAccelerator/A", "", `"cost":3`)
	gone("/getAccelerator/A")
	has("/getAccelerators", "", `[{"name":"B"`)

	has("/setCapacities", `{"count": [{"type": "B", "count": 4}]}`, `"count":4`)
	has("/setCapacity", `{"type": "B", "count": 8}`, `"count":8`)
	has("/getCapacity/B", "", `"count":8`)
	has("/getCapacities", "", `{"count":[{"type":"B","count":8}]}`)

	has("/setModels", `{"models": [{"name": "m", "acc": "B", "perfParms": {"alpha": 10, "beta": 0.05, "gamma": 0.0001}}]}`, `"alpha":10`)
	has("/addModel/n", "", `"n"`)
	has("/getModels", "", `["m","n"]`)
	has("/getModel/n", "", `{"models":[]}`)
	has("/addModelAcceleratorPerf", `{"name": "n", "acc": "B", "perfParms": {"alpha": 20, "beta": 0.05, "gamma": 0.0001}}`, `"alpha":20`)
	has("/getModelAcceleratorPerf/n/B", "", `"alpha":20`)
	has("/removeModelAcceleratorPerf/n/B", "", `"alpha":20`)
	gone("/getModelAcceleratorPerf/n/B")
	has("/removeModel/n", "", `"n"`)
	gone("/getModel/n")

	has("/addServiceClass/c/3", "", `"priority":3`)
	has("/addServiceClassModelTargets", `{"name": "c", "priority": 3, "modelTargets": [{"model": "m", "slo-itl": 50, "slo-ttft": 2000}, {"model": "x", "slo-itl": 1}]}`, `"slo-itl":50`)
	has("/removeServiceClassModelTarget/c/x", "", `"model":"x"`)
	gone("/getServiceClassModelTarget/c/x")
	has("/getServiceClassModelTarget/c/m", "", `"slo-ttft":2000`)
	has("/getServiceClasses", "", `"model":"m"`)

	has("/setServers", `{"servers": [{"name": "s", "class": "c", "model": "m", "currentAlloc": {"load": {"arrivalRate": 60, "avgInTokens": 100, "avgOutTokens": 100}}}]}`, `"name":"s"`)
	has("/addServer", `{"name": "t", "class": "c", "model": "m"}`, `"name":"t"`)
	has("/removeServer/t", "", `"name":"t"`)
	gone("/getServer/t")
	has("/optimize", `{"saturationPolicy": "None"}`, `"accelerator":"B"`)
	has("/applyAllocation", "", "Done")
	has("/getServer/s", "", `"currentAlloc":{"accelerator":"B"`)
	has("/removeCapacity/B", "", `"count":8`)
	gone("/getCapacity/B")
}

// Served on this machine, only its own names are answered, no page of a browser is, and the end of the context ends it.
func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- restapi.Serve(ctx, l, restapi.Optimizer()) }()
	for _, test := range []struct {
		host, header, value string
		want                int
	}{
		{"", "", "", 200}, {"localhost:1", "", "", 200}, {"evil.example", "", "", 403}, {"", "Origin", "http://evil.example", 403},
		{"", "Sec-Fetch-Site", "cross-site", 403}, {"", "Sec-Fetch-Site", "same-origin", 403}, {"", "Sec-Fetch-Site", "none", 200},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/getModels", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = test.host
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != test.want {
			t.Errorf("%+v: status %d", test, answer.StatusCode)
		}
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// Whatever is asked, the answer is JSON with a status that is said, and nothing panics.
func FuzzRequests(f *testing.F) {
	optimizer := func(testing.TB) http.Handler { return restapi.Optimizer() }
	services := map[string]func(testing.TB) http.Handler{
		"/optimizeOne": optimizer, "/setModels": optimizer, "/addServer": optimizer, "/setServiceClasses": optimizer,
		"/solve": func(testing.TB) http.Handler { return restapi.QueueAnalysis(queueing.StateDependent{}) },
		"/tune":  tuner, "/calibrate": tuner, "/merge": tuner,
	}
	for path := range services {
		f.Add(path, written)
		f.Add(path, problem)
		f.Add(path, "["+point(f, 1, 800, 200)+"]")
		f.Add(path, `{"servers": null, "models": [{"name": "m", "acc": "A", "perfParms": {"alpha": 1e308, "beta": 1e308, "gamma": 0}}]}`)
		f.Add(path, `[{"model": "m", "currentAlloc": {"accelerator": "A", "itlAverage": 1e300, "ttftAverage": 1e-300, "avgConcurrency": 1e300, "load": {"arrivalRate": 1e300, "avgInTokens": 1e300, "avgOutTokens": 1e300}}}]`)
	}
	f.Fuzz(func(t *testing.T, path, body string) {
		service, ok := services[path]
		if !ok || body == "" {
			return
		}
		status, answer := ask(t, service(t), path, body)
		if !json.Valid([]byte(answer)) || (status != 200 && status != 400 && status != 404 && status != 422) {
			t.Errorf("status %d: %s", status, answer)
		}
	})
}
