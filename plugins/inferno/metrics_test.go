package inferno

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"k8s.io/component-base/metrics"

	"github.com/llm-inferno/inferno/optimizer/placement/seats"
)

// The metrics follow the conventions of Prometheus, and the documentation lists them and no others.
func TestMetricNames(t *testing.T) {
	registry := metrics.NewKubeRegistry()
	m, err := newMetrics(registry.Register)
	if err != nil {
		t.Fatal(err)
	}
	m.placed("h100", seats.OutcomePlanned)
	m.rejected(rejectedQuota)
	m.woken(causeSeatFreed, 1)
	m.annotated(1, nil)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	var want []string
	for _, f := range families {
		want = append(want, f.GetName())
	}
	text, err := os.ReadFile("../../docs/scheduler.md")
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`inferno_scheduler_[a-z_]+`).FindAllString(string(text), -1)
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("(-published +documented)\n%s", diff)
	}
}
