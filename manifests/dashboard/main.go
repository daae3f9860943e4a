// Command dashboard writes the Grafana dashboard of inferno. A panel here is a line, and JSON is what Grafana wants of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// panel is a graph of one or more queries.
type panel struct {
	title, description string
	// unit is Grafana's name of it.
	unit    string
	queries []query
}

type query struct{ expression, legend string }

type row struct {
	title  string
	panels []panel
}

// The variables namespace and server of the dashboard narrow what is shown of servers.
const ofServer = `namespace=~"$namespace",server=~"$server"`

var rows = []row{
	{"Plans", []panel{
		{"Cost of the plan", "By the prices of the Accelerators; 100 is one unit of the currency.", "none", []query{{`max(inferno_plan_cost_cents_per_hour)`, "¢/h"}}},
		{"Cycles", "Degraded: a server could not be observed, or is not served as its targets need.", "ops", []query{
			{`sum by (result) (rate(inferno_cycles_total[$__rate_interval]))`, "{{result}}"},
		}},
		{"Time of a cycle, 99th percentile", "By stage.", "s", []query{
			{`histogram_quantile(0.99, sum by (le, stage) (rate(inferno_cycle_stage_duration_seconds_bucket[$__rate_interval])))`, "{{stage}}"},
		}},
		{"Servers whose condition is False", "Observed: the load is known. Planned: the plan meets the targets. Realised: pods are where the plan says.", "none", []query{
			{`sum by (condition) (inferno_server_condition{` + ofServer + `} == bool 0)`, "{{condition}}"},
		}},
	}},
	{"Servers", []panel{
		{"Offered load", "", "reqps", []query{{`max by (namespace, server) (inferno_server_arrival_rate_requests_per_second{` + ofServer + `})`, "{{namespace}}/{{server}}"}}},
		{"Planned replicas", "By accelerator.", "none", []query{{`max by (namespace, server, accelerator) (inferno_server_desired_replicas{` + ofServer + `})`, "{{namespace}}/{{server}} {{accelerator}}"}}},
		{"Ready replicas", "By accelerator.", "none", []query{{`max by (namespace, server, accelerator) (inferno_server_ready_replicas{` + ofServer + `})`, "{{namespace}}/{{server}} {{accelerator}}"}}},
		{"Replicas that the plan lacks", "Planned and not ready on their accelerator.", "none", []query{
			{`clamp_min(max by (namespace, server, accelerator) (inferno_server_desired_replicas{` + ofServer + `}) - (max by (namespace, server, accelerator) (inferno_server_ready_replicas{` + ofServer + `}) or max by (namespace, server, accelerator) (0 * inferno_server_desired_replicas{` + ofServer + `})), 0)`, "{{namespace}}/{{server}} {{accelerator}}"},
		}},
	}},
	{"What servers give and cost", []panel{
		{"Output tokens within targets", "Of requests of which it is known whether they were.", "none", []query{
			{`sum by (namespace, server) (rate(inferno_server_output_tokens_total{` + ofServer + `,targets="met"}[$__rate_interval]))`, "{{namespace}}/{{server}} tok/s"},
		}},
		{"Requests within targets", "Of those of which it is known.", "percentunit", []query{
			{`sum by (namespace, server) (rate(inferno_server_requests_total{` + ofServer + `,targets="met"}[$__rate_interval])) / sum by (namespace, server) (rate(inferno_server_requests_total{` + ofServer + `,targets=~"met|missed"}[$__rate_interval]))`, "{{namespace}}/{{server}}"},
		}},
		{"Cost of a million output tokens", "While the load is known.", "none", []query{
			{`1e6 * sum by (namespace, server) (rate(inferno_server_cost_cents_total{` + ofServer + `,load="known"}[$__rate_interval])) / sum by (namespace, server) (rate(inferno_server_output_tokens_total{` + ofServer + `}[$__rate_interval]))`, "{{namespace}}/{{server}} ¢"},
		}},
		{"Power", "By the power curves of the Accelerators.", "watt", []query{
			{`sum by (namespace, server) (rate(inferno_server_energy_joules_total{` + ofServer + `}[$__rate_interval]))`, "{{namespace}}/{{server}}"},
		}},
	}},
	{"Capacity", []panel{
		{"Cards that plans may give", "By type, without what pods hold that are no server's.", "none", []query{{`max by (type) (inferno_accelerator_available_cards)`, "{{type}}"}}},
		{"What one card more would save", "What to buy next.", "none", []query{{`max by (type) (inferno_accelerator_shadow_price_cents_per_hour)`, "{{type}} ¢/h"}}},
		{"Cards of shares", "Used by the servers of a share, and what others leave to it.", "none", []query{
			{`max by (share, type) (inferno_share_used_cards)`, "{{share}}: {{type}} used"},
			{`max by (share, type) (inferno_share_due_cards)`, "{{share}}: {{type}} due"},
		}},
		{"Used part of shares", "Cards used by the most that a share may have; 1 is a share at its bound.", "percentunit", []query{
			{`max by (share, type) (inferno_share_used_cards) / max by (share, type) (inferno_share_most_cards > 0)`, "{{share}}: {{type}}"},
		}},
	}},
	{"Realisation", []panel{
		{"Plans as the adapter sees them", "A stale plan is answered with an error, on which autoscalers hold.", "none", []query{{`max by (plan) (inferno_adapter_servers)`, "{{plan}}"}}},
		{"Answers of the adapter", "", "reqps", []query{{`sum by (api, outcome) (rate(inferno_adapter_answers_total[$__rate_interval]))`, "{{api}}: {{outcome}}"}}},
		{"Pods placed", "Unplanned: there was no plan. Fallback: the plan had no room for too long.", "ops", []query{
			{`sum by (accelerator, outcome) (rate(inferno_scheduler_placements_total[$__rate_interval]))`, "{{accelerator}}: {{outcome}}"},
		}},
		{"Pods without a seat", "The plan has none for them. They are not tried, and nobody buys nodes for them.", "none", []query{{`sum(inferno_scheduler_held_pods)`, "held"}}},
		{"Pods that wait", "Attempts that the plugin ended, and pods that it woke.", "ops", []query{
			{`sum by (reason) (rate(inferno_scheduler_rejections_total[$__rate_interval]))`, "refused: {{reason}}"},
			{`sum by (cause) (rate(inferno_scheduler_wakeups_total[$__rate_interval]))`, "woken: {{cause}}"},
		}},
	}},
}

func main() {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(dashboard()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// object of JSON; its keys are written in order.
type object map[string]any

var datasource = object{"type": "prometheus", "uid": "${datasource}"}

func dashboard() object {
	const width, height = 12, 8
	var panels []object
	id, y := 0, 0
	add := func(p object, x, w, h int) {
		id++
		p["id"], p["gridPos"] = id, object{"x": x, "y": y, "w": w, "h": h}
		panels = append(panels, p)
	}
	for _, r := range rows {
		add(object{"type": "row", "title": r.title, "collapsed": false, "panels": []object{}}, 0, 2*width, 1)
		y++
		for i, p := range r.panels {
			add(graph(p), i%2*width, width, height)
			if i%2 == 1 || i == len(r.panels)-1 {
				y += height
			}
		}
	}
	return object{
		"uid": "inferno", "title": "Inferno", "tags": []string{"inferno"}, "schemaVersion": 39, "editable": true, "refresh": "30s",
		"time":       object{"from": "now-3h", "to": "now"},
		"panels":     panels,
		"templating": object{"list": []object{source(), variable("namespace", `label_values(inferno_server_condition, namespace)`), variable("server", `label_values(inferno_server_condition{namespace=~"$namespace"}, server)`)}},
	}
}

func graph(p panel) object {
	var targets []object
	for i, q := range p.queries {
		targets = append(targets, object{"refId": string(rune('A' + i)), "datasource": datasource, "expr": q.expression, "legendFormat": q.legend})
	}
	return object{
		"type": "timeseries", "title": p.title, "description": p.description, "datasource": datasource, "targets": targets,
		"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
		"options":     object{"legend": object{"displayMode": "table", "placement": "right", "calcs": []string{"lastNotNull"}}, "tooltip": object{"mode": "multi"}},
	}
}

func source() object {
	return object{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
}

func variable(name, expression string) object {
	return object{
		"name": name, "type": "query", "datasource": datasource, "query": object{"query": expression, "refId": name}, "refresh": 2, "sort": 1,
		"multi": true, "includeAll": true, "allValue": ".*", "current": object{"text": "All", "value": "$__all"},
	}
}
