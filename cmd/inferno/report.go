package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/llm-inferno/inferno/optimizer/api/jsonspec"
	"github.com/llm-inferno/inferno/optimizer/fleet"
	"github.com/llm-inferno/inferno/optimizer/observe"
)

// groupings of a report.
var groupings = []string{"server", "class", "namespace"}

// longestReport is more than Prometheus keeps where nobody asks it to.
//
// Tuned: s; guard against a span that is a mistake
const longestReport = 366 * 24 * time.Hour

type reportOptions struct {
	prometheus, namespace, by, output string
	since, timeout                    time.Duration
}

func newReportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report --prometheus-url URL",
		Short: "Say what servers gave within their targets, what that cost and how much energy it took",
		Long: `Asks Prometheus for what the optimizer counted: requests and output tokens within targets per second, the share of requests within them, cost, cost of a
million output tokens, energy and power, over a span that ends now. STATIC is what the dearest plan of the span would have cost, kept all along: what a fleet of one size
costs that never falls short of the plans. What is not known is a dash. Rates and watts are over the time that the optimizer looked, and speak of what is known alone;
KNOWN is the share of it in which the load of the servers was.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.prometheus, "prometheus-url", "", "URL of the Prometheus API as reached from here")
	f.StringVarP(&o.namespace, "namespace", "n", "", lookAt)
	f.DurationVar(&o.since, "since", 24*time.Hour, "how much of the past to report on")
	f.StringVar(&o.by, "by", "server", "a line for each: "+strings.Join(groupings, ", "))
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long to wait for answers")
	f.StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(groupings, cobra.ShellCompDirectiveNoFileComp)) // fails where there is no such flag
	return cmd
}

func (o *reportOptions) validate() error {
	var faults []error
	if u, err := url.Parse(o.prometheus); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		faults = append(faults, fmt.Errorf("--prometheus-url: %q is not allowed, must be an http or https URL", o.prometheus))
	}
	if o.since < time.Minute || o.since > longestReport {
		faults = append(faults, fmt.Errorf("--since: %s is not allowed, must be 1m to %s", o.since, longestReport))
	}
	if o.timeout <= 0 {
		faults = append(faults, fmt.Errorf("--timeout: %s is not allowed, must be above 0", o.timeout))
	}
	for _, f := range []struct {
		flag, value string
		allowed     []string
	}{{"by", o.by, groupings}, {"output", o.output, outputFormats}} {
		if err := oneOf(f.value, f.allowed); err != nil {
			faults = append(faults, fmt.Errorf("--%s: %w", f.flag, err))
		}
	}
	return errors.Join(faults...)
}

func (o *reportOptions) run(ctx context.Context, out io.Writer) error {
	if err := o.validate(); err != nil {
		return badInput{err}
	}
	querier, err := observe.NewPrometheus(o.prometheus, http.DefaultTransport)
	if err != nil {
		return badInput{fmt.Errorf("--prometheus-url: %w", err)}
	}
	patient, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	servers, observed, err := observe.ReadUsage(patient, querier, time.Now(), o.since)
	if err != nil {
		return unanswered(ctx, o.prometheus, err)
	}
	report, err := o.reportOf(servers, observed)
	if err != nil {
		return err
	}
	if o.output != "table" {
		return writeAs(out, o.output, report)
	}
	return report.print(out)
}

// usageReport is what servers gave, cost and drew. What is absent is not known.
type usageReport struct {
	// SpanSeconds that were asked for, and ObservedSeconds of them that the optimizer looked.
	SpanSeconds     float64 `json:"spanSeconds"`
	ObservedSeconds float64 `json:"observedSeconds"`
	By              string  `json:"by"`
	// Rows by namespace, name and class, and their Total.
	Rows  []usageRow `json:"rows"`
	Total usageRow   `json:"total"`
}

// usageRow is a server, a class, a namespace or all of them. Sums are of what is known.
type usageRow struct {
	Namespace string `json:"namespace,omitempty"`
	Server    string `json:"server,omitempty"`
	Class     string `json:"class,omitempty"`
	usageSums
	// LoadKnown, CostKnown and PowerKnown are the shares of the time of its servers, 0 to 1, in which these were known.
	LoadKnown  fleet.Maybe `json:"loadKnown,omitzero"`
	CostKnown  fleet.Maybe `json:"costKnown,omitzero"`
	PowerKnown fleet.Maybe `json:"powerKnown,omitzero"`
	// What was within targets, per second of the time that the optimizer looked.
	GoodRequests fleet.Maybe `json:"goodRequestsPerSecond,omitzero"`
	GoodTokens   fleet.Maybe `json:"goodOutputTokensPerSecond,omitzero"`
	// Attainment is the share of requests within targets, 0 to 1, of those of which it is known.
	Attainment fleet.Maybe `json:"attainment,omitzero"`
	// MillionTokens is what a million output tokens cost, in cents, while the load was known.
	MillionTokens fleet.Maybe `json:"centsPerMillionOutputTokens,omitzero"`
	// Energy, and Power as its mean over the time that the optimizer looked.
	Energy fleet.Maybe `json:"kilowattHours,omitzero"`
	Power  fleet.Maybe `json:"watts,omitzero"`
}

// usageSums are what is added up over servers.
type usageSums struct {
	Servers      int               `json:"servers"`
	Requests     observe.ByTargets `json:"requests"`
	OutputTokens observe.ByTargets `json:"outputTokens"`
	// Cost in cents, and Static that of each server's dearest plan, kept for as long as the cost is known.
	Cost   fleet.Maybe `json:"costCents,omitzero"`
	Static fleet.Maybe `json:"staticCostCents,omitzero"`

	observed, load, cost, power float64 // seconds
	costWithLoad, joules        fleet.Maybe
}

// sum of what is known; missing where nothing is.
func sum(all ...fleet.Maybe) fleet.Maybe {
	total := fleet.Maybe{}
	for _, m := range all {
		if x, known := m.Get(); known {
			total = fleet.Known(total.Or(0) + x)
		}
	}
	return total
}

// over is a quotient and times a product; missing where either number is, or nothing is divided by.
func over(a, b fleet.Maybe) fleet.Maybe  { return fleet.Measured(a.OrNaN() / b.OrNaN()) }
func times(a, b fleet.Maybe) fleet.Maybe { return fleet.Measured(a.OrNaN() * b.OrNaN()) }

func sumByTargets(a, b observe.ByTargets) observe.ByTargets {
	return observe.ByTargets{Met: sum(a.Met, b.Met), Missed: sum(a.Missed, b.Missed), Unknown: sum(a.Unknown, b.Unknown)}
}

func (r *usageSums) add(u *observe.ServerUsage) {
	r.Servers++
	r.Requests, r.OutputTokens = sumByTargets(r.Requests, u.Requests), sumByTargets(r.OutputTokens, u.OutputTokens)
	r.Cost, r.costWithLoad = sum(r.Cost, u.Cost, u.CostUnloaded), sum(r.costWithLoad, u.Cost)
	r.Static = sum(r.Static, times(u.DearestPlan, times(u.CostKnown, fleet.Known(jsonspec.Hours(1)))))
	r.joules = sum(r.joules, u.Energy)
	r.observed, r.load, r.cost, r.power = r.observed+u.Observed.Or(0), r.load+u.LoadKnown.Or(0), r.cost+u.CostKnown.Or(0), r.power+u.PowerKnown.Or(0)
}

// finish works out what follows from the sums, over so many seconds.
func (r *usageRow) finish(seconds float64) {
	span, q := fleet.Known(seconds), r.Requests
	r.LoadKnown, r.CostKnown, r.PowerKnown = fleet.Measured(r.load/r.observed), fleet.Measured(r.cost/r.observed), fleet.Measured(r.power/r.observed)
	r.GoodRequests, r.GoodTokens = over(q.Met, span), over(r.OutputTokens.Met, span)
	r.Attainment = over(q.Met, sum(q.Met, q.Missed))
	r.MillionTokens = over(times(r.costWithLoad, fleet.Known(1e6)), sum(r.OutputTokens.Met, r.OutputTokens.Missed, r.OutputTokens.Unknown))
	r.Energy, r.Power = times(r.joules, fleet.Known(jsonspec.KilowattHours(1))), over(r.joules, span)
}

// reportOf what Prometheus has of servers.
func (o *reportOptions) reportOf(servers map[observe.ServerKey]*observe.ServerUsage, observed fleet.Maybe) (*usageReport, error) {
	seconds, known := observed.Get()
	if !known {
		return nil, fmt.Errorf("--prometheus-url: %s has no %s of the last %s: see that it scrapes inferno-optimizer, of a release that has it", o.prometheus, observe.ObservedSecondsMetric, o.since)
	}
	r := &usageReport{SpanSeconds: o.since.Seconds(), ObservedSeconds: seconds, By: o.by, Rows: []usageRow{}}
	rows := map[observe.ServerKey]*usageRow{}
	for key, u := range servers {
		if o.namespace != "" && key.Namespace != o.namespace {
			continue
		}
		switch o.by {
		case "class":
			key = observe.ServerKey{Class: key.Class}
		case "namespace":
			key = observe.ServerKey{Namespace: key.Namespace}
		}
		if rows[key] == nil {
			rows[key] = &usageRow{Namespace: key.Namespace, Server: key.Server, Class: key.Class}
		}
		rows[key].add(u)
		r.Total.add(u)
	}
	if len(rows) == 0 && o.namespace != "" {
		return nil, fmt.Errorf("--namespace: the optimizer saw no server in %q in the last %s", o.namespace, o.since)
	}
	for _, row := range slices.SortedFunc(maps.Values(rows), func(a, b *usageRow) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Server, b.Server), strings.Compare(a.Class, b.Class))
	}) {
		row.finish(seconds)
		r.Rows = append(r.Rows, *row)
	}
	r.Total.finish(seconds)
	return r, nil
}

// print the report for people.
func (r *usageReport) print(out io.Writer) error {
	span := func(seconds float64) time.Duration {
		return time.Duration(seconds * float64(time.Second)).Round(time.Second)
	}
	fmt.Fprintf(out, "the last %s, of which the optimizer looked for %s\n", span(r.SpanSeconds), span(r.ObservedSeconds))
	t := newTable(out)
	header := usageRow{Namespace: "NAMESPACE", Server: "SERVER", Class: "CLASS"}
	fmt.Fprintln(t, header.called(r.By, "SERVERS")+"\tGOOD req/s\tGOOD tok/s\tWITHIN\tCOST ¢\t¢/M tok\tSTATIC ¢\tkWh\tW\tKNOWN")
	for i := range r.Rows {
		row := &r.Rows[i]
		fmt.Fprintln(t, row.called(r.By, strconv.Itoa(row.Servers))+row.numbers())
	}
	all := r.Total
	all.Namespace, all.Class = "all", "all"
	if r.By == "server" {
		all.Class = ""
	}
	fmt.Fprintln(t, all.called(r.By, strconv.Itoa(all.Servers))+all.numbers())
	return t.Flush()
}

// called is what the first cells of a row say.
func (r *usageRow) called(by, servers string) string {
	switch by {
	case "class":
		return r.Class + "\t" + servers
	case "namespace":
		return r.Namespace + "\t" + servers
	}
	return r.Namespace + "\t" + r.Server + "\t" + r.Class
}

// allButAll is the share from which on what is known is taken for all: counters are read to within a scrape.
//
// Tuned: share; guard against a mark at every number for a scrape that came late
const allButAll = 0.99

// numbers of a row as cells. What is a part only of what was, since the rest is not known, is said to be at least that.
func (r *usageRow) numbers() string {
	var cells strings.Builder
	cell := func(format string, x fleet.Maybe, known fleet.Maybe) {
		text := "-"
		if v, is := x.Get(); is {
			text = fmt.Sprintf(format, v)
			if known.Or(0) < allButAll {
				text = "≥ " + text
			}
		}
		cells.WriteString("\t" + text)
	}
	all, hundred := fleet.Known(1), fleet.Known(100)
	judged := times(r.LoadKnown, over(sum(r.Requests.Met, r.Requests.Missed), sum(r.Requests.Met, r.Requests.Missed, r.Requests.Unknown)))
	cell("%.3g", r.GoodRequests, judged)
	cell("%.4g", r.GoodTokens, judged)
	cell("%.2f %%", times(r.Attainment, hundred), all)
	cell("%.0f", r.Cost, r.CostKnown)
	cell("%.1f", r.MillionTokens, all)
	cell("%.0f", r.Static, r.CostKnown)
	cell("%.2f", r.Energy, r.PowerKnown)
	cell("%.0f", r.Power, r.PowerKnown)
	cell("%.0f %%", times(r.LoadKnown, hundred), all)
	return cells.String()
}
