package manifests

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/llm-inferno/inferno/optimizer/localcluster/controlplane"
)

// rule of Prometheus.
type rule struct {
	Alert  string            `json:"alert,omitempty"`
	Record string            `json:"record,omitempty"`
	Expr   string            `json:"expr"`
	Labels map[string]string `json:"labels,omitempty"`
}

// alertRules are the groups of the PrometheusRule as Prometheus reads them, and the rules in them.
func alertRules(t *testing.T) (groups []byte, rules []rule) {
	t.Helper()
	data, err := Files.ReadFile("chart/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object struct{ Spec json.RawMessage }
	var spec struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal(data, &object); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(object.Spec, &spec); err != nil {
		t.Fatal(err)
	}
	for _, g := range spec.Groups {
		rules = append(rules, g.Rules...)
	}
	return object.Spec, rules // JSON is YAML
}

// dashboardQueries are the expressions of every panel and variable of the dashboard.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	data, err := Files.ReadFile("chart/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries = append(queries, target.Expr)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
	}
	return queries
}

// promtool runs Prometheus' own tool in a directory with these files.
func promtool(t *testing.T, files map[string][]byte, args ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds promtool")
	}
	paths, err := controlplane.Binaries(context.Background(), "", os.Stderr, controlplane.Promtool)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), paths[controlplane.Promtool], args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Alerts fire when they should and at no other time.
func TestAlerts(t *testing.T) {
	groups, _ := alertRules(t)
	tests, err := os.ReadFile("testdata/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"rules.yaml": groups, "tests.yaml": tests}
	promtool(t, files, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
	promtool(t, files, "test", "rules", "tests.yaml")
}

// Every query of the dashboard is one that Prometheus understands.
func TestDashboardQueries(t *testing.T) {
	var rules []rule
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*", "$server", ".*")
	for i, q := range dashboardQueries(t) {
		rules = append(rules, rule{Record: "panel:" + string(rune('a'+i)), Expr: variables.Replace(q)})
	}
	if len(rules) < 10 {
		t.Fatalf("%d queries", len(rules))
	}
	data, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, map[string][]byte{"rules.yaml": data}, "check", "rules", "rules.yaml")
}

var (
	// metricName is a metric of inferno's own programs; those of the metrics APIs are not Prometheus'.
	metricName = regexp.MustCompile(`\binferno_[a-z_]+\b`)
	documented = regexp.MustCompile("`(inferno_[a-z_]+)[{`\"]")
)

// What alerts and dashboard ask for is documented, which the tests of the programs compare with what they publish.
func TestAskedMetricsAreDocumented(t *testing.T) {
	known := map[string]bool{}
	for _, page := range []string{"../docs/operations.md", "../docs/scheduler.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range documented.FindAllSubmatch(text, -1) {
			known[string(m[1])] = true
		}
	}
	_, rules := alertRules(t)
	asked := dashboardQueries(t)
	for _, r := range rules {
		asked = append(asked, r.Expr)
		if !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) || !strings.HasPrefix(r.Alert, "Inferno") {
			t.Errorf("alert %q has severity %q", r.Alert, r.Labels["severity"])
		}
	}
	for _, q := range asked {
		for _, name := range metricName.FindAllString(q, -1) {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			if !known[name] {
				t.Errorf("%s is not documented, and asked for in %s", name, q)
			}
		}
	}
}
