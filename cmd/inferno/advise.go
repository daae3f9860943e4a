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
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/llm-inferno/inferno/optimizer/api/v1alpha1"
	"github.com/llm-inferno/inferno/optimizer/catalogue"
	"github.com/llm-inferno/inferno/optimizer/evaluation/advise"
	"github.com/llm-inferno/inferno/optimizer/evaluation/policy"
	"github.com/llm-inferno/inferno/optimizer/fitting"
	"github.com/llm-inferno/inferno/optimizer/localcluster/stack"
	"github.com/llm-inferno/inferno/optimizer/observe"
	"github.com/llm-inferno/inferno/optimizer/sizing"
)

type adviseOptions struct {
	clusterFlags
	prometheus, output                       string
	prices                                   []string
	priceFile                                string
	span, window, replay, startUp, ttft, itl time.Duration
	percentile                               float64
	write, report                            string
	workloads, classes, accelerators         []string
	force                                    bool
}

func newAdviseCommand() *cobra.Command {
	var o adviseOptions
	cmd := &cobra.Command{
		Use:   "advise --prometheus-url URL",
		Short: "Say of a cluster without inferno what inferno would have done, from what Prometheus remembers",
		Long: `Finds the Deployments and StatefulSets of a cluster that serve LLMs, by their pod templates, and reads their load of the past from Prometheus. It fits the
law of each model on its accelerator, checks it on the last quarter of the time, which it did not learn from, and plays the last hours again: as they
were, under inferno, and under HPA and KEDA rules that are tuned for them. It installs nothing and changes nothing: it lists workloads, pods and nodes,
and asks Prometheus. What it cannot read it names, with the reason.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	o.add(f, "namespace of the workloads; default all")
	f.StringVar(&o.prometheus, "prometheus-url", "", "URL of the Prometheus API as reached from here")
	f.DurationVar(&o.span, "span", 24*time.Hour, "how much of the past to read")
	f.DurationVar(&o.window, "window", 2*time.Minute, "window over which rates are taken: at least two scrapes, better four")
	f.DurationVar(&o.replay, "replay", time.Hour, "how much of its end to play again; 0 for none")
	f.DurationVar(&o.startUp, "start-up", 2*time.Minute, "how long a replica takes to start")
	f.DurationVar(&o.ttft, "ttft", time.Second, "target of servers without a --class on the time to first token")
	f.DurationVar(&o.itl, "itl", 50*time.Millisecond, "target of servers without a --class on the time between tokens")
	f.Float64Var(&o.percentile, "percentile", 90, "percentile of requests that the targets hold for")
	f.StringArrayVar(&o.classes, "class", nil, "targets of the workloads that the label "+v1alpha1.ClassLabel+" puts into a class, as NAME=TTFT,ITL or NAME=TTFT,ITL,PERCENTILE, such as premium=500ms,20ms,99; may be repeated, the most important first")
	f.StringSliceVar(&o.accelerators, "accelerators", nil, "types of cards to say of what servers would need on them; default those of the cluster's nodes")
	f.StringArrayVar(&o.prices, "price", nil, "price of a card as TYPE=CENTS_PER_HOUR, such as H100=250; may be repeated")
	f.StringVar(&o.priceFile, "prices", "", "CSV of prices with the columns type and cents_per_hour")
	f.StringVar(&o.write, "write", "", "directory to write manifests to that let inferno plan the workloads: a component of kustomize")
	f.StringVar(&o.report, "report", "", "directory to write the advice to as one page, "+reportFile+", that loads nothing")
	f.StringArrayVar(&o.workloads, "workload", nil, "workload to write manifests of, as NAMESPACE/NAME; may be repeated; default all that can be read")
	f.BoolVar(&o.force, "force", false, "write over files that are there")
	f.StringVarP(&o.output, "output", "o", "table", "output format: "+strings.Join(outputFormats, ", "))
	return cmd
}

// validate joins every fault of the flags, and reads the prices.
func (o *adviseOptions) validate() (catalogue.Prices, error) {
	prices, faults := givenPrices(o.priceFile, o.prices)
	if err := oneOf(o.output, outputFormats); err != nil {
		faults = append(faults, fmt.Errorf("--output: %w", err))
	}
	if u, err := url.Parse(o.prometheus); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		faults = append(faults, fmt.Errorf("--prometheus-url: %q is not allowed, must be an http or https URL", o.prometheus))
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
		least time.Duration
		most  time.Duration
	}{
		{"window", o.window, 10 * time.Second, time.Hour}, {"span", o.span, 10 * o.window, 14 * 24 * time.Hour}, {"start-up", o.startUp, time.Second, time.Hour},
		{"ttft", o.ttft, time.Microsecond, time.Hour}, {"itl", o.itl, time.Microsecond, time.Hour}, {"replay", o.replay, 0, 7 * 24 * time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			faults = append(faults, fmt.Errorf("--%s: %s is not allowed, must be %s to %s", d.flag, d.value, d.least, d.most))
		}
	}
	if !(o.percentile > 0 && o.percentile < 100) {
		faults = append(faults, fmt.Errorf("--percentile: %v is not allowed, must be above 0 and below 100", o.percentile))
	}
	for _, a := range o.accelerators {
		if _, known := catalogue.Lookup(a); !known {
			faults = append(faults, fmt.Errorf("--accelerators: %q is not known, known are %s", a, strings.Join(catalogue.TypeNames(), ", ")))
		} else if _, priced := prices.Find(a); !priced {
			faults = append(faults, fmt.Errorf("--accelerators: %q has no price, give one (--price, --prices)", a))
		}
	}
	_, err := o.servedClasses()
	faults = append(faults, err)
	if o.write == "" && len(o.workloads) > 0 {
		faults = append(faults, errors.New("--workload: is for --write, which is not given"))
	}
	if o.write == "" && o.report == "" && o.force {
		faults = append(faults, errors.New("--force: is for --write and --report, of which none is given"))
	}
	return prices, errors.Join(faults...)
}

func (o *adviseOptions) run(ctx context.Context, out, errOut io.Writer) error {
	prices, err := o.validate()
	if err != nil {
		return badInput{err}
	}
	config, err := clusterConfig(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	c, _, err := stack.Clients(config)
	if err != nil {
		return err
	}
	cluster, err := readWorkloads(ctx, c, o.namespace)
	if err != nil {
		return err
	}
	querier, err := observe.NewPrometheus(o.prometheus, http.DefaultTransport)
	if err != nil {
		return badInput{fmt.Errorf("--prometheus-url: %w", err)}
	}
	costs, err := observe.NodeCosts(ctx, querier)
	if err != nil {
		return unanswered(ctx, o.prometheus, err)
	}
	prices = advise.PricesOn(cluster.Nodes, costs, prices)
	report, err := o.advise(ctx, cluster, querier, prices, time.Now(), errOut)
	if err != nil {
		return err
	}
	if o.output != "table" {
		err = writeAs(out, o.output, report)
	} else {
		err = printAdvice(out, report, o)
	}
	if err == nil && o.report != "" {
		err = writeReport(o.report, report, o.force)
	}
	if err == nil && o.write != "" {
		err = o.writeAdvised(report, prices, errOut)
	}
	return err
}

// targets that all servers are held to.
func (o *adviseOptions) targets() sizing.Targets {
	return sizing.Targets{TTFT: o.ttft.Seconds(), ITL: o.itl.Seconds(), Percentile: o.percentile}
}

// servedClasses are the classes that have targets of their own. The error joins every fault.
func (o *adviseOptions) servedClasses() ([]advise.Class, error) {
	var classes []advise.Class
	var faults []error
	for _, text := range o.classes {
		c, err := parseClass(text, o.percentile)
		if err == nil && slices.ContainsFunc(classes, func(other advise.Class) bool { return other.Name == c.Name }) {
			err = errors.New("the class is there already")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("--class: %q is not allowed, must be NAME=TTFT,ITL or NAME=TTFT,ITL,PERCENTILE, such as premium=500ms,20ms,99: %w", text, err))
		}
		classes = append(classes, c)
	}
	return classes, errors.Join(faults...)
}

// parseClass of a flag, for a percentile where it says none.
func parseClass(text string, percentile float64) (advise.Class, error) {
	name, targets, _ := strings.Cut(text, "=")
	words := strings.Split(targets, ",")
	if len(words) < 2 || len(words) > 3 {
		return advise.Class{}, fmt.Errorf("it has %d targets", len(words))
	}
	var faults []error
	if wrong := validation.IsDNS1123Label(name); len(wrong) > 0 {
		faults = append(faults, fmt.Errorf("the name: %s", strings.Join(wrong, "; ")))
	}
	ttft, err := time.ParseDuration(words[0])
	faults = append(faults, err)
	itl, err := time.ParseDuration(words[1])
	faults = append(faults, err)
	if len(words) == 3 {
		percentile, err = strconv.ParseFloat(words[2], 64)
		faults = append(faults, err)
	}
	if !(ttft > 0) || !(itl > 0) || !(percentile > 0 && percentile < 100) {
		faults = append(faults, errors.New("targets must be above 0, the percentile above 0 and below 100"))
	}
	return advise.Class{Name: name, Targets: sizing.Targets{TTFT: ttft.Seconds(), ITL: itl.Seconds(), Percentile: percentile}}, errors.Join(faults...)
}

// writeAdvised writes the manifests of the workloads that are chosen, and says what is left to do.
func (o *adviseOptions) writeAdvised(r *advise.Report, prices catalogue.Prices, errOut io.Writer) error {
	servers, err := chosen(r, o.workloads)
	if err != nil {
		return err
	}
	classes, err := o.servedClasses()
	if err != nil {
		return err
	}
	files, err := adoption(&advise.Question{Servers: servers, Targets: o.targets(), Classes: classes, Prices: prices}, r.Fits)
	if err != nil {
		return err
	}
	if err := writeManifests(o.write, files, o.force); err != nil {
		return err
	}
	_, err = io.WriteString(errOut, afterwards(o.write, servers))
	return err
}

// advise on a cluster whose past a Prometheus knows.
func (o *adviseOptions) advise(ctx context.Context, cluster *advise.Cluster, querier observe.Querier, prices catalogue.Prices, now time.Time, errOut io.Writer) (*advise.Report, error) {
	servers, skipped := advise.Find(cluster)
	if len(servers) == 0 {
		reasons := []string{"no workload serves an LLM that can be advised on"}
		for _, s := range skipped {
			reasons = append(reasons, s.Workload+": "+s.Why)
		}
		return nil, errors.New(strings.Join(reasons, "\n"))
	}
	source, err := observe.NewSource(querier, nil)
	if err != nil {
		return nil, err
	}
	now = now.Truncate(o.window)
	from := now.Add(-o.span)
	past, err := observe.ReadMetricsOver(ctx, source, from, now, o.window, func(until time.Time) {
		fmt.Fprintf(errOut, "read %.0f %% of %s\n", 100*until.Sub(from).Seconds()/o.span.Seconds(), o.span)
	})
	if err != nil {
		return nil, unanswered(ctx, o.prometheus, err)
	}
	classes, err := o.servedClasses()
	if err != nil {
		return nil, err
	}
	q := &advise.Question{
		Servers: servers, Past: past, Window: o.window, Prices: prices, Knowledge: fitting.BuiltIn(), Targets: o.targets(), Classes: classes,
	}
	studied, err := advise.Study(q)
	if err != nil {
		return nil, err
	}
	report := studied.Describe(q)
	if o.replay > 0 {
		report, err = studied.Replay(q, advise.Options{
			Pools: advise.PoolsOf(cluster.Nodes), StartUp: o.startUp.Seconds(), Span: o.replay.Seconds(), TuneSpan: tunedFor.Seconds(),
			Progress: func(s string) { fmt.Fprintf(errOut, "played %s\n", s) },
		})
		if err != nil {
			return nil, err
		}
	}
	if report.Elsewhere, err = studied.Elsewhere(q, report, o.types(cluster, prices)); err != nil {
		return nil, err
	}
	report.Skipped = skipped
	report.Assumptions = slices.Concat(o.assumptions(), pricesOf(servers, prices), strangers(servers, classes))
	return report, nil
}

// pricesOf are the prices of the cards that servers run on, and who says so.
func pricesOf(servers []advise.Server, prices catalogue.Prices) []string {
	words := map[string]bool{}
	for i := range servers {
		if p, priced := prices.Find(servers[i].Accelerator); priced {
			words[fmt.Sprintf("one %s costs %s", p.Type, p)] = true
		}
	}
	return slices.Sorted(maps.Keys(words))
}

// types of cards to say of what servers would need on them: those that are asked for, else those of the cluster that have a price.
func (o *adviseOptions) types(cluster *advise.Cluster, prices catalogue.Prices) []string {
	if len(o.accelerators) > 0 {
		return o.accelerators
	}
	var all []string
	for _, typ := range slices.Sorted(maps.Keys(advise.PoolsOf(cluster.Nodes))) {
		if _, priced := prices.Find(typ); priced {
			all = append(all, typ)
		}
	}
	return all
}

// unanswered says what is wrong with a Prometheus that does not answer a question.
func unanswered(ctx context.Context, address string, err error) error {
	var network *url.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &network):
		return fmt.Errorf("--prometheus-url: %s does not answer: %w (where it runs in the cluster, kubectl port-forward reaches it)", address, network.Err)
	}
	return fmt.Errorf("--prometheus-url: %s: %w", address, err)
}

// tunedFor is how long of what is played the settings of rules are searched on.
//
// Tuned: duration; guard against minutes of searching: rules have up to a dozen settings, and each is played
const tunedFor = 15 * time.Minute

func (o *adviseOptions) assumptions() []string {
	return []string{
		fmt.Sprintf("targets of servers without a class that has its own (--class): TTFT %s and ITL %s for %g %% of requests (--ttft, --itl, --percentile)", o.ttft, o.itl, o.percentile),
		fmt.Sprintf("a replica takes %s to start (--start-up)", o.startUp),
		"pods are told by their names, and ran on the type of card on which those run that there are now",
		"prices are on-demand list prices where none are given (--price, --prices)",
		"under inferno, too, servers stay in the replay on the type of card that they run on: others were not seen, and what is said of them (--accelerators) follows from physics and from what the model showed where it runs",
	}
}

// strangers says which servers name a class that has no targets.
func strangers(servers []advise.Server, classes []advise.Class) []string {
	var all []string
	for i := range servers {
		if s := &servers[i]; s.Class != "" && !slices.ContainsFunc(classes, func(c advise.Class) bool { return c.Name == s.Class }) {
			all = append(all, fmt.Sprintf("%s is of the class %s, for which no targets are given (--class): it has those of servers without a class", s.ID(), s.Class))
		}
	}
	return all
}

// classOf a workload: what a label of its own says, or one of its pods.
func classOf(workload client.Object, pods *corev1.PodTemplateSpec) string {
	return cmp.Or(workload.GetLabels()[v1alpha1.ClassLabel], pods.Labels[v1alpha1.ClassLabel])
}

// readWorkloads lists what there is; what may not be listed is an error that says which right is missing.
func readWorkloads(ctx context.Context, c client.Client, namespace string) (*advise.Cluster, error) {
	var (
		deployments  appsv1.DeploymentList
		statefulSets appsv1.StatefulSetList
		pods         corev1.PodList
		nodes        corev1.NodeList
	)
	in := client.InNamespace(namespace)
	var faults []error
	for _, list := range []struct {
		what    string
		into    client.ObjectList
		options []client.ListOption
	}{
		{"deployments", &deployments, []client.ListOption{in}}, {"statefulsets", &statefulSets, []client.ListOption{in}}, {"pods", &pods, []client.ListOption{in}}, {"nodes", &nodes, nil},
	} {
		err := c.List(ctx, list.into, list.options...)
		if apierrors.IsForbidden(err) {
			err = fmt.Errorf("the right to list %s is missing: %w", list.what, err)
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	found := &advise.Cluster{Nodes: nodes.Items, Pods: pods.Items}
	for i := range deployments.Items {
		d := &deployments.Items[i]
		found.Workloads = append(found.Workloads, advise.Workload{Namespace: d.Namespace, Name: d.Name, Kind: "Deployment", Class: classOf(d, &d.Spec.Template), Replicas: int(d.Status.Replicas), Template: &d.Spec.Template})
	}
	for i := range statefulSets.Items {
		d := &statefulSets.Items[i]
		found.Workloads = append(found.Workloads, advise.Workload{Namespace: d.Namespace, Name: d.Name, Kind: "StatefulSet", Class: classOf(d, &d.Spec.Template), Replicas: int(d.Status.Replicas), Template: &d.Spec.Template})
	}
	return found, nil
}

// printAdvice for people, on lines of at most 120 columns.
func printAdvice(out io.Writer, r *advise.Report, o *adviseOptions) error {
	servers := [][]string{{"SERVER", "MODEL", "RUNS ON", "REQ/s", "PEAK", "TOKENS IN/OUT", "KNOWN"}}
	for _, s := range r.Servers {
		servers = append(servers, []string{
			s.ID(), s.Serves.Name(), fmt.Sprintf("%d × %d %s", s.Replicas, s.Cards, s.Accelerator), fmt.Sprintf("%.2f", s.MeanRate), fmt.Sprintf("%.2f", s.PeakRate),
			fmt.Sprintf("%.0f/%.0f", s.InputTokens, s.OutputTokens), fmt.Sprintf("%.0f %%", 100*s.Known),
		})
	}
	fits := [][]string{{"FIT OF", "ON", "LEARNED FROM", "CHECKED ON", "ITL OFF BY", "TTFT OFF BY"}}
	for _, f := range r.Fits {
		fits = append(fits, []string{f.Model, f.Accelerator, strconv.Itoa(f.Observations), strconv.Itoa(f.Checked), percent(f.ITLError), percent(f.TTFTError)})
	}
	tables := [][][]string{servers, fits}
	if len(r.Rows) > 0 {
		played := [][]string{{fmt.Sprintf("FROM %s PLAYED AGAIN", r.From.Local().Format(time.DateTime)), "COST ¢/h", "WITHIN TARGETS", "SETTINGS"}}
		for _, row := range r.Rows {
			played = append(played, []string{row.Title(), fmt.Sprintf("%.0f", row.CostPerHour), fmt.Sprintf("%.2f %%", 100*row.Attainment), row.Settings})
		}
		tables = append(tables, played)
	}
	if rows := elsewhere(r); len(rows) > 0 {
		tables = append(tables, append([][]string{{"NOT SEEN, AT THE PEAK: SERVER", "ON", "REPLICAS", "COST ¢/h", "AT MOST ¢/h", "SURE"}}, rows...))
	}
	text := new(strings.Builder)
	for _, table := range tables {
		w := newTable(text)
		for _, row := range table {
			fmt.Fprintln(w, strings.Join(row, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		text.WriteString("\n")
	}
	for _, line := range verdict(r) {
		text.WriteString(wrapped(line))
	}
	for _, n := range notes(r) {
		text.WriteString(wrapped(n.Kind + ": " + n.Text))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// elsewhere are rows of what servers would need on each type of card; none where that is only the type that they run on.
func elsewhere(r *advise.Report) [][]string {
	var rows [][]string
	for _, e := range r.Elsewhere {
		if len(e.Choices) == 1 && e.Choices[0].Runs {
			continue
		}
		for _, c := range e.Choices {
			name, most := fmt.Sprintf("%d × %s", c.Cards(), c.Accelerator), "?"
			if c.Runs {
				name += " (runs)"
			}
			if c.CautiousCostPerHour != nil {
				most = fmt.Sprintf("%.0f", *c.CautiousCostPerHour)
			}
			rows = append(rows, []string{
				e.Server, name, fmt.Sprintf("%d (%s-%s)", c.Replicas, bound(c.Range.P10), bound(c.Range.P90)), fmt.Sprintf("%.0f", c.CostPerHour), most, fmt.Sprintf("%.0f %%", 100*c.Feasible),
			})
		}
	}
	return rows
}

// verdict in sentences.
func verdict(r *advise.Report) []string {
	lines := []string{fmt.Sprintf("measured: %.0f ¢/h, within targets: %s", r.Was.CostPerHour, percent(r.Was.Attainment))}
	if r.Saving != nil {
		line := fmt.Sprintf("inferno would have cost %s less than what was done", percent(r.Saving))
		if r.SavingOfTuned != nil {
			line += fmt.Sprintf(", and %s less than the best tuned rule", percent(r.SavingOfTuned))
		}
		lines = append(lines, line)
	}
	if r.SavingWithBudgets != nil {
		lines = append(lines, fmt.Sprintf("where engines take their token budgets from inferno, which none of the past did: %s less than what was done, by laws that were learned at other budgets", percent(r.SavingWithBudgets)))
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Policy == policy.NameRecorded {
			lines = append(lines, fmt.Sprintf("how sure: what was done, played again, cost %.0f ¢/h and served %.1f %%; measured were %.0f ¢/h and %s", row.CostPerHour, 100*row.Attainment, r.Was.CostPerHour, percent(r.Was.Attainment)))
		}
	}
	if r.Why != "" {
		lines = append(lines, "no saving is promised: "+r.Why)
	}
	return lines
}

// thin is the share of a server's time below which it is said that little is known of its load.
const thin = 0.9

// note on what advice lacks or rests on.
type note struct{ Kind, Text string }

// notes of what was not read, is not known and is assumed.
func notes(r *advise.Report) []note {
	var all []note
	for _, s := range r.Servers {
		for _, u := range s.Serves.Unread {
			all = append(all, note{"not read", fmt.Sprintf("%s: %s: %s", s.ID(), u.What, u.Why)})
		}
		for _, d := range s.Serves.Doubts {
			all = append(all, note{"doubt", s.ID() + ": " + d})
		}
		if scrape := fmt.Sprintf("scrape their port %d (/metrics) at least four times in --window, with the labels namespace and pod", s.Serves.Port.Value); s.Known == 0 {
			all = append(all, note{"not known", fmt.Sprintf("%s: Prometheus has no load of its pods: %s", s.ID(), scrape)})
		} else if s.Known < thin {
			all = append(all, note{"thin", fmt.Sprintf("%s: Prometheus has the load of its pods for %.0f %% of the time: %s, or give a shorter --span", s.ID(), 100*s.Known, scrape)})
		}
	}
	for i := range r.Fits {
		if f := &r.Fits[i]; min(f.ITLChecked, f.TTFTChecked) < f.Checked {
			all = append(all, note{"left out", fmt.Sprintf("of the %d times that %s on %s was checked on, ITL of %d and TTFT of %d: requests waited for a place in the batch or the cache there, or were preempted and computed anew, which is not the law's", f.Checked, f.Model, f.Accelerator, f.Checked-f.ITLChecked, f.Checked-f.TTFTChecked)})
		}
	}
	for _, e := range r.Elsewhere {
		for _, x := range e.Excluded {
			all = append(all, note{"not elsewhere", fmt.Sprintf("%s on %s: %s", e.Server, x.Accelerator, x.Why)})
		}
	}
	for _, s := range r.Skipped {
		all = append(all, note{"skipped", s.Workload + ": " + s.Why})
	}
	for _, s := range r.Assumptions {
		all = append(all, note{"assumed", s})
	}
	return all
}

// percent of a share; "not known" where it is not.
func percent(share *float64) string {
	if share == nil {
		return "not known"
	}
	return fmt.Sprintf("%.1f %%", 100**share)
}
