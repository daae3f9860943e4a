package loop

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/control"
	"github.com/llm-inferno/inferno/optimizer/fleet"
)

// published are all metrics of the loop, each with a sample.
func published(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	m.cycles.WithLabelValues("succeeded")
	m.stages.WithLabelValues("size")
	m.capacity.put(1, "H100")
	m.prices.put(1, "H100")
	m.trims.put(1, "llm", "chat", "H100")
	m.server(&v1alpha1.Server{}, &v1alpha1.ServerStatus{
		Desired: &v1alpha1.DesiredState{Parts: plan("A", 1), AdmissibleRate: new(float64)}, Current: []jsonspec.ObservedPart{on("A", 1, 0)}, Load: &v1alpha1.ObservedLoad{},
		Transfer:   &v1alpha1.MeasuredTransfer{Time: 40, Expected: new(25.0), Bandwidth: 50},
		Conditions: []metav1.Condition{{Type: "Observed", Status: "True"}},
	})
	m.usage.begin(metav1.Now().Time, defaultInterval)
	m.usage.count(&v1alpha1.Server{}, control.Usage{Requests: fleet.Known(1), OutputTokens: fleet.Known(1), Attainment: fleet.Known(1), Cost: fleet.Known(1), Power: fleet.Known(1)}, 1)
	m.share(&jsonspec.ShareStatus{Name: "search", Power: new(float64), PowerCap: new(float64), Cards: []jsonspec.ShareCardsStatus{{Type: "H100", Most: new(4)}}})
	since := metav1.Now()
	m.model("m", map[string]*v1alpha1.PairMemory{"A": {LearnedSince: &since}})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// Transfers are published in seconds and bytes per second.
func TestMetricsOfTransfers(t *testing.T) {
	got := map[string]float64{}
	for _, f := range published(t) {
		if strings.HasPrefix(f.GetName(), "inferno_server_transfer_") {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	want := map[string]float64{"inferno_server_transfer_seconds": 0.04, "inferno_server_transfer_expected_seconds": 0.025, "inferno_server_transfer_bandwidth_bytes_per_second": 5e10}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// Names follow the conventions of Prometheus: units in the name, counters end in _total, and so on.
func TestMetricNames(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(published(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// The table of the documentation lists what is published, with the labels, and nothing else.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "The optimizer's own metrics:")
	section, _, _ = strings.Cut(section, "The adapter's own metrics")
	var listed []string
	for _, line := range strings.Split(section, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		labels := regexp.MustCompile(`\{([^}]*)\}`).FindStringSubmatch(cells[1])
		for _, name := range regexp.MustCompile(`inferno_\w+`).FindAllString(cells[1], -1) {
			if labels != nil {
				names := regexp.MustCompile(`\w+`).FindAllString(regexp.MustCompile(`="[^"]*"`).ReplaceAllString(labels[1], ""), -1)
				slices.Sort(names)
				name += "{" + strings.Join(names, ",") + "}"
			}
			listed = append(listed, name)
		}
	}
	var want []string
	for _, f := range published(t) {
		name := f.GetName()
		if labels := f.GetMetric()[0].GetLabel(); len(labels) > 0 {
			var names []string
			for _, l := range labels {
				names = append(names, l.GetName())
			}
			name += "{" + strings.Join(names, ",") + "}"
		}
		want = append(want, name)
	}
	slices.Sort(listed)
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("(-published +documented)\n%s", diff)
	}
}
