package loop

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// counters of a registry by name, server and what else their labels say.
func counters(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{strings.TrimSuffix(strings.TrimPrefix(f.GetName(), "inferno_"), "_total")}
			for _, l := range m.GetLabel() {
				if l.GetName() != "namespace" && l.GetName() != "class" {
					words = append(words, l.GetValue())
				}
			}
			all[strings.Join(words, " ")] = m.GetCounter().GetValue()
		}
	}
	return all
}

func serverOf(name string) *v1alpha1.Server {
	return &v1alpha1.Server{ObjectMeta: metav1.ObjectMeta{Namespace: "llm", Name: name}, Spec: v1alpha1.ServerSpec{ServiceClass: "premium"}}
}

// Cycles stand for the time since the one before, as far as somebody looked; what is not known is counted nowhere, or as unknown.
func TestUsageCounts(t *testing.T) {
	const interval = 30 * time.Second
	start := time.Unix(1e9, 0)
	whole := control.Usage{Requests: fleet.Known(2), OutputTokens: fleet.Known(400), Attainment: fleet.Known(0.75), Cost: fleet.Known(360), Power: fleet.Known(700)}
	registry := prometheus.NewRegistry()
	u := newUsage(registry)
	cycle := func(at time.Duration, did map[string]control.Usage) {
		seconds := u.begin(start.Add(at), interval)
		for name, d := range did {
			u.count(serverOf(name), d, seconds)
		}
		u.end()
	}
	// The first cycle shows what is known, and has seen no time.
	cycle(0, map[string]control.Usage{"whole": whole, "blind": {Cost: fleet.Known(720)}})
	if diff := cmp.Diff(map[string]float64{
		"observed_seconds": 0, "server_observed_seconds whole": 0, "server_observed_seconds blind": 0,
		"server_known_seconds load whole": 0, "server_known_seconds cost whole": 0, "server_known_seconds power whole": 0, "server_known_seconds cost blind": 0,
		"server_requests whole met": 0, "server_requests whole missed": 0, "server_output_tokens whole met": 0, "server_output_tokens whole missed": 0,
		"server_cost_cents known whole": 0, "server_cost_cents unknown blind": 0, "server_energy_joules whole": 0,
	}, counters(t, registry)); diff != "" {
		t.Errorf("after one cycle (-want +got)\n%s", diff)
	}
	half := whole
	half.Attainment, half.Power = fleet.Maybe{}, fleet.Maybe{}
	cycle(30*time.Second, map[string]control.Usage{"whole": whole, "blind": {Cost: fleet.Known(720)}})
	cycle(60*time.Second, map[string]control.Usage{"whole": half, "blind": {Cost: fleet.Known(720)}})
	cycle(10*time.Minute, map[string]control.Usage{"whole": whole, "blind": {Cost: fleet.Known(720)}})
	want := map[string]float64{
		"observed_seconds": 60, "server_observed_seconds whole": 60, "server_observed_seconds blind": 60,
		"server_known_seconds load whole": 60, "server_known_seconds cost whole": 60, "server_known_seconds power whole": 30, "server_known_seconds cost blind": 60,
		"server_requests whole met": 45, "server_requests whole missed": 15, "server_requests whole unknown": 60,
		"server_output_tokens whole met": 9000, "server_output_tokens whole missed": 3000, "server_output_tokens whole unknown": 12000,
		"server_cost_cents known whole": 6, "server_cost_cents unknown blind": 12, "server_energy_joules whole": 21000,
	}
	if diff := cmp.Diff(want, counters(t, registry), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A server that is gone takes its series along, and no other's.
	cycle(10*time.Minute+interval, map[string]control.Usage{"blind": {Cost: fleet.Known(720)}})
	for _, series := range slices.Collect(maps.Keys(counters(t, registry))) {
		if strings.Contains(series, "whole") {
			t.Errorf("%s is still there", series)
		}
	}
	if got := counters(t, registry)["server_cost_cents unknown blind"]; math.Abs(got-18) > 1e-12 {
		t.Errorf("the other cost %v, want 18", got)
	}
}
