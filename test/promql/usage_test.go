package promql

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/llm-inferno/inferno/optimizer/observe"
)

// What servers used is read back from counters, across a restart of the optimizer, under whichever label the namespace ended up.
func TestUsageIsReadBack(t *testing.T) {
	for _, label := range []string{"namespace", "exported_namespace"} {
		p := newPrometheus(t)
		const hour = 4 * 60 // scrapes
		for i := range hour + 1 {
			pod, counted := "one", float64(i)
			if i > hour/2 { // another pod goes on, and counts from 0
				pod, counted = "two", float64(i-hour/2-1)
			}
			app := p.db.Appender(context.Background())
			for _, s := range []struct {
				name, server string
				more         []string
				value        float64
			}{
				{observe.ObservedSecondsMetric, "", nil, 15 * counted},
				{observe.ServerObservedSecondsMetric, "chat", nil, 15 * counted},
				{observe.ServerKnownSecondsMetric, "chat", []string{"of", observe.OfLoad}, 12 * counted},
				{observe.ServerKnownSecondsMetric, "chat", []string{"of", observe.OfCost}, 15 * counted},
				{observe.ServerRequestsMetric, "chat", []string{"targets", observe.TargetsMet}, 9 * counted},
				{observe.ServerRequestsMetric, "chat", []string{"targets", observe.TargetsMissed}, counted},
				{observe.ServerOutputTokensMetric, "chat", []string{"targets", observe.TargetsUnknown}, 1000 * counted},
				{observe.ServerCostMetric, "chat", []string{"load", observe.LoadKnown}, 4 * counted},
				{observe.ServerCostMetric, "chat", []string{"load", observe.LoadUnknown}, counted},
				{observe.ServerPlanCostMetric, "chat", nil, 900 - math.Abs(float64(i-100))},
			} {
				b := labels.NewBuilder(labels.FromStrings("__name__", s.name, "pod", pod, "namespace", "inferno"))
				if s.server != "" {
					b.Set(label, "llm").Set("server", s.server).Set("class", "gold")
				}
				for k := 0; k < len(s.more); k += 2 {
					b.Set(s.more[k], s.more[k+1])
				}
				if _, err := app.Append(0, b.Labels(), end.Add(time.Duration(i-hour)*scrape).UnixMilli(), s.value); err != nil {
					t.Fatal(err)
				}
			}
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		all, observed, err := observe.ReadUsage(context.Background(), p, end, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		u := all[observe.ServerKey{Namespace: "llm", Server: "chat", Class: "gold"}]
		if u == nil || len(all) != 1 {
			t.Fatalf("%s: %v", label, all)
		}
		for what, c := range map[string]struct{ got, want float64 }{
			"observed": {observed.OrNaN(), 3600}, "of the server": {u.Observed.OrNaN(), 3600}, "load known": {u.LoadKnown.OrNaN(), 12 * hour}, "cost known": {u.CostKnown.OrNaN(), 3600},
			"met": {u.Requests.Met.OrNaN(), 9 * hour}, "missed": {u.Requests.Missed.OrNaN(), hour}, "tokens": {u.OutputTokens.Unknown.OrNaN(), 1000 * hour},
			"cost": {u.Cost.OrNaN(), 4 * hour}, "cost without load": {u.CostUnloaded.OrNaN(), hour}, "the dearest plan": {u.DearestPlan.OrNaN(), 900},
		} {
			if !(math.Abs(c.got/c.want-1) < 0.02) { // increases are drawn out to the ends of the span
				t.Errorf("%s: %s %v, want %v", label, what, c.got, c.want)
			}
		}
		if !u.PowerKnown.IsZero() || !u.Energy.IsZero() || !u.OutputTokens.Met.IsZero() || !u.Requests.Unknown.IsZero() {
			t.Errorf("%s: known is what nobody counted: %+v", label, u)
		}
	}
}
