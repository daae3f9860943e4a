package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llm-inferno/inferno/optimizer/plug"
)

const root = "../.."

// The pages in this folder are what the code says. The page of commands is left to make verify: it builds every program.
func TestPagesAreCurrent(t *testing.T) {
	for _, p := range pages {
		if p.file == "cli.md" {
			continue
		}
		want, err := p.write(root)
		if err != nil {
			t.Errorf("%s: %v", p.file, err)
			continue
		}
		got, err := os.ReadFile(p.file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is stale, run make generate (-code +page):\n%s", p.file, d)
		}
	}
}

// sample is a package of one file.
func sample(t *testing.T, text string) *source {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "sample.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readSource(folder, ".")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTunedConstants(t *testing.T) {
	got, err := tunedIn(sample(t, `package sample

// plain is nothing that is tuned.
const plain = 3

// backlogTime is how soon what waits must be served.
// Tuned: s; derived from the TTFT target of the samples;
// at half: 3 % more cost; at twice: misses rise by a tenth.
const backlogTime = 60.0

const (
	// down and up are steps of a trim.
	// Tuned: 1; measured by TestTrim; at half: follows in twice the time; at twice: turns.
	down, up = 0.004, 2 * 0.0002
	margin   = 0.1 // margin of a scale-in. Tuned: 1; option scaleInMargin; at half: flaps; at twice: no difference
	most     = 9   // most replicas. Tuned: replicas; guard against overflow
)
`))
	if err != nil {
		t.Fatal(err)
	}
	steps := tuned{
		name: "down", value: "0.004", unit: "1", does: "down and up are steps of a trim.", source: "measured by TestTrim",
		half: "follows in twice the time", twice: "turns",
	}
	up := steps
	up.name, up.value = "up", "2 * 0.0002"
	want := []tuned{
		{
			"backlogTime", "60.0", "s", "backlogTime is how soon what waits must be served.", "derived from the TTFT target of the samples",
			"3 % more cost", "misses rise by a tenth",
		},
		steps, up,
		{"margin", "0.1", "1", "margin of a scale-in.", "option scaleInMargin", "flaps", "no difference"},
		{"most", "9", "replicas", "most replicas.", "guard against overflow", "", ""},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(tuned{})); d != "" {
		t.Error(d)
	}
}

// All faults of all marks are told, each with its place.
func TestTunedConstantsWithFaults(t *testing.T) {
	_, err := tunedIn(sample(t, `package sample

// Tuned: ; guessed; at half: worse
const a = 1

// Tuned: s; derived from b; at twice: better
const b = 2
`))
	for _, want := range []string{
		"sample.go:4", "the unit is missing", `"guessed" is not allowed`, "a source is missing", "at twice is missing", "sample.go:7", "at half is missing",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
}

// Numbers without a mark are told where all must have one; what is no number is none.
func TestUnmarkedNumbers(t *testing.T) {
	err := unmarked(sample(t, `package sample

const bare = 3

var also = -(1 << 4)

// wait is long.
const wait = 30 * time.Second

const (
	_    = iota
	name = "3"
	half = bare
	size = len(name) - 1
	// told is told of. Tuned: 1; guard against overflow
	told = 4
	hour = 3600 // s. Exact: by definition
)
`))
	if err == nil {
		t.Fatal("no number is missed")
	}
	faults := strings.Split(err.Error(), "\n")
	for i, want := range []string{"sample.go:3:7: bare", "sample.go:5:5: also", "sample.go:8:7: wait"} {
		if i >= len(faults) || !strings.Contains(faults[i], want) {
			t.Errorf("%q is not said in\n%v", want, err)
		}
	}
	if len(faults) != 3 {
		t.Errorf("%d faults, want 3:\n%v", len(faults), err)
	}
}

func TestMetrics(t *testing.T) {
	got, err := metricsOf(root, sample(t, `package sample

import (
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/prometheus/client_golang/prometheus"
)

const subsystem = "sub"

func register() {
	pair := []string{"model", "accelerator"}
	prometheus.NewGauge(prometheus.GaugeOpts{Name: observe.ArrivalRateMetric, Help: "Offered " + "load."})
	prometheus.NewCounterVec(&prometheus.CounterOpts{Namespace: "inferno", Subsystem: subsystem, Name: "x_total", Help: "X."}, append(pair, "latency"))
	prometheus.NewDesc("inferno_y", "Y.", nil, nil)
	other("inferno_z")
}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []metric{
		{"inferno_server_arrival_rate_requests_per_second", "gauge", "Offered load.", nil},
		{"inferno_sub_x_total", "counter", "X.", []string{"model", "accelerator", "latency"}},
		{"inferno_y", "gauge", "Y.", nil},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(metric{})); d != "" {
		t.Error(d)
	}
	if _, err := metricsOf(root, sample(t, `package sample
var m = prometheus.NewGauge(prometheus.GaugeOpts{Name: name(), Help: "?"})
`)); err == nil || !strings.Contains(err.Error(), "sample.go:2") {
		t.Errorf("a name that cannot be told: %v", err)
	}
}

type speed struct {
	Knots  float64 `json:"knots"`
	Colour string  `json:"colour"`
}

func (s speed) Validate() error {
	if s.Knots <= 0 {
		return errKnots
	}
	return nil
}

type constError string

func (e constError) Error() string { return string(e) }

const errKnots = constError("knots: -1 is not allowed, must be above 0")

func TestOptionRows(t *testing.T) {
	src := sample(t, `package sample

type speed struct {
	// Knots that it makes; Knots are miles an hour.
	Knots  float64 `+"`json:\"knots\"`"+`
	Colour string  `+"`json:\"colour\"`"+` // of the hull
}
`)
	ships := plug.NewRegistry("ship", plug.Of("sail", func() speed { return speed{5, "red"} }, func(s speed) (float64, error) { return s.Knots, nil }))
	want := [][]string{
		{"`knots`", "`5`", "above 0", "knots that it makes; knots are miles an hour."},
		{"`colour`", "`red`", "", "of the hull"},
	}
	if d := cmp.Diff(want, optionRows(src, ships, "sail")); d != "" {
		t.Error(d)
	}
}

func TestCommandsInHelp(t *testing.T) {
	const help = "Usage:\n  x [command]\n\nAvailable Commands:\n  completion  Generate\n  fit         Learn\n  help        Help\n  up          Run\n\nFlags:\n  -h"
	if got := commandsIn(help); !slices.Equal(got, []string{"fit", "up"}) {
		t.Errorf("commands %v", got)
	}
	if got := commandsIn("Usage:\n  x [flags]\n"); got != nil {
		t.Errorf("commands %v", got)
	}
}

func TestCellsStayInTheirRow(t *testing.T) {
	if got := cell("a | b\n  c"); got != `a \| b c` {
		t.Errorf("%q", got)
	}
}

var (
	fieldName  = regexp.MustCompile("`((?:spec|status)\\.[A-Za-z0-9_.\\[\\]-]+)`")
	metricName = regexp.MustCompile("`(inferno_[a-z_]+)`")
)

// What the other documents name is there: fields of the API and metrics.
func TestDocumentsNameWhatIsThere(t *testing.T) {
	read := func(file string) string {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	api, metrics := read("api.md"), read("metrics.md")
	for _, document := range []string{"../glossary.md", "../operations.md", "../../README.md"} {
		text := read(document)
		for _, m := range fieldName.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(api, "`"+m[1]+"`") {
				t.Errorf("%s: no resource has the field %s", document, m[1])
			}
		}
		for _, m := range metricName.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(metrics, "`"+m[1]+"`") {
				t.Errorf("%s: no program has the metric %s", document, m[1])
			}
		}
	}
}
