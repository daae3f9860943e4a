package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/estimation"
	"github.com/llm-inferno/inferno/optimizer/specification"
)

// Replicas that differ are told apart, a pair learns from all servers that run it, and what was not measured stays unknown.
func TestObservations(t *testing.T) {
	group := func(accelerator string, batch int) jsonspec.ObservedGroup {
		return jsonspec.ObservedGroup{Accelerator: accelerator, MaxBatchSize: batch, Replicas: 2, WindowSeconds: 60, AgeSeconds: 5}
	}
	known := func(v float64) *float64 { return &v }
	full := group("A", 8)
	full.Running, full.RunningSD, full.Waiting, full.Admissions, full.Throughput, full.Preemptions = known(10), known(3), known(0), known(120), known(60), known(6)
	full.InputTokens, full.AdmittedTokens, full.OutputTokens, full.PrefixHitRate, full.Requests = known(900), known(1000), known(500), known(0.25), known(240)
	full.ITL, full.TTFT = &jsonspec.ObservedLatency{Mean: 20, P90: known(30)}, &jsonspec.ObservedLatency{Mean: 80}
	server := func(namespace, name string, groups ...jsonspec.ObservedGroup) jsonspec.ServerEntry {
		return jsonspec.ServerEntry{Name: name, Namespace: namespace, Model: "m", Observation: &jsonspec.Observation{Time: metav1.NewTime(time.Unix(1000, 0)), Groups: groups}}
	}
	snap := &specification.Snapshot{System: jsonspec.System{Servers: jsonspec.ServerData{Spec: []jsonspec.ServerEntry{
		server("ns", "a", full, group("A", 16), group("B", 8)), server("other", "b", group("A", 8)), server("ns", "none"), {Name: "unobserved", Model: "m"},
	}}}}

	blank := func(source string, batch int) estimation.Observation {
		o := estimation.Unmeasured(source)
		o.Time, o.Window, o.Replicas, o.Settled, o.MaxBatch = 995, 60, 2, true, batch
		return o
	}
	first := blank("a 8/0", 8)
	first.Running, first.RunningSD, first.Waiting, first.ArrivalRate, first.Admissions, first.Throughput, first.Preemptions = 10, 3, 0, 2, 2, 1, 0.1
	first.InputTokens, first.OutputTokens, first.PrefixHitRate, first.Requests = 1000, 500, 0.25, 240
	first.ITL, first.ITLP90, first.TTFT = 0.020, 0.030, 0.080
	want := map[control.Pair][]estimation.Observation{
		{"m", "A", "ns"}: {first, blank("a 16/0", 16)}, {"m", "A", "other"}: {blank("b 8/0", 8)}, {"m", "B", "ns"}: {blank("a 8/0", 8)},
	}
	if diff := cmp.Diff(want, control.Observations(snap.Core()), cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Error(diff)
	}
}
