package loop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/demand"
	"github.com/llm-inferno/inferno/optimizer/forecast"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// fleetBegin is when the fleet's decisions begin, after two weeks of load.
var fleetBegin = time.Unix(14*86400, 0)

// fleetHorizon that forecasts look ahead, and start-up time, in seconds.
const fleetHorizon, fleetStartUp = 270, 240

// largeFleet is a system of so many servers on eight types of accelerators, each measured like a running server is, made of that of the large sample.
func largeFleet(tb testing.TB, servers int) *jsonspec.System {
	tb.Helper()
	s, err := specification.Load("../../test/data/systems/large")
	if err != nil {
		tb.Fatal(err)
	}
	types := []string{"L4", "L40S", "A100", "H100", "G2", "MI210", "MI250", "MI300X"}
	other := func(name string) bool { return !slices.Contains(types, name) }
	s.Accelerators.Spec = slices.DeleteFunc(s.Accelerators.Spec, func(a jsonspec.AcceleratorEntry) bool { return other(a.Name) })
	s.Models.Spec = slices.DeleteFunc(s.Models.Spec, func(m jsonspec.PerformanceEntry) bool { return other(m.Acc) })
	for i := range s.Capacity.Count {
		s.Capacity.Count[i].Count *= servers / 10
	}
	s.Optimizer.Spec.Forecaster = &jsonspec.Plug{Name: forecast.NameAdaptive}
	samples, r := s.Servers.Spec, rand.New(rand.NewPCG(1, 2))
	s.Servers.Spec = nil
	factors := make([]float64, 4)
	for i := range factors {
		factors[i] = math.Exp(r.NormFloat64())
	}
	for i := range servers {
		e := samples[i%len(samples)]
		e.Name = fmt.Sprintf("team-%d/%s-%d", i%20, e.Model, i)
		load := *e.CurrentAlloc.Load
		load.ArrivalRate *= factors[i%len(factors)]
		load.AvgInTokens, load.AvgOutTokens = jsonspec.Digits(200+1000*r.Float64()), jsonspec.Digits(50+200*r.Float64())
		e.CurrentAlloc = &jsonspec.Allocation{Load: &load}
		s.Servers.Spec = append(s.Servers.Spec, e)
	}
	return s
}

// measure lets the fleet run as it was planned, each server at a load around its own.
func (f *fleetRun) measure(at time.Time) {
	for i := range f.system.Servers.Spec {
		e := &f.system.Servers.Spec[i]
		load := f.loads[i]
		load.ArrivalRate = jsonspec.Digits(load.ArrivalRate * math.Exp(0.03*f.random.NormFloat64()))
		load.Throughput = load.ArrivalRate
		desired := f.plan[e.Name]
		e.DesiredAlloc = &desired
		e.CurrentAlloc = &jsonspec.Allocation{
			Accelerator: desired.Accelerator, NumReplicas: desired.NumReplicas, MaxBatch: desired.MaxBatch, MaxBatchedTokens: desired.MaxBatchedTokens, Cost: desired.Cost,
			ITLAverage: desired.ITLAverage, TTFTAverage: desired.TTFTAverage, Load: &load,
		}
		e.Observation = observed(e.CurrentAlloc, at)
	}
}

func observed(a *jsonspec.Allocation, at time.Time) *jsonspec.Observation {
	of := func(v float64) *float64 {
		v = jsonspec.Digits(v)
		return &v
	}
	o := &jsonspec.Observation{
		Time: metav1.NewTime(at), Running: of(17.2461), Waiting: of(0.034712), KVUsage: of(0.412377), Attainment: of(0.991231), ArrivalCV: of(1.113121),
	}
	if a.NumReplicas == 0 {
		return o
	}
	o.Parts = []jsonspec.ObservedPart{{Accelerator: a.Accelerator, Ready: a.NumReplicas, MaxBatchSize: a.MaxBatch}}
	o.Groups = []jsonspec.ObservedGroup{{
		Accelerator: a.Accelerator, MaxBatchSize: a.MaxBatch, Replicas: a.NumReplicas, WindowSeconds: 60, AgeSeconds: 11.3,
		Running: of(17.2461), RunningSD: of(3.91231), Waiting: of(0.034712), Admissions: of(a.Load.ArrivalRate / float64(a.NumReplicas)),
		Throughput: of(a.Load.ArrivalRate / float64(a.NumReplicas)), InputTokens: of(a.Load.AvgInTokens), OutputTokens: of(a.Load.AvgOutTokens),
		InputTokensSD: of(a.Load.AvgInTokens / 3), OutputTokensSD: of(a.Load.AvgOutTokens / 2), KVUsage: of(0.412377), KVTokens: of(212312),
		TTFT: &jsonspec.ObservedLatency{Mean: 212.13}, ITL: &jsonspec.ObservedLatency{Mean: 31.2323},
	}}
	return o
}

// fleetRun is a fleet that is decided again and again.
type fleetRun struct {
	tb     testing.TB
	system *jsonspec.System
	stages *control.Stages
	state  control.State
	plan   map[string]jsonspec.Allocation
	loads  []jsonspec.Load
	random *rand.Rand
}

// newFleetRun has learned from two weeks of load.
func newFleetRun(tb testing.TB, servers int) *fleetRun {
	f := &fleetRun{tb: tb, system: largeFleet(tb, servers), state: control.State{Servers: map[string]control.ServerState{}}, random: rand.New(rand.NewPCG(3, 4))}
	var err error
	if f.stages, err = control.NewStages(&f.system.Optimizer.Spec); err != nil {
		tb.Fatal(err)
	}
	learned := map[float64]forecast.Memory{} // by the rate: servers of the same load have learned the same
	for i := range f.system.Servers.Spec {
		e := &f.system.Servers.Spec[i]
		f.loads = append(f.loads, *e.CurrentAlloc.Load)
		rate := jsonspec.PerSecond(e.CurrentAlloc.Load.ArrivalRate)
		if learned[rate].IsZero() {
			learned[rate] = f.learn(rate)
		}
		f.state.Servers[e.Name] = control.ServerState{Demand: demand.Memory{Forecast: learned[rate]}}
	}
	return f
}

// learn from two weeks of a load.
func (f *fleetRun) learn(rate float64) (m forecast.Memory) {
	predictor := f.stages.Forecaster.For(fleetHorizon, 0)
	for at := range 14 * 144 {
		day := math.Exp(0.7*math.Sin(2*math.Pi*float64(at)/144) + 0.08*f.random.NormFloat64())
		m = predictor.Observe(m, forecast.Sample{Time: 600*float64(at) + 300, Rate: rate * day})
	}
	return m
}

// cycle decides at a time and gives the record of it.
func (f *fleetRun) cycle(at time.Time) *Record {
	snapshot := specification.Snapshot{
		Time: metav1.NewMicroTime(at), System: *f.system, HorizonSeconds: fleetHorizon, StartUpSeconds: fleetStartUp, WindowSeconds: 60,
	}
	d, err := f.stages.Decide(context.Background(), snapshot.Core(), f.state, nil)
	if err != nil {
		f.tb.Fatal(err)
	}
	record := &Record{ID: "1", Snapshot: snapshot, State: f.state, Decision: specification.Report(f.system, &d.Decision)}
	f.state, f.plan = d.State, record.Plan.Allocations
	return record
}

// settle decides for half an hour, so that all is remembered that is remembered for some time.
func (f *fleetRun) settle() (next time.Time) {
	at := fleetBegin
	for range 60 {
		f.cycle(at)
		at = at.Add(30 * time.Second)
		f.measure(at)
	}
	return at
}

// BenchmarkFleet is a cycle of a thousand servers on eight types with two weeks of load behind them, and what it logs of each.
func BenchmarkFleet(b *testing.B) {
	const servers = 1000
	f := newFleetRun(b, servers)
	at := f.settle()
	var record *Record
	for b.Loop() {
		record = f.cycle(at)
		b.StopTimer()
		at = at.Add(30 * time.Second)
		f.measure(at)
		b.StartTimer()
	}
	b.ReportMetric(float64(len(lineOf(b, record)))/servers, "B/server")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/servers, "ns/server")
}

// A line of the log is short, and is all that it takes to decide again.
func TestRecordsAreShortAndCompleteEnoughToDecideAgain(t *testing.T) {
	const servers = 300
	f := newFleetRun(t, servers)
	line := lineOf(t, f.cycle(f.settle()))
	if n := len(line) / servers; n > 4000 {
		t.Errorf("%d bytes a server, want at most 4000", n)
	}
	var read Record
	if err := json.Unmarshal(line, &read); err != nil {
		t.Fatal(err)
	}
	again, err := f.stages.Decide(context.Background(), read.Snapshot.Core(), read.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f.plan, specification.Report(&read.System, &again.Decision).Plan.Allocations); diff != "" {
		t.Errorf("decided again from the log: %s", diff)
	}
	if got, want := asJSON(t, again.State), asJSON(t, f.state); got != want {
		t.Errorf("what is remembered after a decision from the log differs: %s", cmp.Diff(want, got))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// lineOf is the line of a record.
func lineOf(tb testing.TB, record *Record) []byte {
	tb.Helper()
	var line bytes.Buffer
	if err := NewDecisionLog(&line).Write(record); err != nil {
		tb.Fatal(err)
	}
	return line.Bytes()
}
