package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// counted are increases over an hour, by metric and further label, of three servers in two namespaces; of one the load is never known, and no power.
var counted = map[string]map[[3]string]float64{
	observe.ObservedSecondsMetric:                 {{}: 3600},
	observe.ServerObservedSecondsMetric:           {{"a", "chat", "gold"}: 3600, {"a", "bulk", "free"}: 1800, {"b", "blind", "gold"}: 3600},
	observe.ServerKnownSecondsMetric + " load":    {{"a", "chat", "gold"}: 3600, {"a", "bulk", "free"}: 1800},
	observe.ServerKnownSecondsMetric + " cost":    {{"a", "chat", "gold"}: 3600, {"a", "bulk", "free"}: 1800, {"b", "blind", "gold"}: 3600},
	observe.ServerKnownSecondsMetric + " power":   {{"a", "chat", "gold"}: 3600, {"a", "bulk", "free"}: 900},
	observe.ServerRequestsMetric + " met":         {{"a", "chat", "gold"}: 7200, {"a", "bulk", "free"}: 300},
	observe.ServerRequestsMetric + " missed":      {{"a", "chat", "gold"}: 800, {"a", "bulk", "free"}: 100},
	observe.ServerRequestsMetric + " unknown":     {{"a", "bulk", "free"}: 400},
	observe.ServerOutputTokensMetric + " met":     {{"a", "chat", "gold"}: 1.8e6, {"a", "bulk", "free"}: 3e5},
	observe.ServerOutputTokensMetric + " missed":  {{"a", "chat", "gold"}: 2e5, {"a", "bulk", "free"}: 1e5},
	observe.ServerOutputTokensMetric + " unknown": {{"a", "bulk", "free"}: 4e5},
	observe.ServerCostMetric + " known":           {{"a", "chat", "gold"}: 600, {"a", "bulk", "free"}: 100},
	observe.ServerCostMetric + " unknown":         {{"b", "blind", "gold"}: 300},
	observe.ServerEnergyMetric:                    {{"a", "chat", "gold"}: 3.6e6, {"a", "bulk", "free"}: 1.8e6},
	observe.ServerPlanCostMetric:                  {{"a", "chat", "gold"}: 900, {"a", "bulk", "free"}: 250, {"b", "blind", "gold"}: 300},
}

// counting is a Prometheus that has these.
func counting(t *testing.T, counted map[string]map[[3]string]float64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		var result []any
		for series, of := range counted {
			name, label, _ := strings.Cut(series, " ")
			if !strings.Contains(query, "("+name+"[1h]") {
				continue
			}
			for key, value := range of {
				metric := map[string]string{"namespace": key[0], "server": key[1], "class": key[2]}
				for _, l := range []string{"of", "targets", "load"} {
					if label != "" && strings.Contains(query, ", "+l+")") {
						metric[l] = label
					}
				}
				result = append(result, map[string]any{"metric": metric, "value": []any{1, fmt.Sprint(value)}})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "vector", "result": append([]any{}, result...)}})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func reported(t *testing.T, args ...string) (report usageReport) {
	t.Helper()
	out, err := runAlone(t, newReportCommand(), append([]string{"--prometheus-url", counting(t, counted), "--since", "1h", "-o", "json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	return report
}

func near(t *testing.T, what string, got fleet.Maybe, want float64) {
	t.Helper()
	if !(math.Abs(got.OrNaN()-want) <= 1e-9*math.Abs(want)) {
		t.Errorf("%s: %v, want %v", what, got.OrNaN(), want)
	}
}

func TestReport(t *testing.T) {
	r := reported(t)
	if len(r.Rows) != 3 || r.ObservedSeconds != 3600 {
		t.Fatalf("%+v", r)
	}
	bulk, chat, blind := r.Rows[0], r.Rows[1], r.Rows[2]
	near(t, "requests within targets per second", chat.GoodRequests, 2)
	near(t, "tokens within targets per second", chat.GoodTokens, 500)
	near(t, "attainment", chat.Attainment, 0.9)
	near(t, "cost of a million tokens", chat.MillionTokens, 300)
	near(t, "energy", chat.Energy, 1)
	near(t, "power", chat.Power, 1000)
	near(t, "the dearest plan", chat.Static, 900)
	// One that was there for half of the time.
	near(t, "attainment of what is known", bulk.Attainment, 0.75)
	near(t, "the dearest plan for half an hour", bulk.Static, 125)
	near(t, "power that is known half of its time", bulk.PowerKnown, 0.5)
	near(t, "load that is known for all of it", bulk.LoadKnown, 1)
	// One of which nothing is known but its cost.
	near(t, "cost without load", blind.Cost, 300)
	near(t, "load that is never known", blind.LoadKnown, 0)
	for what, x := range map[string]fleet.Maybe{
		"goodput": blind.GoodRequests, "tokens": blind.GoodTokens, "attainment": blind.Attainment, "cost of tokens": blind.MillionTokens, "energy": blind.Energy, "power": blind.Power,
	} {
		if !x.IsZero() {
			t.Errorf("%s of a server that was not seen: %v, want none", what, x.OrNaN())
		}
	}
}

// However servers are grouped, the rows add up to the total, and the total is the same.
func TestReportAddsUp(t *testing.T) {
	figures := func(r *usageRow) map[string]fleet.Maybe {
		return map[string]fleet.Maybe{
			"servers": fleet.Known(float64(r.Servers)), "cost": r.Cost, "static": r.Static, "energy": r.Energy, "power": r.Power, "requests per second": r.GoodRequests, "tokens per second": r.GoodTokens,
			"requests met": r.Requests.Met, "requests missed": r.Requests.Missed, "requests unknown": r.Requests.Unknown,
			"tokens met": r.OutputTokens.Met, "tokens missed": r.OutputTokens.Missed, "tokens unknown": r.OutputTokens.Unknown,
		}
	}
	ungrouped := reported(t)
	want := figures(&ungrouped.Total)
	near(t, "cost of all", want["cost"], 1000)
	for by, rows := range map[string]int{"server": 3, "class": 2, "namespace": 2} {
		r := reported(t, "--by", by)
		if len(r.Rows) != rows {
			t.Errorf("by %s there are %d rows, want %d", by, len(r.Rows), rows)
		}
		for what, total := range figures(&r.Total) {
			near(t, by+": total "+what, total, want[what].OrNaN())
			added := 0.0
			for i := range r.Rows {
				added += figures(&r.Rows[i])[what].Or(0)
			}
			near(t, by+": "+what+" of all rows", fleet.Known(added), want[what].OrNaN())
		}
	}
	if r := reported(t, "-n", "b"); len(r.Rows) != 1 || r.Total.Servers != 1 {
		t.Errorf("of one namespace: %+v", r)
	}
}

// What is a part only says so, and what is not known is a dash.
func TestReportForPeople(t *testing.T) {
	out, err := runAlone(t, newReportCommand(), "--prometheus-url", counting(t, counted), "--since", "1h")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.Contains(lines[0], "the last 1h0m0s, of which the optimizer looked for 1h0m0s") {
		t.Fatalf("printed\n%s", out)
	}
	for i, want := range []string{
		"a bulk free ≥ 0.0833 ≥ 83.33 75.00 % 100 125.0 125 ≥ 0.50 ≥ 500 100 %",
		"a chat gold 2 500 90.00 % 600 300.0 900 1.00 1000 100 %",
		"b blind gold - - - 300 - 300 - - 0 %",
	} {
		if got := strings.Join(strings.Fields(lines[i+2]), " "); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}

func TestReportFaults(t *testing.T) {
	_, err := runAlone(t, newReportCommand(), "--prometheus-url", "here", "--since", "1s", "--by", "pod", "--timeout", "0s", "-o", "csv")
	for _, want := range []string{`--prometheus-url: "here"`, "--since: 1s is not allowed", "--timeout: 0s", `--by: "pod" is not allowed, must be one of server, class, namespace`, `--output: "csv"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	for what, c := range map[string]struct {
		url  string
		more []string
		want string
	}{
		"nobody":       {"http://127.0.0.1:1", nil, "--prometheus-url: http://127.0.0.1:1 does not answer"},
		"no series":    {counting(t, nil), nil, observe.ObservedSecondsMetric + " of the last 1h0m0s"},
		"no namespace": {counting(t, counted), []string{"-n", "c"}, `--namespace: the optimizer saw no server in "c"`},
	} {
		if _, err := runAlone(t, newReportCommand(), append([]string{"--prometheus-url", c.url, "--since", "1h"}, c.more...)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}
