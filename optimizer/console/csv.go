package console

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llm-inferno/inferno/optimizer/view"
)

// table of what a picture shows: a header with units, then rows.
type table [][]string

func (s *server) tables() map[string]func(*request) (table, error) {
	return map[string]func(*request) (table, error){
		"fleet": s.fleetTable, "nodes": s.nodesTable, "history": s.historyTable, "curves": s.curvesTable, "forecast": s.forecastTable, "supply": s.supplyTable,
		"timeline": s.timelineTable, "evaluation": s.evaluationTable,
	}
}

// csv writes a table. Text that a spreadsheet would take for a formula is led by an apostrophe.
func (s *server) csv(name string, of func(*request) (table, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q, err := s.request(r)
		var t table
		if err == nil {
			t, err = of(q)
		}
		if err != nil {
			http.Error(w, err.Error(), status(err))
			return
		}
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
		out := csv.NewWriter(w)
		for _, row := range t {
			for i := range row {
				row[i] = harmless(row[i])
			}
			_ = out.Write(row) // who asked is gone
		}
		out.Flush()
	}
}

func harmless(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	return "'" + text
}

func decimal(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func maybe(p *float64) string {
	if p == nil {
		return ""
	}
	return decimal(*p)
}

func maybe32(p *float32) string {
	if p == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*p), 'g', -1, 32)
}

func at(milliseconds int64) string {
	if milliseconds == 0 {
		return ""
	}
	return time.UnixMilli(milliseconds).UTC().Format(time.RFC3339Nano)
}

func (s *server) fleetTable(r *request) (table, error) {
	c, _, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	t := table{{"server", "namespace", "class", "rank", "model", "state", "load_requests_per_min", "plan", "replicas", "ready", "ttft_ms", "ttft_p99_ms", "ttft_predicted_ms",
		"ttft_target_ms", "itl_ms", "itl_p99_ms", "itl_predicted_ms", "itl_target_ms", "percentile", "attainment", "cost_cents_per_hour", "why"}}
	for _, x := range view.NewFleet(c).Servers {
		load := ""
		if x.Load != nil {
			load = decimal(x.Load.ArrivalRate)
		}
		t = append(t, []string{x.Name, x.Namespace, x.Class, strconv.Itoa(x.Priority), x.Model, x.State, load, words(x.Parts), strconv.Itoa(x.Replicas), strconv.Itoa(x.Ready),
			maybe(x.TTFT.Measured), maybe(x.TTFT.P99), maybe(x.TTFT.Predicted), maybe(x.TTFT.Target), maybe(x.ITL.Measured), maybe(x.ITL.P99), maybe(x.ITL.Predicted), maybe(x.ITL.Target),
			decimal(x.Percentile), maybe(x.Attainment), decimal(x.Cost), x.Why})
	}
	return t, nil
}

func (s *server) nodesTable(r *request) (table, error) {
	c, _, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	t := table{{"node", "type", "cards", "server", "class", "replicas", "cards_held"}}
	for _, n := range view.NewFleet(c).Nodes {
		if len(n.Held) == 0 {
			t = append(t, []string{n.Name, n.Type, strconv.Itoa(n.Cards), "", "", "0", "0"})
		}
		for _, h := range n.Held {
			t = append(t, []string{n.Name, n.Type, strconv.Itoa(n.Cards), h.Server, h.Class, strconv.Itoa(h.Replicas), strconv.Itoa(h.Cards)})
		}
	}
	return t, nil
}

func (s *server) historyTable(r *request) (table, error) {
	name := r.FormValue("name")
	if err := s.visible(r, name); err != nil {
		return nil, err
	}
	h := s.Store.historyOf(name, r.FormValue("cycle"), mostHistory)
	t := table{{"cycle", "time", "load_requests_per_min", "ttft_ms", "ttft_predicted_ms", "itl_ms", "itl_predicted_ms", "cost_cents_per_hour", "replicas", "ready", "plan"}}
	for i := range h.Cycle {
		t = append(t, []string{h.Cycle[i], at(h.Time[i]), maybe32(h.Load[i]), maybe32(h.TTFT[i]), maybe32(h.PredictedTTFT[i]), maybe32(h.ITL[i]), maybe32(h.PredictedITL[i]), maybe32(h.Cost[i]),
			strconv.Itoa(int(h.Replicas[i])), strconv.Itoa(int(h.Ready[i])), h.RunsOn[i]})
	}
	return t, nil
}

func (s *server) curvesTable(r *request) (table, error) {
	v, err := s.server(r)
	if err != nil {
		return nil, err
	}
	t := table{{"accelerator", "rate_requests_per_min", "ttft_ms", "itl_ms", "ttft_at_percentile_ms", "itl_at_percentile_ms", "percentile"}}
	x := v.(*view.Server)
	for _, c := range x.Curves {
		for _, p := range c.Points {
			t = append(t, []string{c.Accelerator, decimal(p.Rate), maybe(p.TTFT), maybe(p.ITL), maybe(p.TTFTHeld), maybe(p.ITLHeld), decimal(x.Percentile)})
		}
	}
	return t, nil
}

func (s *server) forecastTable(r *request) (table, error) {
	v, err := s.server(r)
	if err != nil {
		return nil, err
	}
	t := table{{"time", "low_requests_per_min", "mid_requests_per_min", "high_requests_per_min"}}
	for _, a := range v.(*view.Server).Forecast {
		t = append(t, []string{at(a.Time), decimal(a.Low), decimal(a.Mid), decimal(a.High)})
	}
	return t, nil
}

func (s *server) supplyTable(r *request) (table, error) {
	c, whole, err := s.cycle(r, r.FormValue("cycle"))
	if err != nil {
		return nil, err
	}
	t := table{{"type", "nodes", "cards", "used", "one_more_saves_cents_per_hour", "cost_of_a_card_cents_per_hour", "server", "cards_held"}}
	for _, x := range view.NewSupply(c, whole).Types {
		row := []string{x.Type, strconv.Itoa(x.Nodes), strconv.Itoa(x.Cards), strconv.Itoa(x.Used), maybe(x.Price), decimal(x.Cost)}
		t = append(t, append(row, "", ""))
		for _, h := range x.Holders {
			t = append(t, append(row[:len(row):len(row)], h.Server, strconv.Itoa(h.Cards)))
		}
	}
	return t, nil
}

func (s *server) timelineTable(r *request) (table, error) {
	if err := s.whole(r, "the timeline"); err != nil {
		return nil, err
	}
	t := table{{"cycle", "time", "servers", "not_served", "missing_targets", "not_observed", "replicas", "cost_cents_per_hour", "load_requests_per_min", "output_tokens_within_targets_per_s", "cents_per_million_output_tokens", "solver"}}
	for _, x := range s.Store.summaries(0) {
		t = append(t, []string{x.ID, at(x.Time), strconv.Itoa(x.Servers), strconv.Itoa(x.Unserved), strconv.Itoa(x.Missing), strconv.Itoa(x.Unobserved), strconv.Itoa(x.Replicas),
			decimal(x.Cost), decimal(x.Load), maybe(x.GoodTokens), maybe(x.MillionTokens), x.Solver})
	}
	return t, nil
}

func (s *server) evaluationTable(r *request) (table, error) {
	v, err := s.evaluation(r)
	if err != nil {
		return nil, err
	}
	t := table{{"scenario", "policy", "settings", "attainment", "attainment_ttft", "attainment_itl", "cost_cents_per_hour", "to_oracle", "peak_replicas", "changes", "reversals", "dropped", "timed_out"}}
	for _, p := range v.([]Played) {
		for _, o := range p.Outcomes {
			t = append(t, []string{p.Name, o.Policy, o.Settings, decimal(o.Both), decimal(o.TTFT), decimal(o.ITL), decimal(o.Cost), maybe(o.ToOracle), strconv.Itoa(o.Peak),
				strconv.Itoa(o.Changes), strconv.Itoa(o.Reversals), strconv.Itoa(o.Dropped), strconv.Itoa(o.TimedOut)})
		}
	}
	return t, nil
}
